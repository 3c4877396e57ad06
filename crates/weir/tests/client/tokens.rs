//! Tokens that expire under a page.

use anyhow::ensure;
use serde_json::json;
use weir_testkit::browser::Browser;
use weir_testkit::{DEADLINE, Instance, eventually};

use crate::WEIR;
use crate::page::{Page, Published};
use crate::site::Site;

async fn instance(site: &Site) -> anyhow::Result<Instance> {
    let flags =
        ["--jwt-secret-file", site.secret().flag(), "--cors-origin", &site.origin(), "--retry", "200ms"];
    Instance::start(WEIR, &[&flags[..], &["--anonymous", "publish"]].concat()).await
}

/// A token of ten seconds is renewed again and again; one that is refused is asked for anew.
pub(crate) async fn are_renewed(browser: &Browser) -> anyhow::Result<()> {
    let site = Site::start().await?;
    let weir = instance(&site).await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &site.origin()).await?;
    // The first one has expired.
    let token = "async () => (await fetch(window.again ? '/token?10' : '/token?0', { cache: (window.again = true) && 'no-store' })).text()";
    page.watch("client", &format!("{{ url: 'http://{}', token: {token} }}", weir.public()), &["s"], "{}")
        .await?;
    page.is("client", "live").await?;
    let before = site.tokens();
    eventually(DEADLINE * 2, async || {
        published.more(weir.client(), 1).await?;
        ensure!(site.tokens() >= before + 2, "{} tokens", site.tokens());
        Ok(())
    })
    .await?;
    page.saw_all("client", &published.data).await?;
    let seen = page.seen("client").await?;
    ensure!(seen["problems"] == json!([]) && seen["states"] == json!(["connecting", "live"]), "{seen}");
    Ok(())
}

/// `EventSource` sends no header, so its token is in a cookie. It comes back with whatever is there, and never after a 401.
pub(crate) async fn by_cookie(browser: &Browser) -> anyhow::Result<()> {
    let site = Site::start().await?;
    let weir = instance(&site).await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &site.origin()).await?;
    let renew = "window.renew = async (seconds) => { document.cookie = `weir_token=${await (await fetch('/token?' + seconds)).text()}; path=/` }
        await renew(8)";
    page.0.run(renew).await?;
    let url = format!("http://{}/v1/sessions/s/events", weir.public());
    page.native("renewed", &url, "{ withCredentials: true }").await?;
    page.0.run("sources.renewed.addEventListener('weir.expiring', () => renew(8))").await?;
    page.opened("renewed").await?;
    page.until("renewed", "return seen.renewed.opened >= 3").await?;
    published.more(weir.client(), 5).await?;
    page.saw_all("renewed", &published.data).await?;
    page.0.run("sources.renewed.close()").await?;

    page.0.run("await renew(5)").await?;
    page.native("forgotten", &url, "{ withCredentials: true }").await?;
    page.opened("forgotten").await?;
    page.until("forgotten", "return sources.forgotten.readyState === 2").await
}

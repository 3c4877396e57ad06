//! What a page is told where its developer got something wrong, as `docs/client.md` says.

use anyhow::ensure;
use serde_json::{Value, json};
use weir_testkit::Instance;
use weir_testkit::browser::{Browser, Kind};
use weir_testkit::loopback::own_address;

use crate::WEIR;
use crate::page::Page;
use crate::site::Site;

/// The first problem of a client with these options.
const FIRST: &str = "const { Weir } = await import('/client.js');
    return new Promise((resolve) => {
        const weir = new Weir(given);
        weir.on('problem', ({ kind, message, code }) => { weir.close(); resolve([kind, message, code]) });
        weir.subscribe('s', () => {});
    })";

async fn first(page: &Page, options: Value) -> anyhow::Result<(String, String, Option<String>)> {
    Ok(serde_json::from_value(page.0.run_with(FIRST, options).await?)?)
}

pub(crate) async fn are_told() -> anyhow::Result<()> {
    let browser = &Browser::start(Kind::Chromium).await?;
    let (site, weir) = (Site::start().await?, Instance::start(WEIR, &[]).await?);
    let listed = Instance::start(WEIR, &["--anonymous", "none", "--cors-origin", &site.origin()]).await?;
    let page = Page::open(browser, &site.origin()).await?;

    // Not listed by --cors-origin, and an admin listener, which lists nobody: only the console knows why.
    for address in [weir.public(), listed.admin()] {
        page.0.complaints().await?;
        let (kind, message, _) = first(&page, json!({ "url": format!("http://{address}") })).await?;
        ensure!(kind == "network" && message.contains("Failed to fetch"), "{kind}: {message}");
        let console = page.0.complaints().await?.join(" ");
        ensure!(console.contains("CORS") && !console.contains("ERR_CONNECTION_REFUSED"), "{console}");
    }
    // Nobody is there.
    let (kind, message, _) = first(&page, json!({ "url": format!("http://{}", own_address()?) })).await?;
    ensure!(kind == "network" && message.contains("Failed to fetch"), "{kind}: {message}");
    ensure!(page.0.complaints().await?.join(" ").contains("ERR_CONNECTION_REFUSED"));
    // Without `http://` it is a path of the page's own server, which answers as it answers.
    for options in [json!({ "url": listed.public().to_string() }), json!({})] {
        let (_, message, _) = first(&page, options).await?;
        ensure!(message == "got 503 text/plain", "{message}");
    }
    let (kind, message, code) = first(&page, json!({ "url": format!("http://{}", listed.public()) })).await?;
    ensure!(kind == "unauthorized" && code.as_deref() == Some("unauthorized"), "{kind}: {message}");
    let options = json!({ "url": format!("http://{}", listed.public()), "token": "abc" });
    let (kind, message, code) = first(&page, options).await?;
    ensure!(kind == "unauthorized" && code.as_deref() == Some("token_malformed"), "{kind}: {message}");
    Ok(())
}

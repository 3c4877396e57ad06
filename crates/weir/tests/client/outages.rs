//! What happens to instances, Redis and the balancer while pages watch: with the client, and with what browsers have themselves.

use anyhow::Context as _;
use weir_testkit::balancer;
use weir_testkit::browser::{Browser, Kind};

use crate::fleet::Fleet;
use crate::page::{Page, Published};
use crate::site::Site;

/// A page in each browser that watches the same session twice.
struct Pages(Vec<(Kind, Page)>);

impl Pages {
    async fn open(browsers: &[(Kind, Browser)], site: &Site, weir: &str) -> anyhow::Result<Self> {
        let mut pages = Vec::new();
        for (kind, browser) in browsers {
            let page = Page::open(browser, &site.origin()).await?;
            let options = format!("{{ url: '{weir}', backoff: {{ first: 200, most: 1000 }} }}");
            page.watch("client", &options, &["s"], "{}").await?;
            page.native("native", &format!("{weir}/v1/sessions/s/events"), "{}").await?;
            page.is("client", "live").await?;
            page.opened("native").await?;
            pages.push((*kind, page));
        }
        Ok(Self(pages))
    }

    /// Each saw all of this once, and was told of no loss.
    async fn saw_all(&self, published: &Published) -> anyhow::Result<()> {
        for (kind, page) in &self.0 {
            for name in ["client", "native"] {
                page.saw_all(name, &published.data).await.with_context(|| format!("{kind:?}"))?;
            }
        }
        Ok(())
    }

    async fn are(&self, state: &str) -> anyhow::Result<()> {
        for (kind, page) in &self.0 {
            page.is("client", state).await.with_context(|| format!("{kind:?}"))?;
        }
        Ok(())
    }
}

/// Every outage of the list, one after the other, with the same pages.
pub(crate) async fn play(kind: balancer::Kind, browsers: &[(Kind, Browser)]) -> anyhow::Result<()> {
    let site = Site::start().await?;
    let mut fleet = Fleet::start(kind, &["--cors-origin", &site.origin()]).await?;
    let pages = Pages::open(browsers, &site, &fleet.url()).await?;
    let mut published = Published::to("s");
    published.more(fleet.client(), 10).await?;
    pages.saw_all(&published).await.context("to begin with")?;

    // An instance is killed under pages.
    let nth = fleet.busiest().await?;
    fleet.kill(nth).await?;
    published.more(fleet.client(), 10).await?;
    pages.saw_all(&published).await.context("an instance was killed")?;
    fleet.bring_up(nth).await?;

    // The other one is drained, while others publish.
    let nth = fleet.busiest().await?;
    fleet.drain(nth)?;
    published.more(fleet.client(), 50).await?;
    fleet.gone(nth).await?;
    published.more(fleet.client(), 10).await?;
    pages.saw_all(&published).await.context("an instance was drained")?;
    fleet.bring_up(nth).await?;

    // Redis is away. Streams stay, and say so.
    pages.are("live").await?;
    fleet.redis.stop();
    pages.are("degraded").await.context("redis is away")?;
    fleet.redis.restart().await;
    pages.are("live").await.context("redis is back")?;
    published.more(fleet.client(), 10).await?;
    pages.saw_all(&published).await.context("redis was away")?;

    // All are away, and the balancer answers by itself. What it says also brings a native `EventSource` back.
    fleet.kill(0).await?;
    fleet.kill(1).await?;
    pages.are("connecting").await.context("all are away")?;
    fleet.bring_up(0).await?;
    published.more(fleet.client(), 10).await?;
    pages.saw_all(&published).await.context("all were away")
}

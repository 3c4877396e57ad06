//! Many tabs on one connection, and what may happen to the one that has it.

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use weir_testkit::browser::{Browser, Kind};
use weir_testkit::{DEADLINE, Instance, eventually};

use crate::WEIR;
use crate::page::{Page, Published};
use crate::site::Site;

/// A page waits for this without doing anything else, until the test lets it go on.
const HANG: &str = "const call = new XMLHttpRequest(); call.open('GET', '/held', false); call.send()";

/// All tabs of an origin that are open, in the order in which they were opened.
struct Tabs<'a> {
    browser: &'a Browser,
    site: &'a Site,
    weir: &'a Instance,
    open: Vec<Page>,
    published: Published,
}

impl Tabs<'_> {
    async fn open(&mut self) -> anyhow::Result<()> {
        let page = Page::open(self.browser, &self.site.origin()).await?;
        let weir = self.weir.public();
        page.watch("s", &format!("{{ url: 'http://{weir}', shared: 'all' }}"), &["s"], "{}").await?;
        page.is("s", "live").await?;
        self.open.push(page);
        Ok(())
    }

    /// The tab that has the connection: the one that opened it last.
    async fn leader(&self) -> anyhow::Result<usize> {
        let mut asked = Vec::new();
        for (nth, page) in self.open.iter().enumerate() {
            asked.push((page.0.run("return seen.s.asked.at(-1) ?? 0").await?.as_u64(), nth));
        }
        asked.iter().max().map(|(_, nth)| *nth).context("there are tabs")
    }

    /// They all see what is published now, and have one connection.
    async fn live(&mut self) -> anyhow::Result<()> {
        self.see().await?;
        connections(self.weir, 1.0).await
    }

    async fn see(&mut self) -> anyhow::Result<()> {
        self.published.more(self.weir.client(), 5).await?;
        for (nth, page) in self.open.iter().enumerate() {
            page.saw_all("s", &self.published.data).await.with_context(|| format!("tab {nth}"))?;
        }
        Ok(())
    }

    /// Takes away the tab that has the connection.
    async fn take_leader(&mut self) -> anyhow::Result<Page> {
        let leader = self.leader().await?;
        Ok(self.open.remove(leader))
    }
}

async fn connections(weir: &Instance, expected: f64) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let clients = weir.metrics().await?.sum("weir_clients", &[("transport", "sse")]);
        ensure!(clients == expected, "{clients} connections");
        Ok(())
    })
    .await
}

/// Whatever happens to the tab with the connection, each of the others sees every event once.
pub(crate) async fn play(kind: Kind, count: usize) -> anyhow::Result<()> {
    let browser = Browser::start(kind).await?;
    let site = Site::start().await?;
    let weir = Instance::start(WEIR, &["--anonymous", "all", "--cors-origin", &site.origin()]).await?;
    let published = Published::to("s");
    let mut tabs = Tabs { browser: &browser, site: &site, weir: &weir, open: Vec::new(), published };
    for _ in 0..count {
        tabs.open().await?;
    }
    tabs.live().await.context("to begin with")?;
    let opened = weir.metrics().await?.sum("weir_connections_total", &[("transport", "sse")]);
    ensure!(opened == 1.0, "{opened} connections were opened");

    tabs.take_leader().await?.0.close().await?;
    tabs.live().await.context("the leader was closed")?;

    tabs.take_leader().await?.0.go(format!("{}/orders", site.origin())).await?;
    tabs.live().await.context("the leader went to another page")?;

    tabs.take_leader().await?.0.reload().await?;
    tabs.live().await.context("the leader was loaded anew")?;

    later_tabs_have_snapshots(&browser).await.context("snapshots")?;
    if kind == Kind::Firefox {
        return Ok(());
    }
    tabs.take_leader().await?.0.crash().await?;
    tabs.live().await.context("the leader crashed")?;

    let frozen = tabs.take_leader().await?;
    frozen.0.freeze().await?;
    tabs.live().await.context("the leader was frozen")?;
    frozen.0.thaw().await?;
    tabs.open.push(frozen);
    tabs.live().await.context("the leader was thawed")?;

    // Nobody is told that it hangs: it is only silent. One tab is looked at.
    let hung = tabs.take_leader().await?;
    tabs.open.last().context("there are tabs")?.0.front().await?;
    let mut hang = Box::pin(hung.0.run(HANG));
    tokio::select! {
        over = &mut hang => bail!("the leader does not hang: {over:?}"),
        // Its own connection lasts as long as it hangs.
        seen = async { tabs.site.hangs().await?; tabs.see().await } => seen.context("the leader hung")?,
    }
    tabs.site.let_go();
    hang.as_mut().await?;
    drop(hang);
    tabs.open.push(hung);
    tabs.live().await.context("the leader goes on")?;
    alone_where_there_are_no_locks(&browser).await
}

/// The connection is there already, and does not bring them again.
async fn later_tabs_have_snapshots(browser: &Browser) -> anyhow::Result<()> {
    let site = Site::start().await?;
    let weir = Instance::start(WEIR, &["--anonymous", "all", "--cors-origin", &site.origin()]).await?;
    let mut published = Published::to("s");
    let kept = weir.client().event("s").query("snapshot", "60").body("kept").send().await?;
    ensure!(kept.status() == 201, "{kept:?}");
    published.data.push("kept".to_owned());
    let mut pages = Vec::new();
    for _ in 0..3 {
        let page = Page::open(browser, &site.origin()).await?;
        let options = format!("{{ url: 'http://{}', shared: 'kept', snapshot: true }}", weir.public());
        page.watch("s", &options, &["s"], "{}").await?;
        pages.push(page);
        for page in &pages {
            page.saw_all("s", &published.data).await?;
        }
        published.more(weir.client(), 2).await?;
    }
    for page in &pages {
        page.saw_all("s", &published.data).await?;
    }
    connections(&weir, 1.0).await
}

/// Web Locks are there in secure contexts alone.
async fn alone_where_there_are_no_locks(browser: &Browser) -> anyhow::Result<()> {
    let site = Site::start().await?;
    let origin = site.origin().replace("127.0.0.1", "app.shop.example");
    let weir = Instance::start(WEIR, &["--anonymous", "all", "--cors-origin", &origin]).await?;
    let mut published = Published::to("s");
    let mut pages = Vec::new();
    for _ in 0..2 {
        let page = Page::open(browser, &origin).await?;
        ensure!(page.0.run("return isSecureContext").await? == json!(false), "{origin} is secure");
        page.watch("s", &format!("{{ url: 'http://{}', shared: 'all' }}", weir.public()), &["s"], "{}")
            .await?;
        page.is("s", "live").await?;
        pages.push(page);
    }
    published.more(weir.client(), 5).await?;
    for page in &pages {
        page.saw_all("s", &published.data).await?;
    }
    connections(&weir, 2.0).await
}

//! One instance behind a network that fails on command.

use weir_testkit::browser::Browser;
use weir_testkit::chaos::{Close, Proxy};
use weir_testkit::{Client, Instance};

use crate::WEIR;
use crate::page::Page;
use crate::site::Site;

pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) weir: Instance,
    pub(crate) proxy: Proxy,
}

impl Stage {
    pub(crate) async fn open(flags: &[&str]) -> anyhow::Result<Self> {
        let site = Site::start().await?;
        let weir = Self::instance(&site, flags).await?;
        let proxy = Proxy::start(weir.public()).await?;
        Ok(Self { site, weir, proxy })
    }

    /// One that everybody may use, and that says something every second.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::open(&["--anonymous", "all"]).await
    }

    pub(crate) async fn instance(site: &Site, flags: &[&str]) -> anyhow::Result<Instance> {
        let origin = site.origin();
        let ours = ["--cors-origin", &origin, "--retry", "200ms"];
        let beat: &[&str] = if flags.contains(&"--heartbeat") { &[] } else { &["--heartbeat", "1s"] };
        Instance::start(WEIR, &[&ours, beat, flags].concat()).await
    }

    /// Where pages find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.proxy.addr())
    }

    /// Options of a client, with these besides.
    pub(crate) fn options(&self, more: &str) -> String {
        format!("{{ url: '{}', backoff: {{ first: 50, most: 500 }}, {more} }}", self.url())
    }

    /// A page that watches `s` by the client, with these options besides, and by what the browser itself has, with this query.
    /// Both are connected.
    pub(crate) async fn watched(
        &self,
        browser: &Browser,
        options: &str,
        query: &str,
    ) -> anyhow::Result<Page> {
        let page = Page::open(browser, &self.site.origin()).await?;
        page.watch("client", &self.options(options), &["s"], "{}").await?;
        page.native("native", &format!("{}/v1/sessions/s/events{query}", self.url()), "{}").await?;
        page.is("client", "live").await?;
        page.opened("native").await?;
        Ok(page)
    }

    /// Not by way of the network that fails.
    pub(crate) fn client(&self) -> Client {
        self.weir.client()
    }

    /// Connections break, and there are no others.
    pub(crate) fn cut(&self) {
        self.proxy.point_at(None);
        self.proxy.close_all(Close::Reset);
    }

    pub(crate) fn mend(&self) {
        self.proxy.point_at(Some(self.weir.public()));
    }
}

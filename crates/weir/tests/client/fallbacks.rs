//! What takes over while streams do not work, and gives back.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::browser::Browser;
use weir_testkit::chaos::Close;

use crate::page::{Page, Published};
use crate::stage::Stage;

/// Three streams of which nothing is heard for twelve seconds, and what a busy machine adds.
const BUFFERED: Duration = Duration::from_secs(50);

/// A proxy that keeps streams to itself, as one that was told to buffer, lets long-polls pass.
pub(crate) async fn by_long_poll(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let instances = [stage.weir.public()];
    // It waits for the end of what has none.
    let buffering = Balancer::shipped(Kind::HaProxy, &instances)
        .change("backend streams\n", "backend streams\n    http-response wait-for-body time 60s\n");
    let buffering = buffering.start().await?;
    stage.proxy.point_at(Some(buffering.address()));
    let page = Page::open(browser, &stage.site.origin()).await?;
    let options = stage.options("fallback: 'long-poll'");
    page.watch("client", &options, &["s"], "{ from: 'earliest' }").await?;
    page.native("native", &format!("{}/v1/sessions/s/events", stage.url()), "{}").await?;
    published.more(stage.client(), 5).await?;
    page.until_within(BUFFERED, "client", "return seen.client.status?.by === 'long-poll'").await?;
    page.saw_all("client", &published.data).await?;
    published.more(stage.client(), 5).await?;
    page.saw_all("client", &published.data).await?;
    page.is("client", "degraded").await?;
    let seen = page.seen("client").await?;
    ensure!(seen["failures"] == 3, "{seen}");
    // The stream is tried on all the while.
    let problems = seen["problems"].as_array().context("problems")?;
    ensure!(problems.iter().all(|problem| problem == "silence"), "{seen}");
    let native = page.seen("native").await?;
    ensure!(native["data"] == json!([]), "the proxy does not buffer: {native}");

    stage.mend();
    stage.proxy.close_all(Close::Reset);
    page.is("client", "live").await?;
    published.more(stage.client(), 5).await?;
    page.saw_all("client", &published.data).await?;
    let status = &page.seen("client").await?["status"];
    ensure!(status["by"] == "stream" && status["failures"] == 0, "{status}");
    Ok(())
}

/// The application's own endpoint is asked while nothing else answers, and no longer.
pub(crate) async fn by_the_own_endpoint(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &stage.site.origin()).await?;
    let poll = "async (signal) => { window.orders = await (await fetch('/orders', { signal })).json(); window.polls = (window.polls ?? 0) + 1 }";
    let options = stage.options(&format!("fallback: {{ every: 100, poll: {poll} }}"));
    page.watch("client", &options, &["s"], "{}").await?;
    page.is("client", "live").await?;
    stage.cut();
    page.is("client", "degraded").await?;
    page.until("client", "return window.polls > 2").await?;
    published.more(stage.client(), 5).await?;
    let seen = page.seen("client").await?;
    ensure!(seen["status"]["by"] == "poll" && seen["status"]["failures"].as_u64() >= Some(3), "{seen}");
    stage.mend();
    page.saw_all("client", &published.data).await?;
    page.is("client", "live").await?;
    let polls = page.0.run("return window.polls").await?;
    published.more(stage.client(), 5).await?;
    page.saw_all("client", &published.data).await?;
    ensure!(page.0.run("return window.polls").await? == polls, "it polls on");
    Ok(())
}

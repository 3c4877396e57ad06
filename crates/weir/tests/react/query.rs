//! What TanStack Query has fetched is patched by events, and fetched again.

use anyhow::ensure;
use serde_json::{Value, json};
use weir_testkit::loopback::own_address;
use weir_testkit::{DEADLINE, Instance, Signal};

use crate::pages::{Page, Server, WEIR, publish, url, weir};

/// The detail and the list are shown, and nothing is going to be fetched for what happened so far.
async fn shown(page: &Page, at: &str) -> anyhow::Result<()> {
    page.render(json!({ "url": at, "sessions": null, "board": true })).await?;
    page.shows("state", "live").await?;
    page.shows("detail", "new").await?;
    // Once as they were mounted, and once more as the stream was open.
    page.tab.until("return seen.fetches.list === 2 && seen.fetches.detail === 2").await.map(drop)
}

async fn update(weir: &Instance, patch: Value, ts: u64) -> anyhow::Result<()> {
    let event = json!({ "type": "order.updated", "id": "o1", "patch": patch, "ts": ts });
    publish(weir, "orders", "order.updated", &event).await
}

#[tokio::test]
async fn the_detail_is_patched_and_the_list_is_fetched_again() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let weir = weir(&server).await?;
    let page = server.open().await?;
    shown(&page, &url(weir.public())).await?;
    page.tab.run("api.list = ['o1']").await?;
    update(&weir, json!({ "state": "paid" }), 2).await?;
    page.shows("detail", "paid").await?;
    page.shows("list", "o1").await?;
    // Older than what came before, and bad JSON.
    update(&weir, json!({ "state": "new" }), 1).await?;
    weir.client().publish("orders", "{").await?;
    update(&weir, json!({ "state": "sent" }), 3).await?;
    page.shows("detail", "sent").await?;
    ensure!(page.seen().await?["fetches"]["detail"] == 2, "{}", page.seen().await?);
    Ok(())
}

#[tokio::test]
async fn two_hundred_events_are_a_few_fetches() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let weir = weir(&server).await?;
    let page = server.open().await?;
    shown(&page, &url(weir.public())).await?;
    page.tab.run("window.begun = performance.now()").await?;
    for n in 0..200 {
        update(&weir, json!({ "state": format!("packed {n}") }), 10 + n).await?;
    }
    page.tab.run("api.list = ['done']").await?;
    update(&weir, json!({ "state": "sent" }), 1000).await?;
    page.shows("detail", "sent").await?;
    page.shows("list", "done").await?;
    let seen = page.seen().await?;
    let seconds = page.tab.run("return (performance.now() - begun) / 1000").await?;
    let most = 3.0 + seconds.as_f64().unwrap_or_default();
    ensure!(
        seen["fetches"]["list"].as_f64().is_some_and(|fetches| fetches - 2.0 <= most),
        "{seconds} s: {seen}"
    );
    ensure!(seen["fetches"]["detail"] == 2, "{seen}");
    Ok(())
}

/// The server answers with what was so before the event; the page must not go back to that.
#[tokio::test]
async fn a_fetch_that_was_begun_before_an_event_does_not_undo_it() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let weir = weir(&server).await?;
    let page = server.open().await?;
    shown(&page, &url(weir.public())).await?;
    let watch = "
        window.states = [];
        new MutationObserver(() => states.push(text('detail')))
            .observe(document.getElementById('detail'), { subtree: true, childList: true, characterData: true });
        api.waiting = [];";
    page.tab.run(watch).await?;
    // An event without a patch has the detail fetched, and the list.
    let event = json!({ "type": "order.touched", "id": "o1", "ts": 2 });
    publish(&weir, "orders", "order.touched", &event).await?;
    page.tab.until("return api.waiting.length === 2").await?;
    update(&weir, json!({ "state": "paid" }), 3).await?;
    page.shows("detail", "paid").await?;
    page.tab.run("api.list = ['o1']; api.waiting.splice(0).forEach((answer) => answer())").await?;
    // The list was asked for too early, and is asked for again.
    page.tab.until("return api.waiting.length === 1").await?;
    page.tab.run("api.waiting[0](); api.waiting = null").await?;
    page.shows("list", "o1").await?;
    let states = page.tab.run("return states").await?;
    ensure!(states == json!(["paid"]), "{states}");
    page.shows("detail", "paid").await
}

#[tokio::test]
async fn after_a_gap_everything_is_fetched_again() -> anyhow::Result<()> {
    let (server, at) = (Server::start().await?, own_address()?);
    let origin = server.origin.clone();
    let start = async || {
        Instance::builder(WEIR).listen(at).flags(&["--cors-origin", &origin, "--retry", "1s"]).start().await
    };
    let mut weir = start().await?;
    let page = server.open().await?;
    shown(&page, &url(at)).await?;
    update(&weir, json!({ "state": "paid" }), 2).await?;
    page.shows("detail", "paid").await?;
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await?;
    page.shows("state", "connecting").await?;
    page.tab.run("api.list = ['o1', 'o2']; api.detail = { id: 'o1', state: 'returned', ts: 9 }").await?;
    weir = start().await?;
    page.shows("detail", "returned").await?;
    page.shows("list", "o1 o2").await?;
    ensure!(
        page.seen().await?["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty()),
        "{}",
        page.seen().await?
    );
    drop(weir);
    Ok(())
}

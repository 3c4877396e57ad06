//! Provider, subscriptions, the newest value and the state.

use anyhow::ensure;
use serde_json::json;
use weir_testkit::loopback::own_address;
use weir_testkit::{DEADLINE, Instance, Signal};

use crate::pages::{Server, WEIR, opened, publish, streams, url, weir};

#[tokio::test]
async fn in_strict_mode_there_is_one_connection_and_after_it_none() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let weir = weir(&server).await?;
    let page = server.open().await?;
    page.render(json!({ "url": url(weir.public()), "sessions": ["a", "b"], "board": true })).await?;
    page.shows("state", "live").await?;
    streams(&weir, 1.0).await?;
    ensure!(opened(&weir).await? == 1.0, "{} connections for one page", opened(&weir).await?);
    let seen = page.seen().await?;
    ensure!(seen["effects"] == 2 && seen["closed"] == 0, "{seen}");
    page.tab.run("unmount()").await?;
    streams(&weir, 0.0).await?;
    ensure!(page.seen().await?["closed"] == 1, "{}", page.seen().await?);
    // It is no end for good: the same page may come back.
    page.render(json!({})).await?;
    page.shows("state", "live").await?;
    streams(&weir, 1.0).await?;
    ensure!(page.tab.complaints().await?.is_empty(), "{:?}", page.tab.complaints().await?);
    Ok(())
}

/// React keeps what is hidden as it is, but for its effects: no connection either, until it is shown again.
#[tokio::test]
async fn what_is_hidden_has_no_connection_and_what_is_shown_again_has_one() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let weir = weir(&server).await?;
    let page = server.open().await?;
    page.render(json!({ "url": url(weir.public()) })).await?;
    page.shows("state", "live").await?;
    streams(&weir, 1.0).await?;
    page.tab.run("void render({ hidden: true })").await?;
    streams(&weir, 0.0).await?;
    page.render(json!({ "hidden": false })).await?;
    streams(&weir, 1.0).await?;
    publish(&weir, "a", "count", &json!({ "n": 4 })).await?;
    page.shows("latest", "a 4").await?;
    page.shows("state", "live").await
}

#[tokio::test]
async fn a_handler_may_change_and_options_be_made_anew_without_another_connection() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let weir = weir(&server).await?;
    let page = server.open().await?;
    page.render(json!({ "url": url(weir.public()), "types": ["said", "count"] })).await?;
    page.shows("state", "live").await?;
    publish(&weir, "a", "said", &json!(1)).await?;
    page.tab.until("return seen.events.length === 1").await?;
    let subscribed = page.seen().await?["subscribed"].clone();
    page.render(json!({ "handler": "second", "types": ["said", "count"] })).await?;
    publish(&weir, "a", "other", &json!("x")).await?;
    publish(&weir, "a", "said", &json!("b")).await?;
    page.tab.until("return seen.events.length === 2").await?;
    let seen = page.seen().await?;
    ensure!(seen["events"] == json!(["first a 1", "second a \"B\""]), "{seen}");
    ensure!(opened(&weir).await? == 1.0, "{} connections", opened(&weir).await?);
    ensure!(seen["subscribed"] == subscribed, "{subscribed}: {seen}");
    Ok(())
}

#[tokio::test]
async fn other_sessions_are_followed_and_none_need_no_connection() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let weir = weir(&server).await?;
    let page = server.open().await?;
    page.render(json!({ "url": url(weir.public()), "sessions": null })).await?;
    page.shows("state", "idle").await?;
    page.render(json!({ "sessions": "a" })).await?;
    page.shows("state", "live").await?;
    publish(&weir, "a", "count", &json!({ "n": 1 })).await?;
    page.shows("latest", "a 1").await?;
    page.render(json!({ "sessions": ["b"] })).await?;
    page.shows("latest", "none").await?;
    page.shows("state", "live").await?;
    publish(&weir, "a", "count", &json!({ "n": 2 })).await?;
    publish(&weir, "b", "count", &json!({ "n": 3 })).await?;
    page.shows("latest", "b 3").await?;
    let events = page.seen().await?["events"].clone();
    ensure!(events == json!(["first a {\"N\":1}", "first b {\"N\":3}"]), "{events}");
    page.render(json!({ "sessions": [] })).await?;
    page.shows("state", "idle").await?;
    page.shows("latest", "none").await?;
    streams(&weir, 0.0).await
}

/// One instance is left for another without a trace, and what is below the provider stays as it is.
#[tokio::test]
async fn other_options_make_another_client_and_lose_no_state() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (one, other) = (weir(&server).await?, weir(&server).await?);
    let page = server.open().await?;
    page.render(json!({ "url": url(one.public()) })).await?;
    page.shows("state", "live").await?;
    streams(&one, 1.0).await?;
    let mounts = page.seen().await?["mounts"].clone();
    page.render(json!({ "url": url(other.public()) })).await?;
    streams(&one, 0.0).await?;
    streams(&other, 1.0).await?;
    publish(&other, "a", "count", &json!({ "n": 7 })).await?;
    page.shows("latest", "a 7").await?;
    let seen = page.seen().await?;
    ensure!(seen["mounts"] == mounts && seen["closed"] == 1, "{mounts}: {seen}");
    Ok(())
}

#[tokio::test]
async fn an_instance_that_is_killed_shows_in_the_state_and_costs_nothing() -> anyhow::Result<()> {
    let (server, at, data) = (Server::start().await?, own_address()?, tempfile::tempdir()?);
    let origin = server.origin.clone();
    let flags = ["--cors-origin", &origin, "--retry", "1s", "--data-dir", &data.path().to_string_lossy()];
    let start = async || Instance::builder(WEIR).listen(at).flags(&flags).start().await;
    let mut weir = start().await?;
    let page = server.open().await?;
    page.render(json!({ "url": url(at) })).await?;
    page.shows("state", "live").await?;
    publish(&weir, "a", "count", &json!({ "n": 1 })).await?;
    page.shows("latest", "a 1").await?;
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await?;
    page.shows("state", "connecting").await?;
    page.tab.until("return document.getElementById('state').dataset.failures > 1").await?;
    weir = start().await?;
    publish(&weir, "a", "count", &json!({ "n": 2 })).await?;
    page.shows("latest", "a 2").await?;
    page.shows("state", "live").await?;
    let seen = page.seen().await?;
    ensure!(seen["states"] == json!(["idle", "connecting", "live", "connecting", "live"]), "{seen}");
    ensure!(seen["gaps"] == json!([]), "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_gap_is_told_and_giving_up_shows() -> anyhow::Result<()> {
    let (server, at) = (Server::start().await?, own_address()?);
    let origin = server.origin.clone();
    let flags = ["--cors-origin", &origin, "--retry", "1s"];
    let start = async || Instance::builder(WEIR).listen(at).flags(&flags).start().await;
    let mut weir = start().await?;
    let page = server.open().await?;
    page.render(json!({ "url": url(at), "tries": 1000 })).await?;
    page.shows("state", "live").await?;
    publish(&weir, "a", "count", &json!({ "n": 1 })).await?;
    page.shows("latest", "a 1").await?;
    page.render(json!({ "handler": "second" })).await?;
    // Nothing is kept, so nobody knows what was missed.
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await?;
    weir = start().await?;
    page.tab.until("return seen.gaps.length > 0").await?;
    let gap = page.seen().await?["gaps"][0].clone();
    ensure!(gap.as_str().is_some_and(|gap| gap.starts_with("second ")), "{gap}");
    page.render(json!({ "tries": 2 })).await?;
    page.shows("state", "live").await?;
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await?;
    page.shows("state", "offline").await
}

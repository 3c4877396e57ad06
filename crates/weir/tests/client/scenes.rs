//! What happens to one page and its connection.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::browser::{Browser, Kind};
use weir_testkit::chaos::Close;
use weir_testkit::expect;
use weir_testkit::redis::RedisServer;

use crate::page::{PATIENCE, Page, Published};
use crate::stage::Stage;

/// A page is left and comes back, as with a reload.
pub(crate) async fn keeps_its_position(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &stage.site.origin()).await?;
    for _ in 0..3 {
        let from = published.data.len();
        page.watch("kept", &stage.options("keep: true"), &["s"], "{}").await?;
        page.is("kept", "live").await?;
        published.more(stage.client(), 5).await?;
        // The last five of them came while the page was away.
        page.saw_all("kept", published.data.get(from.saturating_sub(5)..).context("some")?).await?;
        page.0.go(format!("{}/orders", stage.site.origin())).await?;
        published.more(stage.client(), 5).await?;
        page.0.go(stage.site.origin()).await?;
        page.0.until("return window.ready").await?;
    }
    Ok(())
}

/// The connection breaks, and comes back; with the client and without.
pub(crate) async fn comes_back(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = stage.watched(browser, "", "").await?;
    published.more(stage.client(), 5).await?;
    for name in ["client", "native"] {
        page.saw_all(name, &published.data).await?;
    }
    stage.proxy.close_all(Close::Reset);
    published.more(stage.client(), 5).await?;
    for name in ["client", "native"] {
        page.saw_all(name, &published.data).await?;
    }
    page.0.run("sources.native.close()").await?;
    page.is("client", "live").await?;
    stage.cut();
    page.until("client", "return seen.client.status.failures > 1").await?;
    published.more(stage.client(), 5).await?;
    stage.mend();
    page.saw_all("client", &published.data).await?;
    page.is("client", "live").await
}

/// Connections are made and reset before there is an answer. Chromium's `EventSource` tries on, that of Firefox is closed for good.
pub(crate) async fn native_is_put_off(browser: &Browser, kind: Kind) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &stage.site.origin()).await?;
    page.native("native", &format!("{}/v1/sessions/s/events", stage.url()), "{}").await?;
    page.opened("native").await?;
    stage.cut();
    match kind {
        Kind::Firefox => page.until("native", "return sources.native.readyState === 2").await,
        Kind::Chromium => {
            page.until("native", "return seen.native.errors > 3").await?;
            published.more(stage.client(), 5).await?;
            stage.mend();
            page.saw_all("native", &published.data).await
        }
    }
}

/// A network that swallows everything and refuses nothing: only who waits for heartbeats notices.
pub(crate) async fn notices_silence(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = stage.watched(browser, "", "").await?;
    stage.proxy.black_hole();
    published.more(stage.client(), 5).await?;
    page.until("client", "return seen.client.problems.includes('silence')").await?;
    let native = page.0.run("return [sources.native.readyState, seen.native.errors]").await?;
    ensure!(native == json!([1, 0]), "the native one noticed: {native}");
    stage.proxy.heal();
    for name in ["client", "native"] {
        page.saw_all(name, &published.data).await?;
    }
    Ok(())
}

/// It is tried three times, and then the page says so and has a button.
pub(crate) async fn gives_up(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &stage.site.origin()).await?;
    page.watch("client", &stage.options("tries: 3"), &["s"], "{}").await?;
    page.is("client", "live").await?;
    stage.cut();
    page.is("client", "offline").await?;
    published.more(stage.client(), 5).await?;
    let seen = page.seen("client").await?;
    ensure!(seen["status"]["failures"] == 3 && seen["status"]["problem"]["kind"] == "network", "{seen}");
    stage.mend();
    page.0.run("weirs.client.retry()").await?;
    page.saw_all("client", &published.data).await
}

/// The page was away for longer than the log reaches back: it is told so once, and gets all that is there.
pub(crate) async fn is_told_of_what_was_trimmed(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::open(&["--anonymous", "all", "--maxlen", "100"]).await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &stage.site.origin()).await?;
    page.watch("client", &stage.options(""), &["s"], "{ onGap: (gap) => (seen.client.told = { ...gap }) }")
        .await?;
    page.is("client", "live").await?;
    published.more(stage.client(), 1).await?;
    page.saw_all("client", &published.data).await?;
    stage.cut();
    page.is("client", "connecting").await?;
    published.more(stage.client(), 400).await?;
    stage.mend();
    let seen = sees_the_rest(&page, "client", &published).await?;
    let gaps = &seen["gaps"];
    ensure!(gaps.as_array().is_some_and(|gaps| gaps.len() == 1) && gaps[0]["reason"] == "trimmed", "{gaps}");
    // A native one that comes from there is told the same.
    let from = gaps[0]["after"].as_str().context("a position")?;
    page.native("native", &format!("{}/v1/sessions/s/events?lastEventId={from}", stage.url()), "{}").await?;
    page.until("native", "return seen.native.data.length >= 100").await?;
    let native = page.seen("native").await?;
    ensure!(native["gaps"] == *gaps, "{native}");
    ensure!(seen["told"] == seen["gaps"][0], "{seen}");
    Ok(())
}

/// What is shown is in order and ends with the last, and at each hole in it, and nowhere else, a gap was told.
async fn sees_the_rest(page: &Page, name: &str, published: &Published) -> anyhow::Result<Value> {
    let last = json!(published.data.last());
    page.until(name, &format!("return seen[{}].data.at(-1) === {last}", json!(name))).await?;
    let seen = page.seen(name).await?;
    let gaps = seen["gaps"].as_array().context("gaps")?.len();
    let mut rest = published.data.iter();
    let mut holes = 0;
    for data in seen["data"].as_array().context("data")? {
        let skipped = rest.position(|other| data == other);
        holes += usize::from(skipped.with_context(|| format!("{name} saw {data} twice, or too late"))? > 0);
    }
    ensure!(holes == gaps, "{name}: {holes} holes, and {gaps} gaps were told: {seen}");
    Ok(seen)
}

/// The log is emptied, and another one begins with ids below those of before: all of it is shown.
pub(crate) async fn begins_anew_after_a_reset(browser: &Browser) -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let stage = Stage::open(&["--anonymous", "all", "--redis", &redis.url()]).await?;
    let mut published = Published::to("s");
    let page = stage.watched(browser, "", "").await?;
    page.watch("shared", &stage.options("shared: 'reset'"), &["s"], "{}").await?;
    page.is("shared", "live").await?;
    published.more(stage.client(), 5).await?;
    for name in ["client", "shared", "native"] {
        page.saw_all(name, &published.data).await?;
    }
    redis.cli(&["DEL", "weir:events"]).await;
    page.until("client", "return seen.client.gaps.length > 0").await?;
    for nth in 5..10 {
        let data = format!("s {nth}");
        redis.cli(&["XADD", "weir:events", &format!("{nth}-1"), "session", "s", "data", &data]).await;
        published.data.push(data);
    }
    for name in ["client", "shared", "native"] {
        page.saw(name, &published.data).await?;
        let gaps = &page.seen(name).await?["gaps"];
        ensure!(gaps.as_array().is_some_and(|gaps| gaps.len() == 1), "{name}: {gaps}");
        ensure!(gaps[0]["reason"] == "reset", "{name}: {gaps}");
    }
    Ok(())
}

/// What is on its way is held up until the queue is full: what that cannot hold is dropped, and told.
pub(crate) async fn is_told_of_what_overflowed(browser: &Browser) -> anyhow::Result<()> {
    // Heartbeats so far apart that nobody takes the silence for the end.
    let flags = ["--anonymous", "all", "--queue-events", "10", "--heartbeat", "10s"];
    let stage = Stage::open(&flags).await?;
    let page = stage.watched(browser, "overflow: 'drop-oldest'", "?overflow=drop-oldest").await?;
    stage.proxy.black_hole();
    // More than all buffers on the way hold.
    let count = 50;
    for nth in 0..count {
        stage.client().publish("s", format!("{nth:04}{}", "x".repeat(200_000))).await?;
    }
    stage.proxy.heal();
    for name in ["client", "native"] {
        let last = format!("return seen.{name}.data.at(-1)?.startsWith('{:04}')", count - 1);
        page.0.until_within(PATIENCE, &last).await.with_context(|| format!("{name} saw the last"))?;
        let brief = format!("return [seen.{name}.gaps, seen.{name}.data.map((data) => data.slice(0, 4))]");
        let seen = page.0.run(&brief).await?;
        let gaps = seen[0].as_array().context("gaps")?;
        let shown = seen[1].as_array().context("data")?;
        let missed: u64 = gaps.iter().filter_map(|gap| gap["missed"].as_u64()).sum();
        ensure!(!gaps.is_empty() && gaps.iter().all(|gap| gap["reason"] == "overflow"), "{name}: {seen}");
        ensure!(missed + shown.len() as u64 == count, "{name}: {seen}");
        ensure!(shown.is_sorted_by(|one, other| one.as_str() < other.as_str()), "{name}: {seen}");
    }
    Ok(())
}

/// As a laptop whose lid was closed: when it wakes up its connection is dead.
pub(crate) async fn wakes_up(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = stage.watched(browser, "", "").await?;
    page.0.freeze().await?;
    published.more(stage.client(), 5).await?;
    stage.proxy.close_all(Close::Reset);
    published.more(stage.client(), 5).await?;
    page.0.thaw().await?;
    for name in ["client", "native"] {
        page.saw_all(name, &published.data).await?;
    }
    Ok(())
}

/// Several sessions on one connection, of which each subscription takes its part; what is older than what was shown is passed over.
pub(crate) async fn takes_its_part(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let page = Page::open(browser, &stage.site.origin()).await?;
    let script = "
        const weir = new (weirs.all.constructor)(given.options)
        seen.parts = { types: [], keys: [], fresh: [], states: [] }
        const into = (list) => (event) => seen.parts[list].push(event.data)
        weir.subscribe(['a', 'b'], into('types'), { types: ['x'] })
        weir.subscribe('a', into('keys'), { keys: ['1'] })
        weir.subscribe('a', into('fresh'), { parse: JSON.parse, stale: { at: (event) => event.value } })
        weir.on('status', ({ state }) => seen.parts.states.push(state))";
    page.watch("all", &stage.options(""), &["a", "b"], "{}").await?;
    page.0.run_with(script, json!({ "options": { "url": stage.url() } })).await?;
    page.is("all", "live").await?;
    page.until("parts", "return seen.parts.states.includes('live')").await?;
    let client = stage.client();
    let parts = [
        ("a", "x", "1", "10"),
        ("b", "x", "1", "20"),
        ("a", "y", "1", "9"),
        ("a", "y", "2", "30"),
        ("a", "x", "2", "29"),
    ];
    for (session, event, key, data) in parts {
        let answer = client.event(session).query("type", event).query("key", key).body(data).send().await?;
        ensure!(answer.status() == 201, "{answer:?}");
    }
    page.saw_all("all", &["10", "20", "9", "30", "29"].map(str::to_owned)).await?;
    page.until("parts", "return seen.parts.types.length === 3").await?;
    let seen = page.seen("parts").await?;
    ensure!(seen["types"] == json!(["10", "20", "29"]) && seen["keys"] == json!(["10", "9"]), "{seen}");
    // Of each key; 9 came after 10, and 29 after 30.
    ensure!(seen["fresh"] == json!(["10", "30"]), "{seen}");
    expect::clients(&stage.weir, 2).await
}

/// Hidden, it lets go of its connection; seen again, it has missed nothing. It hides the other tabs of its browser.
pub(crate) async fn pauses_while_hidden(browser: &Browser) -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut published = Published::to("s");
    let page = Page::open(browser, &stage.site.origin()).await?;
    page.watch("client", &stage.options("pauseWhenHidden: true"), &["s"], "{}").await?;
    page.is("client", "live").await?;
    let other = Page::open(browser, &stage.site.origin()).await?;
    page.is("client", "idle").await?;
    expect::clients(&stage.weir, 0).await?;
    published.more(stage.client(), 5).await?;
    other.0.close().await?;
    page.0.front().await?;
    page.saw_all("client", &published.data).await
}

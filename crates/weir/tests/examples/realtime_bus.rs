//! `docs/examples/realtime-bus` in Chromium.
// sizes: what one application promises, each with a test, by the helpers that they share

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::browser::{Browser, Kind as Engine, Tab};
use weir_testkit::{DEADLINE, eventually};

use crate::application::{WEIR, folder};
use crate::pictures::pictures;
use crate::started::Started;

const EXAMPLE: &str = "realtime-bus";

/// Ports behind that of the page.
const BUS: u16 = 1;
const REDIS: u16 = 2;
const INSTANCES: [u16; 2] = [3, 4];

const EVENTS: &str = "/v1/sessions/matches/events";

/// A bare `EventSource` of the test's own beside that of the page: what it saw is in `window.seen`.
const BARE: &str = "
    const seen = window.seen = { opens: 0, ids: [], numbers: [], named: {} };
    const source = window.source = new EventSource(given);
    source.onopen = () => seen.opens++;
    source.addEventListener('match.updated', ({ data, lastEventId }) => { seen.ids.push(lastEventId); seen.numbers.push(JSON.parse(data).n); });
    for (const name of ['weir.connected', 'weir.shutdown', 'weir.gap', 'audience.updated', 'test.written', 'message']) {
        source.addEventListener(name, ({ data }) => { (seen.named[name] ??= []).push(JSON.parse(data)); });
    }";

const IN_A_ROW: &str = "seen.numbers.every((n, nth) => nth === 0 || n === seen.numbers[nth - 1] + 1)";

/// More entries than the stream and a window hold.
const FLOOD: &str =
    "for i = 1, 7000 do redis.call('XADD', 'app:events', '*', 'event', 'test.flood', 'payload', '{}') end";

/// Longer than three failures take with a `retry:` of 6 s between them.
const OUTAGE: Duration = Duration::from_secs(40);

async fn application(env: &[(&str, &str)]) -> anyhow::Result<(Started, Browser)> {
    Ok(tokio::try_join!(Started::start(EXAMPLE, env), Browser::start(Engine::Chromium))?)
}

/// The page, live, which follows in this way.
async fn watch(browser: &Browser, application: &Started, way: &str) -> anyhow::Result<Tab> {
    let tab = browser.open(format!("{}/{way}", application.page())).await?;
    state(&tab, "live").await?;
    tab.until("return document.querySelectorAll('#matches article').length === 6").await?;
    more(&tab, "events", 2).await?;
    Ok(tab)
}

/// By weir's client, and by an `EventSource`.
async fn both(browser: &Browser, application: &Started) -> anyhow::Result<(Tab, Tab)> {
    let client = watch(browser, application, "").await?;
    Ok((client, watch(browser, application, "?by=event-source").await?))
}

async fn state(tab: &Tab, state: &str) -> anyhow::Result<()> {
    tab.until_within(OUTAGE, &format!("return document.body.dataset.state === '{state}'")).await.map(drop)
}

/// Waits until a count of the page has grown by so many.
async fn more(tab: &Tab, id: &str, by: u32) -> anyhow::Result<()> {
    let count = number(tab, id).await?;
    tab.until_within(
        OUTAGE,
        &format!("return Number(document.getElementById('{id}').textContent) >= {}", count + by),
    )
    .await
    .map(drop)
}

async fn number(tab: &Tab, id: &str) -> anyhow::Result<u32> {
    let text = tab.run_with("return document.getElementById(given).textContent", json!(id)).await?;
    text.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("{id}: {text}"))
}

async fn banner(tab: &Tab) -> anyhow::Result<bool> {
    Ok(tab.run("return !document.getElementById('banner').hidden").await? == true)
}

/// What `redis-cli` answers, as its user types it.
fn redis(application: &Started, words: &[&str]) -> anyhow::Result<String> {
    let at = application.at(REDIS);
    let (host, port) = at.split_once(':').context("an address")?;
    let output = Command::new("redis-cli").args(["-h", host, "-p", port]).args(words).output()?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// What its file sets, as weir has it.
fn settings() -> anyhow::Result<String> {
    let mut command = Command::new(WEIR);
    command
        .args(["config", "--redis", "redis://localhost", "--config"])
        .arg(folder(EXAMPLE).join("weir.toml"));
    Ok(String::from_utf8(command.output()?.stdout)?)
}

#[tokio::test]
#[ignore = "make examples"]
async fn its_pictures() -> anyhow::Result<()> {
    let (application, browser) = application(&[]).await?;
    let tab = watch(&browser, &application, "").await?;
    more(&tab, "events", 12).await?;
    tab.until("return document.getElementById('watching').textContent !== '–'").await?;
    pictures(&tab, EXAMPLE).await?;
    let complaints = tab.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// Plain `XADD` by whoever can reach Redis, without a session, and the figures by which the deployment is watched.
#[tokio::test]
async fn foreign_producers_reach_every_page_through_every_instance() -> anyhow::Result<()> {
    let (application, browser) = application(&[]).await?;
    let (tab, bare) = both(&browser, &application).await?;
    tab.front().await?;
    for instance in [BUS, INSTANCES[0], INSTANCES[1]] {
        tab.run_with(BARE, json!(format!("http://{}{EVENTS}", application.at(instance)))).await?;
        tab.until("return seen.opens === 1").await?;
        let payload = format!("{{\"by\": \"port {instance}\",  \"n\": [1]}}");
        let at = redis(
            &application,
            &[
                "XADD",
                "app:events",
                "*",
                "event",
                "test.written",
                "payload",
                &payload,
                "timestamp",
                "2026-01-02T03:04:05Z",
            ],
        )?;
        ensure!(at.contains('-'), "{at}");
        let seen = tab.until("return seen.named['test.written']?.length === 1 && seen.numbers.length >= 3 && seen.named['audience.updated']?.length > 0 && seen").await?;
        ensure!(seen["named"]["test.written"][0]["by"] == format!("port {instance}"), "{seen}");
        ensure!(tab.run(&format!("return {IN_A_ROW}")).await? == true, "{seen}");
    }
    ensure!(number(&tab, "missed").await? == 0 && number(&bare, "missed").await? == 0);

    // The stream is capped, though no producer trims: as exactly as Redis does with `~`, which is by nodes of 100.
    redis(&application, &["EVAL", FLOOD, "0"])?;
    eventually(DEADLINE, async || figures(&application)).await
}

/// What whoever watches the deployment looks at.
fn figures(application: &Started) -> anyhow::Result<()> {
    let length: u32 = redis(application, &["XLEN", "app:events"])?.trim().parse()?;
    ensure!((5000..5200).contains(&length), "{length} entries");
    let groups = redis(application, &["XINFO", "GROUPS", "app:events"])?;
    let names: Vec<_> = groups.lines().filter(|line| line.starts_with("weir:weir-")).collect();
    ensure!(names.len() == 2, "{groups}");
    for name in names {
        let pending = redis(application, &["XPENDING", "app:events", name])?;
        ensure!(pending.lines().next() == Some("0"), "{pending}");
    }
    let stats = redis(application, &["HGETALL", "metrics:sse"])?;
    let stats: Vec<_> = stats.lines().collect();
    let of = |name: &str| {
        stats.iter().position(|line| *line == name).and_then(|at| stats[at + 1].parse::<i64>().ok())
    };
    ensure!(of("connections").is_some_and(|count| count >= 3), "{stats:?}");
    ensure!(of("disconnects").is_some() && of("dropped").is_some(), "{stats:?}");
    Ok(())
}

/// The application relies on these, which its file says.
#[test]
fn its_settings_are_those_of_the_deployment() -> anyhow::Result<()> {
    let settings = settings()?;
    for said in [
        "maxlen = \"5000\"",
        "read-count = \"200\"",
        "read-block = \"5s\"",
        "queue-events = \"100\"",
        "overflow = \"catch-up\"",
        "heartbeat = \"15s\"",
        "retry = \"5s\"",
    ] {
        ensure!(settings.lines().any(|line| line.starts_with(said)), "{said}: {settings}");
    }
    Ok(())
}

/// Pages go on by the other instance and miss nothing, whichever of both ends and however.
#[tokio::test]
#[ignore = "make examples"]
async fn an_instance_that_ends_costs_no_event() -> anyhow::Result<()> {
    let (mut application, browser) =
        application(&[("WEIR_RETRY", "1s"), ("WEIR_DRAIN_DELAY", "2s"), ("WEIR_DRAIN_WINDOW", "1s")]).await?;
    let (client, bare) = both(&browser, &application).await?;
    let tabs = [client, bare];
    for [order, again] in [["kill weir-1", "start weir-1"], ["stop weir-2", "start weir-2"]] {
        application.order(order)?;
        let name = order.split(' ').nth(1).context("a name")?;
        application.says(&format!("{name} ended")).await?;
        for tab in &tabs {
            state(tab, "live").await?;
            more(tab, "events", 5).await?;
            ensure!(
                number(tab, "missed").await? == 0 && number(tab, "gaps").await? == 0 && !banner(tab).await?
            );
        }
        application.order(again)?;
        eventually(DEADLINE, async || {
            let groups = redis(&application, &["XINFO", "GROUPS", "app:events"])?;
            ensure!(["weir:weir-1:", "weir:weir-2:"].iter().all(|name| groups.contains(name)), "{groups}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Every client of an instance that is stopped is told before its stream ends.
#[tokio::test]
async fn a_shutdown_is_told_to_every_client() -> anyhow::Result<()> {
    let (mut application, browser) =
        application(&[("WEIR_DRAIN_DELAY", "1s"), ("WEIR_DRAIN_WINDOW", "2s")]).await?;
    let tab = watch(&browser, &application, "?by=event-source").await?;
    let all = "
        window.told = [];
        for (let nth = 0; nth < 4; nth++) {
            const source = new EventSource(given);
            const one = { said: null, ended: false };
            told.push(one);
            source.addEventListener('weir.shutdown', ({ data }) => { one.said = JSON.parse(data); });
            source.onerror = () => { one.ended = one.said !== null; source.close(); };
            await new Promise((resolve) => { source.onopen = resolve; });
        }";
    for nth in [0, 1] {
        tab.run_with(all, json!(format!("http://{}{EVENTS}", application.at(INSTANCES[nth])))).await?;
        // Of a stream the end is known by an error; who was told first knows that it was meant.
        application.order(&format!("stop weir-{}", nth + 1))?;
        let told = tab.until("return told.every(({ ended }) => ended) && told").await?;
        for one in told.as_array().context("a list")? {
            let reconnect = one["said"]["reconnect"].as_u64().unwrap_or_default();
            ensure!((4000..=6000).contains(&reconnect), "{told}");
        }
        application.says(&format!("weir-{} ended: 0", nth + 1)).await?;
    }
    Ok(())
}

/// After three errors in a row both kinds of page ask the application itself, say so, and come back by themselves; and so does an
/// `EventSource` for which nobody does anything.
#[tokio::test]
#[ignore = "make examples"]
async fn while_no_instance_answers_pages_poll_and_come_back() -> anyhow::Result<()> {
    let (mut application, browser) = application(&[]).await?;
    let (client, bare) = both(&browser, &application).await?;
    bare.run_with(BARE, json!(format!("http://{}{EVENTS}", application.at(BUS)))).await?;
    bare.until("return seen.numbers.length >= 2").await?;
    application.order("kill weir-1 weir-2")?;
    application.says("weir-2 ended").await?;
    tokio::try_join!(polls(&client), polls(&bare))?;
    application.order("start weir-1 weir-2")?;
    tokio::try_join!(is_back(&client), is_back(&bare))?;
    // What was written meanwhile is in the stream still.
    let seen = bare
        .until(&format!(
            "return seen.opens >= 3 && seen.numbers.length >= 30 && {{ row: {IN_A_ROW}, ...seen }}"
        ))
        .await?;
    ensure!(seen["row"] == true && seen["named"]["weir.gap"].is_null(), "{seen}");
    Ok(())
}

/// It says that it polls, and what it shows goes on by that alone.
async fn polls(tab: &Tab) -> anyhow::Result<()> {
    state(tab, "polling").await?;
    ensure!(banner(tab).await?);
    let events = number(tab, "events").await?;
    let minutes = "[...document.querySelectorAll('.minute')].map((minute) => minute.textContent).join()";
    let before = tab.run(&format!("return {minutes}")).await?;
    tab.until(&format!("return {minutes} !== {before}")).await?;
    let asked = "return performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/api/matches?cache=refresh')).length";
    let asked = tab.run(asked).await?;
    ensure!(asked.as_u64().is_some_and(|asked| asked >= 1), "{asked} calls");
    ensure!(number(tab, "polls").await? >= 1 && number(tab, "events").await? == events);
    Ok(())
}

/// Everything is as before, with nothing missed.
async fn is_back(tab: &Tab) -> anyhow::Result<()> {
    state(tab, "live").await?;
    let polls = number(tab, "polls").await?;
    ensure!(!banner(tab).await?);
    // Longer than the time from one poll to the next: the bot writes each 400 ms, and what came late comes first.
    tab.run("window.back = Date.now()").await?;
    tab.until("return Date.now() > back + 5500").await?;
    more(tab, "events", 2).await?;
    ensure!(number(tab, "polls").await? == polls, "it still polls");
    ensure!(number(tab, "missed").await? == 0 && number(tab, "gaps").await? == 0);
    Ok(())
}

/// While Redis is away streams stay open and say so; what is written afterwards comes on them.
#[tokio::test]
#[ignore = "make examples"]
async fn redis_may_go_and_come() -> anyhow::Result<()> {
    let (mut application, browser) = application(&[]).await?;
    let (client, bare) = both(&browser, &application).await?;
    let tabs = [client, bare];
    // `cache=refresh` is answered with what is, else with what was within the last ten seconds.
    let fresh = "const text = await (await fetch('/api/matches?cache=refresh')).text(); window.first ??= text; return text !== first";
    tabs[0].until_within(Duration::from_secs(4), fresh).await?;
    let matches = "return (await (await fetch('/api/matches?cache=refresh')).json()).matches.length";
    ensure!(tabs[0].run(matches).await? == 6);
    application.order("stop redis")?;
    for tab in &tabs {
        state(tab, "degraded").await?;
        ensure!(!banner(tab).await? && number(tab, "polls").await? == 0);
    }
    // The application answers with what it has.
    ensure!(tabs[0].run(matches).await? == 6);
    application.order("start redis")?;
    for tab in &tabs {
        state(tab, "live").await?;
        more(tab, "events", 3).await?;
        ensure!(number(tab, "missed").await? == 0 && number(tab, "gaps").await? == 0);
    }
    drop((tabs, browser));
    application.stop().await
}

/// By `?lastEventId=` where a page was reloaded, by the header where the browser reconnects, at any instance.
#[tokio::test]
#[ignore = "make examples"]
async fn pages_resume_by_parameter_and_by_header() -> anyhow::Result<()> {
    let (mut application, browser) = application(&[]).await?;
    let tab = watch(&browser, &application, "").await?;
    let of = |port: u16| format!("http://{}{EVENTS}", application.at(port));
    let (first, second, bus) = (of(INSTANCES[0]), of(INSTANCES[1]), of(BUS));
    tab.run_with(BARE, json!(first)).await?;
    let left = tab
        .until("return seen.numbers.length >= 3 && (source.close(), [seen.ids.at(-1), seen.numbers.at(-1)])")
        .await?;
    more(&tab, "events", 4).await?;
    // At the other instance, and nothing is missing.
    let again = format!("{second}?lastEventId={}", left[0].as_str().context("an id")?);
    tab.run_with(BARE, json!(again)).await?;
    let seen =
        tab.until(&format!("return seen.numbers.length >= 5 && {{ row: {IN_A_ROW}, ...seen }}")).await?;
    let next = left[1].as_u64().context("a number")? + 1;
    ensure!(
        seen["row"] == true && seen["numbers"][0] == next && seen["named"]["weir.gap"].is_null(),
        "{left} {seen}"
    );
    tab.run("source.close()").await?;
    // The header wins over the parameter, which stays in the URL: nothing comes twice.
    tab.run_with(BARE, json!(format!("{bus}?lastEventId={}", left[0].as_str().unwrap_or_default()))).await?;
    tab.until("return seen.numbers.length >= 5").await?;
    application.order("kill weir-1")?;
    application.says("weir-1 ended").await?;
    application.order("start weir-1")?;
    application.order("kill weir-2")?;
    application.says("weir-2 ended").await?;
    let seen = tab.until_within(OUTAGE, &format!("const n = seen.numbers.length; return seen.opens >= 2 && n >= 10 && {{ row: {IN_A_ROW}, ...seen }}")).await?;
    ensure!(seen["row"] == true && seen["numbers"][0] == next, "{seen}");
    Ok(())
}

/// What a page left off with is where it goes on when it is loaded again; and where that is too long ago, it is told so and asks the
/// application.
#[tokio::test]
#[ignore = "make examples"]
async fn a_page_that_is_loaded_again_goes_on_where_it_was() -> anyhow::Result<()> {
    let (mut application, browser) = application(&[]).await?;
    let (client, bare) = both(&browser, &application).await?;
    let other = watch(&browser, &application, "").await?;
    other.run_with(BARE, json!(format!("http://{}{EVENTS}", application.at(BUS)))).await?;
    let seen = "return seen.numbers.length";
    other.until("return seen.numbers.length >= 1").await?;
    let count = async || other.run(seen).await?.as_u64().context("a number");
    let before = count().await?;
    for tab in [&client, &bare] {
        tab.go("about:blank").await?;
    }
    // By then it has seen all that was written before both were gone.
    more(&other, "events", 2).await?;
    let away = count().await?;
    more(&other, "events", 5).await?;
    application.order("stop bot")?;
    application.says("bot ended").await?;
    let now = count().await?;
    for (tab, way) in [(&client, ""), (&bare, "?by=event-source")] {
        tab.go(format!("{}/{way}", application.page())).await?;
        state(tab, "live").await?;
        // Nobody writes any more: these were written while the page was away, or while both left, or shortly before.
        let had = "const n = Number(document.getElementById('events').textContent); return n >= given && n";
        let had = had.replace("given", &(now - away).to_string());
        let had = tab.until(&had).await?.as_u64().context("a number")?;
        ensure!(had <= now - before + 3, "{had} of {}", now - before);
        ensure!(number(tab, "missed").await? == 0 && number(tab, "gaps").await? == 0);
        tab.go("about:blank").await?;
    }
    redis(&application, &["EVAL", FLOOD, "0"])?;
    eventually(DEADLINE, async || all_read(&application)).await?;
    for (tab, way) in [(&client, ""), (&bare, "?by=event-source")] {
        tab.go(format!("{}/{way}", application.page())).await?;
        tab.until("return document.getElementById('gaps').textContent === '1'").await?;
        tab.until("return performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/api/matches?cache=refresh'))").await?;
        tab.until("return document.querySelectorAll('#matches article').length === 6").await?;
    }
    Ok(())
}

/// Every instance has read all that there is.
fn all_read(application: &Started) -> anyhow::Result<()> {
    let after = |text: &str, name: &str| -> Vec<String> {
        let lines: Vec<_> = text.lines().collect();
        lines.windows(2).filter(|two| two[0] == name).map(|two| two[1].to_owned()).collect()
    };
    let last = after(&redis(application, &["XINFO", "STREAM", "app:events"])?, "last-generated-id");
    let read = after(&redis(application, &["XINFO", "GROUPS", "app:events"])?, "last-delivered-id");
    ensure!(read.len() == 2 && read.iter().all(|id| *id == last[0]), "{read:?} of {last:?}");
    Ok(())
}

/// A page that does not read while more is written than fits: what is dropped is counted, on the page and in Redis.
#[tokio::test]
#[ignore = "make examples"]
async fn what_a_slow_page_lost_is_told_and_counted() -> anyhow::Result<()> {
    let (mut application, browser) = application(&[("WEIR_OVERFLOW", "drop-oldest")]).await?;
    let tab = watch(&browser, &application, "").await?;
    application.order("stop bot analytics")?;
    application.says("analytics ended").await?;
    let open = "
        const answer = await fetch(given);
        window.slow = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        return (await slow.read()).value";
    let begun = tab.run_with(open, json!(format!("http://{}{EVENTS}", application.at(INSTANCES[0])))).await?;
    ensure!(begun.as_str().is_some_and(|text| text.contains("weir.connected")), "{begun}");
    // 30 MB, which no socket takes.
    let flood = "local text = '{\"x\":\"' .. string.rep('x', 100000) .. '\"}' for i = 1, 300 do redis.call('XADD', 'app:events', '*', 'event', 'test.flood', 'payload', text) end";
    redis(&application, &["EVAL", flood, "0"])?;
    let read = "
        let [text, missed, events] = ['', 0, 0];
        for (const end = Date.now() + 45000; Date.now() < end && missed + events < 300;) {
            const { value, done } = await slow.read();
            if (done) break;
            text += value;
            const blocks = text.split('\\n\\n');
            text = blocks.pop();
            for (const block of blocks) {
                if (block.includes('event: test.flood')) events++;
                if (block.includes('event: weir.gap')) missed += JSON.parse(block.split('data: ')[1]).missed;
            }
        }
        return { missed, events }";
    let read = tab.run(read).await?;
    let (missed, events) = (read["missed"].as_u64(), read["events"].as_u64());
    ensure!(
        missed.zip(events).is_some_and(|(missed, events)| missed > 0 && missed + events == 300),
        "{read}"
    );
    // Every 5 s each instance adds what it counted.
    eventually(DEADLINE * 2, async || {
        let dropped: u64 = redis(&application, &["HGET", "metrics:sse", "dropped"])?.trim().parse()?;
        ensure!(missed == Some(dropped), "{dropped} dropped, the page missed {missed:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

/// What a balancer and proxies need to see, and the heartbeat, by a shorter time than it comes with.
#[tokio::test]
#[ignore = "make examples"]
async fn streams_say_when_to_come_back_and_that_they_live() -> anyhow::Result<()> {
    let (mut application, browser) = application(&[("WEIR_HEARTBEAT", "1s")]).await?;
    let tab = watch(&browser, &application, "").await?;
    application.order("stop bot analytics")?;
    application.says("analytics ended").await?;
    let raw = "
        const answer = await fetch(given);
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = '';
        for (let reads = 0; reads < 15 && !text.includes('\\n:\\n:\\n'); reads++) text += (await reader.read()).value ?? '';
        await reader.cancel();
        return text;";
    let mut told = Vec::new();
    for _ in 0..4 {
        let text = tab.run_with(raw, json!(format!("http://{}{EVENTS}", application.at(BUS)))).await?;
        let text = text.as_str().context("a text")?.to_owned();
        ensure!(text.contains("\n:\n:\n"), "no comments: {text}");
        let retry: u32 =
            text.lines().find_map(|line| line.strip_prefix("retry: ")).context("retry")?.parse()?;
        told.push(retry);
    }
    ensure!(told.iter().all(|retry| (4000..=6000).contains(retry)), "{told:?}");
    ensure!(told.iter().any(|retry| *retry != told[0]), "they all come at once: {told:?}");
    let value: Value = tab.run("return document.body.dataset.state").await?;
    ensure!(value == "live", "{value}");
    Ok(())
}

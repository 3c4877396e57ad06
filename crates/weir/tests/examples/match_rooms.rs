//! `docs/examples/match-rooms` in Chromium.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use weir_testkit::Balancer;
use weir_testkit::balancer::Kind;
use weir_testkit::browser::{Browser, Kind as Engine, Tab};
use weir_testkit::loopback::own_address;
use weir_testkit::page::read;

use crate::application::{WEIR, folder};
use crate::pictures::pictures;
use crate::started::Started;

const EXAMPLE: &str = "match-rooms";

/// Ports behind that of the page.
const PUBLIC: u16 = 1;

const NORTH: &str = "/v1/sessions/match%2Fnorth/events";

/// A bare `EventSource` of the test's own beside that of the page: what it saw is in `window.seen`.
const BARE: &str = "
    const seen = window.seen = { opens: 0, errors: 0, ids: [], states: [], gaps: [], named: [] };
    const source = window.source = new EventSource(given);
    source.onopen = () => seen.opens++;
    source.onerror = () => seen.errors++;
    source.onmessage = ({ data, lastEventId }) => { seen.ids.push(lastEventId); seen.states.push({ ...JSON.parse(data), came: Date.now() }); };
    source.addEventListener('weir.gap', ({ data }) => seen.gaps.push(JSON.parse(data)));
    source.addEventListener('weir.connected', ({ lastEventId }) => seen.named.push(lastEventId));";

/// Each state is the one after that before it.
const IN_A_ROW: &str = "seen.states.every(({ n }, nth) => nth === 0 || n === seen.states[nth - 1].n + 1)";

async fn application(env: &[(&str, &str)]) -> anyhow::Result<(Started, Browser)> {
    Ok(tokio::try_join!(Started::start(EXAMPLE, env), Browser::start(Engine::Chromium))?)
}

async fn watch(browser: &Browser, application: &Started, room: &str) -> anyhow::Result<Tab> {
    let tab = browser.open(format!("{}/?room={room}", application.page())).await?;
    shows(&tab, "state", "live").await?;
    tab.until("return document.getElementById('score').textContent.includes(':')").await?;
    Ok(tab)
}

async fn text(tab: &Tab, id: &str) -> anyhow::Result<String> {
    let text = tab.run_with("return document.getElementById(given).textContent", json!(id)).await?;
    Ok(text.as_str().unwrap_or_default().to_owned())
}

/// The goals of both sides. Matches play themselves, so only of one that stands still it stays true.
async fn score(tab: &Tab) -> anyhow::Result<Vec<u32>> {
    Ok(text(tab, "score").await?.split(" : ").map(str::parse).collect::<Result<_, _>>()?)
}

async fn shows(tab: &Tab, id: &str, what: &str) -> anyhow::Result<()> {
    let (id, what) = (json!(id), json!(what));
    tab.until(&format!("return document.getElementById({id}).textContent.includes({what})")).await?;
    Ok(())
}

/// Takes the room over, as its user does.
async fn host(tab: &Tab, name: &str) -> anyhow::Result<()> {
    tab.run_with(
        "document.getElementById('name').value = given; document.getElementById('take').requestSubmit()",
        json!(name),
    )
    .await?;
    tab.until("return !document.getElementById('controls').hidden").await?;
    Ok(())
}

async fn press(tab: &Tab, action: &str) -> anyhow::Result<()> {
    tab.run_with("document.querySelector(`[data-action=${given}]`).click()", json!(action)).await?;
    Ok(())
}

/// Every state is shown, by one request: what 500 ms of polling did by two in each second.
#[tokio::test]
async fn every_state_comes_by_one_request() -> anyhow::Result<()> {
    // How many come in a second depends on how busy this machine is.
    let posts = read("docs/examples/match-rooms/room.py").contains("\nPERIOD = 0.25\n");
    ensure!(posts, "states are not posted four times a second, as the README says");
    let (application, browser) = application(&[]).await?;
    let tab = watch(&browser, &application, "north").await?;
    // The list of rooms asks for snapshots, in its own time.
    let counts = "const count = Number(document.getElementById('count').textContent);
        const asked = performance.getEntriesByType('resource').filter(({ name }) => name.includes('/events')).length;";
    let begun = tab.run(&format!("{counts} return [count, asked]")).await?;
    let many = format!("{counts} return count >= {} + 20 && [count, asked]", begun[0]);
    let ended = tab.until(&many).await?;
    ensure!(ended[1] == begun[1], "asked again: {begun} {ended}");
    ensure!(text(&tab, "missed").await? == "0" && text(&tab, "opens").await? == "1");
    // The other rooms are there, and another one shows another match.
    tab.until("return document.querySelectorAll('#rooms a').length === 3").await?;
    let mill = watch(&browser, &application, "mill").await?;
    ensure!(text(&mill, "home").await? == "Athletic" && text(&tab, "home").await? == "Rovers");
    let complaints = [tab.complaints().await?, mill.complaints().await?].concat();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "make examples"]
async fn its_pictures() -> anyhow::Result<()> {
    let (application, browser) = application(&[]).await?;
    let tab = watch(&browser, &application, "north").await?;
    host(&tab, "Ann").await?;
    press(&tab, "home").await?;
    // Long enough for all to be in the middle of it.
    tab.until("return Number(document.getElementById('count').textContent) >= 30").await?;
    pictures(&tab, EXAMPLE).await
}

/// In a room that stands still nothing is posted, so what a page shows there is the snapshot.
#[tokio::test]
async fn a_page_that_loads_has_the_snapshot_at_once() -> anyhow::Result<()> {
    let (application, browser) = application(&[]).await?;
    let ann = watch(&browser, &application, "north").await?;
    host(&ann, "Ann").await?;
    press(&ann, "pause").await?;
    shows(&ann, "clock", "paused").await?;
    let before = score(&ann).await?;
    press(&ann, "home").await?;
    shows(&ann, "score", &format!("{} : {}", before[0] + 1, before[1])).await?;
    let (goals, clock) = (text(&ann, "score").await?, text(&ann, "clock").await?);

    let late = watch(&browser, &application, "north").await?;
    ensure!(text(&late, "score").await? == goals && text(&late, "clock").await? == clock);
    ensure!(text(&late, "count").await? == "1" && text(&late, "host").await? == "Ann");
    // By a plain GET as well, which is how the page has the scores of all rooms.
    let card = "return document.querySelector('#rooms [aria-current] b')?.textContent";
    ensure!(late.until(card).await? == goals);
    let weir = format!("http://{}", application.at(PUBLIC));
    let plain = "const answer = await fetch(given + '/v1/sessions/match%2Fnorth/snapshot'); return [answer.status, await answer.json()]";
    let plain = late.run_with(plain, json!(weir)).await?;
    ensure!(plain[0] == 200 && plain[1]["state"] == "paused" && plain[1]["host"] == "Ann", "{plain}");
    // It comes first, and is no named event.
    late.run_with(BARE, json!(format!("{weir}{NORTH}?snapshot=1"))).await?;
    let seen = late.until("return seen.states.length === 1 && seen.opens === 1 && seen").await?;
    ensure!(seen["states"][0]["n"] == plain[1]["n"], "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_host_is_taken_over_and_spectators_cannot_post() -> anyhow::Result<()> {
    let (application, browser) = application(&[]).await?;
    let (ann, bob) =
        (watch(&browser, &application, "harbour").await?, watch(&browser, &application, "harbour").await?);
    shows(&ann, "host", "the house").await?;
    let taken = "return (await (await fetch('/api/rooms/harbour/host', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{\"name\":\"Eve\"}' })).json()).key";
    let key = ann.run(taken).await?;
    host(&ann, "Ann").await?;
    // Whoever was taken over can do nothing, whatever the page says.
    let act = "return (await fetch('/api/rooms/harbour/act', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key: given, action: 'home' }) })).status";
    ensure!(ann.run_with(act, key).await? == 409);
    shows(&bob, "host", "Ann").await?;
    press(&ann, "pause").await?;
    shows(&bob, "clock", "paused").await?;
    // Taken over while nothing moves: everybody learns of it all the same. Only a tab that is looked at draws.
    host(&bob, "Bob").await?;
    ann.front().await?;
    shows(&ann, "told", "Bob hosts this room now").await?;
    ensure!(ann.run("return document.getElementById('controls').hidden").await? == true);
    let before = score(&bob).await?;
    press(&ann, "home").await?;
    press(&bob, "away").await?;
    shows(&ann, "score", &format!("{} : {}", before[0], before[1] + 1)).await?;
    press(&bob, "resume").await?;
    ann.until("return !document.getElementById('clock').textContent.includes('paused')").await?;

    let post = "const answer = await fetch(given, { method: 'POST', body: '{}' }).catch((error) => error); return answer.status ?? String(error)";
    let post = bob.run_with(post, json!(format!("http://{}{NORTH}", application.at(PUBLIC)))).await?;
    ensure!(post == 401 || post == 403, "{post}");
    Ok(())
}

/// Connections are cut again and again: nothing is missed, and nothing comes twice.
#[tokio::test]
#[ignore = "make examples"]
async fn a_reconnect_catches_up() -> anyhow::Result<()> {
    let (application, browser) = application(&[("WEIR_MAX_CONNECTION_AGE", "2s")]).await?;
    let tab = watch(&browser, &application, "north").await?;
    tab.run_with(BARE, json!(format!("http://{}{NORTH}", application.at(PUBLIC)))).await?;
    let seen = tab
        .until(&format!(
            "return seen.opens >= 3 && seen.states.length >= 30 && {{ row: {IN_A_ROW}, ...seen }}"
        ))
        .await?;
    ensure!(seen["row"] == true && seen["gaps"] == json!([]), "{seen}");
    tab.until("return Number(document.getElementById('opens').textContent) >= 3").await?;
    ensure!(text(&tab, "missed").await? == "0");
    Ok(())
}

#[tokio::test]
async fn a_weir_that_is_killed_is_back_with_what_it_knew() -> anyhow::Result<()> {
    let (mut application, browser) = application(&[]).await?;
    let tab = watch(&browser, &application, "north").await?;
    tab.run_with(BARE, json!(format!("http://{}{NORTH}", application.at(PUBLIC)))).await?;
    tab.until("return seen.states.length >= 3").await?;
    kill_process(application.weir()?, Signal::KILL)?;
    shows(&tab, "state", "lost").await?;
    shows(&tab, "state", "live").await?;
    let seen = tab.until("const n = seen.states.length; window.before ??= n; return seen.opens >= 2 && n >= before + 5 && seen").await?;
    ensure!(seen["gaps"] == json!([]), "{seen}");
    ensure!(text(&tab, "missed").await? == "0");
    drop(browser);
    application.stop().await
}

/// The connection stands, so only the page can know that it shows what was.
#[tokio::test]
async fn a_page_does_not_call_live_what_stands_still() -> anyhow::Result<()> {
    let (application, browser) = application(&[]).await?;
    let tab = watch(&browser, &application, "north").await?;
    kill_process(application.weir()?, Signal::STOP)?;
    shows(&tab, "state", "nothing new since").await?;
    kill_process(application.weir()?, Signal::CONT)?;
    tab.until("return document.getElementById('state').textContent === 'live'").await?;
    ensure!(text(&tab, "opens").await? == "1" && text(&tab, "missed").await? == "0");
    Ok(())
}

/// Two hours in the application's own settings; two seconds here, to see it happen.
#[tokio::test]
async fn history_is_gone_after_its_time() -> anyhow::Result<()> {
    let config = folder(EXAMPLE).join("weir.toml");
    let effective = Command::new(WEIR).arg("config").arg("--config").arg(config).output()?;
    let effective = String::from_utf8(effective.stdout)?;
    ensure!(effective.lines().any(|line| line.starts_with("max-age = \"2h\"")), "{effective}");

    let (application, browser) = application(&[("WEIR_MAX_AGE", "2s")]).await?;
    let tab = watch(&browser, &application, "north").await?;
    let url = format!("http://{}{NORTH}", application.at(PUBLIC));
    tab.run_with(BARE, json!(format!("{url}?lastEventId=earliest"))).await?;
    let ids = tab.until("return seen.ids.length >= 2 && seen.ids").await?;
    let gone = "
        const [url, [, second]] = given;
        const oldest = () => new Promise((resolve) => {
            const source = new EventSource(url + '?lastEventId=earliest');
            source.onmessage = ({ lastEventId }) => { source.close(); resolve(lastEventId); };
        });
        for (const end = Date.now() + 45000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
            if (Number((await oldest()).split('-')[0]) > Number(second.split('-')[0])) return true;
        }
        return false;";
    ensure!(tab.run_with(gone, json!([url, ids])).await? == true, "{ids} are still there");
    // Whoever comes from there is told.
    tab.run("source.close()").await?;
    tab.run_with(BARE, json!(format!("{url}?lastEventId={}", ids[0].as_str().unwrap_or_default()))).await?;
    let seen = tab.until("return seen.gaps.length > 0 && seen").await?;
    ensure!(seen["gaps"][0]["reason"] == "trimmed", "{seen}");
    Ok(())
}

/// What keeps proxies from buffering and from giving up, through nginx as it is shipped.
#[tokio::test]
async fn streams_pass_nginx_at_once_and_are_kept_open() -> anyhow::Result<()> {
    let at = own_address()?;
    let (application, browser) =
        application(&[("WEIR_URL", &format!("http://{at}")), ("WEIR_HEARTBEAT", "1s")]).await?;
    let nginx = Balancer::start_at(Kind::Nginx, at, &[application.at(PUBLIC).parse()?]).await?;
    let tab = watch(&browser, &application, "north").await?;
    tab.until("return Number(document.getElementById('count').textContent) >= 8").await?;
    ensure!(text(&tab, "opens").await? == "1" && text(&tab, "missed").await? == "0");

    let direct = application.client(PUBLIC)?.events("match/north").open().await?.1;
    ensure!(direct.header("x-accel-buffering") == Some("no"), "{direct:?}");
    ensure!(direct.header("cache-control") == Some("no-cache, no-transform"), "{direct:?}");
    ensure!(direct.header("content-type") == Some("text/event-stream"), "{direct:?}");

    // While something happens in any room the position moves, and heartbeats tell it; a comment is for when nothing does.
    let pause = "for (const room of ['north', 'harbour', 'mill']) {
        const ask = (what, body) => fetch(`/api/rooms/${room}/${what}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
        const { key } = await (await ask('host', { name: 'Ann' })).json();
        await ask('act', { key, action: 'pause' });
    }";
    tab.run(pause).await?;
    shows(&tab, "clock", "paused").await?;
    let raw = "
        const answer = await fetch(given);
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = '';
        for (let reads = 0; reads < 15 && !text.includes('\\n:\\n:\\n'); reads++) text += (await reader.read()).value ?? '';
        await reader.cancel();
        return [answer.headers.get('cache-control'), text];";
    let raw = tab.run_with(raw, json!(format!("http://{}{NORTH}", nginx.address()))).await?;
    ensure!(raw[0] == "no-cache, no-transform", "{raw}");
    ensure!(raw[1].as_str().is_some_and(|text| text.contains("\n:\n:\n")), "no comments: {raw}");
    Ok(())
}

/// Silence for longer than the 60 s after which many proxies end a stream, with the settings as they come.
#[tokio::test]
#[ignore = "make examples"]
async fn after_65_seconds_of_silence_an_event_comes_on_the_same_connection() -> anyhow::Result<()> {
    let at = own_address()?;
    let (application, browser) = application(&[("WEIR_URL", &format!("http://{at}"))]).await?;
    let _nginx = Balancer::start_at(Kind::Nginx, at, &[application.at(PUBLIC).parse()?]).await?;
    let ann = watch(&browser, &application, "north").await?;
    host(&ann, "Ann").await?;
    press(&ann, "pause").await?;
    shows(&ann, "clock", "paused").await?;
    ann.run_with(BARE, json!(format!("http://{}{NORTH}", application.at(PUBLIC)))).await?;
    ann.run_with("window.direct = seen;", Value::Null).await?;
    ann.run_with(BARE, json!(format!("http://{at}{NORTH}"))).await?;
    ann.until("return seen.opens === 1 && direct.opens === 1").await?;
    ann.run("window.silent = Date.now()").await?;
    ann.until_within(Duration::from_secs(40), "return Date.now() > silent + 33000").await?;
    ann.until_within(Duration::from_secs(40), "return Date.now() > silent + 66000").await?;
    let silent = ann.run("return [seen.states.length, direct.states.length]").await?;
    ensure!(silent == json!([0, 0]), "it was not silent: {silent}");
    press(&ann, "resume").await?;
    let seen = ann
        .until("return seen.states.length > 0 && direct.states.length > 0 && [seen, direct, silent]")
        .await?;
    for one in [&seen[0], &seen[1]] {
        ensure!(one["opens"] == 1 && one["errors"] == 0 && one["gaps"] == json!([]), "{seen}");
        let silence =
            one["states"][0]["came"].as_i64().unwrap_or_default() - seen[2].as_i64().unwrap_or_default();
        ensure!(silence >= 65_000, "{silence} ms");
    }
    ensure!(text(&ann, "opens").await? == "1" && text(&ann, "missed").await? == "0");
    Ok(())
}

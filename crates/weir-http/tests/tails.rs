//! Live tails on a store that does as it is told: what wakes them, what they read, and how they end.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use weir_core::durable::{Look, Offset, ReadError, Woken};
use weir_testkit::client::Request;
use weir_testkit::{Client, DEADLINE, End, SseStream, eventually};

#[path = "bare/front.rs"]
mod bare;
#[path = "tails/front.rs"]
mod front;
#[path = "bare/idle.rs"]
mod idle;
#[path = "tails/store.rs"]
mod store;

use front::Front;

async fn until(what: &str, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        ensure!(is_so(), "not yet: {what}");
        Ok(())
    })
    .await
}

/// The next event, which is data; and the control behind it.
async fn next(stream: &mut SseStream) -> anyhow::Result<(String, serde_json::Value)> {
    let data = stream.next_event().await?;
    ensure!(data.event == "data", "{data:?}");
    Ok((data.data, control(stream).await?))
}

async fn control(stream: &mut SseStream) -> anyhow::Result<serde_json::Value> {
    let control = stream.next_event().await?;
    ensure!(control.event == "control", "{control:?}");
    Ok(serde_json::from_str(&control.data)?)
}

fn sse(client: &Client, name: &str, offset: &str) -> Request {
    client.get(&format!("/v1/stream/{name}?offset={offset}&live=sse"))
}

fn long_poll(client: &Client, name: &str, offset: &str) -> Request {
    client.get(&format!("/v1/stream/{name}?offset={offset}&live=long-poll"))
}

/// Bytes that are pinned: clients match some of them literally.
#[tokio::test]
async fn what_stands_on_the_wire() -> anyhow::Result<()> {
    let front = Front::start();
    front.store.create("a", "text/plain");
    front.store.append("a", "one\r\n two");
    let client = front.client();
    let mut stream = sse(&client, "a", "-1").follow().await?;
    ensure!(stream.head.header("cache-control").is_some_and(|value| value.contains("no-cache")));
    ensure!(stream.head.header("content-length").is_none());
    ensure!(stream.head.header("stream-sse-data-encoding").is_none());
    let (data, told) = next(&mut stream).await?;
    ensure!(data == "one\n two", "{data}");
    let cursor = told["streamCursor"].as_str().context("a cursor")?.to_owned();
    let at = "0000000000000007_0000000000000001";
    let text = String::from_utf8_lossy(stream.transcript()).into_owned();
    // What is shared by all comes first, so that the first page is shared, too.
    let retry = stream.retry().context("a time to come back after")?;
    let expected = format!(
        "event: data\ndata:one\ndata:  two\nid: {at}\n\nretry: {retry}\n\
         event: control\ndata:{{\"streamNextOffset\":\"{at}\",\"streamCursor\":\"{cursor}\",\"upToDate\":true}}\n\n"
    );
    ensure!(text == expected, "{text}");

    front.store.create("bytes", "image/png");
    front.store.append("bytes", "Hello");
    let mut stream = sse(&client, "bytes", "-1").follow().await?;
    ensure!(stream.head.header("stream-sse-data-encoding") == Some("base64"));
    ensure!(next(&mut stream).await?.0 == "SGVsbG8=");
    front.store.create("json", "application/json");
    front.store.append("json", "1,{\"a\":2}");
    ensure!(next(&mut sse(&client, "json", "-1").follow().await?).await?.0 == "[1,{\"a\":2}]");
    Ok(())
}

/// Each of the three that may tell that there is more does so alone.
#[tokio::test]
async fn a_tail_is_woken() -> anyhow::Result<()> {
    let front = Front::start();
    let mut offset = Offset::BEGIN.to_string();
    front.store.create("a", "text/plain");
    let client = front.client();
    let mut stream = sse(&client, "a", "-1").follow().await?;
    ensure!(control(&mut stream).await?["streamNextOffset"] == *offset);
    for how in ["call", "announcement", "look"] {
        let tail = front.store.append("a", how);
        match how {
            "call" => front.changed("a", Look::At { tail, closed: false }),
            "announcement" => front.announce(["a"]),
            _ => front.watch(),
        }
        let (data, told) = next(&mut stream).await?;
        offset = tail.to_string();
        ensure!(
            data == how && told["streamNextOffset"] == *offset && told["upToDate"] == true,
            "{data} {told}"
        );
        let woken = format!("weir_stream_wakes_total{{source=\"{how}\"}}");
        ensure!(front.metric(&woken) == 1.0, "{how}");
    }
    ensure!(stream.last_event_id() == offset);
    ensure!(front.metric("weir_clients{transport=\"durable\"}") == 1.0);
    ensure!(front.metric("weir_streams_followed") == 1.0);
    drop(stream);
    until("nobody follows it", || front.metric("weir_streams_followed") == 0.0).await?;
    until("it is gone", || front.metric("weir_clients{transport=\"durable\"}") == 0.0).await
}

/// What happens while a follower reads is not in what it reads, and comes before it waits.
#[tokio::test]
async fn nothing_is_missed_between_the_read_and_the_wait() -> anyhow::Result<()> {
    let front = Front::start();
    front.store.create("a", "text/plain");
    let client = front.client();
    for n in 0..20 {
        let gate = front.store.hold_answers();
        let (offset, asked) = (format!("{n}"), front.store.reads());
        let opened = sse(&client, "a", "now").follow();
        let meanwhile = async {
            until("it has read", || front.store.reads() > asked).await?;
            // The answer is made, and not given yet.
            front.store.append("a", &offset);
            front.announce(["a"]);
            let announced = "weir_stream_wakes_total{source=\"announcement\"}";
            until("it was announced", || front.metric(announced) > f64::from(n)).await?;
            drop(gate);
            anyhow::Ok(())
        };
        let (opened, done) = tokio::join!(opened, meanwhile);
        done?;
        let mut stream = opened?;
        ensure!(control(&mut stream).await?["upToDate"] == true);
        ensure!(next(&mut stream).await?.0 == offset);
    }
    Ok(())
}

#[tokio::test]
async fn a_thousand_at_one_place_share_one_read() -> anyhow::Result<()> {
    const FOLLOWERS: usize = 1000;
    let front = Front::start();
    front.store.create("a", "text/plain");
    let client = front.client();
    let mut streams = Vec::new();
    for _ in 0..FOLLOWERS {
        let mut stream = sse(&client, "a", "now").follow().await?;
        control(&mut stream).await?;
        streams.push(stream);
    }
    for n in 1..=5 {
        let before = front.store.reads();
        let tail = front.store.append("a", &format!("chunk {n}"));
        front.changed("a", Look::At { tail, closed: false });
        front.announce(["a"]);
        for stream in &mut streams {
            ensure!(next(stream).await?.0 == format!("chunk {n}"));
        }
        ensure!(front.store.reads() == before + 1, "{} reads", front.store.reads() - before);
    }
    ensure!(front.metric("weir_clients{transport=\"durable\"}") == 1000.0);
    Ok(())
}

/// Pages follow each other at the pace of the reader, and a slow one holds up nobody.
#[tokio::test]
async fn who_does_not_read_is_cut_and_others_get_all() -> anyhow::Result<()> {
    let front = Front::start();
    front.store.create("a", "text/plain");
    let chunk = "x".repeat(48 * 1024);
    for _ in 1..200 {
        front.store.append("a", &chunk);
    }
    front.store.append_and_close("a", &chunk);
    let client = front.client();
    let (_slow, head) = sse(&client, "a", "-1").receive_buffer(4096).open().await?;
    ensure!(head.status == 200);
    let mut stream = sse(&client, "a", "-1").follow().await?;
    for nth in 1..=200 {
        let (data, told) = next(&mut stream).await?;
        ensure!(data.len() == chunk.len());
        ensure!(told.get("streamClosed").is_some() == (nth == 200), "{nth}: {told}");
    }
    // One has read all, the other so much as the kernel holds.
    ensure!(front.store.reads() < 260, "{} reads", front.store.reads());
    until("it is cut", || front.metric("weir_disconnections_total{reason=\"stalled\"}") == 1.0).await
}

#[tokio::test]
async fn a_stream_that_ends_ends_its_tails() -> anyhow::Result<()> {
    let front = Front::start();
    let client = front.client();
    front.store.create("closed", "text/plain");
    let mut stream = sse(&client, "closed", "now").follow().await?;
    control(&mut stream).await?;
    // The last chunk and the closure are one.
    let tail = front.store.append_and_close("closed", "last");
    front.announce(["closed"]);
    let (data, told) = next(&mut stream).await?;
    ensure!(data == "last" && told["streamClosed"] == true && told.get("streamCursor").is_none(), "{told}");
    ensure!(stream.read_to_end().await? == (vec![], End::Clean));
    // Who comes to the end of it is told at once. A page's own client is told never to come again.
    let mut stream = sse(&client, "closed", &tail.to_string()).follow().await?;
    ensure!(control(&mut stream).await?["streamClosed"] == true);
    ensure!(stream.read_to_end().await? == (vec![], End::Clean));
    let again = sse(&client, "closed", "-1").header("last-event-id", tail.to_string()).send().await?;
    ensure!(again.status() == 204, "{:?}", again.head);

    for (name, error) in [("deleted", ReadError::Missing), ("trimmed", ReadError::OffsetGone)] {
        front.store.create(name, "text/plain");
        let mut stream = sse(&client, name, "now").follow().await?;
        control(&mut stream).await?;
        front.store.fail(name, Some(error));
        front.announce([name]);
        ensure!(stream.read_to_end().await? == (vec![], End::Clean), "{name}");
        let status = if name == "deleted" { 404 } else { 410 };
        ensure!(sse(&client, name, "now").send().await?.status() == status);
    }
    // One of the same name is another one.
    front.store.create("again", "text/plain");
    let mut stream = sse(&client, "again", "now").follow().await?;
    control(&mut stream).await?;
    front.store.create("again", "text/plain");
    front.store.append("again", "of another");
    front.announce(["again"]);
    ensure!(stream.read_to_end().await? == (vec![], End::Clean));
    until("counted", || front.metric("weir_disconnections_total{reason=\"ended\"}") == 5.0).await
}

#[tokio::test]
async fn a_store_that_is_away_costs_a_delay() -> anyhow::Result<()> {
    let front = Front::start();
    let client = front.client();
    front.store.create("a", "text/plain");
    let mut stream = sse(&client, "a", "now").follow().await?;
    control(&mut stream).await?;
    front.store.fail("a", Some(ReadError::Unavailable("gone".to_owned())));
    front.store.append("a", "late");
    let before = front.store.reads();
    front.announce(["a"]);
    until("it tries", || front.store.reads() >= before + 2).await?;
    ensure!(sse(&client, "a", "now").send().await?.problem_code()? == "streams_unavailable");
    front.store.fail("a", None);
    ensure!(next(&mut stream).await?.0 == "late");
    ensure!(front.store.reads() < before + 50, "it does nothing else");
    Ok(())
}

#[tokio::test]
async fn a_long_poll_waits_and_is_answered_once() -> anyhow::Result<()> {
    let front = Front::start();
    let client = front.client();
    front.store.create("a", "application/json");
    let begin = Offset::BEGIN.to_string();
    // Nothing comes.
    let short = Front::waiting(Duration::from_secs(1));
    short.store.create("a", "application/json");
    let nothing = long_poll(&short.client(), "a", "-1").send().await?;
    let head = &nothing.head;
    ensure!(nothing.status() == 204 && head.header("stream-next-offset") == Some(&begin), "{head:?}");
    ensure!(head.header("stream-up-to-date") == Some("true"));
    let cursor: u64 = head.header("stream-cursor").context("a cursor")?.parse()?;
    // Something comes.
    let waiting = long_poll(&client, "a", &begin).query("cursor", cursor.to_string()).send();
    let meanwhile = async {
        until("it waits", || front.metric("weir_clients{transport=\"durable\"}") == 1.0).await?;
        let tail = front.store.append("a", "1,2");
        front.announce(["a"]);
        anyhow::Ok(tail)
    };
    let (answer, tail) = tokio::join!(waiting, meanwhile);
    let (answer, tail) = (answer?, tail?);
    let head = &answer.head;
    ensure!(answer.status() == 200 && answer.text()? == "[1,2]");
    ensure!(head.header("content-type") == Some("application/json"));
    // What somebody appended is no page of weir's.
    ensure!(head.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")));
    ensure!(
        head.header("stream-next-offset") == Some(&tail.to_string())
            && head.header("stream-closed").is_none()
    );
    ensure!(head.header("stream-cursor").context("a cursor")?.parse::<u64>()? > cursor);
    // Something is there, and the stream is closed at its end.
    let tail = front.store.append_and_close("a", "3");
    let answer = long_poll(&client, "a", "-1").send().await?;
    ensure!(answer.text()? == "[1,2,3]" && answer.head.header("stream-closed") == Some("true"));
    let answer = long_poll(&client, "a", &tail.to_string()).send().await?;
    ensure!(answer.status() == 204 && answer.head.header("stream-closed") == Some("true"));
    ensure!(long_poll(&client, "none", "-1").send().await?.status() == 404);
    until("all are gone", || front.metric("weir_clients{transport=\"durable\"}") == 0.0).await?;
    ensure!(front.metric("weir_streams_followed") == 0.0);
    Ok(())
}

/// Everything may have changed: a look tells what has.
#[tokio::test]
async fn announcements_that_may_be_lost() -> anyhow::Result<()> {
    let front = Front::start();
    let client = front.client();
    let mut streams = Vec::new();
    for nth in 0..300 {
        let name = format!("s{nth}");
        front.store.create(&name, "text/plain");
        let mut stream = sse(&client, &name, "now").follow().await?;
        control(&mut stream).await?;
        streams.push(stream);
    }
    front.store.append("s7", "seven");
    front.store.append("s299", "last");
    let before = front.store.reads();
    front.wake(Woken::Any);
    ensure!(next(&mut streams[7]).await?.0 == "seven");
    ensure!(next(&mut streams[299]).await?.0 == "last");
    ensure!(front.store.reads() == before + 2);
    Ok(())
}

#[tokio::test]
async fn an_idle_tail_shows_that_it_lives() -> anyhow::Result<()> {
    let front = Front::start();
    let client = front.client();
    front.store.create("a", "text/plain");
    let mut stream = sse(&client, "a", "now").follow().await?;
    control(&mut stream).await?;
    while stream.comments() < 2 {
        tokio::time::timeout(Duration::from_secs(10), stream.next()).await??;
    }
    Ok(())
}

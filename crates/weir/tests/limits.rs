//! How many are let in, of one address and of one subject: who comes beyond that is told so, and nobody else notices.
// sizes: one limit after the other, all told by the same few helpers

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use weir_testkit::sse::Item;
use weir_testkit::token::Secret;
use weir_testkit::{
    Client, Closed, DEADLINE, End, Instance, Next, Output, Program, RawConn, Response, SseStream, eventually,
    expect,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// An address that is not the one of the rest of the test.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn rejected(weir: &Instance, reason: &str) -> anyhow::Result<f64> {
    let value = weir.metrics().await?.value("weir_connections_rejected_total", &[("reason", reason)]);
    value.with_context(|| format!("no reason {reason}"))
}

/// A stream that says that it is none: when to come back, and why. It ends cleanly.
async fn refused_softly(client: Client, reason: &str) -> anyhow::Result<Duration> {
    let mut stream = client.events("s").subscribe().await?;
    let mut items = Vec::new();
    let end = loop {
        match stream.next().await? {
            Next::Item(item) => items.push(item),
            Next::End(end) => break end,
        }
    };
    ensure!(end == End::Clean, "{end:?}");
    let [Item::Retry(retry), Item::Event(refused)] = items.as_slice() else { anyhow::bail!("{items:?}") };
    let told: serde_json::Value = serde_json::from_str(&refused.data)?;
    ensure!(refused.event == "weir.refused" && told["reason"] == reason, "{refused:?}");
    ensure!(told["reconnect"] == *retry, "{told} {retry}");
    Ok(Duration::from_millis(*retry))
}

async fn served(client: Client, from: Ipv4Addr) -> anyhow::Result<SseStream> {
    let mut stream = client.events("s").from(from).subscribe().await?;
    let first = stream.next_event().await?;
    ensure!(first.event == "weir.connected", "{first:?}");
    Ok(stream)
}

#[tokio::test]
async fn one_address_has_so_many_clients_and_others_have_theirs() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connections-per-ip", "3"]).await?;
    let client = weir.client();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client.subscribe("s").await?);
    }
    let retry = refused_softly(client, "ip").await?;
    assert!((4000..=6000).contains(&retry.as_millis()), "{retry:?}");
    let poll = client.get("/v1/sessions/s/events?wait=0").send().await?;
    expect::problem(&poll, 429, "ip")?;
    let after: u64 = poll.head.header("retry-after").context("no Retry-After")?.parse()?;
    assert!((1..=5).contains(&after), "{after}");
    assert_eq!(rejected(&weir, "ip").await?, 2.0);
    // Whoever is there stays, and whoever comes from elsewhere comes in.
    let mut elsewhere = served(client, OTHER).await?;
    client.publish("s", "x").await?;
    for stream in held.iter_mut().chain([&mut elsewhere]) {
        assert_eq!(stream.next_data(1).await?, ["x"]);
    }
    // One goes, one may come.
    held.pop();
    eventually(DEADLINE, async || client.subscribe("s").await).await?;
    Ok(())
}

/// Those who are turned away together do not come back together.
#[tokio::test]
async fn who_is_turned_away_comes_back_at_a_time_of_its_own() -> anyhow::Result<()> {
    let flags = ["--max-connections-per-ip", "1", "--retry", "60s"];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let _held = client.subscribe("s").await?;
    let (mut soft, mut hard) = (BTreeSet::new(), BTreeSet::new());
    // Twenty times the same is no accident.
    for _ in 0..20 {
        soft.insert(refused_softly(client, "ip").await?);
        hard.insert(retry_after(&client.events("s").query("wait", "0").send().await?)?);
    }
    assert!(soft.len() > 1 && hard.len() > 1, "{soft:?} {hard:?}");
    Ok(())
}

#[tokio::test]
async fn load_balancers_are_told_by_a_status() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connections-per-ip", "1", "--refuse", "503"]).await?;
    let _held = weir.client().subscribe("s").await?;
    let answer = weir.client().events("s").send().await?;
    expect::problem(&answer, 503, "ip")?;
    assert!(answer.head.header("retry-after").is_some(), "{answer:?}");
    Ok(())
}

/// Connections that say nothing are counted, too; and each that is too many is closed without a word.
#[tokio::test]
async fn one_address_cannot_take_all_connections() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connections-per-ip", "2"]).await?;
    let mut beside = served(weir.client(), OTHER).await?;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(RawConn::open(weir.public()).await?);
    }
    expect::sockets(&weir, 21).await?;
    for _ in 0..10 {
        let mut conn = RawConn::open(weir.public()).await?;
        let (said, closed) = conn.read_until_close(DEADLINE).await?;
        assert!(
            said.is_empty() && matches!(closed, Some(Closed::Eof | Closed::Reset)),
            "{said:?} {closed:?}"
        );
    }
    assert_eq!(rejected(&weir, "ip").await?, 10.0);
    weir.client().event("s").from(OTHER).body("x").send().await?.event_id()?;
    assert_eq!(beside.next_data(1).await?, ["x"]);
    drop(silent);
    expect::sockets(&weir, 1).await?;
    weir.client().subscribe("s").await?;
    Ok(())
}

/// However clients leave, what was theirs is free again: those that were refused, that were cut off in their request, that
/// reset the connection, that went while they were told something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_taken_after_a_storm() -> anyhow::Result<()> {
    const EACH: usize = 4;
    let each = EACH.to_string();
    let weir = Instance::start(WEIR, &["--max-connections-per-ip", &each, "--max-connections", "14"]).await?;
    let addresses = [1, 2, 3, 4].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let subscribe =
        |wait: &str| format!("GET /v1/sessions/s/events?{wait} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    for round in 0..6_usize {
        let one = |nth: usize| {
            let (weir, from) = (&weir, addresses[nth % addresses.len()]);
            let request = subscribe(if nth.is_multiple_of(3) { "wait=1" } else { "" });
            async move {
                let Ok(mut conn) = RawConn::open_from(from, weir.public()).await else { return };
                let bytes =
                    if nth.is_multiple_of(5) { &request.as_bytes()[..20] } else { request.as_bytes() };
                let _ = conn.write(bytes).await;
                let _ = conn.read_until_close(Duration::from_millis(20 * (nth as u64 % 4))).await;
                if (nth + round).is_multiple_of(2) {
                    let _ = conn.reset();
                }
            }
        };
        join_all((0..80).map(one)).await;
        weir.client().event("s").from(Ipv4Addr::new(127, 0, 0, 9)).body("x").send().await?.event_id()?;
    }
    expect::sockets(&weir, 0).await?;
    eventually(DEADLINE, async || {
        let clients = weir.metrics().await?.sum("weir_clients", &[]);
        ensure!(clients == 0.0, "{clients} clients");
        Ok(())
    })
    .await?;
    assert!(rejected(&weir, "ip").await? + rejected(&weir, "limit").await? > 0.0);
    for from in &addresses[..2] {
        let mut held = Vec::new();
        for _ in 0..EACH {
            held.push(served(weir.client(), *from).await?);
        }
    }
    Ok(())
}

/// A stream is a client, however many of them share a connection of HTTP/2; and of these it may have so many.
#[tokio::test]
async fn streams_of_one_connection_are_clients_each() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connections-per-ip", "3"]).await?;
    let script = "const s = require('http2').connect(process.argv[1]); \
                  for (let i = 0; i < 5; i++) s.request({':path': '/v1/sessions/s/events'}).pipe(process.stdout)";
    let mut node = Command::new("node");
    node.args(["-e", script, &format!("http://{}", weir.public())]);
    let node = Program::start(node, Output::Stdout)?;
    eventually(DEADLINE, async || {
        let lines = node.lines();
        let count = |event: &str| lines.iter().filter(|line| line.trim_end() == event).count();
        let (served, refused) = (count("event: weir.connected"), count("event: weir.refused"));
        ensure!((served, refused) == (3, 2), "{served} served and {refused} refused: {}", node.tail());
        Ok(())
    })
    .await?;
    expect::sockets(&weir, 1).await?;
    drop(node);
    expect::sockets(&weir, 0).await?;
    weir.client().subscribe("s").await?;
    Ok(())
}

fn retry_after(answer: &Response) -> anyhow::Result<u64> {
    Ok(answer.head.header("retry-after").context("no Retry-After")?.parse()?)
}

#[tokio::test]
async fn clients_come_as_fast_as_they_may() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--connect-rate", "3/m"]).await?;
    let client = weir.client();
    let mut first = client.subscribe("s").await?;
    let poll = client.get("/v1/sessions/s/events?wait=0").send().await?;
    assert_eq!(poll.status(), 200);
    drop(client.subscribe("s").await?);
    // Who was here before has left, and is counted all the same. There is room again after 20 s.
    let soft = refused_softly(client, "rate").await?;
    assert!((15..40).contains(&soft.as_secs()), "{soft:?}");
    let poll = client.get("/v1/sessions/s/events?wait=0").send().await?;
    expect::problem(&poll, 429, "rate")?;
    assert!((15..40).contains(&retry_after(&poll)?), "{poll:?}");
    assert_eq!(rejected(&weir, "rate").await?, 2.0);
    // Others may, and publishing is something else.
    served(client, OTHER).await?;
    client.publish("s", "x").await?;
    assert_eq!(first.next_data(1).await?, ["x"]);

    let weir = Instance::start(WEIR, &["--connect-rate", "1/m", "--refuse", "503"]).await?;
    weir.client().subscribe("s").await?;
    let answer = weir.client().events("s").send().await?;
    expect::problem(&answer, 503, "rate")?;
    assert!(retry_after(&answer)? > 40, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn whoever_waits_may_come_again() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--connect-rate", "4", "--publish-rate", "4"]).await?;
    let mut refused = 0;
    for _ in 0..2 {
        eventually(DEADLINE, async || {
            let mut stream = weir.client().events("s").subscribe().await?;
            let event = stream.next_event().await?.event;
            refused += usize::from(event == "weir.refused");
            ensure!(event == "weir.refused", "{event}");
            Ok(())
        })
        .await?;
        eventually(DEADLINE, async || weir.client().subscribe("s").await).await?;
    }
    for _ in 0..12 {
        eventually(DEADLINE, async || weir.client().publish("s", "x").await).await?;
    }
    assert!(refused >= 2);
    Ok(())
}

async fn published(weir: &Instance, result: &str) -> anyhow::Result<f64> {
    let value = weir.metrics().await?.value("weir_publishes_total", &[("result", result)]);
    value.with_context(|| format!("no result {result}"))
}

#[tokio::test]
async fn events_are_published_as_fast_as_they_may() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--publish-rate", "3/m"]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    for data in ["a", "b", "c"] {
        client.publish("s", data).await?;
    }
    // A body that never comes is not waited for.
    let mut conn = RawConn::open(weir.public()).await?;
    let head = "POST /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    conn.write(head.as_bytes()).await?;
    assert_eq!(conn.read_head(DEADLINE).await?.status, 429);
    // The answer arrives though the body is large.
    let answer = client.event("s").body("x".repeat(200_000)).send().await?;
    expect::problem(&answer, 429, "rate")?;
    assert!((15..30).contains(&retry_after(&answer)?), "{answer:?}");
    assert_eq!((published(&weir, "ok").await?, published(&weir, "limited").await?), (3.0, 2.0));
    client.event("s").from(OTHER).body("d").send().await?.event_id()?;
    assert_eq!(stream.next_data(4).await?, ["a", "b", "c", "d"]);
    Ok(())
}

/// Making, appending to and deleting a durable stream count as an event each; what is too large is refused as such.
#[tokio::test]
async fn durable_streams_are_changed_as_fast_and_by_as_much_as_they_may() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--publish-rate", "3/m", "--max-append-bytes", "100"]).await?;
    let call = |method: &'static str, body: String| {
        let call = weir.client().request(method, "/v1/stream/a").header("content-type", "text/plain");
        call.body(body)
    };
    ensure!(call("PUT", String::new()).send().await?.status() == 201);
    ensure!(call("POST", "x".repeat(100)).send().await?.status() == 204);
    expect::problem(&call("POST", "x".repeat(101)).send().await?, 413, "too_large")?;
    for method in ["PUT", "POST", "DELETE"] {
        let answer = call(method, "x".to_owned()).send().await?;
        expect::problem(&answer, 429, "rate")?;
        ensure!((15..30).contains(&retry_after(&answer)?), "{answer:?}");
    }
    // Reading is free, and so is whoever comes from elsewhere.
    let read = weir.client().get("/v1/stream/a").send().await?;
    ensure!(read.text()? == "x".repeat(100), "{read:?}");
    ensure!(call("POST", "y".to_owned()).from(OTHER).send().await?.status() == 204);
    Ok(())
}

/// A batch is never too large for a rate; it is paid for afterwards.
#[tokio::test]
async fn a_batch_counts_its_events() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--publish-rate", "10/m"]).await?;
    let batch = async || {
        let lines = "{\"session\":\"s\",\"data\":1}\n".repeat(100);
        weir.client()
            .post("/v1/events")
            .header("content-type", "application/x-ndjson")
            .body(lines)
            .send()
            .await
    };
    assert_eq!(batch().await?.status(), 201);
    let answer = batch().await?;
    expect::problem(&answer, 429, "rate")?;
    // A hundred were done and ten may be, at one in six seconds.
    assert!((530..=552).contains(&retry_after(&answer)?), "{answer:?}");
    Ok(())
}

/// Batches that were let begin side by side are not all more than one event.
#[tokio::test]
async fn batches_side_by_side_count_like_one_after_the_other() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--publish-rate", "4/m"]).await?;
    let lines = "{\"session\":\"s\",\"data\":1}\n".repeat(100);
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        lines.len()
    );
    let mut begun = Vec::new();
    for _ in 0..4 {
        let mut conn = RawConn::open(weir.public()).await?;
        conn.write(head.as_bytes()).await?;
        assert_eq!(conn.read_head(DEADLINE).await?.status, 100);
        begun.push(conn);
    }
    let mut statuses = Vec::new();
    for mut conn in begun {
        conn.write(lines.as_bytes()).await?;
        statuses.push(conn.read_head(DEADLINE).await?.status);
    }
    assert_eq!(statuses, [201, 429, 429, 429]);
    Ok(())
}

/// Whoever proves who it is counts as that, wherever it comes from.
#[tokio::test]
async fn a_subject_has_so_many_clients_and_publishes_so_fast() -> anyhow::Result<()> {
    let secret = Secret::new();
    let flags =
        ["--jwt-secret-file", secret.flag(), "--max-connections-per-subject", "1", "--publish-rate", "1/m"];
    let weir = Instance::start(WEIR, &flags).await?;
    let bearer = |subject: &str| format!("Bearer {}", secret.token(subject, &["*"], &["*"]));
    let events = |subject: &str, from: Ipv4Addr| {
        weir.client().events("s").header("authorization", bearer(subject)).from(from)
    };
    let mut alice = events("alice", OTHER).subscribe().await?;
    assert_eq!(alice.next_event().await?.event, "weir.connected");
    let mut again = events("alice", Ipv4Addr::LOCALHOST).subscribe().await?;
    assert!(again.next_event().await?.data.contains("\"subject\""));
    let poll = weir
        .client()
        .get("/v1/sessions/s/events?wait=0")
        .header("authorization", bearer("alice"))
        .send()
        .await?;
    expect::problem(&poll, 429, "subject")?;
    let mut bob = events("bob", OTHER).subscribe().await?;
    assert_eq!(bob.next_event().await?.event, "weir.connected");
    assert_eq!(rejected(&weir, "subject").await?, 2.0);
    let publish = async |subject: &str, from: Ipv4Addr| {
        weir.client().event("s").header("authorization", bearer(subject)).from(from).body("x").send().await
    };
    assert_eq!(publish("alice", OTHER).await?.status(), 201);
    expect::problem(&publish("alice", Ipv4Addr::LOCALHOST).await?, 429, "rate")?;
    assert_eq!(publish("bob", OTHER).await?.status(), 201);
    // A token that is none is told that first, and costs nobody anything.
    let forged =
        weir.client().event("s").header("authorization", "Bearer x").from(OTHER).body("x").send().await?;
    assert_eq!(forged.status(), 401);
    drop(alice);
    eventually(DEADLINE, async || {
        let first = events("alice", OTHER).subscribe().await?.next_event().await?;
        ensure!(first.event == "weir.connected", "{first:?}");
        Ok(())
    })
    .await
}

/// A connection of HTTP/2 on which nothing goes on is asked to end; one with a stream stays.
#[tokio::test]
async fn idle_connections_end() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let script = "const s = require('http2').connect(process.argv[1]); s.on('goaway', () => console.log('goaway')); \
                  s.request({':path': process.argv[2]}).pipe(process.stdout)";
    let node = |path: &str| {
        let mut node = Command::new("node");
        node.args(["-e", script, &format!("http://{}", weir.public()), path]);
        Program::start(node, Output::Stdout)
    };
    let (idle, busy) = (node("/livez")?, node("/v1/sessions/s/events")?);
    eventually(DEADLINE * 5, async || {
        ensure!(idle.lines().iter().any(|line| line == "goaway"), "{}", idle.tail());
        Ok(())
    })
    .await?;
    expect::sockets(&weir, 1).await?;
    // The other one has been there for as long, and is served.
    weir.client().publish("s", "still here").await?;
    eventually(DEADLINE, async || {
        let lines = busy.lines();
        ensure!(lines.iter().any(|line| line.trim_end() == "data: still here"), "{}", busy.tail());
        ensure!(!lines.iter().any(|line| line == "goaway"), "{}", busy.tail());
        Ok(())
    })
    .await
}

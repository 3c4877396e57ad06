//! Memory is bounded: who would take more of it is turned away or cut, and whoever behaves goes on.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::{join_all, try_join_all};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use weir_testkit::{
    Client, Closed, DEADLINE, Instance, Output, Program, RawConn, Response, SseStream, eventually, expect,
    usage,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const MIB: usize = 1 << 20;

/// Bytes of the receive buffer of a client that does not read.
const NARROW: u32 = 4096;

/// Time between two sips of a client that reads as slowly as it can.
const SIP: Duration = Duration::from_millis(20);

async fn counted(weir: &Instance, name: &str, label: (&str, &str)) -> anyhow::Result<f64> {
    weir.metrics().await?.value(name, &[label]).with_context(|| format!("no {name} with {label:?}"))
}

async fn reaches(weir: &Instance, name: &str, label: (&str, &str), least: f64) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let value = counted(weir, name, label).await?;
        ensure!(value >= least, "{value} {name} with {label:?}");
        Ok(())
    })
    .await
}

/// A batch of so many events with so much data.
async fn batch(client: Client, session: &str, (events, bytes): (usize, usize)) -> anyhow::Result<Response> {
    let line = format!("{{\"session\":\"{session}\",\"data\":\"{}\"}}\n", "x".repeat(bytes));
    let request = client.post("/v1/events").header("content-type", "application/x-ndjson");
    request.body(line.repeat(events)).deadline(DEADLINE * 3).send().await
}

/// Above the limit nobody more comes in, and whoever is there goes on. When the memory is there again, so is the room.
#[tokio::test]
async fn a_watermark_turns_away_and_lets_in_again() -> anyhow::Result<()> {
    let flags = ["--memory-limit", "40MiB", "--maxlen", "400", "--max-age", "4s", "--window-bytes", "128MiB"];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let mut stream = client.subscribe("honest").await?;
    let refused = eventually(DEADLINE, async || {
        let answer = batch(client, "s", (16, MIB / 5)).await?;
        ensure!(answer.status() == 503, "{answer:?}");
        Ok(answer)
    });
    expect::problem(&refused.await?, 503, "memory")?;
    let append = client.post("/v1/stream/a").header("content-type", "text/plain").body("x").send().await?;
    expect::problem(&append, 503, "memory")?;
    let poll = client.get("/v1/sessions/s/events?wait=0").send().await?;
    expect::problem(&poll, 503, "memory")?;
    let soft = client.events("s").subscribe().await?.next_event().await?;
    assert!(soft.event == "weir.refused" && soft.data.contains("\"memory\""), "{soft:?}");
    ensure!(counted(&weir, "weir_connections_rejected_total", ("reason", "memory")).await? == 2.0);
    ensure!(counted(&weir, "weir_publishes_total", ("result", "unavailable")).await? >= 1.0);
    assert!(weir.logged("--memory-limit is reached: new clients and publishes are turned away").is_some());
    // The window forgets what is older than four seconds.
    eventually(DEADLINE * 3, async || client.publish("honest", "still here").await).await?;
    assert_eq!(stream.next_data(1).await?, ["still here"]);
    client.subscribe("s").await?;
    Ok(())
}

/// Bodies that are sent and never end take what all bodies may take together, for as long as a body may take. Others are
/// told so, streams go on, and when they are gone there is room.
#[tokio::test]
async fn bodies_together_are_bounded() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    let resident = usage::resident(weir.pid())?;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        4 * MIB
    );
    let half = async |body: usize| -> anyhow::Result<RawConn> {
        let mut conn = RawConn::open(weir.public()).await?;
        conn.write(head.as_bytes()).await?;
        conn.write(&vec![b' '; body]).await?;
        Ok(conn)
    };
    // Some bytes are left, and the first 16 KiB of each are not counted.
    let bodies = [[4 * MIB - 1; 8].as_slice(), &[140_000]].concat();
    let held = try_join_all(bodies.into_iter().map(half)).await?;
    // It is not there before weir has read it.
    let answer = eventually(DEADLINE, async || {
        let answer = client.event("s").body("x".repeat(40_000)).send().await?;
        ensure!(answer.status() == 503, "{answer:?}");
        Ok(answer)
    });
    expect::problem(&answer.await?, 503, "memory")?;
    // What is small enough finds room.
    client.publish("s", "small").await?;
    let grown = usage::resident(weir.pid())?.saturating_sub(resident);
    assert!(grown < 60 << 20, "{grown} bytes more");
    drop(held);
    eventually(DEADLINE, async || client.publish("s", "y".repeat(40_000)).await).await?;
    while stream.next_data(1).await?[0].len() != 40_000 {}
    Ok(())
}

/// A long-poll whose answer is not read, or read byte by byte, is a client that stalls, in either version of HTTP.
#[tokio::test]
async fn whoever_does_not_read_its_answer_is_cut() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "2s"]).await?;
    assert_eq!(batch(weir.client(), "s", (20, 200_000)).await?.status(), 201);
    expect::has_read(&weir, 20).await?;
    let target = "/v1/sessions/s/events?wait=0&lastEventId=earliest";
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let unread = async |sip: bool| -> anyhow::Result<Closed> {
        let mut conn = RawConn::open_narrow(weir.public(), NARROW).await?;
        conn.write(request.as_bytes()).await?;
        if !sip {
            reaches(&weir, "weir_disconnections_total", ("reason", "stalled"), 3.0).await?;
        }
        let started = Instant::now();
        loop {
            if let Some(closed) = conn.sip(64, SIP).await? {
                return Ok(closed);
            }
            tokio::time::sleep(SIP).await;
            ensure!(started.elapsed() < DEADLINE, "it is still served");
        }
    };
    let script = "const s = require('http2').connect(process.argv[1], {settings: {initialWindowSize: 10}}); \
                  s.on('error', () => {}); s.on('close', () => process.exit(7)); \
                  const r = s.request({':path': process.argv[2]}); r.on('error', () => {}); r.pause()";
    let mut node = Command::new("node");
    node.args(["-e", script, &format!("http://{}", weir.public()), target]);
    let mut node = Program::start(node, Output::Stdout)?;
    tokio::try_join!(unread(false), unread(true))?;
    assert_eq!(node.wait_exit(DEADLINE).await?.code(), Some(7));
    reaches(&weir, "weir_disconnections_total", ("reason", "stalled"), 3.0).await?;
    eventually(DEADLINE, async || {
        let clients = weir.metrics().await?.sum("weir_clients", &[]);
        ensure!(clients == 0.0, "{clients} clients");
        Ok(())
    })
    .await?;
    // Whoever reads gets all of it.
    let read = weir.client().get(target).send().await?;
    assert!(read.body.len() > 500_000, "{}", read.body.len());
    Ok(())
}

/// What is there of a stream is held a page at a time for whoever reads it, and a page has to leave in time, however many
/// bytes of it are read now and then.
#[tokio::test]
async fn whoever_sips_at_a_stream_is_cut() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "2s"]).await?;
    let client = weir.client();
    let call = |method: &str| client.request(method, "/v1/stream/s").header("content-type", "text/plain");
    call("PUT").send().await?;
    for _ in 0..8 {
        assert_eq!(call("POST").body("x".repeat(MIB)).send().await?.status(), 204);
    }
    let sip = async |target: &str| -> anyhow::Result<()> {
        let mut conn = RawConn::open_narrow(weir.public(), NARROW).await?;
        conn.write(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
        let started = Instant::now();
        while conn.sip(64, SIP).await?.is_none() {
            tokio::time::sleep(SIP).await;
            ensure!(started.elapsed() < DEADLINE, "{target} is still served");
        }
        Ok(())
    };
    let tail = "/v1/stream/s?offset=-1&live=sse";
    tokio::try_join!(sip("/v1/stream/s"), sip("/v1/stream/s?offset=-1&live=long-poll"), sip(tail))?;
    // Those who stay for more are clients.
    ensure!(counted(&weir, "weir_disconnections_total", ("reason", "stalled")).await? == 2.0);
    let read = client.get("/v1/stream/s").send().await?;
    assert_eq!(read.body.len(), 8 * MIB);
    Ok(())
}

/// A chunk of line ends is six times as large for those who follow as it is. Many who do not read it have it once, and those
/// who follow something else do not wait for them.
#[tokio::test]
async fn what_followers_are_given_is_bounded() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "5s"]).await?;
    let client = weir.client();
    let call = |method: &str, name: &str| {
        client.request(method, &format!("/v1/stream/{name}")).header("content-type", "text/plain")
    };
    for name in ["large", "small"] {
        call("PUT", name).send().await?;
    }
    assert_eq!(call("POST", "large").body("\n".repeat(MIB / 2)).send().await?.status(), 204);
    let mut small = client.get("/v1/stream/small?offset=now&live=sse").follow().await?;
    let resident = usage::resident(weir.pid())?;
    let request = "GET /v1/stream/large?offset=-1&live=sse HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut unread = Vec::new();
    for _ in 0..200 {
        let mut conn = RawConn::open_narrow(weir.public(), NARROW).await?;
        conn.write(request.as_bytes()).await?;
        unread.push(conn);
    }
    for n in 0..3 {
        assert_eq!(call("POST", "small").body(format!("{n}")).send().await?.status(), 204);
        while small.next_event().await?.data != format!("{n}") {}
        let grown = usage::resident(weir.pid())?.saturating_sub(resident);
        assert!(grown < 120 << 20, "{grown} bytes more");
    }
    reaches(&weir, "weir_disconnections_total", ("reason", "stalled"), 1.0).await?;
    drop(unread);
    let mut large = client.get("/v1/stream/large?offset=-1&live=sse").follow().await?;
    assert_eq!(large.next_event().await?.data.len(), MIB / 2);
    Ok(())
}

/// What was small enough to be appended is not too large to be read, wherever in an answer it stands.
#[tokio::test]
async fn what_could_be_appended_can_be_read() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-append-bytes", "34MiB"]).await?;
    let call = |method: &str| weir.client().request(method, "/v1/stream/s").deadline(DEADLINE);
    call("PUT").header("content-type", "text/plain").send().await?;
    for text in ["first".to_owned(), "x".repeat(34 * MIB)] {
        let append = call("POST").header("content-type", "text/plain").body(text);
        assert_eq!(append.send().await?.status(), 204);
    }
    let all = call("GET").send().await?;
    assert_eq!(all.body.len(), 5 + 34 * MIB);
    let polled = call("GET").query("offset", "-1").query("live", "long-poll").send().await?;
    let behind = polled.head.header("stream-next-offset").context("an offset")?;
    let page = || call("GET").query("offset", behind);
    for page in [page(), page().query("live", "long-poll")] {
        assert_eq!(page.send().await?.body.len(), 34 * MIB);
    }
    Ok(())
}

/// Answers to long-polls that nobody reads take what they may take together, and no more.
#[tokio::test]
async fn answers_together_are_bounded() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "4s"]).await?;
    assert_eq!(batch(weir.client(), "s", (20, 200_000)).await?.status(), 201);
    expect::has_read(&weir, 20).await?;
    let target = "/v1/sessions/s/events?wait=0&lastEventId=earliest";
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut unread = Vec::new();
    for _ in 0..40 {
        let mut conn = RawConn::open_narrow(weir.public(), NARROW).await?;
        conn.write(request.as_bytes()).await?;
        unread.push(conn);
    }
    let answer = eventually(DEADLINE, async || {
        let answer = weir.client().get(target).send().await?;
        ensure!(answer.status() == 503, "{}", answer.status());
        Ok(answer)
    });
    expect::problem(&answer.await?, 503, "memory")?;
    // Those who wait for the next event have small answers, and streams none.
    weir.client().subscribe("s").await?;
    drop(unread);
    let after = eventually(DEADLINE, async || {
        let answer = weir.client().get(target).send().await?;
        ensure!(answer.status() == 200, "{answer:?}");
        Ok(answer)
    });
    assert!(after.await?.body.len() > 500_000);
    Ok(())
}

/// The process may have 256 MiB of memory of its own, beyond which an allocation fails and that ends it. A crowd that
/// resumes and does not read, long-polls that do not read and batches of the largest size do not get it there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_within_a_hard_limit() -> anyhow::Result<()> {
    const HARD: u64 = 256 << 20;
    let flags = [
        "--memory-limit",
        "128MiB",
        "--window-bytes",
        "24MiB",
        "--queue-bytes",
        "256KiB",
        "--stall-timeout",
        "2s",
        "--maxlen",
        "100000",
    ];
    let weir = Instance::start(WEIR, &flags).await?;
    let limit = Rlimit { current: Some(HARD), maximum: Some(HARD) };
    prlimit(Pid::from_raw(i32::try_from(weir.pid())?), Resource::Data, limit)?;
    let client = weir.client();
    let mut honest = client.subscribe("honest").await?;
    let until = Instant::now() + Duration::from_secs(8);
    let ((), most) = tokio::join!(flood(&weir, until), go_on(&weir, until));
    let most = most.context("it is gone")?;
    assert!(most < HARD, "{most} bytes resident");
    eventually(DEADLINE * 2, async || client.publish("honest", "last").await).await?;
    let came = read_in_order(&mut honest).await?;
    assert!(came > 0, "no honest publish came through");
    println!("{} MiB at most, {came} honest publishes", most >> 20);
    client.subscribe("s").await?;
    Ok(())
}

/// Takes as much as it can until then.
async fn flood(weir: &Instance, until: Instant) {
    let unread = async |query: &str| {
        let request = format!(
            "GET /v1/sessions/s/events?lastEventId=earliest{query} HTTP/1.1\r\nhost: localhost\r\n\r\n"
        );
        while Instant::now() < until {
            let Ok(mut conn) = RawConn::open_narrow(weir.public(), NARROW).await else { continue };
            let _ = conn.write(request.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
    };
    let batches = async || {
        while Instant::now() < until {
            let _ = batch(weir.client(), "s", (60, 65_000)).await;
        }
    };
    tokio::join!(
        join_all((0..300).map(|_| unread(""))),
        join_all((0..60).map(|_| unread("&wait=0"))),
        join_all((0..12).map(|_| batches())),
    );
}

/// Publishes until then, again and again what is turned away, and says how much memory was resident at most.
async fn go_on(weir: &Instance, until: Instant) -> anyhow::Result<u64> {
    let mut most = 0;
    for nth in 0_usize.. {
        while Instant::now() < until && weir.client().publish("honest", nth.to_string()).await.is_err() {}
        most = most.max(usage::resident(weir.pid())?);
        if Instant::now() >= until {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(most)
}

/// How many came before the last, each newer than the one before, and nothing was lost on the way.
async fn read_in_order(honest: &mut SseStream) -> anyhow::Result<usize> {
    let (mut next, mut came) = (0, 0);
    loop {
        let event = honest.next_event().await?;
        match event.data.as_str() {
            "last" => return Ok(came),
            _ if event.event.starts_with("weir.") => ensure!(event.event == "weir.ping", "{event:?}"),
            data => {
                let number: usize = data.parse()?;
                ensure!(number >= next, "{number} where {next} is due");
                (next, came) = (number + 1, came + 1);
            }
        }
    }
}

//! The process itself: it stands still, it gets signals, it runs out of what the system gives.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use weir_testkit::program::without_settings;
use weir_testkit::redis::RedisServer;
use weir_testkit::{
    Client, DEADLINE, Instance, Metrics, Output, Program, RawConn, Signal, eventually, expect, usage,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The process stands still for far longer than a client may. When it goes on, nobody is taken for stalled who only had to
/// wait for it, not even who is in the middle of a large event; and heartbeats are not made up for.
#[tokio::test(flavor = "multi_thread")]
async fn standing_still_is_no_fault_of_the_clients() -> anyhow::Result<()> {
    const EVENTS: usize = 12;
    const STOOD: Duration = Duration::from_secs(6);
    let weir = Instance::start(WEIR, &["--stall-timeout", "2s", "--heartbeat", "500ms"]).await?;
    let client = weir.client();
    let started = Instant::now();
    let mut idle = client.subscribe("idle").await?;
    // They take in little at once, so that something is always on its way to them.
    let slow = async || client.events("s").receive_buffer(16_384).deadline(DEADLINE * 2).subscribe().await;
    let crowd = try_join_all((0..10).map(|_| slow())).await?;
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(200_000));
    let batch = client.post("/v1/events").header("content-type", "application/x-ndjson");
    assert_eq!(batch.body(line.repeat(EVENTS)).send().await?.status(), 201);
    // Nobody reads at first; then they read all the time, and what they wait for is the instance.
    expect::has_read(&weir, EVENTS as u32).await?;
    usage::stop(weir.pid()).await?;
    let stand = async {
        tokio::time::sleep(STOOD).await;
        weir.signal(Signal::CONT)
    };
    let read = crowd.into_iter().map(async |mut stream| stream.next_data(EVENTS).await);
    let (events, ()) = tokio::try_join!(try_join_all(read), stand)?;
    assert!(events.iter().all(|events| events.len() == EVENTS));
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.sum("weir_disconnections_total", &[("reason", "stalled")]), 0.0);
    client.publish("idle", "after").await?;
    let mut pings = 0;
    while idle.next_event().await?.data != "after" {
        pings += 1;
    }
    // Twelve more were due in between.
    let ran = started.elapsed().saturating_sub(STOOD).as_secs_f64();
    let beats = pings + idle.comments();
    assert!(beats as f64 <= ran / 0.5 + 4.0, "{beats} heartbeats in {ran} s");
    Ok(())
}

/// A broken pipe and a resized window are not its business, and a hangup has it read its files anew. None of them ends it, or a
/// stream.
#[tokio::test]
async fn signals_that_are_not_for_it() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    weir.signal(Signal::PIPE)?;
    weir.signal(Signal::WINCH)?;
    weir.signal(Signal::HUP)?;
    eventually(DEADLINE, async || {
        ensure!(weir.log().iter().any(|line| line.contains("read anew")), "it has not heard of SIGHUP");
        Ok(())
    })
    .await?;
    weir.client().publish("s", "still here").await?;
    assert_eq!(stream.next_data(1).await?, ["still here"]);
    Ok(())
}

/// Started by a shell, for what must hold before it runs.
struct Shelled {
    program: Program,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Shelled {
    async fn start(before: &str, flags: &[&str]) -> anyhow::Result<Self> {
        // It is told where to listen, because what it logs may not be seen.
        let [public, admin] = [free_address()?, free_address()?];
        let mut command = Command::new("sh");
        command.args(["-c", before, "sh", WEIR, "serve"]).args(flags);
        command.args(["--listen", &public.to_string(), "--admin-listen", &admin.to_string()]);
        without_settings(&mut command);
        let program = Program::start(command, Output::Stdout)?;
        let shelled = Self { program, public, admin };
        eventually(DEADLINE, async || {
            let status = Client::new(admin).get("/readyz").send().await?.status();
            ensure!(status == 200, "{status}");
            Ok(())
        })
        .await?;
        Ok(shelled)
    }

    async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::parse(Client::new(self.admin).get("/metrics").send().await?.text()?)
    }
}

/// An address that nobody had a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Nothing to log to is no reason not to serve.
#[tokio::test]
async fn without_a_standard_error_it_serves() -> anyhow::Result<()> {
    let mut shelled = Shelled::start("exec \"$@\" 2>&-", &[]).await?;
    Client::new(shelled.public).publish("s", "x").await?;
    shelled.program.signal(Signal::TERM)?;
    assert_eq!(shelled.program.wait_exit(DEADLINE).await?.code(), Some(0));
    Ok(())
}

/// The public takes all files that it can have. What is left is enough for operators, for a Redis that comes back, and for
/// those who are there already; and there is room again once the crowd is gone.
#[tokio::test]
async fn a_crowd_cannot_take_the_last_files() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", &url, "--read-block", "200ms", "--refuse", "503"];
    let weir = Shelled::start("ulimit -n 256; exec \"$@\"", &flags).await?;
    let client = Client::new(weir.public);
    let mut stream = client.subscribe("s").await?;
    client.publish("s", "before").await?;
    assert_eq!(stream.next_data(1).await?, ["before"]);
    let (mut crowd, mut refused) = (Vec::new(), 0);
    for _ in 0..150 {
        match client.subscribe("crowd").await {
            Ok(stream) => crowd.push(stream),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((crowd.len(), refused), (127, 23));
    // And as many again that say nothing.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(RawConn::open(weir.public).await?);
    }
    eventually(DEADLINE, async || {
        let rejected = weir.metrics().await?.value("weir_connections_rejected_total", &[("reason", "limit")]);
        ensure!(rejected.is_some_and(|rejected| rejected > 23.0), "{rejected:?} rejected");
        Ok(())
    })
    .await?;
    let from = (usage::cpu(weir.program.pid())?, Instant::now());
    redis.restart().await;
    eventually(DEADLINE, async || {
        let metrics = weir.metrics().await?;
        ensure!(metrics.value("weir_redis_up", &[]) == Some(1.0), "not connected again");
        ensure!(metrics.sum("weir_redis_reconnects_total", &[]) >= 2.0, "not connected again");
        Ok(())
    })
    .await?;
    while stream.next_event().await?.event != "weir.gap" {}
    redis.cli(&["XADD", "weir:events", "*", "session", "s", "data", "on it goes"]).await;
    assert_eq!(stream.next_data(1).await?, ["on it goes"]);
    let share = (usage::cpu(weir.program.pid())? - from.0).as_secs_f64() / from.1.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share} of a processor");
    drop((crowd, silent));
    eventually(DEADLINE, async || client.subscribe("s").await).await?;
    Ok(())
}

/// The log in memory ends with the process. A position of its earlier life is never taken for one of this.
#[tokio::test]
async fn a_position_of_an_earlier_life_is_a_gap() -> anyhow::Result<()> {
    let first = Instance::start(WEIR, &[]).await?;
    let old = first.client().publish("s", "old").await?.to_string();
    first.signal(Signal::KILL)?;
    drop(first);
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let resume = async || client.events("s").header("last-event-id", old.clone()).subscribe().await;
    // Nothing is there yet, so this could still be behind; it is held for the five seconds that such a client is.
    let mut early = resume().await?;
    client.publish("s", "new").await?;
    let mut late = resume().await?;
    for stream in [&mut early, &mut late] {
        assert_eq!(stream.next_event().await?.event, "weir.connected");
        let gap = stream.next_event().await?;
        assert_eq!(gap.event, "weir.gap", "{gap:?}");
    }
    client.publish("s", "live").await?;
    for stream in [&mut early, &mut late] {
        while stream.next_event().await?.data != "live" {}
    }
    let results = weir.metrics().await?.value("weir_resumes_total", &[("result", "gap")]);
    assert_eq!(results, Some(2.0));
    Ok(())
}

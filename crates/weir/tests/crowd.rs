//! Many clients at once: they come together, want old events together, listen to one session together.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, End, Instance, Signal, SseStream, eventually, expect, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// As many files as the system lets this process have.
fn allow_files() -> anyhow::Result<()> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    Ok(())
}

/// The numbers as which `count` events arrive from `from` on, without a gap and in order.
async fn counts(stream: &mut SseStream, from: usize, count: usize) -> anyhow::Result<()> {
    for want in from..from + count {
        let event = stream.next_published().await?;
        ensure!(
            event.data.split(' ').next() == Some(&want.to_string()),
            "{} where {want} belongs",
            event.data
        );
    }
    Ok(())
}

async fn publish(client: &Client, session: &str, from: usize, count: usize) -> anyhow::Result<()> {
    let event = |nth: usize| format!(r#"{{"session":"{session}","data":"{nth} {}"}}"#, "x".repeat(200));
    let lines: Vec<_> = (from..from + count).map(event).collect();
    let batch = client.post("/v1/events").header("content-type", "application/x-ndjson");
    let answer = batch.body(lines.join("\n")).send().await?;
    ensure!(answer.status() == 201, "{answer:?}");
    Ok(())
}

/// How often Redis ran each of the commands that read entries.
async fn reads(redis: &RedisServer) -> Vec<String> {
    let stats = redis.cli(&["INFO", "commandstats"]).await;
    let names = ["cmdstat_xrange:", "cmdstat_xrevrange:", "cmdstat_xread:"];
    let calls = stats.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    calls.map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect()
}

/// A thousand come back at once, each with a position of its own: all get what they missed, and Redis is asked for none of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_resumes_costs_redis_nothing() -> anyhow::Result<()> {
    const STORM: usize = 1000;
    allow_files()?;
    let redis = RedisServer::start().await;
    let weir = Instance::start(WEIR, &["--redis", &redis.url(), "--max-connections", "3000"]).await?;
    let client = weir.client();
    let mut first = client.subscribe("s").await?;
    publish(&client, "s", 0, 100).await?;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(first.next_published().await?.last_event_id);
    }
    let before = reads(&redis).await;
    let resumes = (0..STORM).map(|nth| {
        let (at, id) = (nth % 90, ids[nth % 90].clone());
        let request = client.events("s").header("last-event-id", id).deadline(DEADLINE * 3);
        async move {
            let mut stream = request.subscribe().await?;
            counts(&mut stream, at + 1, 99 - at).await
        }
    });
    try_join_all(resumes).await?;
    assert_eq!(reads(&redis).await, before);
    let metrics = weir.metrics().await?;
    let snapshots = metrics.sum("weir_redis_command_duration_seconds_count", &[("command", "snapshot")]);
    assert!(snapshots < 1.0, "{snapshots} snapshots");
    assert_eq!(metrics.value("weir_resumes_total", &[("result", "complete")]), Some(STORM as f64));
    Ok(())
}

/// Three thousand connect at the same moment. All are served, and who was there before notices nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_connects_is_served() -> anyhow::Result<()> {
    const STORM: usize = 3000;
    allow_files()?;
    let weir = Instance::start(WEIR, &["--max-connections", "5000"]).await?;
    let mut before = weir.client().subscribe("s").await?;
    let client = weir.client();
    let started = Instant::now();
    let connects = (0..STORM).map(|nth| {
        let session = format!("{}", nth % 100);
        async move { client.events(&session).deadline(DEADLINE * 3).subscribe().await }
    });
    let ((), crowd) = tokio::try_join!(
        async {
            publish(&client, "s", 0, 1).await?;
            counts(&mut before, 0, 1).await
        },
        try_join_all(connects)
    )?;
    // A backlog that is too short shows as whole seconds in which the kernel tries again.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.sum("weir_clients", &[]), STORM as f64 + 1.0);
    assert_eq!(metrics.sum("weir_connections_rejected_total", &[]), 0.0);
    drop(crowd);
    eventually(DEADLINE, async || {
        let left = weir.metrics().await?.sum("weir_clients", &[]);
        ensure!(left == 1.0, "{left} clients");
        Ok(())
    })
    .await
}

/// A burst far beyond what is admitted: at no moment are there more, and whoever is turned away is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_beyond_the_bound_never_passes_it() -> anyhow::Result<()> {
    const SEATS: usize = 50;
    allow_files()?;
    let redis = RedisServer::start().await;
    let url = redis.url();
    let weir = Instance::start(WEIR, &["--redis", &url, "--max-connections", "50"]).await?;
    let client = weir.client();
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    let come = async |nth: usize| -> anyhow::Result<Option<SseStream>> {
        // Some must ask Redis for a snapshot before they begin, which leaves a moment in which others come.
        let request = client.events(&format!("{nth}"));
        let request = if nth.is_multiple_of(2) { request.query("snapshot", "1") } else { request };
        let mut stream = request.subscribe().await?;
        if stream.next_event().await?.event == "weir.refused" {
            refused.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        served.fetch_add(1, Ordering::Relaxed);
        Ok(Some(stream))
    };
    let watch = async {
        let mut most = 0.0_f64;
        while !over.load(Ordering::Relaxed) {
            most = most.max(weir.metrics().await?.sum("weir_clients", &[]));
        }
        anyhow::Ok(most)
    };
    let storm = async {
        let mut kept = Vec::new();
        for round in 0..4 {
            let burst = try_join_all((0..300).map(|nth| come(round * 300 + nth))).await?;
            kept.extend(burst.into_iter().flatten());
            assert_eq!(kept.len(), SEATS);
            // Room for the next round.
            kept.truncate(SEATS / 2);
            eventually(DEADLINE, async || {
                let left = weir.metrics().await?.sum("weir_clients", &[]);
                ensure!(left == (SEATS / 2) as f64, "{left} clients");
                Ok(())
            })
            .await?;
        }
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let (most, ()) = tokio::try_join!(watch, storm)?;
    assert!(most <= SEATS as f64, "{most} at once");
    assert_eq!(served.into_inner(), SEATS + 3 * SEATS / 2);
    let rejected = weir.metrics().await?.value("weir_connections_rejected_total", &[("reason", "limit")]);
    assert_eq!(rejected, Some(refused.into_inner() as f64));
    Ok(())
}

/// Whoever comes as the drain begins is served and then told to go, or turned away. Nobody is forgotten, not even who was
/// admitted before it and waited for a snapshot until after all others were told.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_as_the_drain_begins_is_not_forgotten() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--drain-delay", "300ms", "--drain-window", "300ms", "--shutdown-timeout", "30s"];
    let mut weir = Instance::start(WEIR, &[&["--redis", &url], &flags[..]].concat()).await?;
    let client = weir.client();
    let mut stays = client.subscribe("s").await?;
    redis.pause();
    let come = async |nth: usize| {
        // Half of them ask for a snapshot, which nobody gives them now: they wait a second for it.
        let request = client.events(&format!("{nth}"));
        let mut stream =
            if nth.is_multiple_of(2) { request.query("snapshot", "1") } else { request }.subscribe().await?;
        let (events, end) = stream.read_to_end().await?;
        ensure!(end == End::Clean, "{nth}: {end:?} after {events:?}");
        events.last().map(|event| event.event.clone()).with_context(|| format!("{nth} was told nothing"))
    };
    let end = async {
        eventually(DEADLINE, async || {
            let there = weir.metrics().await?.sum("weir_clients", &[]);
            // On a busy machine those that wait for a snapshot may be there, too.
            ensure!(there >= 11.0, "{there} are there");
            Ok(())
        })
        .await?;
        weir.signal(Signal::TERM)?;
        let signalled = Instant::now();
        let status = weir.wait_exit(DEADLINE * 2).await?;
        anyhow::Ok((status, signalled.elapsed()))
    };
    let ((status, took), told) = tokio::try_join!(end, try_join_all((0..20).map(come)))?;
    assert_eq!(status.code(), Some(0));
    // Redis answers nothing, which costs the second of the snapshots, and two at the end.
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (late, others): (Vec<_>, Vec<_>) =
        told.iter().enumerate().partition(|(nth, _)| nth.is_multiple_of(2));
    assert!(others.iter().all(|(_, what)| *what == "weir.shutdown"), "{others:?}");
    assert!(
        late.iter().all(|(_, what)| ["weir.shutdown", "weir.refused"].contains(&what.as_str())),
        "{late:?}"
    );
    assert!(late.iter().any(|(_, what)| *what == "weir.shutdown"), "{late:?}");
    let (events, _) = stays.read_to_end().await?;
    assert_eq!(events.last().map(|event| event.event.as_str()), Some("weir.shutdown"));
    Ok(())
}

/// A thousand listen to one busy session. Its events are encoded once, so that memory holds them once, and those of other
/// sessions get theirs in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_session_is_shared_and_starves_nobody() -> anyhow::Result<()> {
    const CROWD: usize = 1000;
    allow_files()?;
    let weir = Instance::start(WEIR, &["--max-connections", "2000"]).await?;
    let client = weir.client();
    let mut crowd = try_join_all((0..CROWD).map(|_| client.subscribe("hot"))).await?;
    let mut cold = client.subscribe("cold").await?;
    let before = usage::resident(weir.pid())?;
    // Nobody of the crowd reads yet: what is queued for all of them is the same bytes.
    publish(&client, "hot", 0, 90).await?;
    expect::has_read(&weir, 90).await?;
    let grown = usage::resident(weir.pid())?.saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB more", grown >> 20);
    for nth in 0..10 {
        publish(&client, "cold", nth, 1).await?;
        counts(&mut cold, nth, 1).await?;
    }
    try_join_all(crowd.iter_mut().map(|stream| counts(stream, 0, 90))).await?;
    eventually(DEADLINE, async || expect::balance(&weir).await).await?;
    assert_eq!(weir.metrics().await?.sum("weir_events_dropped_total", &[]), 0.0);
    Ok(())
}

/// Clients go and come back all the time while others publish: between what is replayed and what is live nothing is missing,
/// and nothing comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn coming_back_while_events_flow_loses_and_doubles_nothing() -> anyhow::Result<()> {
    const EVENTS: usize = 3000;
    let weir = Instance::start(WEIR, &["--queue-events", "20"]).await?;
    let client = weir.client();
    let write = async {
        for from in (0..EVENTS).step_by(10) {
            publish(&client, "s", from, 10).await?;
        }
        anyhow::Ok(())
    };
    let first: Vec<_> = try_join_all((0..8).map(|_| client.subscribe("s"))).await?;
    let follow = async |(nth, mut stream): (usize, SseStream)| {
        let mut seen = 0;
        let mut ids = BTreeSet::new();
        while seen < EVENTS {
            // Each leaves after another number of events, so that they come back at any point.
            for _ in 0..(7 + nth * 13).min(EVENTS - seen) {
                counts(&mut stream, seen, 1).await?;
                ensure!(ids.insert(stream.last_event_id().to_owned()), "{} twice", stream.last_event_id());
                seen += 1;
            }
            let from = stream.last_event_id().to_owned();
            drop(stream);
            stream = client.events("s").header("last-event-id", from).subscribe().await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(write, try_join_all(first.into_iter().enumerate().map(follow)))?;
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_resumes_total", &[("result", "gap")]), Some(0.0));
    assert!(
        metrics.value("weir_resumes_total", &[("result", "complete")]).is_some_and(|resumes| resumes > 100.0)
    );
    Ok(())
}

/// Two producers write at full speed to several sessions: on every instance each session has the order of the stream.
#[tokio::test(flavor = "multi_thread")]
async fn two_producers_at_full_speed_keep_the_order_everywhere() -> anyhow::Result<()> {
    const ROUNDS: usize = 100;
    const STREAM: &str = "weir:events";
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", &url, "--maxlen", "50000"];
    let (one, two) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
    let sessions = ["a", "b", "c"];
    let mut streams = Vec::new();
    for weir in [&one, &two] {
        for session in sessions {
            streams.push((session, weir.client().events(session).deadline(DEADLINE * 3).subscribe().await?));
        }
    }
    let add = "for n = 1, 100 do redis.call('XADD', KEYS[1], '*', 'session', string.sub('abc', n % 3 + 1, n % 3 + 1), \
               'data', ARGV[1] .. ' ' .. n) end";
    let produce = async |name: &'static str| {
        for round in 0..ROUNDS {
            redis.cli(&["EVAL", add, "1", STREAM, &format!("{name} {round}")]).await;
        }
    };
    let collect = async |(session, mut stream): (&'static str, SseStream)| {
        let share = if session == "b" { 34 } else { 33 };
        let mut got = Vec::new();
        for _ in 0..2 * ROUNDS * share {
            let event =
                stream.next_published().await.with_context(|| format!("after {} of {session}", got.len()))?;
            got.push((event.last_event_id, event.data));
        }
        anyhow::Ok((session, got))
    };
    let ((), (), got) =
        tokio::join!(produce("one"), produce("two"), try_join_all(streams.into_iter().map(collect)));
    let got = got?;
    let log = redis.cli(&["XRANGE", STREAM, "-", "+"]).await;
    let fields: Vec<_> = log.lines().collect();
    for (session, got) in &got {
        // An id, two names and two values for each entry.
        let of_session = fields.chunks_exact(5).filter(|entry| entry[2] == *session);
        let want: Vec<_> = of_session.map(|entry| (entry[0].to_owned(), entry[4].to_owned())).collect();
        assert!(*got == want, "{session}: not the order of the stream");
    }
    for weir in [&one, &two] {
        let metrics = weir.metrics().await?;
        assert_eq!(metrics.value("weir_entries_lost_total", &[]), Some(0.0));
        assert_eq!(metrics.sum("weir_gap_notices_total", &[]), 0.0);
    }
    Ok(())
}

//! One instance and its Redis: what the reader loses is told and counted exactly, and what operators see of it is true.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Signal, SseStream, Ticker, eventually, expect, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "weir:events";

/// A Redis and an instance on it.
struct Pair {
    redis: RedisServer,
    weir: Instance,
}

impl Pair {
    async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let weir =
            Instance::start(WEIR, &[&["--redis", &url, "--read-block", "200ms"], flags].concat()).await?;
        Ok(Self { redis, weir })
    }

    /// As a user whose rights the test can take away.
    async fn as_user(flags: &[&str]) -> anyhow::Result<Self> {
        let redis = RedisServer::start().await;
        redis.cli(&["ACL", "SETUSER", "weir", "on", ">secret", "~*", "&*", "+@all"]).await;
        let url = redis.url().replace("redis://", "redis://weir:secret@");
        let weir =
            Instance::start(WEIR, &[&["--redis", &url, "--read-block", "200ms"], flags].concat()).await?;
        Ok(Self { redis, weir })
    }

    /// Adds events that count from `from` on, in one step, and trims the stream to `cap` with each.
    async fn add(&self, from: usize, count: usize, cap: usize) {
        let add = "for n = ARGV[1], ARGV[1] + ARGV[2] - 1 do \
                   redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], '*', 'session', 's', 'data', string.format('%d', n)) end";
        let [from, count, cap] = [from, count, cap].map(|number| number.to_string());
        self.redis.cli(&["EVAL", add, "1", STREAM, &from, &count, &cap]).await;
    }

    /// The value of a series without labels, once it is what is wanted.
    async fn shows(&self, name: &str, is_right: impl Fn(f64) -> bool) -> anyhow::Result<f64> {
        eventually(DEADLINE, async || {
            let value = self.weir.metrics().await?.value(name, &[]);
            let right = value.filter(|value| is_right(*value));
            right.with_context(|| format!("{name} is {value:?}"))
        })
        .await
    }

    async fn status(&self) -> anyhow::Result<(u16, String)> {
        let ready = self.weir.admin_client().get("/readyz").send().await?;
        Ok((ready.status(), ready.json()?["status"].as_str().unwrap_or_default().to_owned()))
    }
}

/// The reason of the gap that comes next, events passed over.
async fn next_gap(stream: &mut SseStream) -> anyhow::Result<Value> {
    loop {
        let event = stream.next_event().await?;
        if event.event == "weir.gap" {
            return Ok(serde_json::from_str(&event.data)?);
        }
        ensure!(event.event != "weir.shutdown", "{event:?}");
    }
}

/// The numbers that come up to `last`, and how often a gap stood between them.
async fn read_through(stream: &mut SseStream, last: usize) -> anyhow::Result<(BTreeSet<usize>, Vec<String>)> {
    let (mut numbers, mut gaps) = (BTreeSet::new(), Vec::new());
    while !numbers.contains(&last) {
        let event = stream.next_event().await?;
        match event.event.as_str() {
            "message" => ensure!(numbers.insert(event.data.parse()?), "{} twice", event.data),
            "weir.gap" => gaps.push(serde_json::from_str::<Value>(&event.data)?["reason"].to_string()),
            "weir.ping" | "weir.connected" => {}
            other => anyhow::bail!("{other}"),
        }
    }
    Ok((numbers, gaps))
}

/// An instance stands still while three times the cap is written, and goes on. What nobody can give it any more is told
/// to every client, and counted to the entry.
#[tokio::test]
async fn what_was_trimmed_while_the_instance_stood_still_is_counted_exactly() -> anyhow::Result<()> {
    const CAP: usize = 300;
    let pair = Pair::start(&["--maxlen", "1000"]).await?;
    let client = pair.weir.client();
    let mut streams = [client.subscribe("s").await?, client.subscribe("s").await?];
    let mut quiet = client.subscribe("quiet").await?;
    pair.add(0, 10, CAP).await;
    let mut before = String::new();
    for stream in &mut streams {
        assert_eq!(stream.next_data(10).await?.last().map(String::as_str), Some("9"));
        stream.last_event_id().clone_into(&mut before);
    }
    usage::stop(pair.weir.pid()).await?;
    for part in 0..9 {
        pair.add(10 + part * CAP / 3, CAP / 3, CAP).await;
    }
    let left = pair.redis.cli(&["XRANGE", STREAM, "-", "+"]).await;
    pair.weir.signal(Signal::CONT)?;

    let last = 10 + 3 * CAP - 1;
    let mut missing = BTreeSet::new();
    for stream in &mut streams {
        let (numbers, gaps) = read_through(stream, last).await?;
        assert_eq!(gaps, ["\"reader\""]);
        missing = (10..=last).filter(|number| !numbers.contains(number)).collect();
    }
    // Not one that was still there is among them.
    assert!(!left.lines().any(|line| line.parse().is_ok_and(|number| missing.contains(&number))));
    assert!(missing.len() >= CAP, "{} missing", missing.len());
    let lost = pair.weir.metrics().await?.value("weir_entries_lost_total", &[]);
    assert_eq!(lost, Some(missing.len() as f64));
    // Whose they were nobody knows, so everybody is told.
    let told = next_gap(&mut quiet).await?;
    assert_eq!(
        (told["reason"].as_str(), &told["session"], &told["missed"]),
        (Some("reader"), &Value::Null, &Value::Null)
    );

    // The hole stays: who comes back from before it is told, and who comes back from after it misses nothing.
    let again = async |position: &str| client.events("s").header("last-event-id", position).subscribe().await;
    let (numbers, gaps) = read_through(&mut again(&before).await?, last).await?;
    assert_eq!(
        (numbers, gaps),
        ((10..=last).filter(|n| !missing.contains(n)).collect(), vec!["\"reader\"".to_owned()])
    );
    let after = streams[0].last_event_id().to_owned();
    pair.add(last + 1, 1, CAP).await;
    let (numbers, gaps) = read_through(&mut again(&after).await?, last + 1).await?;
    assert_eq!((numbers.len(), gaps.len()), (1, 0));
    Ok(())
}

/// Redis lets this user read and write, but not acknowledge. Delivery goes on, and the figure that is there for it shows it.
#[tokio::test]
async fn acknowledgements_that_fail_show_as_pending() -> anyhow::Result<()> {
    let pair = Pair::as_user(&[]).await?;
    pair.redis.cli(&["ACL", "SETUSER", "weir", "-xack"]).await;
    let mut stream = pair.weir.client().subscribe("s").await?;
    pair.add(0, 20, 1000).await;
    stream.next_data(20).await?;
    pair.shows("weir_reader_pending_entries", |pending| pending == 20.0).await?;
    let oldest = pair.shows("weir_reader_pending_oldest_seconds", |age| age > 0.0).await?;
    pair.shows("weir_reader_pending_oldest_seconds", |age| age > oldest).await?;
    assert!(pair.weir.metrics().await?.sum("weir_reader_errors_total", &[("kind", "ack")]) >= 1.0);
    pair.add(20, 1, 1000).await;
    assert_eq!(stream.next_data(1).await?, ["20"]);
    pair.shows("weir_reader_lag_entries", |lag| lag == 0.0).await?;
    assert_eq!(pair.status().await?, (200, "ready".to_owned()));
    Ok(())
}

/// A reader that can read no more is the instance's own fault: it is unready at once, and what it shows of the log is still
/// true, because that is asked on another connection.
#[tokio::test]
async fn a_reader_that_stopped_shows_in_its_lag() -> anyhow::Result<()> {
    let pair = Pair::as_user(&[]).await?;
    let mut stream = pair.weir.client().subscribe("s").await?;
    pair.add(0, 5, 1000).await;
    stream.next_data(5).await?;
    pair.shows("weir_reader_lag_seconds", |lag| lag == 0.0).await?;
    pair.redis.cli(&["ACL", "SETUSER", "weir", "-xreadgroup", "-xread", "-xrange", "-xrevrange"]).await;
    eventually(DEADLINE, async || {
        ensure!(pair.status().await? == (503, "reader-stuck".to_owned()), "{:?}", pair.status().await?);
        Ok(())
    })
    .await?;
    let stopped = progress(&pair).await?;
    pair.add(5, 50, 1000).await;
    let lag = pair.shows("weir_reader_lag_seconds", |lag| lag > 0.0).await?;
    pair.add(55, 50, 1000).await;
    pair.shows("weir_reader_lag_seconds", |now| now > lag).await?;
    let metrics = pair.weir.metrics().await?;
    let value = |name: &str| metrics.value(name, &[]).unwrap_or(f64::NAN);
    assert_eq!((value("weir_stream_length"), value("weir_redis_up"), value("weir_ready")), (105.0, 1.0, 0.0));
    // How many entries that are is known or not, but never 0.
    assert!(value("weir_reader_lag_entries") != 0.0, "{}", value("weir_reader_lag_entries"));
    assert_eq!(progress(&pair).await?, stopped);
    assert!(metrics.sum("weir_reader_errors_total", &[("kind", "auth")]) >= 1.0);

    pair.redis.cli(&["ACL", "SETUSER", "weir", "+@all"]).await;
    assert_eq!(stream.next_data(100).await?.last().map(String::as_str), Some("104"));
    assert_eq!(pair.shows("weir_reader_lag_seconds", |lag| lag == 0.0).await?, 0.0);
    assert!(progress(&pair).await? > stopped);
    Ok(())
}

/// When the reader last returned.
async fn progress(pair: &Pair) -> anyhow::Result<f64> {
    let metrics = pair.weir.metrics().await?;
    metrics.value("weir_reader_last_progress_timestamp_seconds", &[]).context("no progress")
}

/// Nobody who scrapes waits for Redis, and what is not known is not shown as 0.
#[tokio::test]
async fn scrapes_never_wait_for_redis() -> anyhow::Result<()> {
    let pair = Pair::start(&[]).await?;
    pair.add(0, 5, 1000).await;
    pair.shows("weir_stream_length", |length| length == 5.0).await?;
    pair.redis.pause();
    pair.shows("weir_redis_up", |up| up == 0.0).await?;
    // As many as have room at once on the admin listener, and not more: another would take the place of the oldest.
    let scrapes = (0..50).map(|_| pair.weir.metrics());
    let (ticker, started) = (Ticker::new(), Instant::now());
    let pages = try_join_all(scrapes).await?;
    let (took, lost) = (started.elapsed(), ticker.lost_since(started));
    assert!(took < Duration::from_secs(2) + lost, "{took:?}, of which {lost:?} were not its own");
    for page in &pages {
        for unknown in
            ["weir_stream_length", "weir_reader_lag_entries", "weir_reader_pending_entries", "weir_groups"]
        {
            assert!(
                page.value(unknown, &[]).is_none_or(f64::is_nan),
                "{unknown} {:?}",
                page.value(unknown, &[])
            );
        }
        assert_eq!(page.value("weir_entries_read_total", &[]), Some(5.0));
    }
    pair.redis.resume();
    pair.shows("weir_stream_length", |length| length == 5.0).await?;
    Ok(())
}

/// A group that somebody destroys under a living reader, again and again, is made anew where the reader stands.
#[tokio::test]
async fn a_group_that_others_destroy_costs_nothing() -> anyhow::Result<()> {
    let pair = Pair::start(&[]).await?;
    let mut stream = pair.weir.client().subscribe("s").await?;
    for round in 0..10 {
        let ready = pair.weir.admin_client().get("/readyz").send().await?.json()?;
        let group = ready["group"].as_str().unwrap_or_default();
        if !group.is_empty() {
            pair.redis.cli(&["XGROUP", "DESTROY", STREAM, group]).await;
        }
        pair.add(round * 10, 10, 1000).await;
    }
    let numbers = stream.next_data(100).await?;
    assert_eq!(numbers, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(pair.shows("weir_group_recreated_total", |made| made > 0.0).await? <= 10.0);
    pair.shows("weir_groups", |groups| groups == 1.0).await?;
    Ok(())
}

/// Something else at the stream's key is an outage that is told; the window goes on answering, and once the key is free the
/// log begins anew.
#[tokio::test]
async fn a_key_of_another_type_is_survived() -> anyhow::Result<()> {
    let pair = Pair::start(&["--heartbeat", "300ms"]).await?;
    let client = pair.weir.client();
    let mut stream = client.subscribe("s").await?;
    pair.add(0, 3, 1000).await;
    stream.next_data(3).await?;
    pair.redis
        .cli(&["EVAL", "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'x')", "1", STREAM])
        .await;
    while stream.next_event().await?.event != "weir.degraded" {}
    assert_eq!(pair.status().await?.0, 503);
    let mut replay = client.events("s").query("lastEventId", "earliest").subscribe().await?;
    assert_eq!(replay.next_data(3).await?, ["0", "1", "2"]);
    let beats = stream.comments();
    while stream.comments() < beats + 2 {
        stream.next().await?;
    }
    let answer = client.event("s").body("x").send().await?;
    expect::problem(&answer, 503, "log_unavailable")?;
    assert!(pair.weir.metrics().await?.sum("weir_reader_errors_total", &[("kind", "wrong_type")]) >= 1.0);

    pair.redis.cli(&["DEL", STREAM]).await;
    assert_eq!(next_gap(&mut stream).await?["reason"], "reset");
    eventually(DEADLINE, async || client.publish("s", "after").await).await?;
    assert_eq!(stream.next_data(1).await?, ["after"]);
    assert_eq!(pair.status().await?, (200, "ready".to_owned()));
    Ok(())
}

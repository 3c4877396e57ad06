//! Entries that are too large, and too many names.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, eventually, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "weir:events";

async fn start(redis: &RedisServer, flags: &[&str]) -> anyhow::Result<Instance> {
    let url = redis.url();
    Instance::start(WEIR, &[&["--redis", &url], flags].concat()).await
}

/// Of any size above the bound: counted, told to its session at its place, and of no consequence to others.
#[tokio::test]
async fn entries_of_many_megabytes_are_skipped() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = start(&redis, &[]).await?;
    let (mut stream, mut other) =
        (weir.client().subscribe("s").await?, weir.client().subscribe("other").await?);
    let add = "redis.call('XADD', KEYS[1], '*', 'session', 's', 'data', string.rep('x', ARGV[1]))";
    let before = usage::resident(weir.pid())?;
    let sizes = [262_145, 1 << 20, 8 << 20, 32 << 20];
    for (nth, size) in sizes.iter().enumerate() {
        redis.cli(&["EVAL", add, "1", STREAM, &size.to_string()]).await;
        for session in ["other", "s"] {
            redis.cli(&["XADD", STREAM, "*", "session", session, "data", &nth.to_string()]).await;
        }
        let gap = loop {
            let event = stream.next_event().await.with_context(|| format!("{size} bytes"))?;
            if event.event == "weir.gap" {
                break serde_json::from_str::<Value>(&event.data)?;
            }
            ensure!(event.event == "weir.ping", "{event:?}");
        };
        assert_eq!(
            (gap["reason"].as_str(), gap["session"].as_str(), gap["missed"].as_u64()),
            (Some("oversize"), Some("s"), Some(1))
        );
        assert_eq!(stream.next_data(1).await?, [nth.to_string()]);
        assert_eq!(other.next_data(1).await?, [nth.to_string()]);
    }
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_entries_malformed_total", &[("reason", "oversize")]), Some(4.0));
    assert_eq!(metrics.value("weir_events_dropped_total", &[("reason", "oversize")]), Some(4.0));
    eventually(DEADLINE, async || {
        let grown = usage::resident(weir.pid())?.saturating_sub(before);
        ensure!(grown < 100 << 20, "{} MiB more", grown >> 20);
        Ok(())
    })
    .await
}

/// Twice as many names as are remembered, each for one event: what they leave behind is bounded, and none is a series.
#[tokio::test]
async fn a_flood_of_session_names_is_bounded() -> anyhow::Result<()> {
    const NAMES: usize = 140_000;
    let redis = RedisServer::start().await;
    let weir = start(&redis, &["--maxlen", "1000"]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    let series = weir.admin_client().get("/metrics").send().await?.text()?.lines().count();
    let add = "for n = ARGV[1], ARGV[1] + 999 do redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', \
               'session', string.rep('n', 100) .. n, 'data', 'x') end";
    let mut after_half = 0;
    for first in (0..NAMES).step_by(1000) {
        redis.cli(&["EVAL", add, "1", STREAM, &first.to_string()]).await;
        // As fast as it reads, so that all of them are seen.
        eventually(DEADLINE, async || {
            let read = weir.metrics().await?.value("weir_entries_read_total", &[]);
            ensure!(read == Some((first + 1000) as f64), "{read:?} read");
            Ok(())
        })
        .await?;
        if first == NAMES / 2 {
            after_half = usage::resident(weir.pid())?;
        }
    }
    let grown = usage::resident(weir.pid())?.saturating_sub(after_half);
    assert!(grown < 16 << 20, "{} MiB more for the second half", grown >> 20);
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_sessions", &[]), Some(1.0));
    assert_eq!(metrics.value("weir_entries_lost_total", &[]), Some(0.0));
    assert_eq!(weir.admin_client().get("/metrics").send().await?.text()?.lines().count(), series);
    redis.cli(&["XADD", STREAM, "*", "session", "s", "data", "end"]).await;
    assert_eq!(stream.next_data(1).await?, ["end"]);
    Ok(())
}

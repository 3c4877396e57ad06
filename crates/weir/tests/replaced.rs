//! The log under an instance is emptied, replaced, trimmed by others, or carries ids that nobody expects.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Instance, SseStream, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "weir:events";

/// The id behind which no other can be given out.
const LAST_ID: &str = "18446744073709551615-18446744073709551615";

async fn start(redis: &RedisServer, flags: &[&str]) -> anyhow::Result<Instance> {
    let url = redis.url();
    let common = ["--redis", &url, "--read-block", "100ms", "--heartbeat", "300ms"];
    Instance::start(WEIR, &[&common, flags].concat()).await
}

async fn add(redis: &RedisServer, id: &str, data: &str) -> String {
    redis.cli(&["XADD", STREAM, id, "session", "s", "data", data]).await
}

/// What weir says and hands on, in order, up to the event with this data: the data of events, the reasons of gaps in
/// brackets, and the names of other control events. Heartbeats are passed over.
async fn told(stream: &mut SseStream, until: &str) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != until) {
        let event = stream.next_event().await.with_context(|| format!("told so far: {told:?}"))?;
        match event.event.as_str() {
            "weir.ping" | "weir.connected" => {}
            "message" => told.push(event.data),
            "weir.gap" => {
                let gap: Value = serde_json::from_str(&event.data)?;
                told.push(format!("[{}]", gap["reason"].as_str().unwrap_or_default()));
            }
            other => told.push(other.to_owned()),
        }
    }
    Ok(told)
}

async fn resume(client: &Client, position: &str) -> anyhow::Result<SseStream> {
    client.events("s").header("last-event-id", position).subscribe().await
}

/// Once to each client, and to who comes back with a position of the old log; and no event is held back because its id is
/// lower than one of before.
#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_once() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await;
    let weir = start(&redis, &[]).await?;
    let client = weir.client();
    let mut streams = [client.subscribe("s").await?, client.subscribe("s").await?];
    let old = client.publish("s", "old").await?.to_string();
    for stream in &mut streams {
        assert_eq!(told(stream, "old").await?, ["old"]);
    }
    redis.restart().await;
    for stream in &mut streams {
        let mut said = told(stream, "[reset]").await?;
        said.retain(|what| !["weir.degraded", "weir.restored"].contains(&what.as_str()));
        assert_eq!(said, ["[reset]"]);
    }
    add(&redis, "5-0", "lower").await;
    add(&redis, "*", "after").await;
    for stream in &mut streams {
        let mut said = told(stream, "after").await?;
        said.retain(|what| !["weir.degraded", "weir.restored"].contains(&what.as_str()));
        assert_eq!(said, ["lower", "after"]);
    }
    let mut late = resume(&client, &old).await?;
    add(&redis, "*", "live").await;
    assert_eq!(told(&mut late, "live").await?, ["[reset]", "live"]);
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_gap_notices_total", &[("reason", "reset")]), Some(3.0));
    assert!(metrics.value("weir_redis_reconnects_total", &[]).is_some_and(|made| made >= 1.0));
    Ok(())
}

/// The key is deleted again and again while others write. Between two announcements nothing is missing, and it ends well.
#[tokio::test]
async fn a_stream_deleted_under_load_breaks_nothing() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = start(&redis, &[]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    let write = async {
        for nth in 0..600 {
            add(&redis, "*", &nth.to_string()).await;
            if nth % 150 == 100 {
                redis.cli(&["DEL", STREAM]).await;
            }
        }
        // The last one comes to a reader that stands at the head of the last log.
        eventually(DEADLINE, async || {
            let lag = weir.metrics().await?.value("weir_reader_lag_entries", &[]);
            ensure!(lag == Some(0.0), "lag {lag:?}");
            Ok(())
        })
        .await?;
        add(&redis, "*", "end").await;
        anyhow::Ok(())
    };
    let (said, written) = tokio::join!(told(&mut stream, "end"), write);
    written?;
    let said = said?;
    let resets = said.iter().filter(|what| *what == "[reset]").count();
    assert!((1..=4).contains(&resets), "{said:?}");
    let mut before = None;
    for what in said.iter().filter(|what| *what != "end") {
        let Ok(number) = what.parse::<usize>() else {
            assert!(["[reset]", "weir.degraded", "weir.restored"].contains(&what.as_str()), "{said:?}");
            before = if what == "[reset]" { None } else { before };
            continue;
        };
        assert!(before.is_none_or(|before| number == before + 1), "{before:?} then {number}: {said:?}");
        before = Some(number);
    }
    assert_eq!(weir.admin_client().get("/readyz").send().await?.status(), 200);
    Ok(())
}

/// The same ids come again with other content: nobody gets a mixture of the two.
#[tokio::test]
async fn the_same_ids_with_other_content_are_never_mixed() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = start(&redis, &[]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    for nth in 1..=5 {
        add(&redis, &format!("{nth}-0"), &format!("old {nth}")).await;
    }
    assert_eq!(told(&mut stream, "old 5").await?.len(), 5);
    // In one step, so that nobody sees the key missing.
    let replace = "redis.call('DEL', KEYS[1]) for n = 1, 6 do \
                   redis.call('XADD', KEYS[1], n .. '-0', 'session', 's', 'data', 'new ' .. n) end";
    redis.cli(&["EVAL", replace, "1", STREAM]).await;
    assert_eq!(told(&mut stream, "[reset]").await?, ["[reset]"]);
    add(&redis, "7-0", "new 7").await;
    let said = told(&mut stream, "new 7").await?;
    assert!(said.iter().all(|data| data.starts_with("new ")), "{said:?}");

    let mut all = resume(&client, "earliest").await?;
    let want: Vec<_> = (1..=7).map(|nth| format!("new {nth}")).collect();
    assert_eq!(told(&mut all, "new 7").await?, want);
    // A position of before is worth nothing, although an entry stands there.
    let mut late = resume(&client, "2-0").await?;
    add(&redis, "8-0", "new 8").await;
    let said = told(&mut late, "new 8").await?;
    assert_eq!(said.first().map(String::as_str), Some("[reset]"), "{said:?}");
    Ok(())
}

/// The clock of Redis was an hour ahead once: ids stay there. Order holds, ages are never negative, and nothing is trimmed for
/// its age too early.
#[tokio::test]
async fn ids_from_the_future_keep_their_order() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = start(&redis, &["--max-age", "10m"]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    let before = client.publish("s", "before").await?;
    let future = format!("{}-7", before.ms + 3_600_000);
    add(&redis, &future, "future").await;
    let mut ids = vec![before.to_string(), future.clone()];
    for nth in 0..5 {
        ids.push(client.publish("s", nth.to_string()).await?.to_string());
    }
    let mut seen = Vec::new();
    while seen.len() < ids.len() {
        let event = stream.next_published().await?;
        seen.push(event.last_event_id);
    }
    assert_eq!(seen, ids);
    // They went on where the clock had been.
    assert!(ids[6].starts_with(future.trim_end_matches('7')), "{ids:?}");
    let mut again = resume(&client, &future).await?;
    assert_eq!(told(&mut again, "4").await?, ["0", "1", "2", "3", "4"]);

    eventually(DEADLINE, async || {
        let metrics = weir.metrics().await?;
        let horizon = metrics.value("weir_stream_horizon_seconds", &[]).unwrap_or(f64::NAN);
        ensure!((0.0..60.0).contains(&horizon), "horizon {horizon}");
        let latency = metrics.value("weir_delivery_latency_seconds_sum", &[]).unwrap_or(f64::NAN);
        ensure!((0.0..60.0).contains(&latency), "latency {latency}");
        ensure!(metrics.value("weir_stream_length", &[]) == Some(7.0), "the length is not known yet");
        ensure!(metrics.value("weir_window_events", &[]) == Some(7.0), "not all are in the window");
        Ok(())
    })
    .await
}

/// Somebody used up the last id there is. That entry is delivered, publishers are answered 503, the operator is told why, and deleting the
/// key mends it.
#[tokio::test]
async fn a_stream_without_ids_left_says_so() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = start(&redis, &[]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    add(&redis, LAST_ID, "last").await;
    assert_eq!(told(&mut stream, "last").await?, ["last"]);
    assert_eq!(stream.last_event_id(), LAST_ID);
    let answer = client.event("s").body("x").send().await?;
    expect::problem(&answer, 503, "log_unavailable")?;
    let said = eventually(DEADLINE, async || {
        let said = weir.logged("the log takes no events: publishers are answered 503");
        said.context("the operator is not told why")
    });
    let said = said.await?;
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("exhausted")), "{said}");
    // The reader stands at the last id and is well.
    let mut again = resume(&client, LAST_ID).await?;
    assert_eq!(again.next_event().await?.event, "weir.connected");
    assert_eq!(weir.admin_client().get("/readyz").send().await?.status(), 200);

    redis.cli(&["DEL", STREAM]).await;
    assert_eq!(told(&mut stream, "[reset]").await?, ["[reset]"]);
    eventually(DEADLINE, async || client.publish("s", "after").await).await?;
    assert_eq!(told(&mut stream, "after").await?, ["after"]);
    assert_eq!(told(&mut again, "after").await?, ["[reset]", "after"]);
    Ok(())
}

/// What others delete or trim behind the reader is no loss to anybody whom the window still answers.
#[tokio::test]
async fn deleting_what_was_read_is_no_gap() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = start(&redis, &["--maxlen", "500"]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    let mut ids = Vec::new();
    for nth in 0..10 {
        ids.push(client.publish("s", nth.to_string()).await?.to_string());
    }
    assert_eq!(told(&mut stream, "9").await?.len(), 10);
    redis.cli(&["XDEL", STREAM, &ids[3], &ids[9]]).await;
    add(&redis, "*", "after a deletion").await;
    assert_eq!(told(&mut stream, "after a deletion").await?, ["after a deletion"]);
    redis.cli(&["XTRIM", STREAM, "MAXLEN", "0"]).await;
    add(&redis, "*", "after a trim").await;
    assert_eq!(told(&mut stream, "after a trim").await?, ["after a trim"]);
    let mut again = resume(&client, &ids[1]).await?;
    let want = ["2", "3", "4", "5", "6", "7", "8", "9", "after a deletion", "after a trim"];
    assert_eq!(told(&mut again, "after a trim").await?, want);
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_entries_lost_total", &[]), Some(0.0));
    assert_eq!(metrics.sum("weir_gap_notices_total", &[]), 0.0);

    // A producer that never trims fills neither the window nor, for long, the stream.
    let flood = "for n = 1, 20000 do redis.call('XADD', KEYS[1], '*', 'session', 'other', 'data', n) end";
    redis.cli(&["EVAL", flood, "1", STREAM]).await;
    eventually(DEADLINE, async || {
        let length = redis.cli(&["XLEN", STREAM]).await;
        ensure!(length.parse::<usize>()? <= 600, "{length} entries in the stream");
        Ok(())
    })
    .await?;
    // Each of them was read, or is counted as lost.
    eventually(DEADLINE, async || {
        let metrics = weir.metrics().await?;
        let books = ["weir_entries_read_total", "weir_entries_lost_total"].map(|name| metrics.sum(name, &[]));
        ensure!(books.iter().sum::<f64>() == 20_012.0, "read and lost: {books:?}");
        ensure!(metrics.value("weir_window_events", &[]).is_some_and(|events| events <= 500.0), "window");
        Ok(())
    })
    .await
}

//! Clients that are too slow: what each policy does, that its loss is told exactly, and that nobody else notices.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_core::EventId;
use weir_testkit::expect::{Books, balance, has_read};
use weir_testkit::sse::Item;
use weir_testkit::{Client, DEADLINE, End, Instance, Next, SseStream, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Far more than what fits into the queue and all buffers of a connection that nobody reads.
const EVENTS: usize = 400;

/// Bytes of each event.
const SIZE: usize = 4096;

/// Bytes of the receive buffer of a client that is meant to be slow.
const NARROW: u32 = 4096;

/// A stream that buffers little and is not read until the test does.
async fn paused(weir: &Instance, query: &str) -> anyhow::Result<SseStream> {
    let target = format!("/v1/sessions/s/events?{query}");
    let mut stream = weir.client().get(&target).receive_buffer(NARROW).subscribe().await?;
    stream.next_event().await?;
    Ok(stream)
}

/// Events that count from `from` on, with `keys` keys in turn.
async fn publish(client: &Client, from: usize, count: usize, keys: usize) -> anyhow::Result<()> {
    let event = |nth: usize| {
        let data = format!("{nth} {}", "x".repeat(SIZE));
        format!(r#"{{"session":"s","key":"{}","data":"{data}"}}"#, nth % keys)
    };
    let lines: Vec<_> = (from..from + count).map(event).collect();
    let request = client.post("/v1/events").header("content-type", "application/x-ndjson");
    let answer = request.body(lines.join("\n")).send().await?;
    ensure!(answer.status() == 201, "{answer:?}");
    Ok(())
}

/// The number an event counts.
fn number(data: &str) -> anyhow::Result<usize> {
    data.split(' ').next().unwrap_or_default().parse().with_context(|| data[..data.len().min(40)].to_owned())
}

/// What a client was given, in order.
#[derive(Debug, PartialEq)]
enum Got {
    Event(usize),
    /// So many are missing here.
    Missed(u64),
}

/// All that comes up to the event that counts `last`.
async fn read_through(stream: &mut SseStream, last: usize) -> anyhow::Result<Vec<Got>> {
    let mut got = Vec::new();
    while got.last() != Some(&Got::Event(last)) {
        let event = stream.next_event().await?;
        match event.event.as_str() {
            "message" => got.push(Got::Event(number(&event.data)?)),
            "weir.gap" => {
                let gap: Value = serde_json::from_str(&event.data)?;
                got.push(Got::Missed(gap["missed"].as_u64().with_context(|| event.data.clone())?));
            }
            "weir.ping" => {}
            other => anyhow::bail!("{other}"),
        }
    }
    Ok(got)
}

/// Every event is there, or in a gap that stands where it would.
fn ensure_exact(got: &[Got]) -> anyhow::Result<u64> {
    let (mut next, mut missed) = (0, 0);
    for one in got {
        match one {
            Got::Event(nth) => {
                ensure!(*nth == next, "{nth} where {next} belongs");
                next += 1;
            }
            Got::Missed(count) => {
                next += usize::try_from(*count)?;
                missed += count;
            }
        }
    }
    ensure!(next == EVENTS, "{next} events instead of {EVENTS}");
    Ok(missed)
}

async fn at_rest(weir: &Instance) -> anyhow::Result<Books> {
    eventually(DEADLINE, async || balance(weir).await).await
}

async fn metric(weir: &Instance, name: &str, reason: &str) -> anyhow::Result<f64> {
    Ok(weir.metrics().await?.sum(name, &[("reason", reason)]))
}

/// An honest client beside the slow one gets everything, while the slow one is still there.
async fn honest(weir: &Instance) -> anyhow::Result<SseStream> {
    weir.client().subscribe("s").await
}

async fn ensure_unharmed(mut honest: SseStream) -> anyhow::Result<()> {
    let missed = ensure_exact(&read_through(&mut honest, EVENTS - 1).await?)?;
    ensure!(missed == 0, "an honest client missed {missed}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_never_reads_is_disconnected_and_counted() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "2s", "--heartbeat", "500ms"]).await?;
    let beside = honest(&weir).await?;
    let mut stalled = paused(&weir, "").await?;
    let started = std::time::Instant::now();
    publish(&weir.client(), 0, EVENTS, 1).await?;
    ensure_unharmed(beside).await?;
    eventually(DEADLINE, async || {
        let stalled = metric(&weir, "weir_disconnections_total", "stalled").await?;
        ensure!(stalled == 1.0, "{stalled} disconnected as stalled");
        Ok(())
    })
    .await?;
    let took = started.elapsed();
    assert!((2.0..8.0).contains(&took.as_secs_f64()), "{took:?}");

    let books = at_rest(&weir).await?;
    let left = metric(&weir, "weir_events_discarded_total", "stalled").await?;
    assert!(left > 0.0, "{books:?}");
    assert_eq!(weir.metrics().await?.sum("weir_events_dropped_total", &[]), 0.0);
    // It was cut, and what it holds is whole: it goes on where that ends.
    let (_, end) = stalled.read_to_end().await?;
    assert_eq!(end, End::Cut);
    let from = stalled.last_event_id().to_owned();
    let first = weir
        .client()
        .events("s")
        .header("last-event-id", from.clone())
        .subscribe()
        .await?
        .next_published()
        .await?;
    assert!(first.last_event_id.parse::<EventId>()? > from.parse()?);
    Ok(())
}

#[tokio::test]
async fn a_pause_costs_nothing_that_the_window_holds() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "10"]).await?;
    let beside = honest(&weir).await?;
    let mut slow = paused(&weir, "").await?;
    publish(&weir.client(), 0, EVENTS, 1).await?;
    ensure_unharmed(beside).await?;
    let catching_up = weir.metrics().await?.value("weir_clients_catching_up", &[]);
    assert_eq!(ensure_exact(&read_through(&mut slow, EVENTS - 1).await?)?, 0);

    let books = at_rest(&weir).await?;
    assert_eq!((books.queued, books.delivered), (2.0 * EVENTS as f64, 2.0 * EVENTS as f64));
    // It is live again.
    publish(&weir.client(), EVENTS, 1, 1).await?;
    assert_eq!(read_through(&mut slow, EVENTS).await?, [Got::Event(EVENTS)]);
    let after = weir.metrics().await?.value("weir_clients_catching_up", &[]);
    assert_eq!((catching_up, after), (Some(1.0), Some(0.0)));
    Ok(())
}

#[tokio::test]
async fn what_left_the_window_meanwhile_is_announced_exactly() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "10", "--maxlen", "50"]).await?;
    let mut slow = paused(&weir, "overflow=catch-up").await?;
    for from in (0..EVENTS).step_by(50) {
        publish(&weir.client(), from, 50, 1).await?;
        // The log is no longer than the window: what left it unread would be the reader's loss.
        has_read(&weir, u32::try_from(from + 50)?).await?;
    }
    let got = read_through(&mut slow, EVENTS - 1).await?;
    let missed = ensure_exact(&got)?;
    assert_eq!(
        got[got.len() - 51..].iter().position(|one| matches!(one, Got::Missed(_))),
        Some(0),
        "{got:?}"
    );
    assert!(missed > 250, "{missed} missed");
    assert_eq!(metric(&weir, "weir_events_dropped_total", "trimmed").await?, missed as f64);
    assert_eq!(metric(&weir, "weir_gap_notices_total", "trimmed").await?, 1.0);
    at_rest(&weir).await?;
    Ok(())
}

#[tokio::test]
async fn drop_oldest_counts_and_announces_what_made_room() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "10"]).await?;
    let beside = honest(&weir).await?;
    let mut slow = paused(&weir, "overflow=drop-oldest").await?;
    publish(&weir.client(), 0, EVENTS, 1).await?;
    ensure_unharmed(beside).await?;
    let got = read_through(&mut slow, EVENTS - 1).await?;
    let missed = ensure_exact(&got)?;
    assert!(missed > 250, "{missed} missed");
    // The newest that the queue holds are there.
    assert!(got[got.len() - 10..].iter().all(|one| matches!(one, Got::Event(_))), "{got:?}");
    let books = at_rest(&weir).await?;
    assert_eq!(books.overflow, missed as f64);
    assert_eq!(books.queued, 2.0 * EVENTS as f64);
    Ok(())
}

#[tokio::test]
async fn latest_keeps_the_newest_of_each_key() -> anyhow::Result<()> {
    const KEYS: usize = 5;
    let weir = Instance::start(WEIR, &["--queue-events", "10", "--overflow", "latest"]).await?;
    let mut slow = paused(&weir, "").await?;
    publish(&weir.client(), 0, EVENTS, KEYS).await?;
    let got = read_through(&mut slow, EVENTS - 1).await?;
    let numbers: Vec<usize> =
        got.iter().filter_map(|one| if let Got::Event(nth) = one { Some(*nth) } else { None }).collect();
    assert_eq!(numbers.len(), got.len(), "a gap: {got:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
    let newest: BTreeMap<usize, usize> = numbers.iter().map(|nth| (nth % KEYS, *nth)).collect();
    assert_eq!(newest.into_values().collect::<Vec<_>>(), (EVENTS - KEYS..EVENTS).collect::<Vec<_>>());
    assert!(numbers.len() < EVENTS / 2, "{} given", numbers.len());

    let books = at_rest(&weir).await?;
    assert_eq!((books.delivered, books.overflow), (numbers.len() as f64, 0.0));
    let conflated = metric(&weir, "weir_events_discarded_total", "conflated").await?;
    assert_eq!(conflated, (EVENTS - numbers.len()) as f64);
    Ok(())
}

/// With more keys than room the oldest make room, and that is told.
#[tokio::test]
async fn latest_with_more_keys_than_room_is_drop_oldest() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "10"]).await?;
    let mut slow = paused(&weir, "overflow=latest").await?;
    publish(&weir.client(), 0, EVENTS, EVENTS).await?;
    let missed = ensure_exact(&read_through(&mut slow, EVENTS - 1).await?)?;
    assert!(missed > 250, "{missed} missed");
    assert_eq!(at_rest(&weir).await?.overflow, missed as f64);
    Ok(())
}

#[tokio::test]
async fn disconnect_ends_the_stream_and_the_client_resumes() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "10"]).await?;
    let beside = honest(&weir).await?;
    let mut slow = paused(&weir, "overflow=disconnect").await?;
    publish(&weir.client(), 0, EVENTS, 1).await?;
    ensure_unharmed(beside).await?;
    eventually(DEADLINE, async || {
        let ended = metric(&weir, "weir_disconnections_total", "overflow").await?;
        ensure!(ended == 1.0, "{ended} disconnected for their overflow");
        Ok(())
    })
    .await?;
    let mut got = Vec::new();
    loop {
        match slow.next().await? {
            Next::Item(Item::Event(event)) => got.push(Got::Event(number(&event.data)?)),
            Next::Item(Item::Violation(_)) => {}
            Next::Item(other) => anyhow::bail!("{other:?}"),
            Next::End(_) => break,
        }
    }
    let from = slow.last_event_id().to_owned();
    let mut resumed = weir.client().events("s").header("last-event-id", from).subscribe().await?;
    resumed.next_event().await?;
    got.extend(read_through(&mut resumed, EVENTS - 1).await?);
    assert_eq!(ensure_exact(&got)?, 0);
    at_rest(&weir).await?;
    assert!(metric(&weir, "weir_events_discarded_total", "disconnect").await? > 0.0);
    Ok(())
}

/// The queue is bounded by bytes, too, and an event that is larger than that still passes.
#[tokio::test]
async fn a_queue_is_bounded_by_bytes() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-bytes", "20KiB"]).await?;
    let mut slow = paused(&weir, "overflow=drop-oldest").await?;
    for from in (0..EVENTS).step_by(20) {
        publish(&weir.client(), from, 20, 1).await?;
        has_read(&weir, u32::try_from(from + 20)?).await?;
    }
    let queued = weir.metrics().await?.value("weir_queue_bytes", &[]).unwrap_or_default();
    assert!((1.0..=20.0 * 1024.0).contains(&queued), "{queued}");
    assert!(ensure_exact(&read_through(&mut slow, EVENTS - 1).await?)? > 250);
    weir.client().publish("s", format!("{EVENTS} {}", "x".repeat(100 << 10))).await?;
    assert_eq!(read_through(&mut slow, EVENTS).await?, [Got::Event(EVENTS)]);
    Ok(())
}

/// A replay of more than the queue holds goes at the pace of its reader, and no policy applies to it.
#[tokio::test]
async fn a_replay_larger_than_the_queue_arrives_whole() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "10", "--overflow", "disconnect"]).await?;
    publish(&weir.client(), 0, EVENTS - 100, 1).await?;
    has_read(&weir, u32::try_from(EVENTS - 100)?).await?;
    let mut slow = paused(&weir, "lastEventId=earliest").await?;
    publish(&weir.client(), EVENTS - 100, 100, 1).await?;
    assert_eq!(ensure_exact(&read_through(&mut slow, EVENTS - 1).await?)?, 0);
    let books = at_rest(&weir).await?;
    assert_eq!(books.queued, 0.0);
    assert_eq!(weir.metrics().await?.value("weir_replayed_events_total", &[]), Some(EVENTS as f64));
    Ok(())
}

/// One who reads on, however slowly, is not stalled: the time counts for the oldest waiting event.
#[tokio::test]
async fn a_pause_within_the_stall_timeout_is_forgiven() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "2s"]).await?;
    let mut slow = paused(&weir, "").await?;
    publish(&weir.client(), 0, EVENTS, 1).await?;
    // The pause itself is what is tested.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(ensure_exact(&read_through(&mut slow, EVENTS - 1).await?)?, 0);
    assert_eq!(metric(&weir, "weir_disconnections_total", "stalled").await?, 0.0);
    Ok(())
}

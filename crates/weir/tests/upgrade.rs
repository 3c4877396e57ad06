//! Two versions on one stream, as for as long as an upgrade takes: neither harms the other, and clients notice nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::time::Instant;
use weir_testkit::redis::RedisServer;
use weir_testkit::sse::Event;
use weir_testkit::{Client, DEADLINE, End, Instance, Signal, SseStream, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "weir:events";

/// Longer than the lease of a reader group: one whose lease the other version does not understand is gone after it.
const BEYOND_LEASE: Duration = Duration::from_secs(75);

/// What an instance of tomorrow writes beside what is known today is no fault and reaches nobody.
#[tokio::test]
async fn what_a_later_version_adds_is_passed_over() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = Instance::start(WEIR, &["--redis", &redis.url(), "--read-block", "200ms"]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    let from = stream.last_event_id().to_owned();
    let entries: [&[&str]; 7] = [
        &["trace", "00-4bf9", "session", "s", "data", "1", "type", "t", "ttl", "5", "origin", ""],
        &["weir", "roster", "session", "s", "data", "not for clients"],
        &["session", "s", "data", "not for clients either", "weir", ""],
        &["weir", "roster"],
        &["session", "s", "data", "2", "key", "k", "codec", "none", "snapshot", "60", "codec", "again"],
        &["weir", "roster 2", "version", "9", "session", "s", "type", "weir.gap", "data", "{}"],
        &["session", "s", "data", "3", "weird", "is not weir"],
    ];
    for fields in entries {
        redis.cli(&[&["XADD", STREAM, "*"], fields].concat()).await;
    }
    assert_eq!(stream.next_data(3).await?, ["1", "2", "3"]);
    let mut again = client.events("s").query("lastEventId", &from).subscribe().await?;
    assert_eq!(again.next_data(3).await?, ["1", "2", "3"]);
    let poll = client.events("s").query("lastEventId", &from).query("wait", "1").send().await?.json()?;
    assert_eq!((poll["events"].as_array().map(Vec::len), &poll["gap"]), (Some(3), &json!(null)));
    assert_eq!(client.get("/v1/sessions/s/snapshot").send().await?.body, "2");
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_entries_read_total", &[]), Some(entries.len() as f64));
    assert_eq!(metrics.sum("weir_entries_malformed_total", &[]), 0.0);
    assert_eq!(metrics.sum("weir_gap_notices_total", &[]), 0.0);
    Ok(())
}

/// `make upgrade-test` builds the previous version and says where it is.
fn previous() -> anyhow::Result<String> {
    let given = std::env::var_os("WEIR_PREVIOUS_BINARY");
    let path = PathBuf::from(given.context("WEIR_PREVIOUS_BINARY is not set: run `make upgrade-test`")?);
    path.into_os_string().into_string().ok().context("the path is UTF-8")
}

#[tokio::test]
#[ignore = "needs a second build: make upgrade-test"]
async fn the_previous_version_and_this_one_are_one_broker() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", &url, "--read-block", "200ms", "--drain-delay", "0s", "--drain-window", "0s"];
    let (old, new) = (Instance::start(&previous()?, &flags).await?, Instance::start(WEIR, &flags).await?);
    let both = [old.client(), new.client()];
    let mut streams = [both[0].subscribe("s").await?, both[1].subscribe("s").await?];
    publish(&both).await?;
    let seen = same(&mut streams).await?;
    for client in both {
        ensure_resumes(client, &seen).await?;
    }
    ensure_both_live(&redis, [&old, &new], &mut streams).await?;
    let [old_stream, _] = streams;
    ensure_hands_over(&redis, (old, new), old_stream).await
}

/// Events of one round.
const ROUND: usize = 20;

/// Each publishes in turn, and knows what the other has published.
async fn publish(both: &[Client; 2]) -> anyhow::Result<()> {
    for number in 0..ROUND {
        let to = |client: Client| {
            let event =
                client.event("s").query("type", "order.updated").query("key", format!("k{}", number % 3));
            event
                .query("snapshot", "600")
                .header("idempotency-key", number.to_string())
                .body(format!("{number}\n"))
        };
        let first = to(both[number % 2]).send().await?;
        let again = to(both[(number + 1) % 2]).send().await?;
        ensure!(again.event_id()? == first.event_id()?, "{again:?} after {first:?}");
        ensure!(again.head.header("weir-duplicate") == Some("true"), "{again:?}");
    }
    Ok(())
}

/// A round of events, the same on each.
async fn same(streams: &mut [SseStream; 2]) -> anyhow::Result<Vec<Event>> {
    let mut seen = [Vec::new(), Vec::new()];
    for (stream, seen) in streams.iter_mut().zip(&mut seen) {
        while seen.len() < ROUND {
            seen.push(stream.next_published().await?);
        }
    }
    let [old, new] = seen;
    ensure!(old == new, "{old:?} on the previous version, {new:?} on this one");
    Ok(new)
}

/// What either has told a client, this one goes on from.
async fn ensure_resumes(client: Client, seen: &[Event]) -> anyhow::Result<()> {
    for (nth, event) in seen.iter().enumerate() {
        let id = event.last_event_id.as_str();
        let mut resumed = client.events("s").header("last-event-id", id).subscribe().await?;
        for want in &seen[nth + 1..] {
            ensure!(resumed.next_published().await? == *want, "after {id} {want:?} is missing");
        }
    }
    let snapshot = client.get("/v1/sessions/s/snapshot").send().await?;
    let newest = seen.last().map(|event| event.last_event_id.as_str());
    ensure!(snapshot.head.header("weir-event-id") == newest, "{snapshot:?} is not {newest:?}");
    Ok(())
}

/// Neither takes the other for dead, however long the upgrade takes.
async fn ensure_both_live(
    redis: &RedisServer,
    both: [&Instance; 2],
    streams: &mut [SseStream; 2],
) -> anyhow::Result<()> {
    let of_both = groups(redis).await;
    ensure!(of_both.len() == 2, "{of_both:?}");
    let until = Instant::now() + BEYOND_LEASE;
    let mut number = 0;
    while Instant::now() < until {
        both[number % 2].client().publish("s", number.to_string()).await?;
        for stream in &mut *streams {
            ensure!(stream.next_data(1).await? == [number.to_string()]);
        }
        ensure!(groups(redis).await == of_both, "{:?} is left of {of_both:?}", groups(redis).await);
        number += 1;
        // The time itself is what is tested.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for weir in both {
        let metrics = weir.metrics().await?;
        for never in [
            "weir_groups_reaped_total",
            "weir_group_recreated_total",
            "weir_entries_lost_total",
            "weir_entries_malformed_total",
            "weir_gap_notices_total",
        ] {
            ensure!(metrics.sum(never, &[]) == 0.0, "{never} is {}", metrics.sum(never, &[]));
        }
        expect::balance(weir).await?;
    }
    Ok(())
}

/// The previous version goes, its client goes on with this one.
async fn ensure_hands_over(
    redis: &RedisServer,
    (mut old, new): (Instance, Instance),
    mut stream: SseStream,
) -> anyhow::Result<()> {
    old.signal(Signal::TERM)?;
    let (events, end) = stream.read_to_end().await?;
    let told: Vec<_> =
        events.iter().map(|event| event.event.as_str()).filter(|name| *name != "weir.ping").collect();
    ensure!((&told[..], end) == (&["weir.shutdown"], End::Clean), "{told:?} {end:?}");
    ensure!(old.wait_exit(DEADLINE).await?.success(), "{}", old.log().join("\n"));
    new.client().publish("s", "later").await?;
    let resumed = new.client().events("s").header("last-event-id", stream.last_event_id());
    ensure!(resumed.subscribe().await?.next_data(1).await? == ["later"]);
    let left = eventually(DEADLINE, async || {
        let left = groups(redis).await;
        ensure!(left.len() == 1, "{left:?}");
        Ok(left)
    });
    let ready = new.admin_client().get("/readyz").send().await?.json()?;
    ensure!(left.await? == [ready["group"].as_str().unwrap_or_default()], "{ready}");
    Ok(())
}

/// The reader groups as Redis has them.
async fn groups(redis: &RedisServer) -> Vec<String> {
    let info = redis.cli(&["XINFO", "GROUPS", STREAM]).await;
    let names = info.lines().filter(|line| line.starts_with("weir:"));
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort();
    names
}

//! Groups: made with a known lag, acknowledged, leased, reaped.

use std::time::Duration;

use weir_core::log::{EventLog, LogReader};
use weir_log::Pace;
use weir_testkit::log_suite::follow::{entries, events, eventually, loaded, next, numbers};
use weir_testkit::log_suite::{Backend, Limits};

use crate::server::{STREAM, Shared, config, open};

/// The lag of a group is known from the first moment, on a stream that has entries.
#[tokio::test]
async fn lag_is_known_at_once() {
    let shared = Shared::new().await;
    shared.add_numbers(0..10).await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    eventually("a known lag", async || joined.log.facts().lag == Some(0)).await;
    shared.add_numbers(10..13).await;
    eventually("a lag of what was added", async || joined.log.facts().lag == Some(3)).await;
    let facts = joined.log.facts();
    assert_eq!((facts.groups, facts.pending), (Some(1), Some(0)));
    assert!(facts.read < facts.newest);
}

/// What was handed out is pending until more is asked for, then acknowledged; at rest nothing is pending.
#[tokio::test]
async fn asking_for_more_acknowledges() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    shared.add_numbers(0..10).await;
    entries(&mut *joined.reader, 10).await;
    let pending = async || {
        let group = &shared.groups().await[0];
        shared.server.cli(&["XPENDING", STREAM, group]).await.lines().next().unwrap().to_owned()
    };
    assert_ne!(pending().await, "0");
    eventually("an age of what is pending", async || joined.log.facts().pending_oldest_ms.is_some()).await;
    next(&mut *joined.reader).await;
    assert_eq!(pending().await, "0");
}

/// Whoever is behind has its lag told, and keeps no book of what it reads; once it has caught up, it does again.
#[tokio::test]
async fn what_is_read_of_a_backlog_is_not_pending() {
    let shared = Shared::start(Limits { maxlen: 1_000, read_count: 10 }).await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    shared.add_numbers(0..25).await;
    let mut pending = Vec::new();
    for (read, from) in [(10, 0), (10, 10), (5, 20), (1, 25)] {
        if from == 25 {
            shared.add_numbers(25..26).await;
        }
        let read = numbers(&events(&mut *joined.reader, read).await);
        assert_eq!(read.first(), Some(&from));
        let group = &shared.groups().await[0];
        let summary = shared.server.cli(&["XPENDING", STREAM, group]).await;
        pending.push(summary.lines().next().unwrap_or_default().to_owned());
    }
    assert_eq!(pending, ["10", "0", "0", "1"]);
}

/// A read may be full of all there is: what comes live is booked, however few entries are asked for at once.
#[tokio::test]
async fn what_comes_live_is_pending_also_where_it_fills_a_read() {
    for full in [1, 10] {
        let shared = Shared::start(Limits { maxlen: 1_000, read_count: full }).await;
        let mut joined = shared.instance().await;
        loaded(&mut *joined.reader).await;
        for batch in 0..4 {
            shared.add_numbers(batch * full..(batch + 1) * full).await;
            entries(&mut *joined.reader, full).await;
            let group = &shared.groups().await[0];
            let summary = shared.server.cli(&["XPENDING", STREAM, group]).await;
            assert_eq!(summary.lines().next(), Some(&*full.to_string()), "batch {batch} of {full}");
        }
    }
}

/// Two instances of one name have two groups, and both get everything.
#[tokio::test]
async fn a_name_used_twice_splits_nothing() {
    let shared = Shared::new().await;
    let (mut one, mut two) = (shared.instance().await, shared.instance().await);
    loaded(&mut *one.reader).await;
    loaded(&mut *two.reader).await;
    assert_eq!(shared.groups().await.len(), 2);
    shared.add_numbers(0..100).await;
    for reader in [&mut one.reader, &mut two.reader] {
        assert_eq!(numbers(&events(&mut **reader, 100).await), (0..100).collect::<Vec<_>>());
    }
}

/// A group whose instance is gone is reaped when its lease is over; living ones and those of others stay.
#[tokio::test]
async fn a_leaked_group_is_reaped() {
    let shared = Shared::new().await;
    shared.add_numbers(0..1).await;
    shared.server.cli(&["XGROUP", "CREATE", STREAM, "weir:killed:1", "0"]).await;
    shared.server.cli(&["XGROUP", "CREATE", STREAM, "of-somebody-else", "0"]).await;
    let mut config = config(&shared.server, Limits::default());
    config.pace = Pace { upkeep: Duration::from_millis(30), lease: Duration::from_millis(500) };
    let start = std::time::Instant::now();
    let (mut one, mut two) = (open(config.clone()), open(config));
    loaded(&mut *one.reader).await;
    loaded(&mut *two.reader).await;
    assert_eq!(shared.groups().await.len(), 3);
    eventually("the reaping of the leaked group", async || shared.groups().await.len() == 2).await;
    assert!(start.elapsed() >= Duration::from_millis(500), "a group without lease is given a full period");
    eventually("the count of it", async || {
        one.metrics.redis().groups_reaped.get() + two.metrics.redis().groups_reaped.get() == 1
            && one.log.facts().groups == Some(2)
    })
    .await;
    shared.add_numbers(1..2).await;
    for joined in [&mut one, &mut two] {
        events(&mut *joined.reader, 1).await;
        assert_eq!(joined.metrics.redis().group_recreated.get(), 0);
    }
    assert!(shared.server.cli(&["XINFO", "GROUPS", STREAM]).await.contains("of-somebody-else"));
}

/// The end leaves no group, no lease and no connection.
#[tokio::test]
async fn close_leaves_no_connection() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    drop(tokio::time::timeout(Duration::from_millis(1), joined.reader.next()).await);
    joined.reader.close().await;
    joined.log.close().await;
    assert_eq!(shared.leftovers().await, Vec::<String>::new());
    eventually("the end of all connections", async || {
        shared.server.cli(&["CLIENT", "LIST"]).await.lines().filter(|line| !line.is_empty()).count() == 1
    })
    .await;
}

//! A cluster: the stream's slot moves, its node goes away and comes back.

use std::time::{Duration, Instant};

use weir_core::log::{AppendError, EventLog, Feed, Idempotency, LogReader, NewEvent};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{
    events, eventually, loaded, next_news, numbers, plain, write, write_numbers,
};
use weir_testkit::redis::RedisCluster;

use crate::load::{Load, read_all};
use crate::server::{Joined, STREAM, config_of, open, ready};

/// How long everything may take that a cluster agrees on. It bounds a broken log, not a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn instance(cluster: &RedisCluster, seed: usize) -> Joined {
    let joined = open(config_of(cluster.url(seed), Limits::default()));
    ready(&joined.log).await;
    joined
}

/// Everything that is published and read is in one slot, whichever node is asked first.
#[tokio::test]
async fn one_slot_holds_everything() {
    let cluster = RedisCluster::start(crate::SOFTWARE).await;
    let mut all = Vec::new();
    for seed in 0..3 {
        let mut joined = instance(&cluster, seed).await;
        loaded(&mut *joined.reader).await;
        all.push(joined);
    }
    let log = &*all[0].log;
    write_numbers(log, 0..3).await;
    let batch: Vec<_> = (3..6).map(plain).collect();
    let once = Idempotency { scope: "t".to_owned(), key: "k".to_owned(), digest: [7; 32] };
    for (nth, expected) in ["Written", "Duplicate"].into_iter().enumerate() {
        let outcome = all[nth].log.append(&batch, Some(&once)).await.unwrap();
        assert!(format!("{outcome:?}").starts_with(expected), "{outcome:?}");
    }
    let kept = NewEvent { snapshot: Some(60), ..plain(6) };
    write(log, std::slice::from_ref(&kept)).await;
    let snapshot = all[2].log.snapshot(&kept.session).await.unwrap().unwrap();
    assert_eq!(snapshot.data(), "6");
    for joined in &mut all {
        assert_eq!(numbers(&events(&mut *joined.reader, 7).await), (0..7).collect::<Vec<_>>());
    }
}

/// The slot of the stream moves to another node and on, with an entry every other ms: nothing is lost, doubled or out of
/// order, and nobody takes the stream for another one.
#[tokio::test]
async fn a_moving_slot_loses_nothing() {
    let cluster = RedisCluster::start(crate::SOFTWARE).await;
    let Joined { log, mut reader, metrics } = instance(&cluster, 0).await;
    loaded(&mut *reader).await;
    let load = Load::start(&log);
    let slot = cluster.slot(STREAM).await;
    let moving = async {
        for _ in 0..3 {
            let from = cluster.owner(STREAM).await;
            let to = (from + 1) % 3;
            load.goes_on(30).await;
            cluster.open_slot(&slot, from, to).await;
            load.goes_on(10).await;
            let start = Instant::now();
            cluster.move_keys(&slot, from, to).await;
            cluster.close_slot(&slot, from, to).await;
            let before = log.facts().newest;
            eventually("publishing on the new node", async || log.facts().newest > before).await;
            println!("published again {:?} after the keys began to move", start.elapsed());
        }
        load.stop();
    };
    let read = read_all(&mut *reader, &load);
    let (got, ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(read, moving) }).await.expect("an end");
    let written = load.finish().await.check(&got.numbers);
    assert_eq!(got.resets, 0);
    assert!(written > 100, "{written}");
    assert!(metrics.redis().reconnects.get() > 0);
}

/// A node that is away takes only its own slots with it where the cluster is told so; the stream's own node is waited for.
#[tokio::test]
async fn a_node_that_is_away() {
    let mut cluster = RedisCluster::start(crate::SOFTWARE).await;
    let owner = cluster.owner(STREAM).await;
    // The seed is the one that goes, so that the others must be known from the answer of an earlier time.
    let seed = (owner + 1) % 3;
    let alone = format!("redis-cluster://127.0.0.1:{}", cluster.nodes[seed].port());
    let Joined { log, mut reader, .. } = open(config_of(alone, Limits::default()));
    loaded(&mut *reader).await;
    ready(&log).await;
    write_numbers(&*log, 0..2).await;
    events(&mut *reader, 2).await;

    cluster.nodes[seed].stop();
    let feed = next_news(&mut *reader).await;
    assert!(matches!(&feed, Feed::Down(why) if why.contains("CLUSTERDOWN")), "{feed:?}");
    // The first may be on its way by a connection that is about to be given up.
    eventually("a refusal", async || {
        matches!(log.append(&[plain(9)], None).await, Err(AppendError::Unavailable(_)))
    })
    .await;
    eventually("the facts of it", async || !log.facts().up).await;
    for node in 0..3 {
        if node != seed {
            cluster.nodes[node].cli(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
        }
    }
    let feed = next_news(&mut *reader).await;
    assert!(matches!(&feed, Feed::Restored), "{feed:?}");
    ready(&log).await;
    write_numbers(&*log, 2..4).await;
    assert_eq!(numbers(&events(&mut *reader, 2).await), [2, 3]);

    let mut joined = instance(&cluster, seed).await;
    assert_eq!(loaded(&mut *joined.reader).await.entries.len(), 4);
}

/// The stream's node dies and its replica takes over: on it goes, without loss where the replica had everything.
#[tokio::test]
async fn a_replica_that_takes_over() {
    let mut cluster = RedisCluster::start(crate::SOFTWARE).await;
    let owner = cluster.owner(STREAM).await;
    cluster.add_replica(owner).await;
    let Joined { log, mut reader, .. } = instance(&cluster, owner).await;
    loaded(&mut *reader).await;
    write_numbers(&*log, 0..5).await;
    events(&mut *reader, 5).await;
    cluster.nodes[owner].replicated().await;

    cluster.nodes[owner].stop();
    let feed = next_news(&mut *reader).await;
    assert!(matches!(&feed, Feed::Down(_)), "{feed:?}");
    let feed = tokio::time::timeout(PATIENCE, next_news(&mut *reader)).await.expect("the replica takes over");
    assert!(matches!(&feed, Feed::Restored), "{feed:?}");
    ready(&log).await;
    write_numbers(&*log, 5..8).await;
    assert_eq!(numbers(&events(&mut *reader, 3).await), [5, 6, 7]);
    reader.close().await;
}

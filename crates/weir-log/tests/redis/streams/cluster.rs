//! Durable streams in a cluster.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use weir_core::durable::{
    Append, AppendError, Appended, Create, DeleteError, Fork, From, Lifetime, Offset, Producer, StreamName,
    StreamStore,
};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::eventually;
use weir_testkit::redis::RedisCluster;

use super::{Streams, chunk, name};
use crate::SOFTWARE;
use crate::server::{STREAM, config_of};

/// How long everything may take that a cluster agrees on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that can be done is done there, also while the slot moves: what was acknowledged is there once, in order, and of
/// no append it stays unknown what became of it, however many are under way when the first is refused.
#[tokio::test]
async fn a_slot_that_moves() {
    let cluster = RedisCluster::start(SOFTWARE).await;
    let one = Streams::joined(config_of(cluster.url(0), Limits::default()), None).await;
    let (stream, fork) = (name("s"), name("fork"));
    let others: Vec<_> = (0..16).map(|nth| name(&format!("s{nth}"))).collect();
    for stream in others.iter().chain([&stream]) {
        one.create(stream).await;
    }
    let first = one.append(&stream, "0").await;
    let forked = Fork { source: stream.clone(), offset: None, units: 0 };
    one.store.create(&fork, &Create { fork: Some(forked), ..Create::default() }).await.unwrap();
    one.append(&fork, "x").await;
    let slot = cluster.slot(STREAM).await;
    let from = cluster.owner(STREAM).await;
    let to = (from + 1) % 3;
    let moved = Cell::new(false);
    let moving = async {
        cluster.open_slot(&slot, from, to).await;
        cluster.move_keys(&slot, from, to).await;
        cluster.close_slot(&slot, from, to).await;
        moved.set(true);
    };
    let appending = appends(&one, &stream, vec![first], &moved);
    let crowd = join_all(others.iter().map(|stream| appends(&one, stream, Vec::new(), &moved)));
    let all = async { tokio::join!(moving, appending, crowd) };
    let ((), acknowledged, crowd) = timeout(PATIENCE, all).await.expect("an end");
    for (stream, acknowledged) in others.iter().zip(crowd).chain([(&stream, acknowledged)]) {
        let all = one.all(stream).await;
        assert!(all.iter().map(|(end, _)| end).eq(&acknowledged));
        assert!(all.iter().enumerate().all(|(nth, (_, text))| *text == nth.to_string()), "{all:?}");
    }
    for stream in others {
        one.store.delete(&stream).await.unwrap();
    }
    assert_eq!(one.all(&fork).await.len(), 2);
    let close = Append { payload: None, close: true, ..chunk("") };
    eventually("the end", async || one.store.append(&fork, &close).await.is_ok()).await;
    one.store.delete(&stream).await.unwrap();
    assert_eq!(one.all(&fork).await.len(), 2, "the fork keeps its source");
    one.store.delete(&fork).await.unwrap();
    let keys = cluster.nodes[to].cli(&["KEYS", "*:ds:*"]).await;
    assert!(keys.lines().all(|key| key.ends_with(":ds:life")), "{keys}");
}

/// Appends its own count, over and over, until the third one after the move. Gives the ends of all there are.
async fn appends(
    one: &Streams,
    stream: &StreamName,
    mut acknowledged: Vec<Offset>,
    moved: &Cell<bool>,
) -> Vec<Offset> {
    let mut after_move = 0;
    while after_move < 3 {
        match one.store.append(stream, &chunk(&acknowledged.len().to_string())).await {
            Ok(Appended::Written { tail, .. }) => {
                acknowledged.push(tail);
                after_move += u64::from(moved.get());
            }
            Err(AppendError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => panic!("{other:?}"),
        }
    }
    acknowledged
}

/// While the slot moves, a source may be at the other node already: a fork whose end would be one fork less of it stays whole, and
/// ends later.
#[tokio::test]
async fn a_source_that_has_moved_already() {
    let cluster = RedisCluster::start(SOFTWARE).await;
    let one = Streams::joined(config_of(cluster.url(0), Limits::default()), None).await;
    let [stream, fork, timed] = ["s", "fork", "timed"].map(name);
    let producer = || Append {
        producer: Some(Producer { id: "p".into(), epoch: 0, seq: 0 }),
        media: None,
        payload: None,
        close: true,
        seq: None,
    };
    one.create(&stream).await;
    one.append(&stream, "0").await;
    let forked = Fork { source: stream.clone(), offset: None, units: 0 };
    one.store.create(&fork, &Create { fork: Some(forked), ..Create::default() }).await.unwrap();
    one.append(&fork, "x").await;
    one.store.append(&fork, &producer()).await.unwrap();
    // Of what a deletion is told of, everything is there.
    let lifetime = Some(Lifetime::Idle(1000));
    one.store.create(&timed, &Create { lifetime, ..Create::default() }).await.unwrap();
    one.store.delete(&stream).await.unwrap();
    let slot = cluster.slot(STREAM).await;
    let from = cluster.owner(STREAM).await;
    let to = (from + 1) % 3;
    cluster.open_slot(&slot, from, to).await;
    let (port, head) = (cluster.nodes[to].port().to_string(), "{weir:events}:ds:head:s");
    cluster.nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, head, "0", "5000"]).await;
    let refused = one.store.delete(&fork).await;
    assert!(matches!(refused, Err(DeleteError::Unavailable(_))), "{refused:?}");
    cluster.move_keys(&slot, from, to).await;
    cluster.close_slot(&slot, from, to).await;
    let whole =
        async || one.store.read(&fork, From::Begin, 100).await.is_ok_and(|page| page.chunks.len() == 2);
    eventually("all of the fork", whole).await;
    one.store.delete(&fork).await.unwrap();
    let keys = cluster.nodes[to].cli(&["KEYS", "*:ds:*"]).await;
    let left = |key: &str| key.ends_with(":fork") || key.ends_with(":s");
    assert!(!keys.lines().any(left), "{keys}");
}

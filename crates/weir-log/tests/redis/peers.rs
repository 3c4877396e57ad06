//! What instances tell each other of themselves.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_core::log::EventLog;
use weir_core::peers::{GONE_AFTER, MOST_PEERS, MOST_REPORT_BYTES, Peers, Told};
use weir_log::RedisPeers;
use weir_testkit::log_suite::Backend;
use weir_testkit::log_suite::follow::eventually;

use crate::server::{Joined, Shared};

const HASH: &str = "{weir:events}:instances";

async fn three(shared: &Shared) -> Vec<(Joined, Arc<RedisPeers>)> {
    let mut all = Vec::new();
    for _ in 0..3 {
        let joined = shared.instance().await;
        let peers = joined.log.peers();
        all.push((joined, peers));
    }
    all
}

async fn told(peers: &RedisPeers) -> Vec<Told> {
    peers.look().await.unwrap().told
}

fn reports(told: &[Told]) -> BTreeSet<&str> {
    told.iter().map(|told| std::str::from_utf8(&told.report).unwrap()).collect()
}

/// Redis on this machine has its clock.
fn stamp(ago: Duration) -> String {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - ago).as_millis().to_string()
}

#[tokio::test]
async fn all_are_seen_and_who_leaves_is_not() {
    let shared = Shared::start(weir_testkit::log_suite::Limits::default()).await;
    let all = three(&shared).await;
    let [(_, one), (_, two), (_, three)] = &all[..] else { panic!("three") };
    assert!(!one.are_watched().await.unwrap());
    one.tell("one").await.unwrap();
    two.tell("two\nof two").await.unwrap();
    three.tell("three").await.unwrap();
    assert!(!two.are_watched().await.unwrap(), "telling is not looking");
    let seen = told(one).await;
    assert_eq!(reports(&seen), BTreeSet::from(["one", "two\nof two", "three"]));
    assert!(seen.iter().all(|told| told.age < Duration::from_secs(5)), "{seen:?}");
    assert!(seen.iter().any(|told| told.id == two.own()));
    assert_ne!(one.own(), two.own(), "they have one name, and are two");
    assert!(two.are_watched().await.unwrap());
    two.tell("two again").await.unwrap();
    three.leave().await.unwrap();
    assert_eq!(reports(&told(one).await), BTreeSet::from(["one", "two again"]));
    // Whoever looked is forgotten if it does not look again.
    let left: i64 = shared.server.cli(&["PTTL", &format!("{HASH}:watched")]).await.parse().unwrap();
    assert!((1..=10_000).contains(&left), "{left}");
}

#[tokio::test]
async fn the_silent_grow_old_and_go() {
    let shared = Shared::new().await;
    let joined = shared.instance().await;
    let peers = joined.log.peers();
    let old = |ago| format!("{} killed", stamp(ago));
    shared.server.cli(&["HSET", HASH, "a", &old(Duration::from_secs(12))]).await;
    shared.server.cli(&["HSET", HASH, "b", &old(GONE_AFTER + Duration::from_secs(2))]).await;
    let seen = told(&peers).await;
    assert_eq!((seen.len(), seen[0].id.as_str()), (1, "a"));
    assert!((12..20).contains(&seen[0].age.as_secs()), "{seen:?}");
    assert_eq!(shared.server.cli(&["HKEYS", HASH]).await, "a");
}

/// Whatever anybody writes there, a look is bounded, and what weir cannot have written is gone after it.
#[tokio::test]
async fn what_others_write_there_costs_one_look() {
    let shared = Shared::new().await;
    let joined = shared.instance().await;
    let peers = joined.log.peers();
    let now = stamp(Duration::ZERO);
    let large = format!("{now} {}", "x".repeat(MOST_REPORT_BYTES + 1));
    let future = format!("{} x", "9".repeat(400));
    let (later, id) = (format!("{}0 x", now), "i".repeat(513));
    for (field, value) in [
        ("large", large.as_str()),
        ("future", &future),
        ("later", &later),
        ("empty", ""),
        ("text", "hello"),
        ("negative", "-5 x"),
        ("bytes", "\u{1}\u{0}"),
        (&id, &format!("{now} x")),
    ] {
        shared.server.cli(&["HSET", HASH, field, value]).await;
    }
    let largest = "y".repeat(MOST_REPORT_BYTES);
    peers.tell(&largest).await.unwrap();
    assert_eq!(reports(&told(&peers).await), BTreeSet::from([largest.as_str()]));
    assert_eq!(shared.server.cli(&["HLEN", HASH]).await, "1");
    for nth in 0..2 * MOST_PEERS {
        shared.server.cli(&["HSET", HASH, &nth.to_string(), &format!("{now} x")]).await;
    }
    let seen = peers.look().await.unwrap();
    assert_eq!((seen.told.len(), seen.left_out), (MOST_PEERS, MOST_PEERS as u64 + 1));
    // What is no hash at all is said, and harms nothing else.
    shared.server.cli(&["DEL", HASH]).await;
    shared.server.cli(&["SET", HASH, "x"]).await;
    assert!(peers.look().await.is_err() && peers.tell("x").await.is_err());
    assert!(joined.log.facts().up);
}

#[tokio::test]
async fn a_redis_that_is_away_is_said_and_seen_again() {
    let mut shared = Shared::new().await;
    let joined = shared.instance().await;
    let peers = joined.log.peers();
    shared.server.stop();
    assert!(peers.look().await.is_err() && peers.are_watched().await.is_err());
    shared.server.restart().await;
    eventually("a look", async || peers.look().await.is_ok()).await;
}

//! Sentinels replace the master, and the connections follow.

use std::time::{Duration, Instant};

use weir_core::id::EventId;
use weir_core::log::{EventLog, Feed};
use weir_log::RedisConfig;
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{event, events, eventually, loaded, next_news, numbers, write_numbers};
use weir_testkit::redis::{Options, RedisServer, Sentinels};

use crate::SOFTWARE;
use crate::load::{Load, read_all};
use crate::server::{Joined, STREAM, config_of, open, ready};

/// How long an election and what follows may take. It bounds a broken log, not a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A master, its replica, and who watches them.
struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Sentinels,
}

impl Watched {
    async fn start() -> Self {
        let master = RedisServer::start_with(SOFTWARE.into()).await;
        let replica = RedisServer::start_with(Options::from(SOFTWARE).replica_of(master.port())).await;
        let sentinels = Sentinels::watch(SOFTWARE, master.port(), 1).await;
        Self { master, replica, sentinels }
    }

    fn config(&self) -> RedisConfig {
        config_of(self.sentinels.url(), Limits::default())
    }

    async fn instance(&self) -> Joined {
        let mut joined = open(self.config());
        ready(&joined.log).await;
        loaded(&mut *joined.reader).await;
        joined
    }

    /// Waits until the replica is the master, and says when that was.
    async fn elected(&self) -> Instant {
        eventually("an election", async || {
            self.sentinels.master().await == self.replica.port()
                && self.replica.cli(&["ROLE"]).await.starts_with("master")
        })
        .await;
        Instant::now()
    }
}

/// The master is killed under load, with a replica that has everything: what was acknowledged before and after comes once
/// and in order, and nobody is told of a reset.
#[tokio::test]
async fn a_killed_master_is_replaced() {
    let mut watched = Watched::start().await;
    let Joined { log, mut reader, metrics } = watched.instance().await;
    write_numbers(&*log, 0..5).await;
    events(&mut *reader, 5).await;
    watched.master.replicated().await;
    watched.master.stop();
    let load = Load::start(&log);
    let failover = async {
        let elected = watched.elected().await;
        ready(&log).await;
        println!("publishing {:?} after the election", elected.elapsed());
        let read = log.facts().read;
        eventually("delivery", async || log.facts().read > read).await;
        println!("delivering {:?} after the election", elected.elapsed());
        load.stop();
    };
    let read = read_all(&mut *reader, &load);
    let (got, ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(read, failover) }).await.expect("an end");
    assert!(load.finish().await.check(&got.numbers) > 0);
    assert_eq!(got.resets, 0);
    assert!(metrics.redis().reconnects.get() >= 2);
}

/// An operator has the master replaced: the old one lives on as a replica, and nobody stays with it.
#[tokio::test]
async fn a_switched_master_is_followed() {
    let watched = Watched::start().await;
    let Joined { log, mut reader, .. } = watched.instance().await;
    write_numbers(&*log, 0..5).await;
    events(&mut *reader, 5).await;
    watched.master.replicated().await;
    watched.sentinels.fail_over().await;
    let elected = watched.elected().await;
    // Until both connections have moved, a publish may be refused.
    eventually("publishing", async || {
        log.append(&[weir_testkit::log_suite::follow::plain(5)], None).await.is_ok()
    })
    .await;
    let mut got = Vec::new();
    while got.last() != Some(&5) {
        match next_news(&mut *reader).await {
            Feed::Batch(batch) => got.extend(numbers(&batch.into_iter().map(event).collect::<Vec<_>>())),
            Feed::Down(_) | Feed::Restored => {}
            feed @ (Feed::Loaded(_) | Feed::Revoked(_) | Feed::Lost { .. } | Feed::Reset { .. }) => {
                panic!("{feed:?}")
            }
        }
    }
    println!("delivering {:?} after the election", elected.elapsed());
    assert_eq!(got, [5]);
}

/// A master that stands still keeps its sockets open. The Sentinels' word ends the connections to it long before a read
/// that is blocked would be given up.
#[tokio::test]
async fn a_master_that_stands_still_is_left() {
    let watched = Watched::start().await;
    let mut config = watched.config();
    config.read_block = Duration::from_secs(30);
    // So that the connection for publishing does not find out first.
    config.pace.upkeep = Duration::from_secs(60);
    let Joined { log, mut reader, .. } = open(config);
    ready(&log).await;
    loaded(&mut *reader).await;
    write_numbers(&*log, 0..5).await;
    events(&mut *reader, 5).await;
    watched.master.replicated().await;
    watched.master.pause();
    let read = async {
        loop {
            match next_news(&mut *reader).await {
                Feed::Batch(batch) => break numbers(&batch.into_iter().map(event).collect::<Vec<_>>()),
                Feed::Down(_) | Feed::Restored => {}
                feed @ (Feed::Loaded(_) | Feed::Revoked(_) | Feed::Lost { .. } | Feed::Reset { .. }) => {
                    panic!("{feed:?}")
                }
            }
        }
    };
    let publish = async {
        let elected = watched.elected().await;
        watched.replica.cli(&["XADD", STREAM, "*", "session", "s", "data", "5"]).await;
        elected
    };
    let (got, elected) = tokio::join!(read, publish);
    println!("delivering {:?} after the election", elected.elapsed());
    assert_eq!(got, [5]);
    assert!(elected.elapsed() < Duration::from_secs(20), "only when the read was given up");
    watched.master.resume();
}

/// A replica that missed entries is promoted, and ids begin again below those that were handed out: one reset that covers
/// all of them, and nothing that is written after it is swallowed because its id is lower.
#[tokio::test]
async fn a_replica_that_missed_entries_is_a_reset() {
    let mut watched = Watched::start().await;
    let Joined { log, mut reader, .. } = watched.instance().await;
    let last = write_numbers(&*log, 0..3).await.pop().unwrap();
    events(&mut *reader, 3).await;
    watched.master.replicated().await;
    watched.replica.pause();
    watched.master.cli(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    let ahead = EventId::new(last.ms + 3_600_000, 0);
    watched.master.cli(&["XADD", STREAM, &ahead.to_string(), "session", "s", "data", "3"]).await;
    assert_eq!(numbers(&events(&mut *reader, 1).await), [3]);
    watched.master.stop();
    watched.replica.resume();

    let told = async {
        let mut told = Vec::new();
        while !matches!(told.last(), Some(Feed::Loaded(_))) {
            told.push(next_news(&mut *reader).await);
        }
        told
    };
    let mut told = tokio::time::timeout(PATIENCE, told).await.expect("a load");
    let Some(Feed::Loaded(load)) = told.pop() else { panic!("{told:?}") };
    assert_eq!(numbers(&load.entries.into_iter().map(event).collect::<Vec<_>>()), [0, 1, 2]);
    let resets: Vec<_> = told
        .iter()
        .filter_map(|feed| match feed {
            Feed::Reset { after, through } => Some((*after, *through)),
            Feed::Loaded(_)
            | Feed::Revoked(_)
            | Feed::Batch(_)
            | Feed::Lost { .. }
            | Feed::Down(_)
            | Feed::Restored => None,
        })
        .collect();
    assert_eq!(resets, [(EventId::ZERO, ahead)], "{told:?}");
    ready(&log).await;
    let ids = write_numbers(&*log, 4..7).await;
    assert!(ids.iter().all(|id| *id < ahead));
    assert_eq!(numbers(&events(&mut *reader, 3).await), [4, 5, 6]);
}

//! Servers that take no writes, where a group cannot be made: reading goes on by the position alone.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use weir_core::log::{AppendError, EventLog, Feed, LogReader};
use weir_log::RedisLog;
use weir_metrics::{Metrics, ReaderError};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{event, eventually, numbers, plain};
use weir_testkit::redis::RedisServer;

use crate::server::{Joined, STREAM, Shared, config, open};

/// What a reader that runs by itself handed out.
struct Followed {
    log: Arc<RedisLog>,
    metrics: Arc<Metrics>,
    got: Arc<Mutex<Got>>,
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Got {
    numbers: Vec<usize>,
    /// Everything that is no batch.
    news: Vec<String>,
}

impl Followed {
    /// One that has loaded.
    async fn new(joined: Joined) -> Self {
        let Joined { log, mut reader, metrics } = joined;
        let got = Arc::new(Mutex::new(Got::default()));
        let mut task = JoinSet::new();
        let kept = Arc::clone(&got);
        task.spawn(async move {
            loop {
                match reader.next().await {
                    Feed::Batch(batch) => {
                        let batch: Vec<_> = batch.into_iter().map(event).collect();
                        kept.lock().numbers.extend(numbers(&batch));
                    }
                    Feed::Loaded(_) => kept.lock().news.push("loaded".to_owned()),
                    news @ (Feed::Revoked(_)
                    | Feed::Lost { .. }
                    | Feed::Reset { .. }
                    | Feed::Down(_)
                    | Feed::Restored) => {
                        kept.lock().news.push(format!("{news:?}"));
                    }
                }
            }
        });
        let followed = Self { log, metrics, got, _task: task };
        eventually("a window load", async || !followed.got.lock().news.is_empty()).await;
        followed
    }

    async fn has(&self, last: usize) {
        let what = format!("everything up to {last}");
        eventually(&what, async || self.got.lock().numbers.last() == Some(&last)).await;
    }

    async fn is_refused(&self, reason: &str) {
        let refused = || self.log.facts().group_refused.unwrap_or_default();
        eventually("reading without a group", async || refused().starts_with(reason)).await;
        assert_eq!(self.log.facts().group, None);
    }

    async fn has_a_group(&self) {
        let facts = || self.log.facts();
        eventually("a group", async || facts().group.is_some() && facts().group_refused.is_none()).await;
    }

    /// Nothing was announced, and everything came once and in order.
    fn is_whole(&self, through: usize) {
        let got = self.got.lock();
        assert_eq!(got.numbers, (0..=through).collect::<Vec<_>>());
        assert_eq!(got.news, ["loaded"]);
    }
}

/// Everything of a server's life as a replica: it is read while it follows, and as soon as it leads it has a group.
#[tokio::test]
async fn a_replica_is_read_without_a_group() {
    let master = RedisServer::start().await;
    let replica = Shared::new().await;
    replica.server.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    let synced =
        async || replica.server.cli(&["INFO", "replication"]).await.contains("master_link_status:up");
    eventually("a replica in step", synced).await;

    let followed = Followed::new(open(config(&replica.server, Limits::default()))).await;
    followed.is_refused("READONLY").await;
    let add = async |server: &RedisServer, number: usize| {
        server.cli(&["XADD", STREAM, "*", "session", "s", "data", &number.to_string()]).await;
    };
    for number in 0..5 {
        add(&master, number).await;
    }
    followed.has(4).await;
    let refused = followed.log.append(&[plain(9)], None).await;
    assert!(
        matches!(&refused, Err(AppendError::Unavailable(why)) if why.contains("READONLY")),
        "{refused:?}"
    );
    eventually("a known lag", async || followed.log.facts().lag == Some(0)).await;
    assert!(followed.metrics.redis().reader_errors.get(ReaderError::ReadOnly) > 0);

    replica.server.cli(&["REPLICAOF", "NO", "ONE"]).await;
    for number in 5..10 {
        add(&replica.server, number).await;
    }
    followed.has_a_group().await;
    add(&replica.server, 10).await;
    followed.has(10).await;
    followed.is_whole(10);
    assert_eq!(replica.groups().await.len(), 1);
}

/// A master that is demoted under a blocked read is read on, and promoted again.
#[tokio::test]
async fn a_demoted_server_is_read_on() {
    let shared = Shared::new().await;
    let followed = Followed::new(shared.instance().await).await;
    shared.add_numbers(0..3).await;
    followed.has(2).await;
    shared.server.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    followed.is_refused("READONLY").await;
    for events in [&[plain(9)][..], &[plain(9), plain(9)][..]] {
        let refused = followed.log.append(events, None).await;
        assert!(
            matches!(&refused, Err(AppendError::Unavailable(why)) if why.contains("READONLY")),
            "{refused:?}"
        );
    }
    shared.server.cli(&["REPLICAOF", "NO", "ONE"]).await;
    shared.add_numbers(3..6).await;
    followed.has(5).await;
    followed.has_a_group().await;
    followed.is_whole(5);
}

/// Too few replicas: nothing can be written, and nobody is told of an outage that is none.
#[tokio::test]
async fn too_few_replicas_stop_no_delivery() {
    let shared = Shared::new().await;
    let followed = Followed::new(shared.instance().await).await;
    shared.add_numbers(0..3).await;
    shared.server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    followed.is_refused("NOREPLICAS").await;
    shared.server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    shared.add_numbers(3..6).await;
    followed.has(5).await;
    followed.has_a_group().await;
    shared.add_numbers(6..9).await;
    followed.has(8).await;
    followed.is_whole(8);
}

/// A snapshot to disk that failed makes Redis refuse all writes.
#[tokio::test]
async fn a_full_disk_stops_no_delivery() {
    let shared = Shared::new().await;
    let followed = Followed::new(shared.instance().await).await;
    shared.add_numbers(0..3).await;
    let server = &shared.server;
    // The snapshot is moved to its name when it is complete, and nothing can be moved over a directory.
    let dir = server.cli(&["CONFIG", "GET", "dir"]).await.lines().last().unwrap().to_owned();
    std::fs::create_dir_all(format!("{dir}/dump.rdb/x")).unwrap();
    server.cli(&["CONFIG", "SET", "save", "3600 1"]).await;
    server.cli(&["BGSAVE"]).await;
    followed.is_refused("MISCONF").await;
    let refused = followed.log.append(&[plain(9)], None).await;
    assert!(matches!(&refused, Err(AppendError::Unavailable(why)) if why.contains("MISCONF")), "{refused:?}");
    server.cli(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await;
    shared.add_numbers(3..6).await;
    followed.has(5).await;
    followed.has_a_group().await;
    followed.is_whole(5);
}

/// A full memory refuses a new group, though not reading by one.
#[tokio::test]
async fn a_full_memory_stops_no_delivery() {
    let shared = Shared::new().await;
    shared.add_numbers(0..3).await;
    shared.server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let followed = Followed::new(shared.instance().await).await;
    followed.is_refused("OOM").await;
    assert!(followed.metrics.redis().reader_errors.get(ReaderError::OutOfMemory) > 0);
    shared.server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    shared.add_numbers(0..3).await;
    followed.has(2).await;
    followed.has_a_group().await;
    followed.is_whole(2);
}

/// What was trimmed is counted just as exactly without a group.
#[tokio::test]
async fn a_loss_without_a_group_is_exact() {
    let shared = Shared::new().await;
    let followed = Followed::new(shared.instance().await).await;
    shared.add_numbers(0..3).await;
    followed.has(2).await;
    shared.server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    followed.is_refused("NOREPLICAS").await;
    // One step, so that no read falls between adding and trimming.
    shared.server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    let script = "for i = 1, 7 do redis.call('XADD', KEYS[1], '*', 'session', 's', 'data', i + 100) end \
                  redis.call('XTRIM', KEYS[1], 'MAXLEN', 2)";
    shared.server.cli(&["EVAL", script, "1", STREAM]).await;
    followed.has(107).await;
    // Nobody looked between the two, so it is found by counting at the head.
    let lost = || followed.got.lock().news.get(1).cloned().unwrap_or_default();
    eventually("the loss", async || lost().contains("count: Some(5)")).await;
    assert_eq!(followed.got.lock().numbers, [0, 1, 2, 106, 107]);
}

//! The Redis log passes the suite of every log, takes what foreign producers write, and survives what happens to
//! connections, groups and servers.

#[path = "redis/access.rs"]
mod access;
#[path = "redis/cluster.rs"]
mod cluster;
#[path = "redis/degraded.rs"]
mod degraded;
#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/foreign.rs"]
mod foreign;
#[path = "redis/groups.rs"]
mod groups;
#[path = "redis/limits.rs"]
mod limits;
#[path = "redis/load.rs"]
mod load;
#[path = "redis/peers.rs"]
mod peers;
#[path = "redis/rights.rs"]
mod rights;
#[path = "redis/sentinel.rs"]
mod sentinel;
#[path = "redis/sentinel_words.rs"]
mod sentinel_words;
#[path = "redis/server.rs"]
mod server;
#[path = "redis/stats.rs"]
mod stats;
#[path = "redis/streams.rs"]
mod streams;

/// What the servers of these tests run.
const SOFTWARE: weir_testkit::redis::Software = weir_testkit::redis::Software::Redis;

weir_testkit::log_suite!(server::Shared);

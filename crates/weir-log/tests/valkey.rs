//! What `redis.rs` shows on Redis holds on Valkey too.

#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/foreign.rs"]
mod foreign;
#[path = "redis/groups.rs"]
mod groups;
#[path = "redis/server.rs"]
mod server;

/// What the servers of these tests run.
const SOFTWARE: weir_testkit::redis::Software = weir_testkit::redis::Software::Valkey;

weir_testkit::log_suite!(server::Shared);

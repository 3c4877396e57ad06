//! The backends of the event log, behind the port `weir_core::log`. The only crate that knows how to talk to Redis.
//!
//! In reading order:
//! - [`clock`]: the wall clock as a value, so that tests can move it
//! - [`idempotency`]: what a repeated publish is recognised by
//! - [`engine`]: the database of an instance without Redis
//! - [`embedded`]: the log and the streams of one process
//! - [`redis`]: the log that several instances share

pub mod clock;
pub mod embedded;
pub mod engine;
pub mod idempotency;
pub mod redis;

pub use clock::WallClock;
pub use embedded::{EmbeddedConfig, EmbeddedLog, EmbeddedReader};
pub use embedded::{EmbeddedStreams, EmbeddedWakes, StreamLimits};
pub use engine::{Engine, OpenError, Place};
pub use redis::{
    BadRedisAccess, NotAdded, Pace, RedisAccess, RedisConfig, RedisLog, RedisPeers, RedisReader,
    RedisStreams, RedisTls, RedisTotals, RedisWakes, Totals,
};

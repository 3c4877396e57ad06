//! The backends of the event log, behind the port `weir_core::log`. The only crate that knows how to talk to Redis.
//!
//! In reading order:
//! - [`clock`]: the wall clock as a value, so that tests can move it
//! - [`idempotency`]: what a repeated publish is recognised by
//! - [`embedded`]: the log in the memory of one process
//! - [`redis`]: the log that several instances share

pub mod clock;
pub mod embedded;
pub mod idempotency;
pub mod redis;

pub use clock::WallClock;
pub use embedded::{EmbeddedConfig, EmbeddedLog, EmbeddedReader};
pub use redis::{BadRedisAccess, Pace, RedisAccess, RedisConfig, RedisLog, RedisReader, RedisTls};

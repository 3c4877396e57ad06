//! What the Redis backend is told.

use std::time::Duration;

use weir_core::entry::DecodeRules;

use super::access::RedisAccess;

/// How a [`super::RedisLog`] reaches and bounds its stream.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// How Redis is reached.
    pub access: RedisAccess,
    /// Key of the stream.
    pub stream: String,
    /// Most entries of the stream and of a load.
    pub maxlen: usize,
    /// Entries older than this are trimmed.
    pub max_age: Option<Duration>,
    /// Most bytes of a load, by the cost of its events.
    pub window_bytes: usize,
    /// Name of this instance in groups.
    pub instance: String,
    /// Most entries of a read.
    pub read_count: usize,
    /// How long a read waits on a quiet stream.
    pub read_block: Duration,
    /// How entries are decoded.
    pub decode: DecodeRules,
    /// How often what runs beside the reading runs.
    pub pace: Pace,
}

/// How often what runs beside the reading runs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two rounds of upkeep: the lease is renewed, facts are collected, and one instance trims the stream.
    /// Bounds how old facts are and how far producers that do not trim overshoot.
    pub upkeep: Duration,
    /// How long a group without sign of life is kept. Bounds what a killed instance leaves behind; long enough for one
    /// that only stood still.
    pub lease: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { upkeep: Duration::from_secs(2), lease: Duration::from_secs(60) }
    }
}

//! What the Redis backend counts. The owner of the metrics mirrors it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why reading failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderError {
    /// No connection could be made.
    Connect,
    /// The connection ended.
    Disconnected,
    /// Redis did not answer in time.
    Timeout,
    /// The group or the stream is gone.
    NoGroup,
    /// The server is a replica or refuses writes (`READONLY`, `NOREPLICAS`, `MISCONF`).
    ReadOnly,
    /// The server is out of memory (`OOM`).
    OutOfMemory,
    /// The server is loading its data (`LOADING`) or busy (`BUSY`, `TRYAGAIN`, `CLUSTERDOWN`).
    Loading,
    /// Wrong password or missing rights.
    Auth,
    /// The key of the stream holds something else.
    WrongType,
    /// An answer that makes no sense.
    Protocol,
    /// Another refusal.
    Refused,
    /// Entries could not be acknowledged.
    Ack,
}

impl ReaderError {
    /// Every kind, for metrics that start at 0.
    pub const ALL: [Self; 12] = [
        Self::Connect,
        Self::Disconnected,
        Self::Timeout,
        Self::NoGroup,
        Self::ReadOnly,
        Self::OutOfMemory,
        Self::Loading,
        Self::Auth,
        Self::WrongType,
        Self::Protocol,
        Self::Refused,
        Self::Ack,
    ];

    /// The value of the metric label `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnected => "disconnected",
            Self::Timeout => "timeout",
            Self::NoGroup => "no_group",
            Self::ReadOnly => "read_only",
            Self::OutOfMemory => "out_of_memory",
            Self::Loading => "loading",
            Self::Auth => "auth",
            Self::WrongType => "wrong_type",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Ack => "ack",
        }
    }
}

/// What is asked of Redis, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One plain event is added.
    Append,
    /// A batch, a keyed publish or one with a snapshot is added.
    AppendBatch,
    /// Entries are read. It may block, so its time is not reported.
    Read,
    /// Entries are acknowledged.
    Ack,
    /// Entries are fetched by id, for the window load or after an error.
    Range,
    /// A group is created.
    Join,
    /// Continuity is proved.
    Check,
    /// The lease is renewed, orphans are reaped, the stream is trimmed, facts are collected.
    Upkeep,
    /// A snapshot is fetched.
    Snapshot,
    /// A group is destroyed at the end.
    Leave,
}

impl Operation {
    /// Every operation, for metrics that start at 0.
    pub const ALL: [Self; 10] = [
        Self::Append,
        Self::AppendBatch,
        Self::Read,
        Self::Ack,
        Self::Range,
        Self::Join,
        Self::Check,
        Self::Upkeep,
        Self::Snapshot,
        Self::Leave,
    ];

    /// The value of the metric label `command`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::AppendBatch => "append_batch",
            Self::Read => "read",
            Self::Ack => "ack",
            Self::Range => "range",
            Self::Join => "join",
            Self::Check => "check",
            Self::Upkeep => "upkeep",
            Self::Snapshot => "snapshot",
            Self::Leave => "leave",
        }
    }
}

type OnCommand = Box<dyn Fn(Operation, Duration) + Send + Sync>;

/// Counters of one [`crate::RedisLog`]; they only rise.
#[derive(Default)]
pub struct LogStats {
    pub(crate) reconnects: AtomicU64,
    pub(crate) groups_reaped: AtomicU64,
    pub(crate) groups_recreated: AtomicU64,
    errors: [AtomicU64; ReaderError::ALL.len()],
    on_command: Option<OnCommand>,
}

impl LogStats {
    /// Counters that also report how long each answered command took.
    pub fn with_timing(on_command: impl Fn(Operation, Duration) + Send + Sync + 'static) -> Self {
        Self { on_command: Some(Box::new(on_command)), ..Self::default() }
    }

    /// Connections made anew, the first of the reader and of the rest not counted.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Orphaned groups that this instance destroyed.
    pub fn groups_reaped(&self) -> u64 {
        self.groups_reaped.load(Ordering::Relaxed)
    }

    /// Groups that the reader made after its first.
    pub fn groups_recreated(&self) -> u64 {
        self.groups_recreated.load(Ordering::Relaxed)
    }

    /// Failures of reading, by kind.
    pub fn reader_errors(&self, kind: ReaderError) -> u64 {
        self.errors[kind as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, kind: ReaderError) {
        self.errors[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn took(&self, operation: Operation, time: Duration) {
        if let Some(report) = &self.on_command {
            report(operation, time);
        }
    }
}

impl fmt::Debug for LogStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("LogStats");
        out.field("reconnects", &self.reconnects).field("groups_reaped", &self.groups_reaped);
        out.field("groups_recreated", &self.groups_recreated);
        for kind in ReaderError::ALL {
            out.field(kind.as_str(), &self.reader_errors(kind));
        }
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let stats = LogStats::default();
        for (place, kind) in ReaderError::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            (0..=place).for_each(|_| stats.count(kind));
        }
        let counts = ReaderError::ALL.map(|kind| stats.reader_errors(kind));
        assert_eq!(counts, std::array::from_fn(|place| place as u64 + 1));
    }
}

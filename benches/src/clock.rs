//! One clock for all processes of a machine.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds per second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds per millisecond.
pub const MS_NS: u64 = 1_000_000;

/// The monotonic clock in ns. It has one origin for all processes, so a stamp of one can be read by another.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).expect("the monotonic clock starts at boot");
    part(now.tv_sec) * SECOND_NS + part(now.tv_nsec)
}

//! One clock for all processes of a machine.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds per second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds per millisecond.
pub const MS_NS: u64 = 1_000_000;

/// The monotonic clock in ns. It has one origin for all processes, so a stamp of one can be read by another.
pub fn now_ns() -> u64 {
    time_ns(ClockId::Monotonic)
}

/// The clock of people in ns since 1970, which is also that of pages.
pub fn wall_ns() -> u64 {
    time_ns(ClockId::Realtime)
}

/// Any clock in ns.
pub(crate) fn time_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let part = |value: i64| u64::try_from(value).expect("no clock runs before its origin");
    part(now.tv_sec) * SECOND_NS + part(now.tv_nsec)
}

//! Pauses between tries, longer each time, jittered, with a cap.

use std::time::Duration;

/// The pause after the second failure in a row; the first is followed by a try at once, because most connections that
/// end can be made anew.
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause. It bounds how much later than Redis, or than a new master, an instance is back; one try a second from
/// each instance is nothing to a Redis that comes up.
const LONGEST: Duration = Duration::from_secs(1);

/// How often in a row something failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(super) fn failures(self) -> u32 {
        self.failures
    }

    /// Waits as long as the failures ask for.
    pub(super) async fn pause(self) {
        let longest = self.longest();
        if !longest.is_zero() {
            tokio::time::sleep(longest.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }

    fn longest(self) -> Duration {
        match self.failures {
            0 | 1 => Duration::ZERO,
            more => FIRST.saturating_mul(1 << (more - 2).min(16)).min(LONGEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_cap() {
        let of = |failures| Backoff { failures }.longest().as_millis();
        assert_eq!([0, 1, 2, 3, 4, 7, 8, u32::MAX].map(of), [0, 0, 100, 200, 400, 1000, 1000, 1000]);
    }
}

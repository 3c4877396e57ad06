//! The pauses between tries.

use std::time::Duration;

/// Longest pause a server can ask for, so that one broken `Retry-After` does not stop a client for good.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Shortest pause after a server asked for one, so that `retry: 0` does not become a loop without rest.
const SHORTEST_ASKED: Duration = Duration::from_millis(100);

/// Exponential pauses with jitter, so that clients that failed together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `first`, doubled each time, up to `cap`.
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: 0 }
    }

    /// It worked: the next pause is the first one again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure. It is never shorter than what the server asked for, which also takes the
    /// place of the first pause.
    pub(crate) fn after_failure(&mut self, asked: Option<Duration>) -> Duration {
        let floor = asked.map_or(self.first, |asked| asked.clamp(SHORTEST_ASKED, LONGEST_ASKED));
        let doubled = floor.saturating_mul(1 << self.failures.min(16));
        let step = doubled.clamp(floor, floor.max(self.cap));
        self.failures = self.failures.saturating_add(1);
        floor.mul_f64(1.0 + 0.2 * fastrand::f64()).max(step.mul_f64(0.8 + 0.2 * fastrand::f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn assert_between(pause: Duration, low: f64, high: f64) {
        assert!((low..=high).contains(&pause.as_secs_f64()), "{pause:?} is not within {low}..{high} s");
    }

    #[test]
    fn doubles_up_to_the_cap_with_jitter() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        for step in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            assert_between(backoff.after_failure(None), f64::max(1.0, 0.8 * step), f64::max(1.2, step));
        }
        backoff.reset();
        assert_between(backoff.after_failure(None), 1.0, 1.2);
    }

    #[test]
    fn never_earlier_than_asked() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        assert_between(backoff.after_failure(Some(5 * SECOND)), 5.0, 6.0);
        assert_between(backoff.after_failure(Some(60 * SECOND)), 60.0, 72.0);
        assert_between(backoff.after_failure(Some(Duration::MAX)), 600.0, 720.0);
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        assert_between(backoff.after_failure(Some(Duration::ZERO)), 0.1, 0.12);
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(SECOND, 30 * SECOND);
        for _ in 0..100 {
            assert_between(backoff.after_failure(None), 1.0, 30.0);
        }
    }
}

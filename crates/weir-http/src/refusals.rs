//! Why the log takes no events, for the operator. A publisher is told only that it does not.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weir_core::log::AppendError;

/// At most one line in this time, however many publishes fail.
const EVERY: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    failed: u64,
}

impl Refusals {
    /// An append failed. A conflict is the publisher's own fault and not told.
    pub(crate) fn note(&self, error: &AppendError, now: Instant) {
        let (AppendError::Unavailable(reason) | AppendError::OutcomeUnknown(reason)) = error else { return };
        if let Some(failed) = self.0.lock().due(now) {
            tracing::warn!(reason, failed, "the log takes no events: publishers are answered 503");
        }
    }
}

impl Said {
    /// How many failed since the last line, where it is time for another.
    fn due(&mut self, now: Instant) -> Option<u64> {
        self.failed += 1;
        if self.last.is_some_and(|last| now < last + EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn said_at_once_and_then_once_in_a_while_with_a_count() {
        let (start, mut said) = (Instant::now(), Said::default());
        let lines: Vec<_> = (0..300)
            .map(|nth| said.due(start + Duration::from_millis(100) * nth))
            .filter(Option::is_some)
            .collect();
        assert_eq!(lines, [Some(1), Some(100), Some(100)]);
    }
}

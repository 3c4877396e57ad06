//! Says something once in a while, however often there is reason to.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// At most one line in this time.
const EVERY: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    reasons: u64,
}

impl Seldom {
    /// There is reason now: how many there were since the last line, this one included, where it is time for another.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        self.0.lock().due(now)
    }
}

impl Said {
    fn due(&mut self, now: Instant) -> Option<u64> {
        self.reasons += 1;
        if self.last.is_some_and(|last| now < last + EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.reasons))
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

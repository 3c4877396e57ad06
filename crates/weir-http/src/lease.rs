//! How long a client's token lasts, and when it is told that it ends.

use std::time::{Duration, Instant};

use weir_core::Time;

/// How long before its end a client is told, so that it can get another token; of a shorter token, half of what is left.
const AHEAD: Duration = Duration::from_secs(30);

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// When the client is to be told, until it was.
    warn: Option<Instant>,
    end: Instant,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before then.
    At(Instant),
    /// The client is told that so much is left.
    Warn(Duration),
    /// It is over.
    Over,
}

impl Lease {
    /// Of a token with this `exp`. What is left of it is measured once, and from then on by the clock that nobody sets: a
    /// wall clock that is put back gives no stream a longer life, and one that jumps ahead ends none early. `None` where it
    /// lasts longer than clocks can tell.
    pub(crate) fn new(expires_secs: u64, time: Time) -> Option<Self> {
        let left = Duration::from_millis(expires_secs.saturating_mul(1000).saturating_sub(time.ms));
        let end = time.now.checked_add(left)?;
        Some(Self { warn: Some(end - AHEAD.min(left / 2)), end })
    }

    /// The end.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// What is due now. A warning is due once.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if now >= self.end {
            return Due::Over;
        }
        match self.warn {
            Some(at) if now < at => Due::At(at),
            Some(_) => {
                self.warn = None;
                Due::Warn(self.end - now)
            }
            None => Due::At(self.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_warns_once_and_ends_once() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let lease = |exp| Lease::new(exp, Time { now, ms: 1_000_500 }).unwrap();
        let mut long = lease(1100);
        let end = now + Duration::from_millis(99_500);
        assert_eq!((long.end(), long.due(now)), (end, Due::At(end - AHEAD)));
        assert_eq!(long.due(end - 29 * second), Due::Warn(29 * second));
        assert_eq!(long.due(end - 29 * second), Due::At(end));
        assert_eq!(long.due(end), Due::Over);

        let mut short = lease(1003);
        assert_eq!(short.due(now), Due::At(now + Duration::from_millis(1250)));
        assert_eq!(lease(999).due(now), Due::Over);
        // Longer than anything lasts.
        assert!(matches!(lease(u64::MAX).due(now), Due::At(at) if at > end));
    }
}

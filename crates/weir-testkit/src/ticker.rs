//! What a busy machine takes from those who want to run, for tests of what must happen in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long it sleeps.
const TICK: Duration = Duration::from_millis(10);

/// By so much any machine is late, and it is nothing to speak of.
const USUAL: Duration = Duration::from_millis(2);

/// Delays, and when they ended.
type Delays = Arc<Mutex<Vec<(Instant, Duration)>>>;

/// Sleeps for a moment again and again, and writes down by how much it was woken too late.
#[derive(Debug)]
pub struct Ticker {
    delays: Delays,
}

impl Ticker {
    /// Ticks until it is dropped.
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Self {
        let delays = Delays::default();
        let of_test = Arc::downgrade(&delays);
        thread::spawn(move || {
            loop {
                let slept = Instant::now();
                thread::sleep(TICK);
                let Some(delays) = of_test.upgrade() else { return };
                let late = slept.elapsed().saturating_sub(TICK);
                if late > USUAL {
                    delays.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), late));
                }
            }
        });
        Self { delays }
    }

    /// How much of the time since then whoever wanted to run did not.
    pub fn lost_since(&self, then: Instant) -> Duration {
        let delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.iter().map(|(ended, late)| (*late).min(ended.saturating_duration_since(then))).sum()
    }
}

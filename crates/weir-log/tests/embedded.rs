//! The embedded log passes the suite of every log.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_core::log::LogReader;
use weir_log::{EmbeddedConfig, EmbeddedLog, WallClock};
use weir_testkit::log_suite::{Backend, Instance, Limits};

/// Some time in 2026; only moved by [`Backend::pass`].
const START_MS: u64 = 1_795_242_612_345;

struct Embedded {
    log: Arc<EmbeddedLog>,
    now: Arc<AtomicU64>,
}

impl Backend for Embedded {
    const SLACK: u64 = 0;

    async fn start(limits: Limits) -> Self {
        let now = Arc::new(AtomicU64::new(START_MS));
        let clock = Arc::clone(&now);
        let config = EmbeddedConfig {
            maxlen: limits.maxlen,
            max_age: None,
            max_bytes: 64 << 20,
            read_count: limits.read_count,
            read_block: Duration::from_millis(20),
        };
        let log = EmbeddedLog::with_clock(config, WallClock::new(move || clock.load(Ordering::Relaxed)));
        Self { log, now }
    }

    async fn join(&self) -> Instance {
        let reader: Box<dyn LogReader> = Box::new(self.log.reader());
        Instance { log: Arc::clone(&self.log) as _, reader }
    }

    async fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    async fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}

weir_testkit::log_suite!(Embedded);

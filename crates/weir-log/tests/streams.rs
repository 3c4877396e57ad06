//! The embedded streams pass the suite of all streams, in memory and from a file.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use weir_core::durable::{StreamStore, WakeReader};
use weir_log::{EmbeddedStreams, Engine, Place, StreamLimits, WallClock};
use weir_testkit::stream_suite::{Backend, Limits};

/// Some time in 2026; only moved by [`Backend::pass`].
const START_MS: u64 = 1_795_242_612_345;

const IN_MEMORY: bool = false;
const IN_A_FILE: bool = true;

struct Embedded<const LASTS: bool> {
    streams: Arc<EmbeddedStreams>,
    now: Arc<AtomicU64>,
    _dir: TempDir,
}

impl<const LASTS: bool> Backend for Embedded<LASTS> {
    async fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = if LASTS { Place::Directory(dir.path().to_owned()) } else { Place::Memory };
        let now = Arc::new(AtomicU64::new(START_MS));
        let time = Arc::clone(&now);
        let clock = WallClock::new(move || time.load(Ordering::Relaxed));
        let limits = StreamLimits { maxlen: limits.maxlen, max_bytes: None };
        let streams = EmbeddedStreams::with_clock(Engine::open(place).unwrap(), limits, clock).unwrap();
        assert_eq!(streams.lasts(), LASTS);
        Self { streams, now, _dir: dir }
    }

    fn store(&self) -> Arc<dyn StreamStore> {
        Arc::clone(&self.streams) as _
    }

    async fn wakes(&self) -> Box<dyn WakeReader> {
        Box::new(self.streams.wakes())
    }

    async fn pass(&self, time: Duration) {
        self.now.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

mod memory {
    use super::*;
    weir_testkit::stream_suite!(Embedded<IN_MEMORY>);
}

mod file {
    use super::*;
    weir_testkit::stream_suite!(Embedded<IN_A_FILE>);
}

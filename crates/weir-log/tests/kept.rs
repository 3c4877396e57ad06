//! The embedded log in a file passes the suite of every log, and goes on where it was.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "kept/form.rs"]
mod form;
#[path = "kept/life.rs"]
mod life;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use weir_core::log::LogReader;
use weir_log::embedded::LoadError;
use weir_log::{EmbeddedConfig, EmbeddedLog, Engine, OpenError, Place, WallClock};
use weir_testkit::log_suite::{Backend, Instance, Limits};

/// Some time in 2026; only moved by [`Backend::pass`].
const START_MS: u64 = 1_795_242_612_345;

/// A clock that stands still until it is moved.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }

    fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    fn clock(&self) -> WallClock {
        let hands = Arc::clone(&self.0);
        WallClock::new(move || hands.load(Ordering::Relaxed))
    }
}

fn config(limits: Limits) -> EmbeddedConfig {
    EmbeddedConfig {
        maxlen: limits.maxlen,
        max_age: None,
        max_bytes: 64 << 20,
        read_count: limits.read_count,
        read_block: Duration::from_millis(20),
    }
}

fn engine(dir: &Path) -> Result<Arc<Engine>, OpenError> {
    Engine::open(Place::Directory(dir.to_owned()))
}

fn open(dir: &Path, config: EmbeddedConfig, hands: &Hands) -> Result<Arc<EmbeddedLog>, LoadError> {
    EmbeddedLog::open_in_with_clock(engine(dir).unwrap(), config, hands.clock())
}

struct Kept {
    log: Arc<EmbeddedLog>,
    hands: Hands,
    _dir: TempDir,
}

impl Backend for Kept {
    const SLACK: u64 = 0;

    async fn start(limits: Limits) -> Self {
        let (hands, dir) = (Hands::new(), tempfile::tempdir().unwrap());
        let log = open(dir.path(), config(limits), &hands).unwrap();
        Self { log, hands, _dir: dir }
    }

    async fn join(&self) -> Instance {
        let reader: Box<dyn LogReader> = Box::new(self.log.reader());
        Instance { log: Arc::clone(&self.log) as _, reader }
    }

    async fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.hands.0.fetch_add(ms, Ordering::Relaxed);
    }

    async fn leftovers(&self) -> Vec<String> {
        Vec::new()
    }
}

weir_testkit::log_suite!(Kept);

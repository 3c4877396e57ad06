//! What the load has done so far.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counted by every task of the load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) published: AtomicU64,
    /// Publishes and appends that were not taken, for whatever reason. The demo does not repeat them.
    pub(crate) refused: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Streams that ended without being left.
    pub(crate) reconnects: AtomicU64,
    pub(crate) gaps: AtomicU64,
    /// Streams that were not as they have to be: never.
    pub(crate) unclean: AtomicU64,
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One open stream, for as long as this lives.
pub(crate) struct Connected<'a>(&'a AtomicU64);

impl<'a> Connected<'a> {
    pub(crate) fn to(tally: &'a Tally) -> Self {
        count(&tally.connected);
        Self(&tally.connected)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} clients connected, {} events published ({} refused), {} received, {} reconnects, {} gaps told",
            of(&self.connected),
            of(&self.published),
            of(&self.refused),
            of(&self.received),
            of(&self.reconnects),
            of(&self.gaps),
        )?;
        match of(&self.unclean) {
            0 => Ok(()),
            unclean => write!(f, ", {unclean} STREAMS BROKE THE PROTOCOL"),
        }
    }
}

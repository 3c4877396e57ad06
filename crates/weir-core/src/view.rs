//! What a subscription sees of its instance while it is pulled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::broker::Time;
use crate::snapshots::Snapshots;
use crate::window::{Mark, Window};

/// See the [module](self).
#[derive(Debug)]
pub struct View<'a> {
    /// The mirror of the log.
    pub window: &'a RwLock<Window>,
    /// The newest snapshot of each session.
    pub snapshots: &'a Mutex<Snapshots>,
    pub(crate) fanned: &'a Mutex<Mark>,
    pub(crate) loaded: &'a AtomicBool,
    pub(crate) degraded: &'a Mutex<Option<Time>>,
    /// The time.
    pub now: Instant,
    /// The time in ms since the epoch.
    pub now_ms: u64,
}

/// What changes by itself is looked up while the subscription is locked: whoever changes it nudges the subscription
/// afterwards, so that a pull that sees the old value is followed by another.
impl View<'_> {
    /// The place up to which every event was offered to every client, so that a queue found empty has nothing left up to
    /// here.
    pub fn fanned(&self) -> Mark {
        *self.fanned.lock()
    }

    /// Whether the window is loaded.
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Since when the log has been away, in ms since the epoch.
    pub fn degraded(&self) -> Option<u64> {
        self.degraded.lock().map(|since| since.ms)
    }
}

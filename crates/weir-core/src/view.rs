//! What a subscription sees of its instance while it is pulled.

use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::snapshots::Snapshots;
use crate::window::{Mark, Window};

/// See the [module](self).
#[derive(Debug)]
pub struct View<'a> {
    /// The mirror of the log.
    pub window: &'a RwLock<Window>,
    /// The newest snapshot of each session.
    pub snapshots: &'a Mutex<Snapshots>,
    /// The place up to which every event was offered to every client. Read before the subscription was locked, so that a
    /// queue found empty has nothing left up to here.
    pub fanned: Mark,
    /// Whether the window is loaded.
    pub loaded: bool,
    /// Since when the log has been away, in ms since the epoch.
    pub degraded: Option<u64>,
    /// The time.
    pub now: Instant,
    /// The time in ms since the epoch.
    pub now_ms: u64,
}

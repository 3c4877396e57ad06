//! What the parts of one Redis log share.

use std::sync::Arc;

use parking_lot::Mutex;
use weir_core::id::EventId;
use weir_core::log::LogFacts;

use super::config::RedisConfig;
use super::keys::Keys;
use super::link::{Connector, Link};
use weir_metrics::Metrics;

/// Shared by publishers, reader and upkeep. Each lock is held for a few instructions, never across a wait.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: RedisConfig,
    pub(super) keys: Keys,
    pub(super) connector: Connector,
    pub(super) metrics: Arc<Metrics>,
    /// The connection for everything that does not block, while there is one.
    pub(super) link: Mutex<Option<Arc<Link>>>,
    /// What upkeep saw last.
    pub(super) facts: Mutex<LogFacts>,
    /// What the reader has in Redis.
    pub(super) reading: Mutex<Reading>,
}

/// What the reader has in Redis.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The group it reads by, while it does.
    pub(super) group: Option<String>,
    /// Every group that may exist because of it, the current one included.
    pub(super) groups: Vec<String>,
    /// Everything up to here was handed out or announced as lost.
    pub(super) cursor: Option<EventId>,
}

impl Context {
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.link.lock().clone()
    }
}

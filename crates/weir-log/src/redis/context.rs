//! What the parts of one Redis log share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, SetOnce};
use tokio::time::timeout;
use weir_core::id::EventId;
use weir_core::log::LogFacts;

use super::config::RedisConfig;
use super::connector::Connector;
use super::keys::Keys;
use super::link::Link;
use weir_metrics::Metrics;

/// How long the first connection is waited for. The reader has one of its own, so an instance may read, and be called, some
/// milliseconds before it can write.
const FIRST_LINK: Duration = Duration::from_secs(1);

/// Shared by publishers, reader and upkeep. Each lock is held for a few instructions, never across a wait.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: RedisConfig,
    pub(super) keys: Keys,
    pub(super) connector: Connector,
    pub(super) metrics: Arc<Metrics>,
    /// The connection for everything that does not block, while there is one.
    pub(super) link: Mutex<Option<Arc<Link>>>,
    /// Set with the first of them.
    pub(super) connected: SetOnce<()>,
    /// What upkeep saw last.
    pub(super) facts: Mutex<LogFacts>,
    /// What the reader has in Redis.
    pub(super) reading: Mutex<Reading>,
    /// Somebody was told that this server is not the master.
    pub(super) demoted: Notify,
}

/// What the reader has in Redis.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The group it reads by, while it does.
    pub(super) group: Option<String>,
    /// Every group that may exist because of it, the current one included.
    pub(super) groups: Vec<String>,
    /// Why Redis made no group, while reading goes on without one.
    pub(super) refused: Option<String>,
    /// Why nothing can be read, while that is so.
    pub(super) trouble: Option<String>,
    /// Everything up to here was handed out or announced as lost.
    pub(super) cursor: Option<EventId>,
    /// How many entries were added up to there.
    pub(super) added: Option<u64>,
}

impl Context {
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.link.lock().clone()
    }

    /// The connection; the first one is waited for.
    pub(super) async fn first_link(&self) -> Option<Arc<Link>> {
        if !self.connected.initialized() {
            // Without one in time it is as without one later.
            let _ = timeout(FIRST_LINK, self.connected.wait()).await;
        }
        self.link()
    }
}

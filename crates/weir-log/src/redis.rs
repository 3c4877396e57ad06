//! The log in a Redis stream: what several instances share.
//!
//! Every reader connection has a group of its own, so every instance gets every entry. Two connections are used: one for
//! the blocking read, one for everything else, so that nothing waits behind a block.
//!
//! - `access`, `config`: how it is reached, and what it is told
//! - `link`, `fault`, `advice`, `frame`: one connection, what goes wrong on it and what to do then, what comes over it
//! - `wire`, `resp`: the connection that entries come over, and its protocol
//! - `home`, `connector`: which server has the stream now, and connections to it
//! - `keys`, `scripts`: what stands in Redis, and what runs there
//! - `append`, `revoke`: adding events, and revocations
//! - `codec`, `position`, `pacing`, `backoff`: decoding, the proof of continuity, sizes and pauses
//! - `cursor`, `reader`: reading without a hole
//! - `upkeep`: lease, janitor and facts; `stats`: totals of all instances
//! - `streams`: durable streams
//! - `peers`: what instances tell each other of themselves
//! - `context`: what they share
//! - [`inspect`]: a look from outside, for operators

mod access;
mod advice;
mod append;
mod backoff;
mod codec;
mod config;
mod connector;
mod context;
mod cursor;
mod fault;
mod frame;
mod home;
pub mod inspect;
mod keys;
mod link;
mod pacing;
mod peers;
mod position;
mod reader;
mod resp;
mod revoke;
mod scripts;
mod stats;
mod streams;
mod upkeep;
mod wire;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, SetOnce};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_core::event::Event;
use weir_core::log::{
    AppendError, Appended, BoxFuture, EventLog, Idempotency, LogFacts, LogUnavailable, NewEvent, RevokeError,
};
use weir_core::name::Session;
use weir_core::{EventId, Revocation};

use crate::clock::WallClock;
pub use access::{BadRedisAccess, RedisAccess, RedisTls};
pub use config::{Pace, RedisConfig};
use connector::Connector;
use context::{Context, Reading};
use keys::Keys;
use link::text;
pub use peers::RedisPeers;
pub use reader::RedisReader;
pub use stats::{NotAdded, RedisTotals, Totals};
pub use streams::{RedisStreams, RedisWakes};
use weir_metrics::{Metrics, Operation};

/// A shared log in Redis, as publishers and requests of one instance see it.
#[derive(Debug)]
pub struct RedisLog {
    context: Arc<Context>,
    clock: WallClock,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl RedisLog {
    /// Begins to connect, and gives the log with the one reader of this instance. A Redis that cannot be reached is tried
    /// for ever; until then appends are refused and the reader says that the log is down.
    ///
    /// # Errors
    /// Where what was given can never lead to a Redis.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        config: RedisConfig,
        metrics: Arc<Metrics>,
    ) -> Result<(Arc<Self>, RedisReader), BadRedisAccess> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let connector = Connector::new(&config.access, &config.stream, Arc::clone(&metrics), tasks.clone())?;
        let context = Arc::new(Context {
            keys: Keys::new(&config.stream),
            config,
            connector,
            metrics,
            link: Mutex::new(None),
            connected: SetOnce::new(),
            facts: Mutex::new(LogFacts::default()),
            reading: Mutex::new(Reading::default()),
            demoted: Notify::new(),
        });
        let upkeep = upkeep::run(Arc::clone(&context));
        let watched = Arc::clone(&context);
        let watch = async move { watched.connector.watch().await };
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(async { tokio::join!(upkeep, watch) }).await });
        let reader = RedisReader::new(Arc::clone(&context));
        Ok((Arc::new(Self { context, clock: WallClock::system(), tasks, stop }), reader))
    }

    /// The durable streams of the same Redis, each bounded to so many chunks, and this instance's reader of announcements.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn streams(&self, maxlen: Option<u64>) -> (Arc<RedisStreams>, RedisWakes) {
        let streams = RedisStreams::new(&self.context, maxlen, (&self.tasks, &self.stop));
        (Arc::new(streams), RedisWakes::new(Arc::clone(&self.context)))
    }

    /// What the instances on this stream tell each other of themselves.
    pub fn peers(&self) -> Arc<RedisPeers> {
        Arc::new(RedisPeers::new(Arc::clone(&self.context)))
    }

    /// Adds what this instance counts to the totals of all at this key.
    pub fn totals(&self, key: String) -> RedisTotals {
        RedisTotals::new(&self.context, key)
    }

    /// Ends the connections and tasks, after the reader was closed. Bounded by the caller.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl EventLog for RedisLog {
    fn append<'a>(
        &'a self,
        events: &'a [NewEvent],
        idempotency: Option<&'a Idempotency>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(async move {
            let Context { keys, config, .. } = &*self.context;
            let link = self.context.first_link().await.ok_or_else(away).map_err(AppendError::Unavailable)?;
            let target = append::Target { keys, maxlen: config.maxlen, now_ms: self.clock.now_ms() };
            let outcome = append::append(&link, &target, events, idempotency).await;
            if matches!(&outcome, Err(AppendError::Unavailable(why)) if why.contains("READONLY")) {
                self.context.demoted.notify_one();
            }
            outcome
        })
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<EventId, RevokeError>> {
        Box::pin(async move {
            let Context { keys, config, .. } = &*self.context;
            let link = self.context.first_link().await.ok_or_else(away).map_err(RevokeError::Unavailable)?;
            let target = append::Target { keys, maxlen: config.maxlen, now_ms: self.clock.now_ms() };
            let outcome = revoke::revoke(&link, &target, revocation).await;
            if matches!(&outcome, Err(RevokeError::Unavailable(why)) if why.contains("READONLY")) {
                self.context.demoted.notify_one();
            }
            outcome
        })
    }

    fn lasts(&self) -> bool {
        true
    }

    fn snapshot<'a>(
        &'a self,
        session: &'a Session,
    ) -> BoxFuture<'a, Result<Option<Arc<Event>>, LogUnavailable>> {
        Box::pin(async move {
            let Context { keys, config, .. } = &*self.context;
            let link = self.context.first_link().await.ok_or_else(away).map_err(LogUnavailable)?;
            let stored = link.call(Operation::Snapshot, "GET", vec![text(&keys.snapshot(session))]).await;
            let stored = stored.map_err(|fault| LogUnavailable(fault.to_string()))?;
            Ok(frame::bytes(&stored).and_then(|stored| append::snapshot(stored, &config.decode)))
        })
    }

    fn facts(&self) -> LogFacts {
        let facts = self.context.facts.lock().clone();
        let reading = self.context.reading.lock();
        LogFacts {
            group: reading.group.clone(),
            group_refused: reading.refused.clone(),
            trouble: reading.trouble.clone(),
            read: reading.cursor,
            ..facts
        }
    }
}

fn away() -> String {
    "not connected to Redis".to_owned()
}

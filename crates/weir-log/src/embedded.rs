//! The log in the memory of one process: the default, so that `weir serve` alone works on a fresh machine.
//!
//! It gives the same guarantees as the shared log within one process. In a database it goes on where it was when
//! the process starts again; without one it keeps nothing beyond its life.

mod batch;
mod kept;
mod load;
mod reader;
mod repeats;
mod rows;
mod snapshots;
mod store;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use weir_core::entry::{Content, Entry};
use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::log::{
    AppendError, Appended, BoxFuture, EventLog, Idempotency, LogFacts, LogUnavailable, NewEvent, RevokeError,
};
use weir_core::name::Session;
use weir_core::revocation::{Full, Revocation, Revocations};

use crate::clock::WallClock;
use crate::engine::Engine;
use crate::idempotency::fingerprint;
use kept::{Kept, Unsettled};
pub use load::LoadError;
pub use reader::EmbeddedReader;
use repeats::Repeats;
use snapshots::Snapshots;
use store::{Cap, Store};
pub(crate) use streams::StreamTables;
pub use streams::{EmbeddedStreams, EmbeddedWakes, StreamLimits};

/// The bounds of an embedded log.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Most events kept.
    pub maxlen: usize,
    /// Events older than this are dropped.
    pub max_age: Option<Duration>,
    /// Most bytes kept, by [`Event::cost`]. The newest event is kept however large it is.
    pub max_bytes: usize,
    /// Most entries in one batch of a reader.
    pub read_count: usize,
    /// How long a read waits on a quiet log before it returns empty.
    pub read_block: Duration,
}

/// A capped log of this process alone. Readers come from [`EmbeddedLog::reader`].
#[derive(Debug)]
pub struct EmbeddedLog {
    config: EmbeddedConfig,
    clock: WallClock,
    seen: Arc<Seen>,
    kept: Option<Kept>,
}

/// What readers and requests see.
#[derive(Debug)]
struct Seen {
    state: Mutex<State>,
    appended: Notify,
}

#[derive(Debug)]
struct State {
    store: Store,
    repeats: Repeats,
    snapshots: Snapshots,
    revocations: Revocations,
    reading: Reading,
    unsettled: Unsettled,
}

/// How far the instance's reader is, for [`LogFacts`].
#[derive(Debug, Default)]
struct Reading {
    /// Entries it has read or lost, of all that were ever added.
    index: u64,
    /// Newest id it has read.
    read: Option<EventId>,
    /// Entries it handed out that have not passed the hub.
    pending: u64,
    /// When it handed them out, by the wall clock.
    since_ms: u64,
}

impl EmbeddedLog {
    /// An empty log by the clock of the system.
    pub fn open(config: EmbeddedConfig) -> Arc<Self> {
        Self::with_clock(config, WallClock::system())
    }

    /// An empty log by another clock.
    pub fn with_clock(config: EmbeddedConfig, clock: WallClock) -> Arc<Self> {
        let state = State::new(Store::new(config.cap()));
        Arc::new(Self { config, clock, seen: Seen::new(state), kept: None })
    }

    /// The log that is in a database, by the clock of the system.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open_in(engine: Arc<Engine>, config: EmbeddedConfig) -> Result<Arc<Self>, LoadError> {
        Self::open_in_with_clock(engine, config, WallClock::system())
    }

    /// The log that is in a database, by another clock.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open_in_with_clock(
        engine: Arc<Engine>,
        config: EmbeddedConfig,
        clock: WallClock,
    ) -> Result<Arc<Self>, LoadError> {
        let state = load::load(&engine, config.cap(), clock.now_ms())?;
        let seen = Seen::new(state);
        let kept = Some(Kept::new(engine, &seen, &clock));
        Ok(Arc::new(Self { config, clock, seen, kept }))
    }

    /// A reader that begins with the window load. Every reader gets every entry; [`EventLog::facts`] tells of the one
    /// that read last.
    pub fn reader(self: &Arc<Self>) -> EmbeddedReader {
        EmbeddedReader::new(Arc::clone(self))
    }

    fn append_now(
        &self,
        events: &[NewEvent],
        idempotency: Option<&Idempotency>,
    ) -> Result<Appended, AppendError> {
        let now = self.clock.now_ms();
        let mut state = self.seen.state.lock();
        if let Some(idempotency) = idempotency
            && let Some(ids) = state.repeats.find(now, fingerprint(idempotency), idempotency.digest)?
        {
            return Ok(Appended::Duplicate(ids));
        }
        let ids: Vec<_> = events.iter().map(|event| state.add(now, event)).collect();
        if let Some(idempotency) = idempotency {
            let expires = repeats::expiry(now);
            state.repeats.remember(expires, fingerprint(idempotency), idempotency.digest, ids.clone());
        }
        drop(state);
        self.seen.appended.notify_waiters();
        Ok(Appended::Written(ids))
    }
}

impl Seen {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), appended: Notify::new() })
    }
}

impl State {
    fn new(store: Store) -> Self {
        Self {
            store,
            repeats: Repeats::default(),
            snapshots: Snapshots::default(),
            revocations: Revocations::default(),
            reading: Reading::default(),
            unsettled: Unsettled::default(),
        }
    }

    fn add(&mut self, now: u64, new: &NewEvent) -> EventId {
        let event = self.store.event(now, new);
        let id = event.id;
        self.store.push(now, Entry { id, content: Content::Event(Arc::clone(&event)) });
        if let Some(secs) = new.snapshot.filter(|secs| *secs > 0) {
            self.snapshots.keep(now, snapshots::expiry(now, secs), event);
        }
        id
    }

    fn revoke(&mut self, now: u64, revocation: &Revocation) -> Result<EventId, Full> {
        self.revocations.add(revocation, now)?;
        let told = self.store.told(now, revocation);
        let id = told.id;
        self.store.push(now, told);
        Ok(id)
    }
}

impl EmbeddedConfig {
    fn cap(&self) -> Cap {
        Cap {
            len: self.maxlen.max(1),
            bytes: self.max_bytes,
            age_ms: self.max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

impl EventLog for EmbeddedLog {
    fn append<'a>(
        &'a self,
        events: &'a [NewEvent],
        idempotency: Option<&'a Idempotency>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        match &self.kept {
            Some(kept) => Box::pin(self.append_kept(kept, events, idempotency)),
            None => Box::pin(async move { self.append_now(events, idempotency) }),
        }
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<EventId, RevokeError>> {
        Box::pin(async move {
            if let Some(kept) = &self.kept {
                return self.revoke_kept(kept, revocation).await;
            }
            let id = self.seen.state.lock().revoke(self.clock.now_ms(), revocation)?;
            self.seen.appended.notify_waiters();
            Ok(id)
        })
    }

    fn lasts(&self) -> bool {
        self.kept.is_some()
    }

    fn snapshot<'a>(
        &'a self,
        session: &'a Session,
    ) -> BoxFuture<'a, Result<Option<Arc<Event>>, LogUnavailable>> {
        Box::pin(async move { Ok(self.seen.state.lock().snapshots.get(self.clock.now_ms(), session)) })
    }

    fn facts(&self) -> LogFacts {
        let now = self.clock.now_ms();
        let mut state = self.seen.state.lock();
        state.store.trim(now);
        let State { store, reading, .. } = &*state;
        LogFacts {
            up: true,
            length: Some(store.len() as u64),
            oldest: store.oldest(),
            newest: Some(store.last()),
            read: reading.read,
            pending: Some(reading.pending),
            pending_oldest_ms: (reading.pending > 0).then(|| now.saturating_sub(reading.since_ms)),
            lag: Some(store.added().saturating_sub(reading.index)),
            groups: None,
            group: None,
            group_refused: None,
            writable: self.kept.as_ref().map(Kept::is_writable),
            trouble: None,
            lacks: None,
        }
    }
}

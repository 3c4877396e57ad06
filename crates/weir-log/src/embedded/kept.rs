//! Writing a log that outlives its process: an entry is seen, and its publisher answered, when it is synced.
//!
//! Ids are given, and writes ordered, under one lock; the disk tells of them in their order. So entries come to be seen in the
//! order of their ids, whatever is committed together.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard, oneshot};
use tokio::time::timeout;
use weir_core::Revocation;
use weir_core::entry::{Content, Entry};
use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::log::{AppendError, Appended, Idempotency, NewEvent, RevokeError};

use super::batch::Batch;
use super::store::cost;
use super::{EmbeddedLog, Seen, State};
use crate::clock::WallClock;
use crate::engine::{Engine, More, PATIENCE, Refusal, Writing};
use crate::idempotency::fingerprint;

/// Most bytes that wait for the disk. It bounds memory while that does not answer.
const MOST_UNSETTLED: usize = 64 << 20;

/// Entries that left the window stay in the database until they are so many, and an eighth of it, so that most appends delete
/// nothing.
const TRIM_AT_ONCE: u64 = 64;

/// Nor longer than this, where anything is written or not: what is over is not kept because nobody publishes.
const STALE_MS: u64 = 10_000;

/// The database of a log, and who waits for it.
#[derive(Debug)]
pub(super) struct Kept {
    engine: Arc<Engine>,
    /// Held while ids are given and what got them is queued, so that both have one order.
    ordering: Mutex<()>,
    /// Something that waited for the disk does no more.
    settled: Arc<Notify>,
    /// Held by the one revocation that waits for it, so that the bound on all of them holds.
    revoking: Arc<tokio::sync::Mutex<()>>,
}

/// What waits for the disk.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    bytes: usize,
    keys: HashSet<[u8; 32]>,
    /// Index of the oldest entry in the database, as far as is known.
    pub(super) trimmed: u64,
    /// When the database last dropped what is over.
    pub(super) dropped_ms: u64,
}

/// A batch on its way. Where it ends without having been shown, nothing of it is left.
#[derive(Debug)]
struct Pending {
    seen: Arc<Seen>,
    settled: Arc<Notify>,
    batch: Batch,
    bytes: usize,
    shown: bool,
    _alone: Option<OwnedMutexGuard<()>>,
}

/// The disk tells.
type Told = oneshot::Receiver<Result<(), Refusal>>;

/// What became of the wish to append.
enum Ordered {
    /// The answer comes from the disk.
    Now(Told, Vec<EventId>),
    /// It was done before.
    Before(Vec<EventId>),
    /// The same publish waits for the disk, and nobody knows yet what becomes of it.
    Again,
}

impl Kept {
    pub(super) fn new(engine: Arc<Engine>, seen: &Arc<Seen>, clock: &WallClock) -> Self {
        let settled: Arc<Notify> = Arc::default();
        let upkeep = Upkeep { seen: Arc::clone(seen), settled: Arc::clone(&settled), clock: clock.clone() };
        engine.upkeep(move |writing| upkeep.run(writing));
        Self { engine, ordering: Mutex::default(), settled, revoking: Arc::default() }
    }
}

/// Drops what is over while nobody writes.
struct Upkeep {
    seen: Arc<Seen>,
    settled: Arc<Notify>,
    clock: WallClock,
}

impl Upkeep {
    fn run(&self, writing: &mut Writing<'_>) -> Result<More, redb::Error> {
        let now = self.clock.now_ms();
        let mut state = self.seen.state.lock();
        if now.abs_diff(state.unsettled.dropped_ms) < STALE_MS {
            return Ok(More::Nothing);
        }
        state.unsettled.dropped_ms = now;
        state.store.trim(now);
        state.snapshots.trim(now);
        state.repeats.forget_expired(now);
        let mut batch = Batch::new(now, Vec::new(), None);
        batch.take_along(&mut state, 1);
        let (seen, settled) = (Arc::clone(&self.seen), Arc::clone(&self.settled));
        let pending = Pending { seen, settled, batch, bytes: 0, shown: false, _alone: None };
        drop(state);
        if pending.batch.drops_nothing() {
            return Ok(More::Nothing);
        }
        pending.batch.write(writing)?;
        writing.after(move || pending.show());
        Ok(More::Done)
    }
}

impl EmbeddedLog {
    pub(super) async fn append_kept(
        &self,
        kept: &Kept,
        events: &[NewEvent],
        idempotency: Option<&Idempotency>,
    ) -> Result<Appended, AppendError> {
        let appending = async {
            loop {
                // Made before the look, so that an end between look and wait still wakes it.
                let settled = kept.settled.notified();
                match self.order(kept, events, idempotency)? {
                    Ordered::Now(told, ids) => {
                        break Ok(heard(told).await.map(|()| Appended::Written(ids))?);
                    }
                    Ordered::Before(ids) => break Ok(Appended::Duplicate(ids)),
                    Ordered::Again => settled.await,
                }
            }
        };
        timeout(PATIENCE, appending).await.unwrap_or_else(|_| Err(kept.engine.slow().into()))
    }

    fn order(
        &self,
        kept: &Kept,
        events: &[NewEvent],
        idempotency: Option<&Idempotency>,
    ) -> Result<Ordered, AppendError> {
        let now = self.clock.now_ms();
        let repeat = idempotency.map(|given| (fingerprint(given), given.digest));
        let _ordering = kept.ordering.lock();
        let mut state = self.seen.state.lock();
        if let Some((key, digest)) = repeat {
            if let Some(ids) = state.repeats.find(now, key, digest)? {
                return Ok(Ordered::Before(ids));
            }
            if state.unsettled.keys.contains(&key) {
                return Ok(Ordered::Again);
            }
        }
        state.unsettled.has_room()?;
        let entry = |event: Arc<Event>| Entry { id: event.id, content: Content::Event(event) };
        let entries: Vec<_> = events.iter().map(|new| entry(state.store.event(now, new))).collect();
        let ids = entries.iter().map(|entry| entry.id).collect();
        let pending = self.pending(kept, &mut state, Batch::new(now, entries, repeat));
        drop(state);
        Ok(Ordered::Now(kept.order(pending)?, ids))
    }

    pub(super) async fn revoke_kept(
        &self,
        kept: &Kept,
        revocation: &Revocation,
    ) -> Result<EventId, RevokeError> {
        let revoking = async {
            let alone = Arc::clone(&kept.revoking).lock_owned().await;
            let (told, id) = self.order_revocation(kept, revocation, alone)?;
            heard(told).await?;
            Ok(id)
        };
        timeout(PATIENCE, revoking).await.unwrap_or_else(|_| Err(kept.engine.slow().into()))
    }

    fn order_revocation(
        &self,
        kept: &Kept,
        revocation: &Revocation,
        alone: OwnedMutexGuard<()>,
    ) -> Result<(Told, EventId), RevokeError> {
        let now = self.clock.now_ms();
        let _ordering = kept.ordering.lock();
        let mut state = self.seen.state.lock();
        state.unsettled.has_room()?;
        let mut after = state.revocations.clone();
        after.add(revocation, now)?;
        let held = after.in_force(now).into_iter().find(|held| held.subject() == revocation.subject());
        let entry = state.store.told(now, revocation);
        let id = entry.id;
        let mut batch = Batch::new(now, vec![entry], None);
        batch.revoked = held;
        let mut pending = self.pending(kept, &mut state, batch);
        pending._alone = Some(alone);
        drop(state);
        Ok((kept.order(pending)?, id))
    }

    /// A batch that takes along what the database has to drop.
    fn pending(&self, kept: &Kept, state: &mut State, mut batch: Batch) -> Pending {
        batch.take_along(state, TRIM_AT_ONCE.max(state.store.len() as u64 / 8));
        let bytes = batch.entries.iter().map(cost).sum();
        state.unsettled.bytes += bytes;
        state.unsettled.keys.extend(batch.repeat.map(|(key, _)| key));
        let (seen, settled) = (Arc::clone(&self.seen), Arc::clone(&kept.settled));
        Pending { seen, settled, batch, bytes, shown: false, _alone: None }
    }
}

impl Kept {
    /// Whether the disk takes what is written.
    pub(super) fn is_writable(&self) -> bool {
        self.engine.is_writable()
    }

    /// Sends a batch on its way.
    fn order(&self, pending: Pending) -> Result<Told, Refusal> {
        self.engine.order(move |writing| {
            pending.batch.write(writing)?;
            writing.after(move || pending.show());
            Ok(())
        })
    }
}

impl Unsettled {
    fn has_room(&self) -> Result<(), Refusal> {
        if self.bytes > MOST_UNSETTLED {
            return Err(Refusal::behind());
        }
        Ok(())
    }
}

impl Pending {
    /// It is written: it comes to be seen.
    fn show(mut self) {
        self.batch.show(&mut self.seen.state.lock());
        self.shown = true;
        self.seen.appended.notify_waiters();
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.seen.state.lock();
        state.unsettled.bytes -= self.bytes;
        if let Some((key, _)) = &self.batch.repeat {
            state.unsettled.keys.remove(key);
        }
        if !self.shown {
            self.batch.give_back(&mut state);
        }
        drop(state);
        self.settled.notify_waiters();
    }
}

async fn heard(told: Told) -> Result<(), Refusal> {
    told.await.unwrap_or_else(|_| Err(Refusal::OutcomeUnknown("the instance ends".to_owned())))
}

impl From<Refusal> for AppendError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full(why) | Refusal::Unavailable(why) => Self::Unavailable(why),
            Refusal::OutcomeUnknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

impl From<Refusal> for RevokeError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full(why) | Refusal::Unavailable(why) => Self::Unavailable(why),
            Refusal::OutcomeUnknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

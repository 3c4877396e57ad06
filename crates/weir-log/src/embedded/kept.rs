//! Writing a log that outlives its process: an entry is seen, and its publisher answered, when it is synced.
//!
//! Ids are given, and writes ordered, under one lock; the disk tells of them in their order. So entries come to be seen in the
//! order of their ids, whatever is committed together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard, oneshot};
use tokio::time::timeout;
use weir_core::Revocation;
use weir_core::entry::{Content, Entry};
use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::log::{AppendError, Appended, Idempotency, NewEvent, RevokeError};

use super::rows::{
    self, ENTRIES, FACTS, FLOOR_FACT, NEWEST_FACT, REPEATS, REVOCATIONS, RepeatKey, SNAPSHOTS,
};
use super::store::cost;
use super::{EmbeddedLog, Seen, State, repeats, snapshots};
use crate::engine::{Engine, Refusal, Writing};
use crate::idempotency::fingerprint;

/// How long a publisher waits for the disk. What it ordered may still be written after that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes that wait for the disk. It bounds memory while that does not answer.
const MOST_UNSETTLED: usize = 64 << 20;

/// Entries that left the window stay in the database until they are so many, and an eighth of it, so that most appends delete
/// nothing.
const TRIM_AT_ONCE: u64 = 64;

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
    trimmed: u64,
}

/// What is written at once, and comes to be seen when it is.
#[derive(Debug)]
struct Batch {
    now: u64,
    entries: Vec<Entry>,
    /// Key and digest of the publish.
    repeat: Option<([u8; 32], [u8; 32])>,
    /// The revocation that holds for its subject from then on.
    revoked: Option<Revocation>,
    /// Snapshots and publishes that the database keeps in vain.
    gone: (Vec<EventId>, Vec<RepeatKey>),
    /// Entries up to this are dropped.
    trim: Option<EventId>,
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
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, ordering: Mutex::default(), settled: Arc::default(), revoking: Arc::default() }
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
        timeout(PATIENCE, appending).await.unwrap_or_else(|_| Err(slow().into()))
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
        timeout(PATIENCE, revoking).await.unwrap_or_else(|_| Err(slow().into()))
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
        let batch = Batch { revoked: held, ..Batch::new(now, vec![entry], None) };
        let mut pending = self.pending(kept, &mut state, batch);
        pending._alone = Some(alone);
        drop(state);
        Ok((kept.order(pending)?, id))
    }

    /// A batch that takes along what the database has to drop.
    fn pending(&self, kept: &Kept, state: &mut State, mut batch: Batch) -> Pending {
        batch.take_along(state);
        let bytes = batch.entries.iter().map(cost).sum();
        state.unsettled.bytes += bytes;
        state.unsettled.keys.extend(batch.repeat.map(|(key, _)| key));
        let (seen, settled) = (Arc::clone(&self.seen), Arc::clone(&kept.settled));
        Pending { seen, settled, batch, bytes, shown: false, _alone: None }
    }
}

impl Kept {
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
            return Err(Refusal::Unavailable("the disk does not keep up".to_owned()));
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

impl Batch {
    fn new(now: u64, entries: Vec<Entry>, repeat: Option<([u8; 32], [u8; 32])>) -> Self {
        Self { now, entries, repeat, revoked: None, gone: Default::default(), trim: None }
    }

    /// Takes along what the database has to drop.
    fn take_along(&mut self, state: &mut State) {
        self.gone = (state.snapshots.take_gone(), state.repeats.take_gone());
        let stale = state.store.first().saturating_sub(state.unsettled.trimmed);
        if stale >= TRIM_AT_ONCE.max(state.store.len() as u64 / 8) {
            self.trim = Some(state.store.floor());
            state.unsettled.trimmed = state.store.first();
        }
    }

    /// The database has dropped nothing of it.
    fn give_back(&self, state: &mut State) {
        state.snapshots.give_back(&self.gone.0);
        state.repeats.give_back(&self.gone.1);
        if self.trim.is_some() {
            state.unsettled.trimmed = 0;
        }
    }

    fn ids(&self) -> impl Iterator<Item = EventId> {
        self.entries.iter().map(|entry| entry.id)
    }

    /// The events that serve as snapshots, and until when.
    fn snapshots(&self) -> impl Iterator<Item = (u64, &Arc<Event>)> {
        self.entries.iter().filter_map(|entry| match &entry.content {
            Content::Event(event) => {
                let secs = event.snapshot.filter(|secs| *secs > 0)?;
                Some((snapshots::expiry(self.now, secs), event))
            }
            Content::Revoked(_) | Content::Malformed(..) | Content::Internal => None,
        })
    }

    fn write(&self, writing: &Writing<'_>) -> Result<(), redb::Error> {
        let mut entries = writing.table(ENTRIES)?;
        let mut facts = writing.table(FACTS)?;
        if let Some(floor) = self.trim.map(rows::id_row) {
            entries.retain_in(..=floor, |_, _| false)?;
            facts.insert(FLOOR_FACT, floor)?;
        }
        for (id, row) in self.entries.iter().filter_map(|entry| Some((entry.id, rows::entry_row(entry)?))) {
            entries.insert(rows::id_row(id), row)?;
        }
        if let Some(newest) = self.ids().last() {
            facts.insert(NEWEST_FACT, rows::id_row(newest))?;
        }
        self.write_beside(writing)
    }

    /// What is kept beside the entries.
    fn write_beside(&self, writing: &Writing<'_>) -> Result<(), redb::Error> {
        let mut snapshots = writing.table(SNAPSHOTS)?;
        for id in &self.gone.0 {
            snapshots.remove(rows::id_row(*id))?;
        }
        for (expires, event) in self.snapshots() {
            snapshots.insert(rows::id_row(event.id), (expires, rows::event_row(event)))?;
        }
        let mut repeats = writing.table(REPEATS)?;
        for key in &self.gone.1 {
            repeats.remove(key)?;
        }
        if let Some((key, digest)) = self.repeat {
            let ids: Vec<_> = self.ids().map(rows::id_row).collect();
            repeats.insert((repeats::expiry(self.now), key), (digest, ids))?;
        }
        if let Some((held, until)) = self.revoked.as_ref().and_then(|held| Some((held, held.until_ms?))) {
            let mut revocations = writing.table(REVOCATIONS)?;
            revocations.retain(|_, (_, until)| until > self.now)?;
            revocations.insert(held.subject(), (held.at_ms, until))?;
        }
        Ok(())
    }

    fn show(&self, state: &mut State) {
        for entry in &self.entries {
            state.store.push(self.now, entry.clone());
        }
        for (expires, event) in self.snapshots() {
            state.snapshots.keep(self.now, expires, Arc::clone(event));
        }
        if let Some((key, digest)) = self.repeat {
            state.repeats.remember(repeats::expiry(self.now), key, digest, self.ids().collect());
        }
        if let Some(held) = &self.revoked {
            // There is room: it was tried when this was ordered, and nothing was added since.
            let _ = state.revocations.add(held, self.now);
        }
    }
}

async fn heard(told: Told) -> Result<(), Refusal> {
    told.await.unwrap_or_else(|_| Err(Refusal::OutcomeUnknown("the instance ends".to_owned())))
}

fn slow() -> Refusal {
    Refusal::OutcomeUnknown("the disk does not answer".to_owned())
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

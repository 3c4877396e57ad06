//! What is written to the database at once.

use std::sync::Arc;

use redb::ReadableTable as _;
use weir_core::Revocation;
use weir_core::entry::{Content, Entry};
use weir_core::event::Event;
use weir_core::id::EventId;

use super::rows::{
    self, ENTRIES, FACTS, FLOOR_FACT, NEWEST_FACT, REPEATS, REVOCATIONS, RepeatKey, SNAPSHOTS,
};
use super::{State, repeats, snapshots};
use crate::engine::Writing;

/// What is written at once, and comes to be seen when it is.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) now: u64,
    pub(super) entries: Vec<Entry>,
    /// Key and digest of the publish.
    pub(super) repeat: Option<([u8; 32], [u8; 32])>,
    /// The revocation that holds for its subject from then on.
    pub(super) revoked: Option<Revocation>,
    /// Snapshots and publishes that the database keeps in vain.
    gone: (Vec<EventId>, Vec<RepeatKey>),
    /// Entries up to this are dropped.
    trim: Option<EventId>,
}

impl Batch {
    pub(super) fn new(now: u64, entries: Vec<Entry>, repeat: Option<([u8; 32], [u8; 32])>) -> Self {
        Self { now, entries, repeat, revoked: None, gone: Default::default(), trim: None }
    }

    /// Takes along what the database has to drop; entries where there are so many.
    pub(super) fn take_along(&mut self, state: &mut State, entries: u64) {
        self.gone = (state.snapshots.take_gone(), state.repeats.take_gone());
        let stale = state.store.first().saturating_sub(state.unsettled.trimmed);
        if stale >= entries {
            self.trim = Some(state.store.floor());
            state.unsettled.trimmed = state.store.first();
        }
    }

    pub(super) fn drops_nothing(&self) -> bool {
        self.trim.is_none() && self.gone.0.is_empty() && self.gone.1.is_empty()
    }

    /// The database has dropped nothing of it.
    pub(super) fn give_back(&self, state: &mut State) {
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

    pub(super) fn write(&self, writing: &Writing<'_>) -> Result<(), redb::Error> {
        let mut entries = writing.table(ENTRIES)?;
        let mut facts = writing.table(FACTS)?;
        if let Some(floor) = self.trim.map(rows::id_row) {
            entries.retain_in(..=floor, |_, _| false)?;
            // What was ordered earlier may be written later than the upkeep, which had more to drop.
            let before = facts.get(FLOOR_FACT)?.map_or((0, 0), |floor| floor.value());
            facts.insert(FLOOR_FACT, floor.max(before))?;
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

    pub(super) fn show(&self, state: &mut State) {
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

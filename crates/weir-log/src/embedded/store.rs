//! The entries themselves: ids given out, bounds kept.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_core::Revocation;
use weir_core::entry::{Content, Entry};
use weir_core::event::{Event, EventParts};
use weir_core::id::EventId;
use weir_core::log::NewEvent;

/// What bounds a [`Store`].
#[derive(Clone, Debug)]
pub(super) struct Cap {
    pub(super) len: usize,
    pub(super) bytes: usize,
    pub(super) age_ms: Option<u64>,
}

impl Cap {
    /// Whether an entry stays while it and what is newer are so many and cost so much. The newest one leaves by age only.
    pub(super) fn allows(&self, (len, bytes): (usize, usize), id: EventId, now: u64) -> bool {
        let aged = self.age_ms.is_some_and(|age| id.ms.saturating_add(age) < now);
        len <= self.len && (bytes <= self.bytes || len == 1) && !aged
    }
}

/// The newest entries, oldest first.
///
/// Every entry has an index, the number of entries added before it, so that a reader knows exactly how many it missed.
// Invariant: `entries` are those with indices `added - entries.len()` to `added - 1`; `bytes` is the sum of their costs.
#[derive(Debug)]
pub(super) struct Store {
    cap: Cap,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The newest id that an entry was added with.
    last: EventId,
    /// The newest id that was given to anything, added or not.
    given: EventId,
    /// Every entry above this that there ever was is here. `None` where nobody knows what was before this life.
    floor: Option<EventId>,
    added: u64,
}

/// How far an earlier life came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// Entries there were, of those that the database still has.
    pub(super) added: u64,
    /// The newest id.
    pub(super) newest: EventId,
    /// Every entry above this is loaded.
    pub(super) floor: EventId,
}

impl Store {
    pub(super) fn new(cap: Cap) -> Self {
        let (last, given) = (EventId::ZERO, EventId::ZERO);
        Self { cap, entries: VecDeque::new(), bytes: 0, last, given, floor: None, added: 0 }
    }

    /// What an earlier life has left: its newest entries, oldest first.
    pub(super) fn loaded(cap: Cap, entries: VecDeque<Entry>, past: Past) -> Self {
        let bytes = entries.iter().map(cost).sum();
        let Past { added, newest, floor } = past;
        Self { cap, entries, bytes, last: newest, given: newest, floor: Some(floor), added }
    }

    /// An event of `now` that is not added yet. Its id is above every id before it, whatever the clock does.
    pub(super) fn event(&mut self, now: u64, new: &NewEvent) -> Arc<Event> {
        let id = self.next_id(now);
        Arc::new(Event::new(EventParts {
            id,
            session: new.session.clone(),
            kind: new.kind.clone(),
            key: new.key.clone(),
            ts: Some(now),
            snapshot: new.snapshot,
            data: &new.data,
        }))
    }

    /// What concerns instances, not added yet.
    pub(super) fn told(&mut self, now: u64, revocation: &Revocation) -> Entry {
        Entry { id: self.next_id(now), content: Content::Revoked(Arc::new(revocation.clone())) }
    }

    fn next_id(&mut self, now: u64) -> EventId {
        self.given = self.given.next().max(EventId::new(now, 0));
        self.given
    }

    /// Adds what was made here, in the order of the ids.
    pub(super) fn push(&mut self, now: u64, entry: Entry) {
        debug_assert!(entry.id > self.last, "entries come in the order of their ids");
        self.added += 1;
        self.last = entry.id;
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
        self.trim(now);
    }

    /// Drops what the bounds no longer allow. The newest entry leaves by age only.
    pub(super) fn trim(&mut self, now: u64) {
        while let Some(oldest) = self.entries.front() {
            if self.cap.allows((self.entries.len(), self.bytes), oldest.id, now) {
                break;
            }
            self.bytes -= cost(oldest);
            self.floor = self.floor.map(|_| oldest.id);
            self.entries.pop_front();
        }
    }

    /// The entries from index `from` on, at most `count`. Indices below [`Self::first`] are gone.
    pub(super) fn range(&self, from: u64, count: usize) -> impl Iterator<Item = &Entry> {
        let skip = usize::try_from(from.saturating_sub(self.first())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skip).take(count)
    }

    /// Index of the oldest entry kept.
    pub(super) fn first(&self) -> u64 {
        self.added - self.entries.len() as u64
    }

    pub(super) fn added(&self) -> u64 {
        self.added
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Resumes at or above this position are complete.
    pub(super) fn floor(&self) -> EventId {
        self.oldest().map_or(self.last, |oldest| self.floor.unwrap_or(oldest.prev()))
    }

    pub(super) fn oldest(&self) -> Option<EventId> {
        self.entries.front().map(|entry| entry.id)
    }

    /// The newest id of all that was added.
    pub(super) fn last(&self) -> EventId {
        self.last
    }
}

/// What an entry costs in memory.
pub(super) fn cost(entry: &Entry) -> usize {
    /// What one without an event does.
    const BARE: usize = 64;
    match &entry.content {
        Content::Event(event) => event.cost(),
        Content::Revoked(revocation) => BARE + revocation.subject().len(),
        Content::Malformed(..) | Content::Internal => BARE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::name::Session;

    fn new(data: &str) -> NewEvent {
        let session = Session::parse("s").unwrap();
        NewEvent { session, data: data.to_owned(), kind: None, key: None, snapshot: None }
    }

    impl Store {
        fn add(&mut self, now: u64, new: &NewEvent) -> Arc<Event> {
            let event = self.event(now, new);
            self.push(now, Entry { id: event.id, content: Content::Event(Arc::clone(&event)) });
            event
        }
    }

    fn store(len: usize, bytes: usize, age_ms: Option<u64>) -> Store {
        Store::new(Cap { len, bytes, age_ms })
    }

    #[test]
    fn ids_rise_while_the_clock_stands_still_or_goes_back() {
        let mut store = store(9, usize::MAX, None);
        let ids = [10, 10, 5, 11].map(|now| store.add(now, &new("x")).id);
        assert_eq!(ids, [(10, 0), (10, 1), (10, 2), (11, 0)].map(|(ms, seq)| EventId::new(ms, seq)));
    }

    #[test]
    fn bounds_hold_by_count_bytes_and_age() {
        let mut counted = store(2, usize::MAX, None);
        (0..5).for_each(|_| drop(counted.add(1, &new("x"))));
        assert_eq!((counted.len(), counted.first(), counted.added()), (2, 3, 5));

        let big = "x".repeat(1000);
        let mut sized = store(9, 1500, None);
        (0..3).for_each(|_| drop(sized.add(1, &new(&big))));
        assert_eq!(sized.len(), 1);
        sized.add(1, &new(&"x".repeat(9000)));
        assert_eq!(sized.len(), 1, "the newest event stays however large");

        let mut aged = store(9, usize::MAX, Some(100));
        aged.add(1000, &new("x"));
        aged.trim(1100);
        assert_eq!(aged.len(), 1);
        aged.trim(1101);
        assert_eq!((aged.len(), aged.last(), aged.bytes), (0, EventId::new(1000, 0), 0));
    }
}

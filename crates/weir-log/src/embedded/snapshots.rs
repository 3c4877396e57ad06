//! The newest snapshot of each session.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::name::Session;

/// Most bytes of snapshots kept, by [`Event::cost`]. It bounds memory under publishers that keep a snapshot in ever new
/// sessions; past it the one that would expire first goes.
const MAX_BYTES: usize = 64 << 20;

/// Snapshots that have not expired.
// Invariant: `by_expiry` holds each session of `newest` once, with its expiry; `bytes` is the sum of the costs.
#[derive(Debug)]
pub(super) struct Snapshots {
    max_bytes: usize,
    newest: HashMap<Session, (u64, Arc<Event>)>,
    by_expiry: BTreeSet<(u64, Session)>,
    bytes: usize,
    /// The ids of those that were dropped, where a database keeps them that has to drop them, too.
    gone: Option<Vec<EventId>>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            max_bytes: MAX_BYTES,
            newest: HashMap::new(),
            by_expiry: BTreeSet::new(),
            bytes: 0,
            gone: None,
        }
    }
}

/// When a snapshot of so many seconds expires that was published at `now`.
pub(super) fn expiry(now: u64, secs: u32) -> u64 {
    now.saturating_add(u64::from(secs) * 1000)
}

impl Snapshots {
    /// None, of which those are remembered that are dropped later.
    pub(super) fn remembering() -> Self {
        Self { gone: Some(Vec::new()), ..Self::default() }
    }

    /// What was dropped since this was asked last.
    pub(super) fn take_gone(&mut self) -> Vec<EventId> {
        self.gone.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What was taken could not be dropped from the database.
    pub(super) fn give_back(&mut self, taken: &[EventId]) {
        if let Some(gone) = &mut self.gone {
            gone.extend(taken);
        }
    }

    /// Keeps the event as the snapshot of its session until `expires`, instead of an older one.
    pub(super) fn keep(&mut self, now: u64, expires: u64, event: Arc<Event>) {
        let session = event.session.clone();
        self.remove(&session);
        self.bytes += event.cost();
        self.by_expiry.insert((expires, session.clone()));
        self.newest.insert(session, (expires, event));
        self.trim(now);
    }

    /// The session's snapshot, if it has one at `now`.
    pub(super) fn get(&mut self, now: u64, session: &Session) -> Option<Arc<Event>> {
        self.trim(now);
        self.newest.get(session).map(|(_, event)| Arc::clone(event))
    }

    /// Drops what has expired, and what there is no room for.
    pub(super) fn trim(&mut self, now: u64) {
        while let Some((expires, session)) = self.by_expiry.first() {
            if *expires > now && self.bytes <= self.max_bytes {
                break;
            }
            let session = session.clone();
            self.remove(&session);
        }
    }

    fn remove(&mut self, session: &Session) {
        if let Some((expires, event)) = self.newest.remove(session) {
            self.bytes -= event.cost();
            if let Some(gone) = &mut self.gone {
                gone.push(event.id);
            }
            self.by_expiry.remove(&(expires, session.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::event::EventParts;

    fn event(session: &str, data: &str) -> Arc<Event> {
        let (id, session) = (EventId::new(1, 0), Session::parse(session).unwrap());
        Arc::new(Event::new(EventParts {
            id,
            session,
            kind: None,
            key: None,
            ts: None,
            snapshot: None,
            data,
        }))
    }

    #[test]
    fn ever_new_sessions_push_out_what_expires_first() {
        let mut snapshots = Snapshots { max_bytes: 4000, ..Snapshots::default() };
        let data = "x".repeat(1000);
        for n in 0..5 {
            snapshots.keep(0, expiry(0, 100 - n), event(&format!("s{n}"), &data));
        }
        assert!((1..=4000).contains(&snapshots.bytes));
        assert_eq!(snapshots.newest.len(), snapshots.by_expiry.len());
        assert!(snapshots.get(0, &Session::parse("s4").unwrap()).is_none());
        assert!(snapshots.get(0, &Session::parse("s0").unwrap()).is_some());
        assert!(snapshots.get(100_000, &Session::parse("s0").unwrap()).is_none());
        assert_eq!((snapshots.bytes, snapshots.by_expiry.len()), (0, 0));
    }
}

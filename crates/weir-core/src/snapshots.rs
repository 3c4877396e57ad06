//! The newest snapshot of each session, in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::event::Event;
use crate::id::EventId;
use crate::name::Session;

/// Snapshots in memory, bounded by bytes. The log keeps them too, so what makes room here is only asked for again.
#[derive(Debug)]
pub struct Snapshots {
    by_session: HashMap<Session, Arc<Event>>,
    /// Oldest first. With the session, because ids of logs that replaced one another may be the same.
    by_id: BTreeSet<(EventId, Session)>,
    bytes: usize,
    most_bytes: usize,
}

impl Snapshots {
    /// None yet; at most so many bytes by [`Event::cost`].
    pub fn new(most_bytes: usize) -> Self {
        Self { by_session: HashMap::new(), by_id: BTreeSet::new(), bytes: 0, most_bytes }
    }

    /// Keeps an event that serves as a snapshot, unless a newer one is known.
    pub fn put(&mut self, event: Arc<Event>) {
        if event.snapshot.is_none()
            || self.by_session.get(&event.session).is_some_and(|known| known.id >= event.id)
        {
            return;
        }
        self.remove(&event.session.clone());
        self.bytes += event.cost();
        self.by_id.insert((event.id, event.session.clone()));
        self.by_session.insert(event.session.clone(), event);
        while self.bytes > self.most_bytes
            && let Some((_, oldest)) = self.by_id.pop_first()
        {
            self.remove(&oldest);
        }
    }

    /// The session's snapshot, unless it has expired. `now_ms` is the time by the log's clock.
    pub fn get(&mut self, session: &Session, now_ms: u64) -> Option<Arc<Event>> {
        let event = self.by_session.get(session)?.clone();
        if expires_ms(&event) <= now_ms {
            self.remove(session);
            return None;
        }
        Some(event)
    }

    /// Forgets all: the log was replaced.
    pub fn clear(&mut self) {
        *self = Self::new(self.most_bytes);
    }

    fn remove(&mut self, session: &Session) {
        if let Some(old) = self.by_session.remove(session) {
            self.bytes -= old.cost();
            self.by_id.remove(&(old.id, old.session.clone()));
        }
    }
}

/// When an event stops to serve as a snapshot, by the log's clock.
pub fn expires_ms(event: &Event) -> u64 {
    event.id.ms.saturating_add(u64::from(event.snapshot.unwrap_or(0)) * 1000)
}

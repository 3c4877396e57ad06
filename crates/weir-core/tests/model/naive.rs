//! The naive side: everything ever written, and what a window of these bounds has to hold of it.

use std::collections::HashMap;
use std::sync::Arc;

use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::name::Session;
use weir_core::window::WindowBounds;

/// One entry of the log, or the place where some are missing.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: EventId,
    /// Which of the logs that replaced one another it belongs to.
    pub(crate) epoch: u32,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Event(Arc<Event>),
    Oversize(Session),
    /// Malformed, or not meant for clients.
    Skip,
    Hole,
}

impl What {
    /// The same in another log; a hole is none of its entries.
    pub(crate) fn copied(&self) -> Option<Self> {
        match self {
            Self::Event(event) => Some(Self::Event(Arc::clone(event))),
            Self::Oversize(session) => Some(Self::Oversize(session.clone())),
            Self::Skip => Some(Self::Skip),
            Self::Hole => None,
        }
    }
}

/// What the contract demands as the answer to a resume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Complete,
    /// Complete up to a hole that is told at its place.
    CompleteToHole,
    Trimmed,
    Reader,
    Reset,
    Ahead,
}

#[derive(Debug)]
pub(crate) struct Naive {
    bounds: WindowBounds,
    pub(crate) items: Vec<Item>,
    pub(crate) epoch: u32,
    /// Indices of the items that the window holds, oldest first.
    held: Vec<usize>,
    floor: EventId,
    pub(crate) head: EventId,
    /// Of each session that is remembered the newest id that left the window.
    known: HashMap<Session, Option<EventId>>,
    /// Sessions without an event in the window, in the order in which they lost their last.
    resting: Vec<Session>,
    forgotten: Option<EventId>,
    doubts: Vec<(EventId, EventId)>,
    /// Up to the first both logs of the newest reset are known to be one; the second is the head of the old one.
    replaced: (EventId, EventId),
    /// The head of the newest load.
    loaded_to: EventId,
    snapshots: HashMap<Session, Arc<Event>>,
}

impl Naive {
    pub(crate) fn new(bounds: WindowBounds) -> Self {
        Self {
            bounds,
            items: Vec::new(),
            epoch: 0,
            held: Vec::new(),
            floor: EventId::ZERO,
            head: EventId::ZERO,
            known: HashMap::new(),
            resting: Vec::new(),
            forgotten: None,
            doubts: Vec::new(),
            replaced: (EventId::ZERO, EventId::ZERO),
            loaded_to: EventId::ZERO,
            snapshots: HashMap::new(),
        }
    }

    /// An item that is in the log, but not read yet, or trimmed before the load.
    pub(crate) fn write(&mut self, id: EventId, what: What) -> usize {
        self.items.push(Item { id, epoch: self.epoch, what });
        self.items.len() - 1
    }

    /// Another log takes over, of which everything up to `after` is known to be the same, and `kept` may be.
    pub(crate) fn reset(&mut self, (after, through): (EventId, EventId), kept: &[EventId]) {
        let same = |held: &&usize| {
            let item = &self.items[**held];
            matches!(item.what, What::Event(_)) && kept.contains(&item.id)
        };
        let common = self.held.iter().filter(same).map(|held| self.items[*held].id).max();
        let after = common.unwrap_or_default().max(after);
        let doubts = self.doubts.iter().copied().chain([(after, through)]).collect();
        let (items, epoch) = (std::mem::take(&mut self.items), self.epoch + 1);
        *self = Self { items, epoch, doubts, replaced: (after, through), ..Self::new(self.bounds) };
    }

    /// Where whoever is told of the newest reset goes on.
    pub(crate) fn restart(&self) -> EventId {
        let (common, through) = self.replaced;
        let seen = if common > EventId::ZERO { common } else { through };
        let loaded = self.log(self.epoch).filter(|item| item.id > seen && item.id <= self.loaded_to);
        let before_new = loaded.map(|item| item.id.prev()).min().filter(|before| *before > through);
        let otherwise = if common > EventId::ZERO { common } else { through.next() };
        before_new.unwrap_or(otherwise).min(self.loaded_to)
    }

    pub(crate) fn load(&mut self, floor: EventId, items: &[usize], head: EventId) {
        (self.floor, self.head) = (floor, floor);
        for item in items {
            self.read(*item);
        }
        self.head = self.head.max(head);
        self.loaded_to = self.head;
    }

    /// The reader has come to this item.
    pub(crate) fn read(&mut self, index: usize) {
        let item = &self.items[index];
        if self.head == EventId::ZERO && !matches!(item.what, What::Hole) {
            self.floor = item.id.prev();
        }
        self.head = item.id;
        if let Some(session) = session(item).cloned() {
            self.resting.retain(|other| *other != session);
            self.known.entry(session).or_insert(self.forgotten);
        }
        match &item.what {
            What::Event(event) => {
                if event.snapshot.is_some() {
                    self.snapshots.insert(event.session.clone(), Arc::clone(event));
                }
                self.held.push(index);
            }
            What::Oversize(_) | What::Hole => self.held.push(index),
            What::Skip => {}
        }
    }

    pub(crate) fn trim(&mut self, now_ms: u64) {
        let oldest_ms = self.bounds.age.map_or(0, |age| now_ms.saturating_sub(age.as_millis() as u64));
        while let Some(first) = self.held.first()
            && (self.held.len() > self.bounds.events
                || (self.held.len() > 1 && self.bytes() > self.bounds.bytes)
                || self.items[*first].id.ms < oldest_ms)
        {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let item = &self.items[self.held.remove(0)];
        let (id, session) = (item.id, session(item).cloned());
        let Some(session) = session else { return };
        let more = self.held.iter().any(|held| self::session(&self.items[*held]) == Some(&session));
        self.known.insert(session.clone(), Some(id));
        if !more {
            self.resting.push(session);
        }
        if self.resting.len() > self.bounds.remembered_sessions {
            let forgotten = self.resting.remove(0);
            self.forgotten = self.known.remove(&forgotten).flatten();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        let events = self.held.iter().filter_map(|held| match &self.items[*held].what {
            What::Event(event) => Some(event.cost()),
            What::Oversize(_) | What::Skip | What::Hole => None,
        });
        events.sum()
    }

    pub(crate) fn holds(&self, id: EventId) -> bool {
        self.held.iter().any(|held| self.items[*held].id == id)
    }

    /// The newest id below which something has left.
    pub(crate) fn edge(&self) -> EventId {
        self.held.first().map_or(self.head, |held| self.items[*held].id.prev())
    }

    pub(crate) fn resume(&self, sessions: &[Session], position: EventId) -> Expect {
        let told = self.epoch > 0 && position == self.restart();
        if !told && self.doubts.iter().any(|(after, through)| *after < position && position <= *through) {
            return Expect::Reset;
        }
        if position > self.head {
            return Expect::Ahead;
        }
        let gone = |session| self.known.get(session).copied().unwrap_or(self.forgotten) > Some(position);
        if self.floor > position || sessions.iter().any(gone) {
            return Expect::Trimmed;
        }
        match self.holes_above(position) {
            (false, false) => Expect::Complete,
            (false, true) => Expect::CompleteToHole,
            (true, _) => Expect::Reader,
        }
    }

    /// Whether a hole that has left the window, and one that has not, lies above this position.
    pub(crate) fn holes_above(&self, position: EventId) -> (bool, bool) {
        let holes = self.log(self.epoch).filter(|item| matches!(item.what, What::Hole) && item.id > position);
        let (held, gone): (Vec<_>, Vec<_>) = holes.partition(|hole| self.holds(hole.id));
        (!gone.is_empty(), !held.is_empty())
    }

    pub(crate) fn log(&self, epoch: u32) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.epoch == epoch)
    }

    pub(crate) fn snapshot(&self, session: &Session, now_ms: u64) -> Option<&Arc<Event>> {
        let snapshot = self.snapshots.get(session)?;
        let until = snapshot.id.ms + u64::from(snapshot.snapshot?) * 1000;
        (until > now_ms).then_some(snapshot)
    }
}

fn session(item: &Item) -> Option<&Session> {
    match &item.what {
        What::Event(event) => Some(&event.session),
        What::Oversize(session) => Some(session),
        What::Skip | What::Hole => None,
    }
}

//! The instance's in-memory mirror of the log, and the proof of what a resume can and cannot have missed.
//!
//! Every slot has a [`Seq`], the instance's own count. Order inside the instance goes by it alone, so that a log whose
//! ids go backwards cannot make an event look old.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::entry::{Content, Entry};
use crate::event::Event;
use crate::id::EventId;
use crate::log::Load;
use crate::name::Session;

mod index;
mod read;

use index::SessionIndexes;
pub use read::{Found, Scope};

/// The instance's own count of what passed through its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A place in the log: the instance's count and the id that clients know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Place in this instance's order.
    pub seq: Seq,
    /// Position as clients know it.
    pub id: EventId,
}

/// Bounds of the window. Whatever is reached first evicts the oldest event.
#[derive(Clone, Copy, Debug)]
pub struct WindowBounds {
    /// Most events.
    pub events: usize,
    /// Most bytes, by [`Event::cost`].
    pub bytes: usize,
    /// Greatest age, by the log's clock.
    pub age: Option<Duration>,
    /// Sessions without an event in the window whose last evicted id is still remembered. What is forgotten raises the
    /// floor, so this bounds memory against a flood of session names, at the price of gaps for the longest silent.
    pub remembered_sessions: usize,
}

/// A place where entries are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Its place in the window.
    pub seq: Seq,
    /// What is missing is above this id.
    pub after: EventId,
    /// What is missing is at or below this id.
    pub through: EventId,
}

/// Most holes remembered one by one. Beyond it the oldest raises the floor.
const MAX_HOLES: usize = 64;

/// Most ranges of ids remembered as doubtful. Beyond it the oldest two are merged.
const MAX_DOUBTS: usize = 16;

/// Answer to a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Everything after the position follows from `cursor`, holes that are met on the way announced at their place.
    Complete {
        /// Where to read on.
        cursor: Seq,
    },
    /// Something may be missing.
    Broken {
        /// Why.
        cause: Broken,
        /// From here on everything is there.
        from: Mark,
    },
    /// The position is above the head: the reader has not come so far.
    Ahead,
}

/// Why a resume cannot be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Events left the window or the log.
    Trimmed,
    /// Entries were trimmed before this instance read them.
    Reader,
    /// The position belongs to a log that was replaced.
    Reset,
}

#[derive(Debug)]
enum Slot {
    Event(Arc<Event>),
    /// An entry too large to deliver, at its place, so that a resume across it is told.
    Oversize(EventId, Session),
    Hole(EventId),
}

impl Slot {
    fn id(&self) -> EventId {
        match self {
            Self::Event(event) => event.id,
            Self::Oversize(id, _) | Self::Hole(id) => *id,
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Window {
    bounds: WindowBounds,
    // Invariant: ids rise from slot to slot, though a hole may stand at the id before it; `slots[i]` has the seq `base + i`.
    slots: VecDeque<Slot>,
    base: u64,
    bytes: usize,
    sessions: SessionIndexes,
    head: Mark,
    /// Below it nothing is known.
    floor: Mark,
    /// Before the first entry of a log that was empty, where this window saw that.
    origin: Option<EventId>,
    holes: VecDeque<Hole>,
    /// Place of the newest reset.
    reset: Seq,
    /// From where on what stands after the newest reset is new to whoever was told of it.
    restart: Mark,
    /// Ranges `(after, through]` of ids that may belong to a log that was replaced.
    doubts: VecDeque<(EventId, EventId)>,
}

impl Window {
    /// An empty window.
    pub fn new(bounds: WindowBounds) -> Self {
        Self {
            bounds,
            slots: VecDeque::new(),
            // Seq 0 is before everything, so that a cursor can stand there.
            base: 1,
            bytes: 0,
            sessions: SessionIndexes::new(bounds.remembered_sessions),
            head: Mark::default(),
            floor: Mark::default(),
            origin: None,
            holes: VecDeque::new(),
            reset: Seq(0),
            restart: Mark::default(),
            doubts: VecDeque::new(),
        }
    }

    /// The newest place.
    pub fn head(&self) -> Mark {
        self.head
    }

    /// Events held.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes held, by [`Event::cost`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest place that is held.
    pub fn oldest(&self) -> Option<EventId> {
        self.slots.front().map(Slot::id)
    }

    /// Starts from what the log holds. Entries are pushed afterwards, one by one.
    pub fn load(&mut self, load: &Load) {
        self.floor = Mark { seq: self.last_seq(), id: load.floor };
        self.head = Mark { seq: self.last_seq(), id: load.floor };
        self.origin = None;
    }

    /// Takes the next event. The bounds are kept by [`Self::trim`].
    pub fn push(&mut self, event: Arc<Event>) -> Seq {
        self.begin_at(event.id);
        self.bytes += event.cost();
        self.sessions.push(&event.session, self.last_seq().next());
        let id = event.id;
        self.append(Slot::Event(event), id)
    }

    /// Marks the place of an entry of this session that was too large.
    pub fn push_oversize(&mut self, id: EventId, session: Session) -> Seq {
        self.begin_at(id);
        self.sessions.push(&session, self.last_seq().next());
        self.append(Slot::Oversize(id, session), id)
    }

    /// Moves the head past an entry that concerns no client.
    pub fn skip(&mut self, id: EventId) {
        self.begin_at(id);
        self.head.id = self.head.id.max(id);
    }

    /// Marks entries as lost before this instance read them. Where that was noticed late, events between `after` and
    /// `through` may be here already; whoever reads on from among them is told at the end of them.
    pub fn lose(&mut self, after: EventId, through: EventId) -> Hole {
        let seq = self.append(Slot::Hole(through), through);
        let hole = Hole { seq, after, through };
        self.holes.push_back(hole);
        if self.holes.len() > MAX_HOLES
            && let Some(oldest) = self.holes.pop_front()
        {
            // Nothing below the floor is held, so that nobody reads across the hole that is forgotten.
            while self.base <= oldest.seq.0 {
                self.evict();
            }
            self.floor = Mark { seq: oldest.seq, id: oldest.through };
        }
        hole
    }

    /// Forgets everything: the log was emptied, replaced or went backwards. Positions in `(after, through]` are
    /// doubtful from now on.
    pub fn reset(&mut self, after: EventId, through: EventId) {
        self.base += self.slots.len() as u64 + 1;
        self.slots.clear();
        self.bytes = 0;
        self.sessions = SessionIndexes::new(self.bounds.remembered_sessions);
        self.holes.clear();
        self.reset = self.last_seq();
        self.head = Mark { seq: self.reset, id: EventId::ZERO };
        self.floor = self.head;
        self.origin = None;
        self.doubt(after, through);
    }

    /// The newest of these entries of another log, lowest id first, that stands here too: up to it the logs are one.
    pub fn common(&self, entries: &[Entry]) -> Option<EventId> {
        let here = |id| self.slot(self.seq_at(id));
        entries.iter().rev().find_map(|entry| match (&entry.content, here(entry.id)) {
            (Content::Event(new), Some(Slot::Event(old))) if new.is_same_as(old) => Some(entry.id),
            (Content::Event(_) | Content::Malformed(..) | Content::Internal | Content::Revoked(_), _) => None,
        })
    }

    /// Whoever is told of the newest reset goes on after this position, as far as there is anything.
    pub fn restart_after(&mut self, id: EventId) -> Mark {
        let id = id.min(self.head.id);
        self.restart = Mark { seq: self.seq_at(id), id };
        self.restart
    }

    fn doubt(&mut self, after: EventId, through: EventId) {
        self.doubts.push_back((after, through));
        if self.doubts.len() > MAX_DOUBTS
            && let Some((low, high)) = self.doubts.pop_front()
            && let Some(next) = self.doubts.front_mut()
        {
            *next = (next.0.min(low), next.1.max(high));
        }
    }

    /// Evicts what the bounds do not allow; `now_ms` is the time by the log's clock. It is called once everything pushed
    /// has been offered to every client, so that each client knows how many of its events it lost here.
    pub fn trim(&mut self, now_ms: u64) {
        let age = self.bounds.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let oldest_ms = age.map_or(0, |age| now_ms.saturating_sub(age));
        while let Some(oldest) = self.slots.front() {
            // The newest event stays even where it alone is above the bound of bytes.
            let over = self.slots.len() > self.bounds.events.max(1)
                || (self.bytes > self.bounds.bytes && self.slots.len() > 1);
            if !over && oldest.id().ms >= oldest_ms {
                break;
            }
            self.evict();
        }
    }

    /// What a client that stands after `position` can be given of these sessions.
    pub fn resume(&self, sessions: &[Session], position: EventId) -> Resume {
        // Whoever was told to go on from here after the newest reset means this log.
        let told = position == self.restart.id && self.reset > Seq(0);
        if !told && self.doubts.iter().any(|(after, through)| *after < position && position <= *through) {
            return Resume::Broken { cause: Broken::Reset, from: self.head };
        }
        let position = match self.origin {
            Some(origin) if position == EventId::EMPTY => origin,
            Some(_) | None => position,
        };
        let is_empty_still = position == EventId::EMPTY && self.head.id == EventId::ZERO;
        if position > self.head.id && !is_empty_still {
            return Resume::Ahead;
        }
        let cursor = self.seq_at(position);
        let trimmed = self.trimmed(sessions).filter(|mark| mark.id > position);
        // A hole that still has its slot is met, and told, on the way.
        let hole = self.holes.iter().rev().find(|hole| hole.seq.0 < self.base && hole.through > position);
        let hole = hole.map(|hole| Mark { seq: hole.seq, id: hole.through });
        match (trimmed, hole) {
            (None, None) => Resume::Complete { cursor },
            (Some(mark), None) => Resume::Broken { cause: Broken::Trimmed, from: mark },
            (None, Some(mark)) => Resume::Broken { cause: Broken::Reader, from: mark },
            (Some(one), Some(two)) => {
                Resume::Broken { cause: Broken::Trimmed, from: if one.seq > two.seq { one } else { two } }
            }
        }
    }

    /// The newest place below which something of these sessions is gone.
    fn trimmed(&self, sessions: &[Session]) -> Option<Mark> {
        let evicted = sessions.iter().filter_map(|session| self.sessions.evicted(session));
        evicted.chain(Some(self.floor)).max_by_key(|mark| mark.seq)
    }

    /// Whether entries are missing somewhere after the cursor, up to and including `through`.
    pub fn has_hole(&self, cursor: Seq, through: Seq) -> bool {
        self.holes.iter().any(|hole| cursor < hole.seq && hole.seq <= through)
    }

    /// Before everything that is held.
    pub fn start(&self) -> Seq {
        Seq(self.base - 1)
    }

    /// The seq of the newest slot at or below this id.
    pub fn seq_at(&self, id: EventId) -> Seq {
        Seq(self.base - 1 + self.slots.partition_point(|slot| slot.id() <= id) as u64)
    }

    /// Whoever stands below the first entry of a log that was empty comes from a log that is no more.
    fn begin_at(&mut self, id: EventId) {
        if self.head.id == EventId::ZERO {
            self.floor.id = id.prev();
            self.origin = Some(self.floor.id);
        }
    }

    fn append(&mut self, slot: Slot, id: EventId) -> Seq {
        let late = matches!(slot, Slot::Hole(_)) && id == self.head.id;
        debug_assert!(id > self.head.id || late || self.slots.is_empty(), "ids rise between resets");
        self.slots.push_back(slot);
        self.head = Mark { seq: self.last_seq(), id };
        self.head.seq
    }

    fn last_seq(&self) -> Seq {
        Seq(self.base - 1 + self.slots.len() as u64)
    }

    fn slot(&self, seq: Seq) -> Option<&Slot> {
        self.slots.get(usize::try_from(seq.0.checked_sub(self.base)?).ok()?)
    }

    fn evict(&mut self) {
        let Some(slot) = self.slots.pop_front() else { return };
        let mark = Mark { seq: Seq(self.base), id: slot.id() };
        self.base += 1;
        match slot {
            Slot::Event(event) => {
                self.bytes -= event.cost();
                self.sessions.evict(&event.session, mark);
            }
            Slot::Oversize(_, session) => self.sessions.evict(&session, mark),
            Slot::Hole(_) => {}
        }
    }
}

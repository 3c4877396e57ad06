//! Reading the window from a cursor, for some sessions, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Broken, Hole, Mark, Seq, Slot, Window};
use crate::event::Event;
use crate::filter::Filter;
use crate::id::EventId;
use crate::name::Session;

/// What a reader of the window wants to see.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Its sessions.
    pub sessions: &'a [Session],
    /// For each session the place up to which it wants nothing; empty where there is no such place.
    pub starts: &'a [Seq],
    /// Which events of them.
    pub filter: &'a Filter,
}

impl Scope<'_> {
    fn start(&self, session: usize, cursor: Seq) -> Seq {
        self.starts.get(session).map_or(cursor, |start| cursor.max(*start))
    }
}

/// Something that stands after the cursor.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// An event.
    Event(Seq, &'a Arc<Event>),
    /// An event that was too large.
    Oversize(Seq, EventId, &'a Session),
    /// Entries are missing here.
    Hole(&'a Hole),
}

impl Found<'_> {
    /// Its place.
    pub fn mark(&self) -> Mark {
        match self {
            Self::Event(seq, event) => Mark { seq: *seq, id: event.id },
            Self::Oversize(seq, id, _) => Mark { seq: *seq, id: *id },
            Self::Hole(hole) => Mark { seq: hole.seq, id: hole.through },
        }
    }
}

impl Window {
    /// What stands after the cursor, in order. At its end the reader has come to [`Window::head`].
    pub fn after<'a>(&'a self, scope: Scope<'a>, cursor: Seq) -> impl Iterator<Item = Found<'a>> {
        let lanes = scope.sessions.iter().enumerate().filter_map(|(nth, session)| {
            let seqs = &self.sessions.get(session)?.seqs;
            let start = scope.start(nth, cursor);
            Some(Lane { seqs, next: seqs.partition_point(|seq| *seq <= start) })
        });
        let mut reading = Reading {
            window: self,
            lanes: lanes.collect(),
            hole: self.holes.partition_point(|hole| hole.seq <= cursor),
        };
        std::iter::from_fn(move || {
            loop {
                match reading.step()? {
                    Found::Event(_, event) if !scope.filter.matches(event) => {}
                    found @ (Found::Event(..) | Found::Oversize(..) | Found::Hole(_)) => return Some(found),
                }
            }
        })
    }

    /// Where something that the reader had not read yet left the window: the newest such place, and why.
    pub fn lost(&self, scope: Scope<'_>, cursor: Seq) -> Option<(Broken, Mark)> {
        if self.reset > cursor {
            return Some((Broken::Reset, self.restart));
        }
        let gone = scope.sessions.iter().enumerate().filter_map(|(nth, session)| {
            self.sessions.evicted(session).filter(|mark| mark.seq > scope.start(nth, cursor))
        });
        let gone = gone.max_by_key(|mark| mark.seq);
        if self.floor.seq > cursor {
            // A hole was forgotten before this reader met it.
            let mark = gone.filter(|gone| gone.seq > self.floor.seq).unwrap_or(self.floor);
            return Some((Broken::Reader, mark));
        }
        gone.map(|mark| (Broken::Trimmed, mark))
    }

    /// How many events stand after the cursor, up to and including `through`.
    pub fn count(&self, scope: Scope<'_>, cursor: Seq, through: Seq) -> u64 {
        let found = self.after(scope, cursor).take_while(|found| found.mark().seq <= through);
        found.map(|found| u64::from(matches!(found, Found::Event(..) | Found::Oversize(..)))).sum()
    }
}

/// One session's places, and how far it has been read.
struct Lane<'a> {
    seqs: &'a VecDeque<Seq>,
    next: usize,
}

struct Reading<'a> {
    window: &'a Window,
    lanes: SmallVec<[Lane<'a>; 1]>,
    hole: usize,
}

impl<'a> Reading<'a> {
    /// The next in order, of all lanes and the holes.
    fn step(&mut self) -> Option<Found<'a>> {
        let fronts =
            self.lanes.iter().enumerate().filter_map(|(nth, lane)| Some((*lane.seqs.get(lane.next)?, nth)));
        let event = fronts.min();
        let hole = self.window.holes.get(self.hole);
        match (event, hole) {
            (event, Some(hole)) if event.is_none_or(|(seq, _)| hole.seq < seq) => {
                self.hole += 1;
                Some(Found::Hole(hole))
            }
            (Some((seq, nth)), _) => {
                self.lanes[nth].next += 1;
                match self.window.slot(seq)? {
                    Slot::Event(event) => Some(Found::Event(seq, event)),
                    Slot::Oversize(id, session) => Some(Found::Oversize(seq, *id, session)),
                    Slot::Hole(_) => None,
                }
            }
            (None, _) => None,
        }
    }
}

//! What a client has a claim to: every matching event after the place where it began, or the word that it is missing.

use std::collections::HashMap;

use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::mailbox::Overflow;
use weir_core::name::{Key, Session};
use weir_core::notice::{Gap, GapReason};
use weir_core::subscription::Wants;

use crate::model::naive::{Item, Naive, What};

#[derive(Debug)]
pub(crate) struct Claims {
    wants: Wants,
    pub(crate) epoch: u32,
    /// For each session the id up to which everything was given or announced as missing.
    done: Vec<EventId>,
    /// The same for holes, which concern every session.
    holes: EventId,
    /// The position on the wire.
    position: EventId,
    /// For each session the snapshot that has to come before anything newer.
    snapshots: Vec<Option<EventId>>,
    /// Passed over because a newer event of their key comes.
    superseded: HashMap<(Session, Option<Key>), EventId>,
}

impl Claims {
    pub(crate) fn new(wants: &Wants) -> Self {
        let sessions = wants.sessions.len();
        Self {
            wants: wants.clone(),
            epoch: 0,
            done: vec![EventId::ZERO; sessions],
            holes: EventId::ZERO,
            position: EventId::ZERO,
            snapshots: vec![None; sessions],
            superseded: HashMap::new(),
        }
    }

    /// Everything after this position, without a word before.
    pub(crate) fn begin(&mut self, position: EventId, epoch: u32) {
        if epoch != self.epoch {
            self.superseded.clear();
        }
        self.epoch = epoch;
        self.done.fill(position);
        self.snapshots.fill(None);
        (self.holes, self.position) = (position, position);
    }

    /// Everything that the window holds.
    pub(crate) fn begin_earliest(&mut self, naive: &Naive) {
        self.begin(naive.edge(), naive.epoch);
        self.position = EventId::ZERO;
    }

    /// Live, with the snapshots first where it wants them. Returns the position it has to be told.
    pub(crate) fn begin_live(&mut self, naive: &Naive, now_ms: u64) -> EventId {
        self.superseded.clear();
        self.begin(naive.head, naive.epoch);
        if self.wants.snapshot {
            self.heal(naive, (naive.head, EventId::ZERO), now_ms);
            // What left the window after the snapshot is not promised.
            let edge = naive.edge();
            for (done, snapshot) in self.done.iter_mut().zip(&self.snapshots) {
                if let Some(snapshot) = snapshot {
                    *done = edge.max(*snapshot);
                }
            }
            if let Some(first) = self.snapshots.iter().flatten().min() {
                self.position = first.prev();
                self.holes = edge.max(self.position);
            }
        }
        self.position
    }

    /// The resume was answered with a gap.
    pub(crate) fn begin_broken(&mut self, gap: &Gap, naive: &Naive, now_ms: u64) {
        let missing_only_what_left = matches!(gap.reason, GapReason::Trimmed | GapReason::Reader);
        let position = gap.after.unwrap_or(EventId::ZERO);
        self.superseded.clear();
        if missing_only_what_left {
            self.begin(position, naive.epoch);
            let covered = self.unclaimed(naive, gap.then);
            assert!(covered.iter().all(|item| !naive.holds(item.id)), "{gap:?} covers what is there");
            assert!(gap.before > Some(gap.then), "{gap:?}");
        } else {
            assert_eq!(gap.then, naive.head, "{gap:?}");
        }
        self.begin(gap.then, naive.epoch);
        let has = if missing_only_what_left { position } else { EventId::ZERO };
        self.heal(naive, (gap.then, has), now_ms);
    }

    /// An event came.
    pub(crate) fn given(&mut self, event: &Event, naive: &Naive) {
        let nth = self.wants.sessions.iter().position(|session| *session == event.session);
        let nth = nth.expect("an event of its sessions");
        assert!(self.matches(event), "{event:?} does not pass the filter");
        if self.snapshots[nth] == Some(event.id) {
            self.snapshots[nth] = None;
        } else {
            assert!(event.id > self.done[nth], "{} again, or out of order: {self:?}", event.id);
        }
        if event.id > self.position {
            self.advance(event.id.prev(), naive);
            self.done[nth] = self.done[nth].max(event.id);
            self.advance(event.id, naive);
        } else {
            // An older snapshot heals a gap, so here the position goes back.
            assert!(self.wants.snapshot, "{} after {}", event.id, self.position);
        }
        self.settle(event);
        self.position = event.id;
    }

    /// A heartbeat said that everything up to here was given.
    pub(crate) fn pinged(&mut self, id: EventId, naive: &Naive) {
        assert!(id >= self.position, "the position went back from {} to {id}", self.position);
        self.advance(id, naive);
        self.position = id;
    }

    /// A loss was announced in the middle of the stream.
    pub(crate) fn gap(&mut self, gap: &Gap, naive: &Naive, now_ms: u64) {
        if gap.reason == GapReason::Reset {
            assert!(naive.epoch > self.epoch, "a reset that did not happen");
            assert_eq!((gap.missed, &gap.session), (None, &None));
            // What made room in the queue right after it is a part of it.
            let drops = matches!(self.wants.overflow, Overflow::DropOldest | Overflow::Latest);
            let then = naive.restart();
            assert!(gap.then == then || drops && gap.then > then, "{gap:?} does not go on after {then}");
            self.superseded.clear();
            self.begin(gap.then, naive.epoch);
            return;
        }
        assert!(gap.then >= self.position, "{gap:?} goes back from {}", self.position);
        // It stands where the loss is, so nothing before it is open.
        self.advance(gap.after.unwrap_or(EventId::ZERO).max(self.position), naive);
        let mut covered = self.unclaimed(naive, gap.then);
        if self.by_key() {
            // What a newer event replaced in the queue stands among what was dropped.
            covered.retain(|item| {
                let What::Event(event) = &item.what else { return true };
                let other = gap.session.as_ref().is_some_and(|only| *only != event.session);
                let replaced = other || gap.reason == GapReason::Oversize;
                if replaced {
                    self.superseded.insert((event.session.clone(), event.key.clone()), event.id);
                }
                !replaced
            });
        }
        let holes = self.holes_up_to(naive, gap.then);
        for item in &covered {
            if let What::Event(event) = &item.what {
                self.settle(event);
            }
        }
        for done in &mut self.done {
            *done = gap.then.max(*done);
        }
        self.holes = gap.then;
        let has = std::mem::replace(&mut self.position, gap.then);
        if gap.reason == GapReason::Trimmed {
            self.heal(naive, (gap.then, has), now_ms);
        }
        self.check_gap(gap, &covered, holes, naive);
    }

    /// Nothing more comes by itself.
    pub(crate) fn settled(&self, naive: &Naive) {
        assert_eq!(self.epoch, naive.epoch, "the reset was not told");
        assert!(self.snapshots.iter().all(Option::is_none), "a snapshot did not come: {self:?}");
        assert!(!self.holes_up_to(naive, EventId::MAX), "a hole was not told: {self:?}");
        let open = self.unclaimed(naive, EventId::MAX);
        assert!(open.is_empty(), "a silent hole: {open:?} in {self:?}");
        assert!(self.superseded.is_empty(), "superseded by nothing: {:?}", self.superseded);
    }

    fn check_gap(&self, gap: &Gap, covered: &[&Item], holes: bool, naive: &Naive) {
        let drops = matches!(self.wants.overflow, Overflow::DropOldest | Overflow::Latest);
        let oversize = covered.iter().filter(|item| matches!(item.what, What::Oversize(_))).count();
        match gap.reason {
            GapReason::Overflow => assert!(drops && covered.len() > oversize, "a false {gap:?}"),
            GapReason::Trimmed => {
                assert!(covered.iter().all(|item| !naive.holds(item.id)), "{gap:?} covers what is there");
                assert!(!covered.is_empty(), "a false {gap:?}");
            }
            GapReason::Reader => assert!(holes && (drops || covered.is_empty()), "a false {gap:?}"),
            GapReason::Oversize => {
                assert!(!covered.is_empty() && covered.len() == oversize, "a false {gap:?}")
            }
            GapReason::UnknownId | GapReason::Reset => panic!("{gap:?} in the middle of a stream"),
        }
        if holes {
            assert_eq!(gap.missed, None, "nobody knows how many: {gap:?}");
        } else if gap.reason == GapReason::Trimmed && self.snapshots.iter().any(Option::is_some) {
            assert_eq!(gap.missed, None, "snapshots stand for some: {gap:?}");
        } else if self.by_key() {
            assert!(gap.missed.is_some_and(|missed| (1..=covered.len() as u64).contains(&missed)), "{gap:?}");
        } else {
            assert_eq!(gap.missed, Some(covered.len() as u64), "{gap:?} of {covered:?}");
        }
        for item in covered {
            assert!(gap.after.is_none_or(|after| after < item.id), "{gap:?} does not span {item:?}");
            assert!(gap.before.is_none_or(|before| before > item.id), "{gap:?} does not span {item:?}");
            let session = match &item.what {
                What::Event(event) => &event.session,
                What::Oversize(session) => session,
                What::Skip | What::Hole => panic!("{item:?} concerns nobody"),
            };
            assert!(gap.session.as_ref().is_none_or(|only| only == session), "{gap:?} hides {item:?}");
        }
    }

    /// The position moves to this id, so nothing below it may be open.
    fn advance(&mut self, id: EventId, naive: &Naive) {
        self.pass_snapshots(id, naive);
        assert!(!self.holes_up_to(naive, id), "{id} passes a hole that was not told: {self:?}");
        for item in self.unclaimed(naive, id) {
            let What::Event(event) = &item.what else { panic!("{id} passes {item:?}: {self:?}") };
            assert!(self.by_key(), "a silent hole: {id} passes {item:?}: {self:?}");
            self.superseded.insert((event.session.clone(), event.key.clone()), event.id);
        }
        for done in &mut self.done {
            *done = id.max(*done);
        }
        self.holes = id.max(self.holes);
    }

    /// Snapshots come in their order, unless conflation replaced them by something newer of their key.
    fn pass_snapshots(&mut self, id: EventId, naive: &Naive) {
        for nth in 0..self.snapshots.len() {
            let Some(snapshot) = self.snapshots[nth].take_if(|snapshot| *snapshot <= id) else { continue };
            assert!(self.wants.conflate.is_some(), "{id} before the snapshot {snapshot}: {self:?}");
            let item = naive.log(self.epoch).find(|item| item.id == snapshot);
            if let Some(Item { what: What::Event(event), .. }) = item {
                self.superseded.insert((event.session.clone(), event.key.clone()), snapshot);
            }
        }
    }

    /// Entries up to this id that it neither got nor was told of.
    fn unclaimed<'a>(&self, naive: &'a Naive, id: EventId) -> Vec<&'a Item> {
        let open = |item: &&Item| {
            let (session, wanted) = match &item.what {
                What::Event(event) => (&event.session, self.matches(event)),
                What::Oversize(session) => (session, true),
                What::Skip | What::Hole => return false,
            };
            let nth = self.wants.sessions.iter().position(|wanted| wanted == session);
            wanted && item.id <= id && nth.is_some_and(|nth| item.id > self.done[nth])
        };
        naive.log(self.epoch).filter(open).collect()
    }

    fn holes_up_to(&self, naive: &Naive, id: EventId) -> bool {
        let open = |item: &Item| matches!(item.what, What::Hole) && item.id > self.holes && item.id <= id;
        naive.log(self.epoch).any(open)
    }

    /// The session begins with its snapshot where that is newer than what the client has.
    fn heal(&mut self, naive: &Naive, (from, has): (EventId, EventId), now_ms: u64) {
        if !self.wants.snapshot {
            return;
        }
        self.superseded.clear();
        for (nth, session) in self.wants.sessions.iter().enumerate() {
            let snapshot = naive.snapshot(session, now_ms).filter(|snapshot| self.matches(snapshot));
            let snapshot = snapshot.map(|snapshot| snapshot.id).filter(|id| *id > has);
            // One that was promised is given, though it may have expired meanwhile.
            self.snapshots[nth] = snapshot.or(self.snapshots[nth]);
            self.done[nth] = self.snapshots[nth].unwrap_or(from).max(from).max(self.done[nth]);
        }
    }

    fn settle(&mut self, event: &Event) {
        let key = (event.session.clone(), event.key.clone());
        if self.superseded.get(&key).is_some_and(|older| *older < event.id) {
            self.superseded.remove(&key);
        }
    }

    fn by_key(&self) -> bool {
        self.wants.overflow == Overflow::Latest || self.wants.conflate.is_some()
    }

    fn matches(&self, event: &Event) -> bool {
        let filter = &self.wants.filter;
        let kind = event.kind.as_ref().map_or("message", |kind| kind.as_str());
        (filter.kinds.is_empty() || filter.kinds.iter().any(|wanted| wanted.as_str() == kind))
            && (filter.keys.is_empty() || filter.keys.iter().any(|wanted| event.key.as_ref() == Some(wanted)))
    }
}

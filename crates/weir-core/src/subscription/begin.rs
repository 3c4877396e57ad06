//! Where a client's stream begins: the resume table.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{AHEAD_WAIT, Behind, End, Intake, Mode, Pulled, ResumeResult, Subscription, Waiting, Why, scope};
use crate::event::Event;
use crate::id::{EventId, Position};
use crate::notice::{Gap, GapReason, Notice, Refusal};
use crate::view::View;
use crate::window::{Broken, Mark, Resume, Seq, Window};

/// Where each session begins, and with which snapshots.
pub(super) struct Heal {
    pub(super) starts: Box<[Seq]>,
    pub(super) snapshots: VecDeque<Arc<Event>>,
}

impl Subscription {
    /// Leaves the waiting state if it can.
    pub(super) fn begin(&mut self, view: &View<'_>, out: &mut Pulled) {
        if !view.loaded() {
            if matches!(&self.mode, Mode::Waiting(waiting) if view.now >= waiting.until) {
                self.close(End::Refused(Refusal::Starting));
            }
            return;
        }
        let window = view.window.read();
        if self.wants.intake == Intake::Elsewhere {
            self.go_live(&window);
            return;
        }
        match self.wants.from {
            None if self.wants.snapshot => self.begin_with_snapshots(&window, view, out),
            None => {
                self.greet(window.head().id, out);
                self.go_live(&window);
            }
            Some(Position::Earliest) => {
                self.greet(EventId::ZERO, out);
                self.replay(&window, window.start(), out);
            }
            Some(Position::After(id)) => self.resume(&window, view, id, out),
            Some(Position::Unknown) => {
                self.greet(window.head().id, out);
                self.begin_broken((&window, view), (GapReason::UnknownId, None), window.head(), out);
            }
        }
    }

    fn resume(&mut self, window: &Window, view: &View<'_>, id: EventId, out: &mut Pulled) {
        self.greet(id, out);
        match window.resume(&self.wants.sessions, id) {
            Resume::Ahead => self.wait_for(window, view, id, out),
            Resume::Complete { cursor } => self.replay(window, cursor, out),
            Resume::Broken { cause, from } => {
                let reason = match cause {
                    Broken::Trimmed => GapReason::Trimmed,
                    Broken::Reader => GapReason::Reader,
                    Broken::Reset => GapReason::Reset,
                };
                self.begin_broken((window, view), (reason, Some(id)), from, out);
            }
        }
    }

    /// Everything after the cursor. Holes on the way are told at their place.
    fn replay(&mut self, window: &Window, cursor: Seq, out: &mut Pulled) {
        let whole = !window.has_hole(cursor, window.head().seq);
        out.resume = Some(if whole { ResumeResult::Complete } else { ResumeResult::Gap });
        self.go_behind(window, cursor, Heal { starts: Box::default(), snapshots: VecDeque::new() });
    }

    /// A gap, then the snapshots that heal it, then everything after `from`.
    fn begin_broken(
        &mut self,
        (window, view): (&Window, &View<'_>),
        (reason, after): (GapReason, Option<EventId>),
        from: Mark,
        out: &mut Pulled,
    ) {
        out.resume = Some(ResumeResult::Gap);
        let trimmed = matches!(reason, GapReason::Trimmed | GapReason::Reader);
        // What the client has of a log that is not this one does not count.
        let has = after.filter(|_| trimmed).unwrap_or(EventId::ZERO);
        let heal = self.heal(window, view, from, has);
        let session = self.only_session().filter(|_| reason == GapReason::Trimmed);
        let before = heal.before(from).filter(|_| trimmed);
        self.gap(Gap { reason, session, missed: None, after, before, then: from.id }, out);
        self.go_behind(window, from.seq, heal);
    }

    /// The reader has not come as far as the client: it gets some time to.
    fn wait_for(&mut self, window: &Window, view: &View<'_>, id: EventId, out: &mut Pulled) {
        match &mut self.mode {
            Mode::Waiting(waiting) if !waiting.greeted => {
                *waiting = Waiting { until: view.now + AHEAD_WAIT, greeted: true };
            }
            Mode::Waiting(waiting) if view.now < waiting.until => {}
            Mode::Waiting(_) | Mode::Behind(_) | Mode::Live => {
                self.begin_broken((window, view), (GapReason::UnknownId, Some(id)), window.head(), out);
            }
        }
    }

    /// Each session's snapshot, then everything after it that the window holds; live where there is no snapshot.
    fn begin_with_snapshots(&mut self, window: &Window, view: &View<'_>, out: &mut Pulled) {
        let heal = self.heal(window, view, window.head(), EventId::ZERO);
        // Whoever comes back from this position gets the snapshot again, as it had not come yet.
        let position = heal.snapshots.front().map_or(window.head().id, |event| event.id.prev());
        self.greet(position, out);
        let cursor = heal.starts.iter().min().copied().unwrap_or(window.head().seq);
        self.go_behind(window, cursor, heal);
    }

    /// Snapshots of the client's sessions, where it wants them and they are newer than what it has. A session begins
    /// after its snapshot, or at `from`, and never before the place where it began already.
    pub(super) fn heal(&self, window: &Window, view: &View<'_>, from: Mark, has: EventId) -> Heal {
        let mut heal = Heal { starts: Box::default(), snapshots: VecDeque::new() };
        if !self.wants.snapshot {
            return heal;
        }
        let (began, promised) = match &self.mode {
            Mode::Behind(behind) => (&*behind.starts, Some(&behind.snapshots)),
            Mode::Waiting(_) | Mode::Live => (&[][..], None),
        };
        let mut starts = Vec::new();
        let mut snapshots = view.snapshots.lock();
        for (nth, session) in self.wants.sessions.iter().enumerate() {
            // One that is above the head comes by itself.
            let new = snapshots.get(session, view.now_ms);
            let new = new.filter(|event| has < event.id && event.id <= window.head().id);
            // One that was promised is given, though it may have expired meanwhile.
            let old = || promised?.iter().find(|event| event.session == *session).cloned();
            let snapshot = new.filter(|event| self.wants.filter.matches(event)).or_else(old);
            let start = snapshot.as_ref().map_or(from.seq, |event| window.seq_at(event.id));
            starts.push(start.max(began.get(nth).copied().unwrap_or_default()));
            heal.snapshots.extend(snapshot);
        }
        heal.snapshots.make_contiguous().sort_by_key(|event| event.id);
        heal.starts = starts.into();
        heal
    }

    fn greet(&mut self, id: EventId, out: &mut Pulled) {
        if matches!(&self.mode, Mode::Waiting(waiting) if waiting.greeted) {
            return;
        }
        out.notice(Notice::Connected(id));
        self.told = id;
    }

    /// Tells a loss, and at once the position from which on everything follows.
    pub(super) fn gap(&mut self, gap: Gap, out: &mut Pulled) {
        out.tally.gap(gap.reason);
        self.told = gap.then;
        let then = gap.then;
        out.notice(Notice::Gap(gap));
        out.notice(Notice::Ping(then));
    }

    /// The client has everything up to the head. The window is locked, so the next offer comes after it.
    pub(super) fn go_live(&mut self, window: &Window) {
        self.at = window.head();
        self.seen = self.at.seq;
        self.mode = Mode::Live;
    }

    fn go_behind(&mut self, window: &Window, cursor: Seq, heal: Heal) {
        let Heal { starts, snapshots } = heal;
        self.seen = window.head().seq;
        let owed = window.count(scope(&self.wants, &starts), cursor, self.seen);
        self.mode = Mode::Behind(Box::new(Behind { cursor, owed, why: Why::Resume, starts, snapshots }));
    }

    pub(super) fn only_session(&self) -> Option<crate::name::Session> {
        match &*self.wants.sessions {
            [session] => Some(session.clone()),
            _ => None,
        }
    }
}

impl Heal {
    /// Below which position something is missing, for a client whose sessions begin here.
    pub(super) fn before(&self, from: Mark) -> Option<EventId> {
        let newest = self.snapshots.back().map(|event| event.id);
        Some(newest.unwrap_or(EventId::ZERO).max(from.id.next()))
    }
}

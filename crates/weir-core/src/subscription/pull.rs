//! What the client gets next.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Behind, Budget, End, Format, Intake, Mode, Out, Pulled, ResumeResult, Subscription, Why, scope};
use crate::event::Event;
use crate::frame;
use crate::id::EventId;
use crate::mailbox::{Parcel, Queued};
use crate::name::Session;
use crate::notice::{Gap, GapReason, Notice};
use crate::view::View;
use crate::window::{Broken, Found, Hole, Mark, Seq, Window};

/// A conflating client reads so much of the window at a time, because it may read only once in each of its periods.
const CONFLATED: Budget = Budget { events: 1000, bytes: 1 << 20 };

/// What is queued is bounded by its queue.
const ALL: Budget = Budget { events: usize::MAX, bytes: usize::MAX };

impl Subscription {
    /// What can be written to the client now. Empty where it has to wait.
    pub fn pull(&mut self, view: &View<'_>, budget: Budget) -> Pulled {
        let mut out = Pulled::default();
        if self.is_waiting() && self.closing.is_none() {
            self.begin(view, &mut out);
        }
        let open = self.gate.is_none_or(|gate| view.now >= gate);
        if open || self.closing.is_some() {
            self.drain(view, budget, &mut out);
            if self.mailbox.is_empty() && self.closing.is_none() && out.tally.delivered == 0 {
                self.read_window(view, budget, &mut out);
            }
        }
        self.tell_state(view, &mut out);
        self.end(&mut out);
        self.delivered += out.tally.delivered + out.tally.replayed;
        self.dropped += out.tally.dropped.total();
        if !out.items.is_empty() {
            self.gave = view.now;
        }
        out
    }

    /// What is queued.
    fn drain(&mut self, view: &View<'_>, budget: Budget, out: &mut Pulled) {
        if self.mailbox.is_empty()
            || matches!(self.closing, Some(End::Overflow | End::Refused(_) | End::Revoked))
        {
            return;
        }
        // A conflating client gets its queue as one, or two events of a key could leave in one of its periods.
        let budget = if self.wants.conflate.is_some() { ALL } else { budget };
        let mut bytes = 0;
        for _ in 0..budget.events {
            if bytes > 0 && bytes + self.mailbox.next_bytes() > budget.bytes {
                break;
            }
            let Some(queued) = self.mailbox.pop() else { break };
            match queued {
                Queued::Event(parcel) => {
                    bytes += parcel.frame().len();
                    out.oldest = out.oldest.or(Some(parcel.at));
                    out.live_ms.push(parcel.event.id.ms);
                    out.tally.delivered += 1;
                    self.give(parcel, out);
                }
                Queued::Gap(seq, gap) => self.tell_queued_gap(seq, *gap, out),
            }
        }
        if out.tally.delivered > 0 {
            self.close_gate(view);
        }
    }

    /// What the window holds after the cursor, up to the head, and there the step to live.
    fn read_window(&mut self, view: &View<'_>, budget: Budget, out: &mut Pulled) {
        let window = view.window.read();
        self.tell_lost(&window, view, out);
        let mode = std::mem::replace(&mut self.mode, Mode::Live);
        let Mode::Behind(mut behind) = mode else {
            self.mode = mode;
            return;
        };
        let budget = if self.wants.conflate.is_some() { CONFLATED } else { budget };
        let from = out.items.len();
        let mut read = Read::default();
        let at_head = self.read(&window, &mut behind, (view, budget), (&mut read, out));
        let why = behind.why;
        if at_head {
            self.go_live(&window);
        } else {
            self.mode = Mode::Behind(behind);
        }
        if self.wants.conflate.is_some() {
            conflate(out, from);
        }
        count_read(why, read.events, out, from);
        if read.events > 0 {
            self.close_gate(view);
        }
    }

    /// Reads until the budget is used up or, which it returns, until the head.
    fn read(
        &mut self,
        window: &Window,
        behind: &mut Behind,
        (view, budget): (&View<'_>, Budget),
        (read, out): (&mut Read, &mut Pulled),
    ) -> bool {
        let wants = Arc::clone(&self.wants);
        let starts = std::mem::take(&mut behind.starts);
        let mut at_head = true;
        for found in window.after(scope(&wants, &starts), behind.cursor) {
            let mark = found.mark();
            while let Some(snapshot) = behind.snapshots.pop_front_if(|event| event.id <= mark.id) {
                self.give_read(&snapshot, behind.cursor, view, (read, out));
            }
            if read.events + read.gaps >= budget.events || read.bytes >= budget.bytes {
                at_head = false;
                break;
            }
            match found {
                Found::Event(seq, event) => self.give_read(event, seq, view, (read, out)),
                Found::Oversize(_, id, session) => {
                    out.tally.dropped.oversize += 1;
                    read.gaps += 1;
                    self.gap(oversize_gap(id, session), out);
                }
                Found::Hole(hole) => {
                    read.gaps += 1;
                    self.gap(hole_gap(hole), out);
                }
            }
            if !matches!(found, Found::Hole(_)) {
                self.account(behind, mark.seq);
            }
            behind.cursor = mark.seq;
        }
        if at_head {
            while let Some(snapshot) = behind.snapshots.pop_front() {
                self.give_read(&snapshot, behind.cursor, view, (read, out));
            }
        }
        behind.starts = starts;
        at_head
    }

    /// One event that the client was owed has been read, or one that no offer accounted for yet.
    fn account(&mut self, behind: &mut Behind, seq: Seq) {
        if seq > self.seen {
            self.seen = seq;
        } else {
            behind.owed = behind.owed.saturating_sub(1);
        }
    }

    /// Events left the window, or the log was replaced, while the client was reading.
    fn tell_lost(&mut self, window: &Window, view: &View<'_>, out: &mut Pulled) {
        let Mode::Behind(behind) = &self.mode else { return };
        let Some((broken, mark)) = window.lost(scope(&self.wants, &behind.starts), behind.cursor) else {
            return;
        };
        let after = Some(self.told);
        if broken == Broken::Reset {
            let gap = Gap {
                reason: GapReason::Reset,
                session: None,
                missed: None,
                after,
                before: None,
                then: mark.id,
            };
            self.gap(gap, out);
            self.at = mark;
            // Where this pull came before the announcement, what the client was owed is of the log that is no more.
            let early = self.seen < mark.seq;
            let head = window.head().seq;
            let owed = early.then(|| window.count(scope(&self.wants, &[]), mark.seq, head));
            if let Mode::Behind(behind) = &mut self.mode {
                (behind.cursor, behind.starts) = (mark.seq, Box::default());
                behind.snapshots.clear();
                behind.owed = owed.unwrap_or(behind.owed);
            }
            self.seen = if early { head } else { self.seen };
            // What is new may have left the window already.
            return self.tell_lost(window, view, out);
        }
        let left = window.count(scope(&self.wants, &behind.starts), mark.seq, self.seen);
        let missed = behind.owed.saturating_sub(left);
        let reason = match broken {
            // Only events that the client does not want have left.
            Broken::Trimmed if missed == 0 => return,
            Broken::Trimmed => GapReason::Trimmed,
            Broken::Reader | Broken::Reset => GapReason::Reader,
        };
        // Nobody knows whose the entries in a hole were.
        let known = broken == Broken::Trimmed && !window.has_hole(behind.cursor, mark.seq);
        let heal = self.heal(window, view, mark, self.told);
        // What a snapshot stands for is missing too, and it may be one of those that left.
        let known = known && heal.snapshots.is_empty();
        let session = self.only_session().filter(|_| known);
        let before = heal.before(mark);
        out.tally.dropped.trimmed += missed;
        out.resume = out.resume.map(|_| ResumeResult::Gap);
        let missed = known.then_some(missed);
        self.gap(Gap { reason, session, missed, after, before, then: mark.id }, out);
        self.at = mark;
        self.seen = window.head().seq;
        let owed = window.count(scope(&self.wants, &heal.starts), mark.seq, self.seen);
        if let Mode::Behind(behind) = &mut self.mode {
            (behind.cursor, behind.owed) = (mark.seq, owed);
            (behind.starts, behind.snapshots) = (heal.starts, heal.snapshots);
        }
    }

    fn tell_queued_gap(&mut self, seq: Seq, gap: Gap, out: &mut Pulled) {
        self.at = Mark { seq, id: gap.then };
        self.gap(gap, out);
    }

    fn give_read(
        &mut self,
        event: &Arc<Event>,
        seq: Seq,
        view: &View<'_>,
        (read, out): (&mut Read, &mut Pulled),
    ) {
        // A long-poll writes its own objects.
        let json = self.wants.format == Format::Json && self.wants.intake == Intake::Queue;
        let json = json.then(|| frame::encode_json(event));
        let parcel = Parcel { event: Arc::clone(event), json, seq, at: view.now };
        read.events += 1;
        read.bytes += parcel.frame().len();
        self.give(parcel, out);
    }

    fn give(&mut self, parcel: Parcel, out: &mut Pulled) {
        self.at = Mark { seq: parcel.seq, id: parcel.event.id };
        self.told = parcel.event.id;
        out.items.push(Out::Event(parcel));
    }

    fn close_gate(&mut self, view: &View<'_>) {
        self.gate = self.wants.conflate.map(|every| view.now + every);
    }

    /// Signs of life and the state of the log, where nothing else is waiting.
    fn tell_state(&mut self, view: &View<'_>, out: &mut Pulled) {
        let greeted = !matches!(&self.mode, Mode::Waiting(waiting) if !waiting.greeted);
        let degraded = view.degraded();
        if greeted && self.degraded != degraded {
            self.degraded = degraded;
            out.notice(degraded.map_or(Notice::Restored, Notice::Degraded));
        }
        if let Some(ms) = self.expiring.take_if(|_| greeted && self.closing.is_none()) {
            out.notice(Notice::Expiring(ms));
        }
        if !self.beat_due {
            return;
        }
        // What came after the end was asked for is not in the queue, so an empty queue proves nothing then.
        let drained = self.mailbox.is_empty() && matches!(self.mode, Mode::Live) && self.closing.is_none();
        let fanned = view.fanned();
        let ahead = fanned.seq > self.at.seq || (fanned.seq == self.at.seq && fanned.id > self.told);
        let has_position = self.wants.intake != Intake::Elsewhere;
        let position = if has_position && drained && ahead { fanned.id } else { self.told };
        let visible = greeted && self.wants.visible_beat;
        if visible || position != self.told {
            self.told = position;
            out.notice(Notice::Ping(position));
        } else if out.is_empty() {
            out.notice(Notice::Comment);
        }
        self.beat_due = false;
    }

    fn end(&mut self, out: &mut Pulled) {
        let Some(end) = self.closing else { return };
        match end {
            End::Shutdown | End::MaxAge | End::Expired if !self.mailbox.is_empty() => return,
            End::Shutdown | End::MaxAge => out.notice(Notice::Shutdown),
            End::Expired => out.notice(Notice::Expired),
            End::Revoked => out.notice(Notice::Revoked),
            End::Refused(why) => out.notice(Notice::Refused(why)),
            End::Overflow | End::Over => {}
        }
        out.end = Some(end);
    }
}

/// How much one pull has read from the window.
#[derive(Default)]
struct Read {
    events: usize,
    gaps: usize,
    bytes: usize,
}

/// Of the events read, the newest of each key stays.
fn conflate(out: &mut Pulled, from: usize) {
    let mut seen = HashSet::new();
    let mut kept: Vec<Out> = Vec::new();
    for item in out.items.drain(from..).rev() {
        let fresh = match &item {
            Out::Event(parcel) => seen.insert((parcel.event.session.clone(), parcel.event.key.clone())),
            Out::Notice(_) | Out::Part(_) => true,
        };
        if fresh {
            kept.push(item);
        }
    }
    out.items.extend(kept.into_iter().rev());
}

/// A refill goes through the books of the queue, a replay beside them; what conflation took out was queued and replaced.
fn count_read(why: Why, read: usize, out: &mut Pulled, from: usize) {
    let given = out.items[from..].iter().filter(|item| matches!(item, Out::Event(_))).count() as u64;
    let replaced = read as u64 - given;
    out.tally.conflated += replaced;
    out.tally.queued += replaced;
    match why {
        Why::Resume => out.tally.replayed += given,
        Why::Overflow => {
            out.tally.queued += given;
            out.tally.delivered += given;
        }
    }
}

/// What clients are told of entries that this instance never read.
pub(crate) fn hole_gap(hole: &Hole) -> Gap {
    Gap {
        reason: GapReason::Reader,
        session: None,
        missed: None,
        after: Some(hole.after),
        before: Some(hole.through.next()),
        then: hole.through,
    }
}

/// What a session is told of an event that was too large.
pub(crate) fn oversize_gap(id: EventId, session: &Session) -> Gap {
    Gap {
        reason: GapReason::Oversize,
        session: Some(session.clone()),
        missed: Some(1),
        after: Some(id.prev()),
        before: Some(id.next()),
        then: id,
    }
}

//! What the hub offers to a client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Behind, End, Format, Intake, Mode, Subscription, Wake, Why};
use crate::event::Event;
use crate::frame;
use crate::mailbox::{Full, Overflow, Parcel};
use crate::notice::{Gap, GapReason};
use crate::tally::Tally;
use crate::window::{Mark, Seq};

/// An event on offer to every client of its session.
#[derive(Debug)]
pub struct Offer<'a> {
    /// The event.
    pub event: &'a Arc<Event>,
    /// Its place.
    pub seq: Seq,
    /// The time.
    pub now: Instant,
    /// Its frame for `format=json`, once somebody needed it.
    pub json: &'a mut Option<Bytes>,
}

impl Offer<'_> {
    /// The same offer for the next client.
    pub fn again(&mut self) -> Offer<'_> {
        Offer { event: self.event, seq: self.seq, now: self.now, json: self.json }
    }

    fn parcel(self, format: Format) -> Parcel {
        let json = match format {
            Format::Raw => None,
            Format::Json => Some(self.json.get_or_insert_with(|| frame::encode_json(self.event)).clone()),
        };
        Parcel { event: Arc::clone(self.event), json, seq: self.seq, at: self.now }
    }
}

impl Subscription {
    /// The next event of one of its sessions. `json` holds the frame of `format=json` once somebody needed it.
    pub fn offer(&mut self, offer: Offer<'_>, tally: &mut Tally) -> Wake {
        let wanted = |this: &Self| this.unfiltered || this.wants.filter.matches(offer.event);
        if !self.takes(offer.seq) || !wanted(self) {
            return Wake::None;
        }
        let mark = Mark { seq: offer.seq, id: offer.event.id };
        match &mut self.mode {
            Mode::Waiting(_) => Wake::None,
            Mode::Behind(behind) => {
                behind.owed += 1;
                Wake::None
            }
            Mode::Live => {
                let (was_empty, before) = (self.mailbox.is_empty(), tally.dropped);
                let entered = match self.wants.intake {
                    Intake::Queue => self.mailbox.offer(offer.parcel(self.wants.format), tally),
                    Intake::Window => Err(Full),
                    Intake::Elsewhere => return Wake::None,
                };
                self.dropped += tally.dropped.total() - before.total();
                self.entered(entered, was_empty, mark, 1)
            }
        }
    }

    /// A loss at this place that concerns the client. `owed` is how many of its events that is in the window.
    pub fn announce(&mut self, seq: Seq, gap: &Gap, owed: u64, tally: &mut Tally) -> Wake {
        if !self.takes(seq) {
            return Wake::None;
        }
        match &mut self.mode {
            Mode::Waiting(_) => Wake::None,
            Mode::Behind(behind) => {
                // Nothing of a log that is no more is owed.
                behind.owed = if gap.reason == GapReason::Reset { 0 } else { behind.owed + owed };
                Wake::None
            }
            Mode::Live => {
                let (was_empty, before) = (self.mailbox.is_empty(), tally.dropped);
                let entered = match self.wants.intake {
                    Intake::Queue => self.mailbox.announce(seq, gap.clone(), tally),
                    Intake::Window => Err(Full),
                    Intake::Elsewhere => return Wake::None,
                };
                self.dropped += tally.dropped.total() - before.total();
                self.entered(entered, was_empty, Mark { seq, id: gap.then }, owed)
            }
        }
    }

    /// Whether this place is new to the client.
    fn takes(&mut self, seq: Seq) -> bool {
        if self.closing.is_some() || seq <= self.seen {
            return false;
        }
        self.seen = seq;
        true
    }

    fn entered(&mut self, entered: Result<(), Full>, was_empty: bool, mark: Mark, owed: u64) -> Wake {
        match (entered, self.wants.intake, self.wants.overflow) {
            (Ok(()), _, _) if self.gate.is_some() && was_empty => Wake::Supervisor,
            (Ok(()), _, _) => Wake::Puller,
            (Err(Full), Intake::Window, _) => {
                self.fall_behind(mark, owed, Why::Resume);
                Wake::Puller
            }
            (Err(Full), Intake::Queue | Intake::Elsewhere, Overflow::Disconnect) => {
                self.close(End::Overflow);
                Wake::Supervisor
            }
            (
                Err(Full),
                Intake::Queue | Intake::Elsewhere,
                Overflow::CatchUp | Overflow::DropOldest | Overflow::Latest,
            ) => {
                self.fall_behind(mark, owed, Why::Overflow);
                Wake::Puller
            }
        }
    }

    /// From here on the window is read, beginning with the place that did not fit.
    fn fall_behind(&mut self, first: Mark, owed: u64, why: Why) {
        let cursor = Seq(first.seq.0 - 1);
        let (starts, snapshots) = (Box::default(), VecDeque::new());
        self.mode = Mode::Behind(Box::new(Behind { cursor, owed, why, starts, snapshots }));
    }
}

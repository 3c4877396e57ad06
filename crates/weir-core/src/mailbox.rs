//! The bounded queue of one client, and what it does when it is full.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::event::Event;
use crate::notice::{Gap, GapReason};
use crate::queue::Queue;
use crate::tally::Tally;
use crate::window::Seq;

/// Bounds of one client's queue.
#[derive(Clone, Copy, Debug)]
pub struct MailboxBounds {
    /// Most events.
    pub events: usize,
    /// Most bytes of their frames. One event always fits an empty queue.
    pub bytes: usize,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Live events stop entering; once the queue has drained it is refilled from the window.
    #[default]
    CatchUp,
    /// The oldest make room, counted and announced.
    DropOldest,
    /// An event replaces the queued one of its key; with more keys than room it is [`Self::DropOldest`].
    Latest,
    /// The client is closed; it resumes by its position.
    Disconnect,
}

/// An event on its way to one client.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The event.
    pub event: Arc<Event>,
    /// Its frame where that is not [`Event::frame`].
    pub json: Option<Bytes>,
    /// Its place.
    pub seq: Seq,
    /// When it was queued.
    pub at: Instant,
}

impl Parcel {
    /// The bytes the client gets.
    pub fn frame(&self) -> &Bytes {
        self.json.as_ref().unwrap_or_else(|| self.event.frame())
    }
}

/// What stands in a queue.
#[derive(Clone, Debug)]
pub enum Queued {
    /// An event.
    Event(Parcel),
    /// A loss, at its place.
    Gap(Seq, Box<Gap>),
}

/// The queue took nothing, because it is full and its policy is not to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// See the [module](self).
#[derive(Debug)]
pub struct Mailbox {
    queue: Queue<Queued>,
    events: usize,
    bytes: usize,
    bounds: MailboxBounds,
    policy: Overflow,
    /// Whether an event replaces the queued one of its key.
    by_key: bool,
    /// What made room at the front and was not announced yet.
    lost: Option<(Seq, Box<Gap>)>,
}

impl Mailbox {
    /// An empty queue. `by_key` makes an event replace the queued one of its key, whatever the policy.
    pub fn new(bounds: MailboxBounds, policy: Overflow, by_key: bool) -> Self {
        let by_key = by_key || policy == Overflow::Latest;
        Self { queue: Queue::default(), events: 0, bytes: 0, bounds, policy, by_key, lost: None }
    }

    /// Events queued.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Bytes queued.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is queued, losses included.
    pub fn len(&self) -> usize {
        self.queue.len() + usize::from(self.lost.is_some())
    }

    /// Whether there is nothing to tell the client.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.lost.is_none()
    }

    /// When the oldest event was queued.
    pub fn oldest(&self) -> Option<Instant> {
        self.queue.iter().find_map(|queued| match queued {
            Queued::Event(parcel) => Some(parcel.at),
            Queued::Gap(..) => None,
        })
    }

    /// Queues an event, or says that it is full.
    ///
    /// # Errors
    /// [`Full`] under [`Overflow::CatchUp`] and [`Overflow::Disconnect`].
    pub fn offer(&mut self, parcel: Parcel, tally: &mut Tally) -> Result<(), Full> {
        if self.by_key {
            self.supersede(&parcel.event, tally);
        }
        self.make_room(parcel.frame().len(), tally)?;
        self.events += 1;
        self.bytes += parcel.frame().len();
        self.queue.push_back(Queued::Event(parcel));
        tally.queued += 1;
        Ok(())
    }

    /// Queues the announcement of a loss.
    ///
    /// # Errors
    /// [`Full`] as for [`Self::offer`].
    pub fn announce(&mut self, seq: Seq, gap: Gap, tally: &mut Tally) -> Result<(), Full> {
        self.make_room(0, tally)?;
        tally.dropped.oversize += u64::from(gap.reason == GapReason::Oversize);
        self.queue.push_back(Queued::Gap(seq, Box::new(gap)));
        Ok(())
    }

    /// Takes what comes next.
    pub fn pop(&mut self) -> Option<Queued> {
        if let Some((seq, gap)) = self.lost.take() {
            return Some(Queued::Gap(seq, gap));
        }
        let queued = self.queue.pop_front()?;
        self.forget(&queued);
        Some(queued)
    }

    /// Bytes of what comes next.
    pub fn next_bytes(&self) -> usize {
        match self.queue.front() {
            Some(Queued::Event(parcel)) if self.lost.is_none() => parcel.frame().len(),
            Some(_) | None => 0,
        }
    }

    /// Throws everything away and says how many events that were.
    pub fn clear(&mut self) -> usize {
        let events = self.events;
        self.queue = Queue::default();
        self.lost = None;
        (self.events, self.bytes) = (0, 0);
        events
    }

    fn make_room(&mut self, bytes: usize, tally: &mut Tally) -> Result<(), Full> {
        let full = |mailbox: &Self| {
            !mailbox.queue.is_empty()
                && (mailbox.queue.len() >= mailbox.bounds.events
                    || mailbox.bytes + bytes > mailbox.bounds.bytes)
        };
        while full(self) {
            match self.policy {
                Overflow::CatchUp | Overflow::Disconnect => return Err(Full),
                Overflow::DropOldest | Overflow::Latest => self.drop_oldest(tally),
            }
        }
        Ok(())
    }

    fn drop_oldest(&mut self, tally: &mut Tally) {
        let Some(queued) = self.queue.pop_front() else { return };
        self.forget(&queued);
        let (seq, dropped) = match queued {
            Queued::Event(parcel) => {
                tally.dropped.overflow += 1;
                (parcel.seq, Box::new(overflow_gap(&parcel.event)))
            }
            Queued::Gap(seq, gap) => (seq, gap),
        };
        self.lost = Some((
            seq,
            match self.lost.take() {
                None => dropped,
                Some((_, lost)) => join(lost, &dropped),
            },
        ));
    }

    /// Takes the queued event of the same key out, because a newer one comes.
    fn supersede(&mut self, newer: &Event, tally: &mut Tally) {
        let same = |queued: &Queued| match queued {
            Queued::Event(parcel) => parcel.event.session == newer.session && parcel.event.key == newer.key,
            Queued::Gap(..) => false,
        };
        let nth = self.queue.iter().position(same);
        if let Some(nth) = nth
            && let Some(queued) = self.queue.remove(nth)
        {
            self.forget(&queued);
            tally.conflated += 1;
        }
    }

    fn forget(&mut self, queued: &Queued) {
        match queued {
            Queued::Event(parcel) => {
                self.events -= 1;
                self.bytes -= parcel.frame().len();
            }
            Queued::Gap(..) => {}
        }
    }
}

fn overflow_gap(event: &Event) -> Gap {
    Gap {
        reason: GapReason::Overflow,
        session: Some(event.session.clone()),
        missed: Some(1),
        after: Some(event.id.prev()),
        before: Some(event.id.next()),
        then: event.id,
    }
}

/// One announcement for two losses that stand side by side.
fn join(mut first: Box<Gap>, second: &Gap) -> Box<Gap> {
    if first.session != second.session {
        first.session = None;
    }
    // What concerns every client is never hidden behind what concerns this one.
    let graver = [GapReason::Reset, GapReason::Reader, GapReason::Overflow];
    let reasons = [first.reason, second.reason];
    first.reason = graver.into_iter().find(|reason| reasons.contains(reason)).unwrap_or(first.reason);
    first.missed = first.missed.zip(second.missed).map(|(one, two)| one + two);
    first.before = second.before;
    first.then = second.then;
    first
}

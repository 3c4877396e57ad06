//! What one client listens to, as a state machine without I/O: behind ⇄ live.
//!
//! *Behind*, it reads the window from its cursor at the pace of its socket and nothing enters its queue. At the head it
//! becomes *live*: events enter its queue as the hub offers them. A new resume and a queue that overflowed are the same
//! state. Whoever calls holds the lock of the subscription; the window is locked inside, so that the step from behind to
//! live and the hub's offers cannot pass each other by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::event::Event;
use crate::filter::Filter;
use crate::id::{EventId, Position};
use crate::mailbox::{Mailbox, MailboxBounds, Overflow};
use crate::name::Session;
use crate::notice::{Notice, Refusal};
use crate::tally::Tally;
use crate::window::{Mark, Scope, Seq};

mod begin;
mod offer;
mod out;
mod pull;

pub use offer::Offer;
pub use out::{Out, Part};
pub(crate) use pull::{hole_gap, oversize_gap};

/// How long a subscribe waits for the first window load before it is refused.
pub const LOAD_WAIT: Duration = Duration::from_secs(10);

/// How long a client that is ahead of this instance is held for the reader to come up.
pub const AHEAD_WAIT: Duration = Duration::from_secs(5);

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The published bytes.
    #[default]
    Raw,
    /// An object that says all about the event.
    Json,
}

/// How the client takes what it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intake {
    /// A stream: live events are queued.
    #[default]
    Queue,
    /// A long-poll: a live event only wakes it, and it reads the window, so that nothing is left in a queue when the
    /// answer ends.
    Window,
    /// A follower of a durable stream, which has no sessions: weir's notices are all that it takes, and what it follows comes
    /// to it by another way. It has no position, so it is never told one.
    Elsewhere,
}

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Its sessions, each once.
    pub sessions: Box<[Session]>,
    /// Which of their events.
    pub filter: Filter,
    /// How events are written.
    pub format: Format,
    /// What a full queue does.
    pub overflow: Overflow,
    /// At most one event per key in each such time.
    pub conflate: Option<Duration>,
    /// Whether to begin, and to heal gaps, with the session's snapshot.
    pub snapshot: bool,
    /// Where it stands.
    pub from: Option<Position>,
    /// Whether each heartbeat is an event that a page can see.
    pub visible_beat: bool,
    /// How it takes live events.
    pub intake: Intake,
}

/// Why a client's stream ends by weir's will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The instance goes away.
    Shutdown,
    /// Its queue was full under [`Overflow::Disconnect`].
    Overflow,
    /// It is as old as connections get.
    MaxAge,
    /// It cannot be served now.
    Refused(Refusal),
    /// Its token has expired.
    Expired,
    /// An operator took it off.
    Revoked,
    /// The durable stream that it follows was closed or deleted, or has lost what comes next.
    Over,
}

impl End {
    /// Which of two ends counts: what a client may no longer see weighs more than how well it was to be let go, and else
    /// the first one stands.
    fn weight(self) -> u8 {
        match self {
            Self::Shutdown | Self::Overflow | Self::MaxAge | Self::Refused(_) | Self::Over => 0,
            Self::Expired => 1,
            Self::Revoked => 2,
        }
    }
}

/// What a pull gives.
#[derive(Debug, Default)]
pub struct Pulled {
    /// In order.
    pub items: SmallVec<[Out; 2]>,
    /// Time of the log at which live events among them were appended, in ms since the epoch.
    pub live_ms: SmallVec<[u64; 2]>,
    /// When the oldest queued event among them was queued.
    pub oldest: Option<Instant>,
    /// What happened.
    pub tally: Tally,
    /// How the resume came out, in the pull that decided it.
    pub resume: Option<ResumeResult>,
    /// The stream ends after `items`.
    pub end: Option<End>,
    /// There is nothing more for now, and whoever pulled is woken when there is.
    pub drained: bool,
}

impl Pulled {
    /// Whether the client gets nothing now.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.end.is_none()
    }

    fn notice(&mut self, notice: Notice) {
        self.items.push(Out::Notice(notice));
    }
}

/// How a resume came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeResult {
    /// Nothing is missing.
    Complete,
    /// Something may be missing, and it was said.
    Gap,
}

impl ResumeResult {
    /// Every result, for metrics that start at 0.
    pub const ALL: [Self; 2] = [Self::Complete, Self::Gap];

    /// The value of the metric label `result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Gap => "gap",
        }
    }
}

/// Bounds of one pull, so that one client's backlog does not hold the thread or a large buffer.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Most events.
    pub events: usize,
    /// Bytes of frames after which the pull ends.
    pub bytes: usize,
}

/// Who has to be woken after an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Nobody.
    None,
    /// Whoever pulls.
    Puller,
    /// Whoever supervises: a time to act at has changed, or the stream is to end.
    Supervisor,
}

#[derive(Debug)]
enum Mode {
    /// Held: the window is not loaded, or the position is above the head.
    Waiting(Waiting),
    Behind(Box<Behind>),
    Live,
}

#[derive(Debug)]
struct Waiting {
    /// When the wait is over.
    until: Instant,
    /// Whether `weir.connected` is out.
    greeted: bool,
}

#[derive(Debug)]
struct Behind {
    cursor: Seq,
    /// Events it still has to read, up to `Subscription::seen`. What it cannot read of them any more is what it missed.
    owed: u64,
    why: Why,
    /// See [`Scope::starts`].
    starts: Box<[Seq]>,
    /// Snapshots to give before the first event with a higher id, lowest id first.
    snapshots: VecDeque<Arc<Event>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It came back: what it reads is a replay.
    Resume,
    /// Its queue was full: what it reads would have been queued.
    Overflow,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Subscription {
    wants: Arc<Wants>,
    /// Whether it wants every event of its sessions, which is what most do, so that an offer need not look at its wants.
    unfiltered: bool,
    mode: Mode,
    mailbox: Mailbox,
    /// The newest place that an offer, or the window, accounted for.
    seen: Seq,
    /// The place up to which everything that concerns the client was given to the connection.
    at: Mark,
    /// The position the client knows.
    told: EventId,
    /// With conflation: when the queue may be drained again.
    gate: Option<Instant>,
    beat_due: bool,
    /// In how many ms its token expires, until it was told.
    expiring: Option<u64>,
    /// Since when the client was told that the log is away.
    degraded: Option<u64>,
    /// When it was last given anything.
    gave: Instant,
    closing: Option<End>,
    delivered: u64,
    dropped: u64,
}

/// How one client does, for operators.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Events queued.
    pub queued: usize,
    /// Bytes queued.
    pub queued_bytes: usize,
    /// Whether it reads the window because its queue was full.
    pub catching_up: bool,
    /// Events it has not been given yet, queued or in the window.
    pub lag: u64,
    /// Events given.
    pub delivered: u64,
    /// Events lost.
    pub dropped: u64,
}

impl Subscription {
    /// A client that has just come. `now` starts the time it may be held.
    pub fn new(wants: Wants, bounds: MailboxBounds, now: Instant) -> Self {
        let mailbox = Mailbox::new(bounds, wants.overflow, wants.conflate.is_some());
        Self {
            unfiltered: wants.filter.takes_all(),
            wants: Arc::new(wants),
            mode: Mode::Waiting(Waiting { until: now + LOAD_WAIT, greeted: false }),
            mailbox,
            seen: Seq(0),
            at: Mark::default(),
            told: EventId::ZERO,
            gate: None,
            beat_due: false,
            expiring: None,
            degraded: None,
            gave: now,
            closing: None,
            delivered: 0,
            dropped: 0,
        }
    }

    /// What it asked for.
    pub fn wants(&self) -> &Wants {
        &self.wants
    }

    /// The position the client knows: it can come back with it.
    pub fn position(&self) -> EventId {
        self.told
    }

    /// How it does.
    pub fn progress(&self) -> Progress {
        let owed = match &self.mode {
            Mode::Behind(behind) => behind.owed,
            Mode::Waiting(_) | Mode::Live => 0,
        };
        Progress {
            queued: self.mailbox.events(),
            queued_bytes: self.mailbox.bytes(),
            catching_up: self.is_catching_up(),
            lag: self.mailbox.events() as u64 + owed,
            delivered: self.delivered,
            dropped: self.dropped,
        }
    }

    fn is_catching_up(&self) -> bool {
        matches!(&self.mode, Mode::Behind(behind) if behind.why == Why::Overflow)
    }

    /// When it was last given anything, or came.
    pub fn gave(&self) -> Instant {
        self.gave
    }

    /// When the oldest event in the queue was queued.
    pub fn oldest(&self) -> Option<Instant> {
        self.mailbox.oldest()
    }

    /// Whether it is held until the window is loaded or the reader has come up.
    pub fn is_waiting(&self) -> bool {
        matches!(self.mode, Mode::Waiting(_))
    }

    /// Whether it has everything: only an offer, or something that happens to it, gives it more.
    pub fn is_quiet(&self) -> bool {
        matches!(self.mode, Mode::Live) && self.mailbox.is_empty() && self.closing.is_none()
    }

    /// The next time at which a pull gives something that no offer announces.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = match &self.mode {
            Mode::Waiting(waiting) => Some(waiting.until),
            Mode::Behind(_) | Mode::Live => None,
        };
        let gate = self.gate.filter(|_| self.has_backlog());
        waiting.into_iter().chain(gate).min()
    }

    fn has_backlog(&self) -> bool {
        !self.mailbox.is_empty() || matches!(self.mode, Mode::Behind(_))
    }

    /// A sign of life is due with the next pull.
    pub fn beat(&mut self) {
        self.beat_due = true;
    }

    /// The client is told that its token expires in so many ms.
    pub fn warn(&mut self, ms: u64) {
        self.expiring = Some(ms);
    }

    /// Ends the stream: under [`End::Shutdown`], [`End::MaxAge`] and [`End::Expired`] what is queued leaves first. The first
    /// end counts, but for those that take a right away.
    pub fn close(&mut self, end: End) {
        if self.closing.is_none_or(|before| end.weight() > before.weight()) {
            self.closing = Some(end);
        }
    }

    /// Whether, and why, the stream is to end.
    pub fn closing(&self) -> Option<End> {
        self.closing
    }

    /// The client is gone: nothing enters any more. Returns how many events it leaves behind in its queue.
    pub fn leave(&mut self) -> u64 {
        self.closing.get_or_insert(End::Shutdown);
        self.mailbox.clear() as u64
    }
}

/// The part of the window that concerns a client.
fn scope<'a>(wants: &'a Wants, starts: &'a [Seq]) -> Scope<'a> {
    Scope { sessions: &wants.sessions, starts, filter: &wants.filter }
}

//! What is written down: compact, because a soak writes down millions.

use std::ops::RangeInclusive;
use std::sync::Arc;

use weir_core::EventId;
use weir_core::notice::GapReason;

/// Milliseconds since the history began.
pub type Millis = u32;

/// Which publish an event comes from: its index in [`History::published`].
pub type Value = u32;

/// A session, by a number of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u32);

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every publish, in the order they were begun.
    pub published: Vec<Publish>,
    /// The newest ids of logs that were emptied or replaced, rising: what stands at or below one is gone.
    pub resets: Vec<EventId>,
    /// What each client got.
    pub clients: Vec<ClientLog>,
    /// Events that had to arrive in time.
    pub markers: Vec<Marker>,
    /// Sums that had to come out.
    pub balances: Vec<Balance>,
}

/// One event that a producer sent.
#[derive(Clone, Copy, Debug)]
pub struct Publish {
    /// For whom.
    pub session: Session,
    /// What it is about.
    pub key: Option<u32>,
    /// How often it may stand in the log: how often it was sent without a key that makes a repeat harmless.
    pub copies: u32,
    /// What the producer was told.
    pub outcome: Outcome,
}

/// What a producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in the log at this id.
    Acknowledged(EventId),
    /// It does not.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One logical client, across all its connections.
#[derive(Clone, Debug)]
pub struct ClientLog {
    /// For the report.
    pub name: String,
    /// Whether a newer event of a key may stand for the older ones.
    pub keeping: Keeping,
    /// In the order they were made.
    pub connections: Vec<Connection>,
    /// When it gave up for good.
    pub retired: Option<Millis>,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Every event.
    All,
    /// The newest of each key (`overflow=latest`, `conflate=`).
    Newest,
}

/// One connection, or one long-poll.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Which instance it was made to.
    pub instance: u16,
    /// What it asked for.
    pub sessions: Arc<[Session]>,
    /// From where.
    pub resume: Resume,
    /// When.
    pub opened: Millis,
    /// What it was told, in order.
    pub seen: Vec<Seen>,
    /// How it ended.
    pub ended: Ended,
}

/// The position that a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// None: from now on.
    Live,
    /// Everything there is.
    Earliest,
    /// What the client was told last, or another position that it chose.
    After(EventId),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was still open when the history was taken.
    Open,
    /// By the server, cleanly.
    Clean,
    /// In the middle of anything.
    Cut,
    /// It was never answered, or was turned away.
    Refused,
    /// By the client itself.
    Left,
}

/// Something a client was told, and when.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Millis,
    /// What.
    pub fact: Fact,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An event.
    Event {
        /// Where it stands.
        id: EventId,
        /// What it says.
        value: Value,
    },
    /// An event that says nothing anybody published.
    Altered(EventId, Box<str>),
    /// Its position, by a control event or a long-poll.
    Position(EventId),
    /// A loss.
    Gap(Box<Gap>),
    /// Something a clean stream never says.
    Dirty(Box<str>),
}

/// A `weir.gap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How much, where it is known.
    pub missed: Option<u64>,
    /// The loss lies above.
    pub after: Option<EventId>,
    /// The loss lies below.
    pub before: Option<EventId>,
}

/// An event that every client of its session had to get in time.
#[derive(Clone, Copy, Debug)]
pub struct Marker {
    /// Which.
    pub value: Value,
    /// When it was sent.
    pub sent: Millis,
    /// How long it may take.
    pub within: Millis,
}

/// A sum that was taken from metrics or from the system.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// Which promise it is about.
    pub invariant: Invariant,
    /// What it is, and of what.
    pub what: String,
    /// What came out.
    pub have: f64,
    /// What may come out.
    pub want: RangeInclusive<f64>,
}

impl Balance {
    /// Whether it came out right. What is not a number did not.
    pub fn holds(&self) -> bool {
        self.want.contains(&self.have)
    }
}

/// A promise; see [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Order.
    I1,
    /// No silent hole.
    I2,
    /// Nothing twice.
    I3,
    /// One id, one value.
    I4,
    /// Nothing foreign.
    I5,
    /// No phantom.
    I6,
    /// Liveness.
    I7,
    /// Gaps are exact.
    I8,
    /// The books.
    I9,
    /// Resources.
    I10,
    /// The stream is clean.
    Wire,
}

//! The port that every log backend implements.
//!
//! Publishers use [`EventLog`]; one [`LogReader`] per instance reads all of the log, in order, and hands it to the pump.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::entry::Entry;
use crate::event::Event;
use crate::id::EventId;
use crate::name::{EventType, Key, Session};
use crate::revocation::{Full, Revocation};

/// A boxed future; the ports are used through `dyn`, once per batch, where one allocation does not count.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One event as a publisher gives it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Whom it is addressed to.
    pub session: Session,
    /// The text.
    pub data: String,
    /// What kind it is.
    pub kind: Option<EventType>,
    /// What it is about.
    pub key: Option<Key>,
    /// Keep it also as the session's snapshot for so many seconds.
    pub snapshot: Option<u32>,
}

/// What makes a repeated publish a repeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Idempotency {
    /// Who the key belongs to: the subject, or the session for anonymous publishers.
    pub scope: String,
    /// The publisher's key, at most 128 bytes.
    pub key: String,
    /// Digest of all that is published: the same key with another digest is a conflict.
    pub digest: [u8; 32],
}

/// For how long a publish is remembered under its idempotency key, in seconds.
pub const IDEMPOTENCY_SECS: u64 = 300;

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The events are in the log under these ids, in the order given.
    Written(Vec<EventId>),
    /// The same publish was made before, with these ids; nothing was written now.
    Duplicate(Vec<EventId>),
}

/// Why an append did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// The request was sent, the answer never came: it may or may not be written.
    #[error("the log did not answer, so the events may or may not be written: {0}")]
    OutcomeUnknown(String),
    /// The idempotency key was used for other content.
    #[error("the idempotency key was used for other content")]
    Conflict,
}

/// Why a revocation did not get into the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// Nothing was written.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// The request was sent, the answer never came: it may or may not be written.
    #[error("the log did not answer, so the revocation may or may not be written: {0}")]
    OutcomeUnknown(String),
    /// The log keeps as many as it does; nothing was written.
    #[error(transparent)]
    Full(#[from] Full),
}

/// The log could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is unavailable: {0}")]
pub struct LogUnavailable(pub String);

/// The shared, capped stream, as publishers and requests see it.
pub trait EventLog: Send + Sync + fmt::Debug + 'static {
    /// Appends all events or none, in order. `idempotency` makes a repeat within [`IDEMPOTENCY_SECS`] harmless on any
    /// instance.
    fn append<'a>(
        &'a self,
        events: &'a [NewEvent],
        idempotency: Option<&'a Idempotency>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>>;

    /// Tells every instance, as an entry that is never delivered, and keeps what has an end beside the entries until then, so
    /// that the cap of the log does not lose it, nor a restart where the log [lasts](Self::lasts).
    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<EventId, RevokeError>>;

    /// Whether what it keeps outlives the process.
    fn lasts(&self) -> bool;

    /// The session's newest snapshot that has not expired. Asked only where the instance's own memory has none.
    fn snapshot<'a>(
        &'a self,
        session: &'a Session,
    ) -> BoxFuture<'a, Result<Option<Arc<Event>>, LogUnavailable>>;

    /// What is known about the log right now, for metrics. Cheap: it never asks the log, it reports what was last seen.
    fn facts(&self) -> LogFacts;
}

/// The one reader of an instance.
pub trait LogReader: Send + fmt::Debug {
    /// The next thing that happened. Asking again says that everything returned before has passed the hub, so it can be
    /// acknowledged. It returns at least once per read block, also on a quiet log, and heals itself after errors. Only
    /// after [`Feed::Down`] it waits as long as the outage lasts.
    ///
    /// Cancel safe: a call that is dropped before it returns loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Feed>;

    /// Leaves nothing behind in the log: acknowledges, destroys the reader's group. Bounded by the caller.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What a reader hands to the pump.
#[derive(Debug)]
pub enum Feed {
    /// The window load: the newest entries, oldest first. It comes first, once, and again after [`Feed::Reset`].
    Loaded(Load),
    /// The revocations that the log keeps. It comes before [`Feed::Loaded`], and again whenever one may have been missed, as
    /// after a new connection or a loss; not at all where there is none.
    Revoked(Vec<Revocation>),
    /// Entries after everything returned before, in order. Empty is a proof of progress on a quiet log.
    Batch(Vec<Entry>),
    /// Entries were trimmed before this instance read them.
    Lost {
        /// Entries that were lost are above this id.
        after: EventId,
        /// Entries that were lost are at or below this id.
        through: EventId,
        /// How many, where it is known.
        count: Option<u64>,
    },
    /// The log was emptied, replaced or went backwards. A [`Feed::Loaded`] follows.
    Reset {
        /// Positions above this id and up to `through` may belong to entries that no longer exist.
        after: EventId,
        /// See `after`.
        through: EventId,
    },
    /// The log cannot be read at the moment; the reader keeps trying.
    Down(String),
    /// The log is read again, and nothing was lost unless the feed says so.
    Restored,
}

/// The newest entries of the log, and what is known to lie before them.
#[derive(Debug)]
pub struct Load {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Resumes at or above this position are complete as far as the load goes: nothing above it is missing from
    /// `entries`. It is the predecessor of the oldest entry loaded, or the head where nothing was loaded.
    pub floor: EventId,
    /// The newest id the log ever gave out; [`EventId::ZERO`] where there is none.
    pub head: EventId,
}

/// What was last seen of the log. `None` is unknown and must never be reported as 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFacts {
    /// Whether the log answers.
    pub up: bool,
    /// Entries in the stream.
    pub length: Option<u64>,
    /// Id of the oldest entry.
    pub oldest: Option<EventId>,
    /// Newest id given out.
    pub newest: Option<EventId>,
    /// Newest id this instance's reader has read. While it is below `newest`, the reader lags by the age of what is
    /// above it.
    pub read: Option<EventId>,
    /// Entries delivered to this instance's group and not acknowledged.
    pub pending: Option<u64>,
    /// Age of the oldest of them in ms.
    pub pending_oldest_ms: Option<u64>,
    /// Entries this instance has not read yet.
    pub lag: Option<u64>,
    /// Reader groups of all instances.
    pub groups: Option<u64>,
    /// Name of this instance's group.
    pub group: Option<String>,
    /// Why this instance reads without a group, where it does.
    pub group_refused: Option<String>,
    /// Whether what is kept by this process can be written; `None` where the log is elsewhere, or in memory.
    pub writable: Option<bool>,
    /// Why nothing can be read, while that is so.
    pub trouble: Option<String>,
    /// What this instance may not do in the log, where it may not do everything.
    pub lacks: Option<String>,
}

//! The port that every backend of durable streams implements.

use std::fmt;

use bytes::Bytes;

use super::media::MediaType;
use super::name::StreamName;
use super::offset::Offset;
use super::request::{Append, Create, From, Lifetime};
use crate::log::BoxFuture;

/// All durable streams.
///
/// What is done to one stream is done in one order, which everybody sees; an answer comes when what it tells of lasts as long
/// as the backend promises. Times are the backend's own, so that instances with other clocks agree.
pub trait StreamStore: Send + Sync + fmt::Debug + 'static {
    /// Makes a stream, or finds that it is there as it was asked for.
    fn create<'a>(
        &'a self,
        name: &'a StreamName,
        create: &'a Create,
    ) -> BoxFuture<'a, Result<Created, CreateError>>;

    /// Appends a chunk, closes the stream, or both; or nothing, where the producer did so before.
    fn append<'a>(
        &'a self,
        name: &'a StreamName,
        append: &'a Append,
    ) -> BoxFuture<'a, Result<Appended, AppendError>>;

    /// Reads chunks: at least one where there is any, and more while all of them together have at most `max_bytes`. Reading
    /// keeps a stream of [`Lifetime::Idle`] alive.
    fn read<'a>(
        &'a self,
        name: &'a StreamName,
        from: From,
        max_bytes: usize,
    ) -> BoxFuture<'a, Result<Page, ReadError>>;

    /// What is known of a stream. Asking does not keep it alive.
    fn head<'a>(&'a self, name: &'a StreamName) -> BoxFuture<'a, Result<Head, ReadError>>;

    /// Where the ends of streams are that somebody follows, in the order of the names. It finds what an announcement that was
    /// lost should have told, and keeps them alive as reading does. At most [`MOST_LOOKED_AT`] at once.
    fn look<'a>(&'a self, names: &'a [StreamName]) -> BoxFuture<'a, Result<Vec<Look>, ReadError>>;

    /// Deletes a stream. What forks have of it stays until the last of them is gone, and so does its name.
    fn delete<'a>(&'a self, name: &'a StreamName) -> BoxFuture<'a, Result<(), DeleteError>>;

    /// Whether what it keeps outlives the process.
    fn lasts(&self) -> bool;
}

/// Most streams in one [`StreamStore::look`], so that it holds up nobody else for long.
pub const MOST_LOOKED_AT: usize = 256;

/// Tells an instance which streams have changed.
pub trait WakeReader: Send + fmt::Debug {
    /// The next streams that were appended to, closed or deleted, on whatever instance. It heals itself after errors.
    ///
    /// Cancel safe: a call that is dropped before it returns loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Woken>;
}

/// What a [`WakeReader`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// These have changed.
    Streams(Vec<StreamName>),
    /// Announcements may have been lost: any may have changed.
    Any,
}

/// What is known of a stream.
#[derive(Clone, Debug)]
pub struct Head {
    /// What it is made of.
    pub media: MediaType,
    /// How long it is kept.
    pub lifetime: Lifetime,
    /// Where the next chunk goes.
    pub tail: Offset,
    /// Nothing is appended any more.
    pub closed: bool,
    /// When it was made, in milliseconds since the Unix epoch, or more where several were made at once: no two streams that
    /// ever had the same name have the same.
    pub born: u64,
}

/// A stream exists.
#[derive(Clone, Debug)]
pub struct Created {
    /// Whether it did not before.
    pub is_new: bool,
    /// The stream.
    pub head: Head,
}

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is done.
    Written {
        /// Where the next chunk goes.
        tail: Offset,
        /// Whether the stream is closed now.
        closed: bool,
    },
    /// The producer did so before; nothing was done now.
    Duplicate {
        /// The newest of its appends.
        seq: u64,
        /// Where the next chunk goes.
        tail: Offset,
        /// Whether the stream is closed now.
        closed: bool,
    },
}

/// A part of a stream.
#[derive(Clone, Debug)]
pub struct Page {
    /// The stream, as it was when this was read.
    pub head: Head,
    /// In order.
    pub chunks: Vec<Chunk>,
    /// Where reading goes on.
    pub next: Offset,
}

impl Page {
    /// Whether there is nothing more to read for now.
    pub fn is_up_to_date(&self) -> bool {
        self.next == self.head.tail
    }
}

/// What was appended at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The place behind it.
    pub end: Offset,
    /// The bytes. Of JSON: the values, joined by commas.
    pub bytes: Bytes,
}

/// The end of a stream that somebody follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is here.
    At {
        /// Where the next chunk goes.
        tail: Offset,
        /// Nothing is appended any more.
        closed: bool,
    },
    /// There is no such stream, or no more.
    Missing,
}

/// Why a stream was not made. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// There is another one of that name.
    #[error("the stream exists with another content type, lifetime, closure or source")]
    Exists,
    /// It was deleted, and forks have a part of it.
    #[error("the stream was deleted, and forks of it still exist: its name is free when they are deleted")]
    Taken,
    /// There is nothing to fork.
    #[error("the stream to fork does not exist")]
    NoSource,
    /// What was to be forked was deleted, and only forks have a part of it.
    #[error("the stream to fork was deleted")]
    SourceDeleted,
    /// The source has no such place.
    #[error("the stream to fork has no such offset")]
    NoSuchOffset,
    /// The source has trimmed that place, or lost it.
    #[error("the stream to fork has lost what was before that offset")]
    OffsetGone,
    /// The chunk behind that place has fewer units, or there is none.
    #[error("the stream to fork has not so much behind that offset")]
    NoSuchUnits,
    /// It is a fork of a fork of a fork of…
    #[error("forks of forks go no deeper than {0}")]
    TooDeep(usize),
    /// It was to be made of something else than its source.
    #[error("a fork has the content type of its source")]
    Media,
    /// There is no room.
    #[error("there is no room for more: {0}")]
    Full(String),
    /// The backend could not be asked.
    #[error("the streams are unavailable: {0}")]
    Unavailable(String),
    /// It was asked, the answer never came: it may or may not be done.
    #[error("the streams did not answer, so it may or may not be done: {0}")]
    OutcomeUnknown(String),
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// There is no such stream.
    #[error("the stream does not exist")]
    Missing,
    /// It was deleted, and forks have a part of it.
    #[error("the stream was deleted")]
    Deleted,
    /// Nothing is appended any more.
    #[error("the stream is closed")]
    Closed {
        /// Its end.
        tail: Offset,
    },
    /// It is made of something else.
    #[error("the stream has another content type")]
    Media,
    /// The sequence does not rise.
    #[error("Stream-Seq must be above that of the append before")]
    Seq,
    /// A newer life of the producer has appended.
    #[error("a newer epoch of this producer has appended")]
    StaleEpoch {
        /// The newest.
        current: u64,
    },
    /// A new life of the producer does not begin with 0.
    #[error("a new epoch of a producer begins with Producer-Seq 0")]
    EpochBegins,
    /// Appends of the producer are missing in between.
    #[error("appends of this producer are missing in between")]
    Gap {
        /// The one to come next.
        expected: u64,
        /// The one that came.
        received: u64,
    },
    /// There is no room.
    #[error("there is no room for more: {0}")]
    Full(String),
    /// The backend could not be asked.
    #[error("the streams are unavailable: {0}")]
    Unavailable(String),
    /// It was asked, the answer never came: it may or may not be done.
    #[error("the streams did not answer, so it may or may not be done: {0}")]
    OutcomeUnknown(String),
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such stream.
    #[error("the stream does not exist")]
    Missing,
    /// It was deleted, and forks have a part of it.
    #[error("the stream was deleted")]
    Deleted,
    /// What was behind that place has been trimmed, or the log has lost it, or the place is of a stream that had the name
    /// before.
    #[error("the stream no longer has what was behind that offset")]
    OffsetGone,
    /// The backend could not be asked.
    #[error("the streams are unavailable: {0}")]
    Unavailable(String),
}

/// Why a stream was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// There is no such stream.
    #[error("the stream does not exist")]
    Missing,
    /// It was deleted before, and forks have a part of it.
    #[error("the stream was deleted")]
    Deleted,
    /// The backend could not be asked.
    #[error("the streams are unavailable: {0}")]
    Unavailable(String),
    /// It was asked, the answer never came: it may or may not be done.
    #[error("the streams did not answer, so it may or may not be done: {0}")]
    OutcomeUnknown(String),
}

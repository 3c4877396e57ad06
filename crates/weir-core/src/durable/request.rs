//! What is asked of a stream.

use bytes::Bytes;

use super::media::MediaType;
use super::name::StreamName;
use super::offset::Offset;

/// What is appended at once, which becomes one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The bytes as they are read back. Of JSON: the values, joined by commas.
    pub bytes: Bytes,
    /// Of JSON, how many values; else the count of bytes. What a fork within a chunk counts by.
    pub units: u64,
}

/// How long a stream is kept.
#[derive(Clone, Debug, Default)]
pub enum Lifetime {
    /// Until it is deleted.
    #[default]
    Forever,
    /// So many seconds after it was last read or appended to.
    Idle(u64),
    /// Until a time.
    Until {
        /// In milliseconds since the Unix epoch.
        at_ms: u64,
        /// As it was given.
        text: Box<str>,
    },
}

impl PartialEq for Lifetime {
    /// Whether both end at the same time, however that was written.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Forever, Self::Forever) => true,
            (Self::Idle(one), Self::Idle(two))
            | (Self::Until { at_ms: one, .. }, Self::Until { at_ms: two, .. }) => one == two,
            (Self::Forever | Self::Idle(_) | Self::Until { .. }, _) => false,
        }
    }
}

impl Eq for Lifetime {}

/// A stream is to exist.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// What it is made of. `None`: as its source, or bytes where it has none.
    pub media: Option<MediaType>,
    /// How long it is kept. `None`: as its source, or for ever where it has none.
    pub lifetime: Option<Lifetime>,
    /// Nothing is to be appended any more.
    pub closed: bool,
    /// Another stream that it begins as.
    pub fork: Option<Fork>,
    /// Its first chunk, behind what it has of its source.
    pub payload: Option<Payload>,
}

/// What a new stream begins with: everything that another one has up to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The other stream.
    pub source: StreamName,
    /// Up to where. `None`: up to its end.
    pub offset: Option<Offset>,
    /// And so many units of the chunk behind that.
    pub units: u64,
}

/// Something is to be appended to a stream, or it is to be closed, or both.
#[derive(Clone, Debug)]
pub struct Append {
    /// What it is said to be made of. Not asked for where nothing is appended.
    pub media: Option<MediaType>,
    /// What is appended. `None` only where the stream is closed.
    pub payload: Option<Payload>,
    /// Nothing is to be appended after this.
    pub close: bool,
    /// Must be above that of the append before, byte by byte.
    pub seq: Option<Box<str>>,
    /// Who appends, where a repeat has to be known as such.
    pub producer: Option<Producer>,
}

/// One append of a producer that repeats what it is not sure of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Who it is: 1 to 256 bytes.
    pub id: Box<str>,
    /// Which life of it: higher ones shut lower ones out. At most 2^53 - 1.
    pub epoch: u64,
    /// Which of its appends, from 0 on in each life. At most 2^53 - 1.
    pub seq: u64,
}

/// From where a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// From its first chunk on.
    Begin,
    /// From the chunk behind this on.
    After(Offset),
    /// From what is appended next on.
    End,
}

//! One entry of the log that can be delivered.

use bytes::Bytes;

use crate::frame;
use crate::id::EventId;
use crate::name::{EventType, Key, Session};

/// An event with its SSE frame, encoded once and shared by every client that gets it.
#[derive(Debug)]
pub struct Event {
    /// Its place in the log, the same on every instance.
    pub id: EventId,
    /// Whom it is addressed to.
    pub session: Session,
    /// What kind it is.
    pub kind: Option<EventType>,
    /// What it is about.
    pub key: Option<Key>,
    /// Producer's time in ms since the epoch; the id's where the producer gave none.
    pub ts: u64,
    /// For how many seconds from its id on it also serves as the session's snapshot.
    pub snapshot: Option<u32>,
    frame: Bytes,
    // Invariant: valid UTF-8; a slice of `frame` where the data is one line, so that most events hold it once.
    data: Bytes,
}

/// What an event is made of.
#[derive(Clone, Debug)]
pub struct EventParts<'a> {
    /// See [`Event::id`].
    pub id: EventId,
    /// See [`Event::session`].
    pub session: Session,
    /// See [`Event::kind`].
    pub kind: Option<EventType>,
    /// See [`Event::key`].
    pub key: Option<Key>,
    /// See [`Event::ts`]; `None` takes the time of the id.
    pub ts: Option<u64>,
    /// See [`Event::snapshot`].
    pub snapshot: Option<u32>,
    /// The published text. It is copied, so that the event pins nothing of where it came from.
    pub data: &'a str,
}

impl Event {
    /// Copies and encodes.
    pub fn new(parts: EventParts<'_>) -> Self {
        let EventParts { id, session, kind, key, ts, snapshot, data } = parts;
        let encoded = frame::encode(id, kind.as_ref().map(EventType::as_str), data);
        let text = match encoded.data {
            Some(range) => encoded.frame.slice(range),
            None => Bytes::copy_from_slice(data.as_bytes()),
        };
        let ts = ts.unwrap_or(id.ms);
        Self { id, session, kind, key, ts, snapshot, frame: encoded.frame, data: text }
    }

    /// The SSE frame of `format=raw`.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The published text, byte for byte.
    pub fn data(&self) -> &str {
        std::str::from_utf8(&self.data).expect("made from a str")
    }

    /// The published text, byte for byte, shared.
    pub fn data_bytes(&self) -> &Bytes {
        &self.data
    }

    /// Whether the other is the same entry with the same content.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.session == other.session
            && self.key == other.key
            && self.frame == other.frame
            && self.data == other.data
    }

    /// Bytes it keeps alive, with what the window spends on it; bounds of memory count by it.
    pub fn cost(&self) -> usize {
        /// The event itself, its shared header, its slot in the window and in the session index.
        const OVERHEAD: usize = size_of::<Event>() + 96;
        let single = self.frame.as_ptr_range().contains(&self.data.as_ptr());
        let text = if single { 0 } else { self.data.len() };
        OVERHEAD + self.session.as_str().len() + self.frame.len() + text
    }
}

//! What a connection writes.

use bytes::Bytes;

use crate::mailbox::Parcel;
use crate::notice::Notice;

/// One thing for the connection to write.
#[derive(Clone, Debug)]
pub enum Out {
    /// An event.
    Event(Parcel),
    /// A notice.
    Notice(Notice),
    /// A part of a durable stream, ready to be written.
    Part(Part),
}

/// What a follower of a durable stream is given at once.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What everybody gets who follows from the same place. It may be empty.
    pub shared: Bytes,
    /// What only this follower gets, right behind it.
    pub own: Bytes,
}

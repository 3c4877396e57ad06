//! Durable streams: named logs of their own beside the fan-out sessions, by the Durable Streams protocol.
//!
//! In reading order:
//! - [`name`]: what streams are called
//! - [`offset`]: places in a stream
//! - [`media`]: what a stream is made of
//! - [`request`]: what is asked of a stream
//! - [`store`]: the port that every backend implements
//! - [`state`]: the rules of what is done to a stream; with the lives of its log ([`branches`]), its [`producers`] and the
//!   parts of its chunks ([`mod@units`])

pub mod branches;
pub mod media;
pub mod name;
pub mod offset;
pub mod producers;
pub mod request;
pub mod state;
pub mod store;
pub mod units;

pub use branches::{Branch, Branches};
pub use media::{Media, MediaType};
pub use name::StreamName;
pub use offset::Offset;
pub use producers::{MOST_PRODUCERS, PRODUCER_KEPT_MS, Seen};
pub use request::{Append, Create, Fork, From, Lifetime, Payload, Producer};
pub use state::{DEEPEST_FORK, Forked, Standing, State, Verdict};
pub use store::{
    AppendError, Appended, Chunk, CreateError, Created, DeleteError, Head, Look, Page, ReadError,
    StreamStore, WakeReader, Woken,
};
pub use units::first_units;

//! Durable streams: named logs of their own beside the fan-out sessions, by the Durable Streams protocol.
//!
//! In reading order:
//! - [`name`]: what streams are called
//! - [`offset`]: places in a stream
//! - [`media`]: what a stream is made of
//! - [`request`]: what is asked of a stream
//! - [`store`]: the port that every backend implements

pub mod media;
pub mod name;
pub mod offset;
pub mod request;
pub mod store;

pub use media::{Media, MediaType};
pub use name::StreamName;
pub use offset::Offset;
pub use request::{Append, Create, Fork, From, Lifetime, Payload, Producer};
pub use store::{
    AppendError, Appended, Chunk, CreateError, Created, DeleteError, Head, Look, Page, ReadError,
    StreamStore, WakeReader, Woken,
};

//! The domain of weir, without I/O, clock or runtime. Time enters as an argument; what happened leaves as a value.
//!
//! In reading order:
//! - [`id`]: positions in the log
//! - [`name`]: sessions, event types and keys, parsed once at the edge
//! - [`event`]: one entry of the log that can be delivered
//! - [`entry`]: the fields of a log entry, decoded into an event or a reason why not
//! - [`frame`]: the bytes of Server-Sent Events
//! - [`log`]: the port that every log backend implements

pub mod entry;
pub mod event;
pub mod frame;
pub mod id;
pub mod log;
pub mod name;

pub use entry::{Content, DecodeRules, Entry, Malformed};
pub use event::{Event, EventParts};
pub use id::{EventId, Position};
pub use name::{BadName, EventType, Key, Session};

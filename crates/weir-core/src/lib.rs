//! The domain of weir, without I/O, clock or runtime. Time enters as an argument; what happened leaves as a value.
//!
//! In reading order:
//! - [`id`]: positions in the log
//! - [`name`]: sessions, event types and keys, parsed once at the edge
//! - [`event`]: one entry of the log that can be delivered
//! - [`entry`]: the fields of a log entry, decoded into an event or a reason why not
//! - [`revocation`]: whose streams are ended, and whose tokens are refused
//! - [`frame`]: the bytes of Server-Sent Events
//! - [`log`]: the port that every log backend implements
//! - [`peers`]: the port by which instances tell each other how they are
//! - [`durable`]: named logs of their own, beside the sessions
//! - [`window`]: the in-memory mirror of the log, and what a resume can be given of it
//! - [`snapshots`]: the newest snapshot of each session
//! - [`filter`]: which of a session's events a client wants
//! - [`notice`]: what weir itself has to tell a client
//! - [`mailbox`], `queue`: the bounded queue of one client, and what it does when it is full
//! - [`subscription`]: what one client listens to, behind ⇄ live
//! - [`hub`]: who listens to what
//! - [`broker`]: one instance, from the reader's feed to every client
//! - [`tally`]: what happened, counted
//! - [`view`]: what a subscription sees of its instance

pub mod broker;
pub mod durable;
pub mod entry;
pub mod event;
pub mod filter;
pub mod frame;
pub mod hub;
pub mod id;
pub mod log;
pub mod mailbox;
pub mod name;
pub mod notice;
pub mod peers;
pub mod revocation;
pub mod snapshots;
pub mod subscription;
pub mod tally;
pub mod view;
pub mod window;

mod queue;

pub use broker::{Broker, BrokerBounds, Time};
pub use entry::{Content, DecodeRules, Entry, Malformed};
pub use event::{Event, EventParts};
pub use id::{EventId, Position};
pub use name::{BadName, EventType, Key, Session};
pub use revocation::Revocation;

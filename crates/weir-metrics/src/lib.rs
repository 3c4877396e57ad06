//! Every series of weir in one struct, on one registry.
//!
//! In reading order:
//! - [`metrics`]: the struct that holds all of it, and the page
//! - [`instance`], [`reloads`], [`clients`], [`publishing`], [`requests`], [`events`], [`resume`], [`log`], [`redis`], [`tails`], [`tls`]: the series by subject
//! - [`label`]: the closed sets of label values, so that a typo cannot make a series
//! - [`family`]: one metric per label value, resolved once and found by index
//! - [`optional`]: gauges whose value may be unknown
//! - `process`: what the operating system knows of the process
//! - `registrar`: makes and registers
//!
//! Nothing here takes a lock while an event is on its way; counting is one atomic addition.

pub mod clients;
pub mod events;
pub mod family;
pub mod instance;
pub mod label;
pub mod log;
pub mod metrics;
pub mod optional;
pub mod publishing;
pub mod redis;
pub mod reloads;
pub mod requests;
pub mod resume;
pub mod streams;
pub mod tails;
pub mod tls;

mod process;
mod registrar;

pub use clients::Held;
pub use label::{
    Backend, Discarded, Disconnect, Dropped, Handshake, Operation, PublishResult, ReaderError, Refused,
    Rejected, Reloaded, StreamAppend, Transport, WokenBy,
};
pub use metrics::{BuildInfo, Metrics};

//! A client of weir: publish at once or through a bounded retry queue, follow sessions with resume.
//!
//! In reading order:
//! - [`client`]: one server and how to reach it
//! - [`token`]: the bearer token, which never shows in text
//! - [`problem`]: how the server says no
//! - [`idempotency`]: what makes the repeat of a publish harmless
//! - [`publish`]: publish now, and learn the outcome
//! - [`publisher`]: publish later if need be; the caller never waits
//! - [`tail`]: follow sessions; reconnects and resumes by itself
//! - [`stream`]: a stream as it comes, to see what lies on the way
//! - [`document`]: one small document from anywhere
//! - [`health`]: ask an instance whether it is ready
//! - [`order`]: have an instance release its clients, or take clients again
//! - `sse`, `backoff`, `transport`: the parser of the stream, the pauses between tries, and what failed below HTTP
//!
//! [`publisher`] has an example, and the README of the crate has one of each.

mod backoff;
pub mod client;
pub mod document;
pub mod health;
pub mod idempotency;
pub mod order;
pub mod problem;
pub mod publish;
pub mod publisher;
mod sse;
pub mod stream;
pub mod tail;
pub mod token;
pub mod transport;

pub use client::{BadServerUrl, Client, ServerUrl, SetupError};
pub use health::NotReady;
pub use idempotency::{BadIdempotencyKey, IdempotencyKey};
pub use order::{Order, OrderError};
pub use problem::Problem;
pub use publish::{BatchEvent, NewPublish, PublishError};
pub use publisher::{Bounds, Counts, Offer, Publisher};
pub use tail::{Item, Notice, Tail, TailError, TailEvent, TailRequest};
pub use token::{BadToken, Token};

/// The examples of the README are compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

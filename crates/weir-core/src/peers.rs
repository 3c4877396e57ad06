//! The port by which instances that share a log tell each other how they are, for operators to see.
//!
//! Nothing of it touches an event: where it fails, operators see less, and clients notice nothing.

use std::fmt;
use std::time::Duration;

use crate::log::{BoxFuture, LogUnavailable};

/// Most instances shown at once. It bounds what a look costs, whatever stands in the log.
pub const MOST_PEERS: usize = 64;

/// Most bytes of a report. A larger one was written by nobody of ours.
pub const MOST_REPORT_BYTES: usize = 32 * 1024;

/// One that was silent for so long is no longer shown.
pub const GONE_AFTER: Duration = Duration::from_secs(60);

/// Where instances tell of themselves.
pub trait Peers: Send + Sync + fmt::Debug + 'static {
    /// What this instance is called among them, as no other is.
    fn own(&self) -> &str;

    /// Whether somebody looks, at this instance or at another. Asked every few seconds, so it has to cost next to nothing.
    fn are_watched(&self) -> BoxFuture<'_, Result<bool, LogUnavailable>>;

    /// Leaves the report of this instance for the others, in the place of the one of before.
    fn tell<'a>(&'a self, report: &'a str) -> BoxFuture<'a, Result<(), LogUnavailable>>;

    /// Takes it back.
    fn leave(&self) -> BoxFuture<'_, Result<(), LogUnavailable>>;

    /// What was told, and that somebody looks. What nobody renews is removed after [`GONE_AFTER`].
    fn look(&self) -> BoxFuture<'_, Result<Seen, LogUnavailable>>;
}

/// What a look finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// At most [`MOST_PEERS`], this instance among them.
    pub told: Vec<Told>,
    /// How many more there are.
    pub left_out: u64,
}

/// What one instance told. Whoever may write to the log may have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub id: String,
    /// How long ago, by the log's clock.
    pub age: Duration,
    /// What, at most [`MOST_REPORT_BYTES`].
    pub report: Vec<u8>,
}

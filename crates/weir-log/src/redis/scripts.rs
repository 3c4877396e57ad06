//! What runs within Redis, each as one step that nothing can come between.
//!
//! Most texts are short, and sending them each time spares the dance around a script cache that a restart empties. Those of
//! durable streams are long and run with each append: a [`Script`] is worth that dance.

use std::sync::OnceLock;

use fred::types::Resp3Frame;
use sha1::{Digest, Sha1};
use weir_core::id::EventId;

use super::fault::Fault;
use super::frame;
use super::keys::hex;

/// Proves continuity: the state of the stream.
pub(super) const CHECK: &str =
    concat!(include_str!("lua/rights.lua"), include_str!("lua/state.lua"), include_str!("lua/check.lua"));
/// Creates a group at the newest id and destroys old ones.
pub(super) const JOIN: &str =
    concat!(include_str!("lua/rights.lua"), include_str!("lua/state.lua"), include_str!("lua/join.lua"));
/// Renews the lease, reaps, trims, and collects facts.
pub(super) const UPKEEP: &str =
    concat!(include_str!("lua/rights.lua"), include_str!("lua/state.lua"), include_str!("lua/upkeep.lua"));
/// Appends all events or none.
pub(super) const APPEND: &str = concat!(include_str!("lua/rights.lua"), include_str!("lua/append.lua"));
/// Adds a revocation.
pub(super) const REVOKE: &str = concat!(include_str!("lua/rights.lua"), include_str!("lua/revoke.lua"));
/// Tells the groups, and destroys orphans where that is asked for.
pub(super) const GROUPS: &str =
    concat!(include_str!("lua/rights.lua"), include_str!("lua/state.lua"), include_str!("lua/groups.lua"));
/// Leaves what an instance tells of itself.
pub(super) const TELL: &str = concat!(
    include_str!("lua/rights.lua"),
    include_str!("lua/state.lua"),
    include_str!("lua/peers/tell.lua")
);
/// Collects what instances told of themselves, and removes what nobody renews.
pub(super) const LOOK: &str = concat!(
    include_str!("lua/rights.lua"),
    include_str!("lua/state.lua"),
    include_str!("lua/peers/look.lua")
);
/// Adds to the totals of all instances, each addition once.
pub(super) const STATS: &str = include_str!("lua/stats.lua");
/// Destroys groups.
pub(super) const LEAVE: &str = include_str!("lua/leave.lua");

/// A script that is longer than what it is given, and runs often. Once it ran, Redis knows it by the digest of its text.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    pub(super) const fn new(text: &'static str) -> Self {
        Self { text, digest: OnceLock::new() }
    }

    /// The SHA-1 of the text, as Redis writes it.
    pub(super) fn digest(&self) -> &str {
        self.digest.get_or_init(|| hex(&Sha1::digest(self.text)))
    }
}

/// The state of the stream at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamState {
    /// Newest id given out.
    pub(super) last: EventId,
    /// Entries ever added; Redis tells from version 7 on.
    pub(super) added: Option<u64>,
    /// Entries in it.
    pub(super) length: u64,
    /// The oldest of them.
    pub(super) first: Option<EventId>,
    /// The newest id that was deleted from its middle.
    pub(super) deleted: Option<EventId>,
    /// Whether the key exists.
    pub(super) exists: bool,
}

impl StreamState {
    /// Reads what `state.lua` returns.
    pub(super) fn parse(reply: &Resp3Frame) -> Result<Self, Fault> {
        let count = |place| frame::at(reply, place, frame::number);
        Ok(Self {
            last: frame::at(reply, 0, frame::id)?,
            added: u64::try_from(count(1)?).ok(),
            length: u64::try_from(count(2)?).unwrap_or_default(),
            first: frame::at(reply, 3, |text| Some(frame::id(text)))?,
            deleted: frame::at(reply, 4, |text| Some(frame::id(text)))?.filter(|id| *id > EventId::ZERO),
            exists: count(5)? == 1,
        })
    }
}

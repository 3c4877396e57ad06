//! A stream as the scripts tell it.

use fred::types::Resp3Frame;
use weir_core::durable::branches::{Branch, Branches};
use weir_core::durable::{Head, Lifetime, MediaType, Offset};

use super::super::fault::Fault;
use super::super::frame;

/// What is known of a stream, with the lives of its log.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) head: Head,
    pub(super) branches: Branches,
}

impl Stored {
    /// Reads what `told` of `head.lua` returns.
    pub(super) fn parse(told: &Resp3Frame) -> Result<Self, Fault> {
        let text = |place| frame::at(told, place, frame::text);
        let epoch = count(told, 1)?;
        let branches = Branches::stored(branches(text(2)?)?, epoch, count(told, 0)?);
        let head = Head {
            media: MediaType::parse(text(5)?).ok_or(Fault::Garbled("a content type is none"))?,
            lifetime: lifetime(text(6)?, text(7)?)?,
            tail: branches.tail(),
            closed: count(told, 3)? == 1,
            born: count(told, 4)?,
        };
        Ok(Self { head, branches })
    }
}

/// Element `place` as a number that is not negative.
pub(super) fn count(reply: &Resp3Frame, place: usize) -> Result<u64, Fault> {
    let number = frame::at(reply, place, frame::number)?;
    u64::try_from(number).map_err(|_| Fault::Garbled("a count is negative"))
}

/// The place at `place`: its number, then its epoch.
pub(super) fn offset(reply: &Resp3Frame, place: usize) -> Result<Offset, Fault> {
    Ok(Offset::new(count(reply, place + 1)?, count(reply, place)?))
}

/// `epoch:last epoch:last …`
fn branches(text: &str) -> Result<Vec<Branch>, Fault> {
    let branch = |text: &str| {
        let (epoch, last) = text.split_once(':')?;
        Some(Branch { epoch: epoch.parse().ok()?, last: last.parse().ok()? })
    };
    let all: Option<Vec<_>> = text.split_ascii_whitespace().map(branch).collect();
    all.ok_or(Fault::Garbled("the lives of a stream are none"))
}

/// `idle <secs>`, `until <ms>`, or nothing.
fn lifetime(text: &str, as_given: &str) -> Result<Lifetime, Fault> {
    let number = |text: &str| text.parse().map_err(|_| Fault::Garbled("a lifetime is none"));
    match text.split_once(' ') {
        Some(("idle", secs)) => Ok(Lifetime::Idle(number(secs)?)),
        Some(("until", ms)) => Ok(Lifetime::Until { at_ms: number(ms)?, text: as_given.into() }),
        Some(_) | None => Ok(Lifetime::Forever),
    }
}

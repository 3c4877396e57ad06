//! Positions in the log.

use std::fmt;
use std::str::FromStr;

/// An id of the log, `<ms>-<seq>`, as Redis Streams write it.
///
/// Ids are positions: an id need not be an entry. They order first by `ms` (milliseconds since the epoch, by the
/// clock of the log), then by `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Milliseconds since the Unix epoch, by the clock of the log.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl EventId {
    /// Before every entry: the position of an empty log.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };
    /// The place of a client that was there while the log was empty. [`Self::ZERO`], which it is told, asks for whatever is
    /// held; who comes back from here is told if something is missing.
    pub const EMPTY: Self = Self { ms: 0, seq: 1 };
    /// At or above every entry.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The id `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The greatest id below this one; [`Self::ZERO`] stays where it is.
    pub const fn prev(self) -> Self {
        match (self.ms, self.seq) {
            (0, 0) => Self::ZERO,
            (ms, 0) => Self { ms: ms - 1, seq: u64::MAX },
            (ms, seq) => Self { ms, seq: seq - 1 },
        }
    }

    /// The smallest id above this one; [`Self::MAX`] stays where it is.
    pub const fn next(self) -> Self {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => Self::MAX,
            (ms, u64::MAX) => Self { ms: ms + 1, seq: 0 },
            (ms, seq) => Self { ms, seq: seq + 1 },
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The text is not `<ms>-<seq>` in decimal digits that fit 64 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id is <milliseconds>-<number>, such as 1795242612345-0")]
pub struct BadId;

impl FromStr for EventId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (ms, seq) = text.split_once('-').ok_or(BadId)?;
        Ok(Self { ms: decimal(ms)?, seq: decimal(seq)? })
    }
}

/// Digits only: `str::parse` would also take a leading `+`.
fn decimal(text: &str) -> Result<u64, BadId> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadId);
    }
    text.parse().map_err(|_| BadId)
}

/// The position a client gives when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Everything the window holds.
    Earliest,
    /// Everything after this id.
    After(EventId),
    /// Text that is no position. It is answered by a gap and never by an error, because an `EventSource` that is
    /// refused once never comes back.
    Unknown,
}

impl Position {
    /// Reads any bytes a client may send. `<ms>` alone is a time: everything from that millisecond on.
    pub fn parse(raw: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(raw) else { return Self::Unknown };
        if matches!(text, "earliest" | "0" | "0-0") {
            return Self::Earliest;
        }
        if let Ok(id) = text.parse::<EventId>() {
            return if id == EventId::ZERO { Self::Earliest } else { Self::After(id) };
        }
        match decimal(text) {
            Ok(0) => Self::Earliest,
            Ok(ms) => Self::After(EventId::new(ms, 0).prev()),
            Err(BadId) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_carry_across_the_millisecond() {
        assert_eq!(EventId::new(5, 0).prev(), EventId::new(4, u64::MAX));
        assert_eq!(EventId::new(4, u64::MAX).next(), EventId::new(5, 0));
        assert_eq!(EventId::ZERO.prev(), EventId::ZERO);
        assert_eq!(EventId::MAX.next(), EventId::MAX);
    }

    #[test]
    fn positions_from_any_bytes() {
        let after = |ms, seq| Position::After(EventId::new(ms, seq));
        for (raw, want) in [
            ("earliest", Position::Earliest),
            ("0", Position::Earliest),
            ("0-0", Position::Earliest),
            ("00-0", Position::Earliest),
            ("1795242612345-7", after(1_795_242_612_345, 7)),
            ("1795242612345", after(1_795_242_612_344, u64::MAX)),
            ("", Position::Unknown),
            ("+1-0", Position::Unknown),
            ("1-", Position::Unknown),
            ("-1", Position::Unknown),
            ("1-2-3", Position::Unknown),
            ("18446744073709551616-0", Position::Unknown),
            ("abc", Position::Unknown),
        ] {
            assert_eq!(Position::parse(raw.as_bytes()), want, "{raw:?}");
        }
        assert_eq!(Position::parse(b"\xff\xfe"), Position::Unknown);
        assert_eq!(Position::parse(&[b'9'; 4096]), Position::Unknown);
    }
}

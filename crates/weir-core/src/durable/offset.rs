//! Places in a stream.

use std::fmt;
use std::str::FromStr;

/// A place between two chunks of a stream, or at one of its ends: it stands behind the `n`-th chunk ever appended.
///
/// The epoch says to which life of the log that chunk belongs, and comes first: where a log has lost its newest chunks, what
/// takes their numbers has a higher epoch, so that no offset ever stands for two things and offsets go on to rise. Epochs are
/// times in milliseconds at which a life began, or more where several began at once.
///
/// On the wire it is both numbers with 16 digits each, joined by `_`, so that offsets are ordered as text.
///
/// Invariant: both numbers have at most 16 digits; the epoch is 0 where `n` is 0, since every life begins at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    epoch: u64,
    n: u64,
}

/// Text that is no offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an offset is -1, now, or what Stream-Next-Offset said")]
pub struct BadOffset;

impl Offset {
    /// Before everything.
    pub const BEGIN: Self = Self { epoch: 0, n: 0 };

    /// The largest number of 16 digits.
    const MAX: u64 = 9_999_999_999_999_999;

    /// Behind the `n`-th chunk, of this epoch. Numbers that are too large are taken as the largest.
    pub fn new(epoch: u64, n: u64) -> Self {
        let n = n.min(Self::MAX);
        Self { epoch: if n == 0 { 0 } else { epoch.min(Self::MAX) }, n }
    }

    /// In which life of the log the chunk before it was appended, as the time that life began.
    pub fn epoch(self) -> u64 {
        self.epoch
    }

    /// How many chunks are before it.
    pub fn n(self) -> u64 {
        self.n
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}_{:016}", self.epoch, self.n)
    }
}

impl FromStr for Offset {
    type Err = BadOffset;

    fn from_str(text: &str) -> Result<Self, BadOffset> {
        let (epoch, n) = text.split_once('_').ok_or(BadOffset)?;
        let number = |text: &str| {
            let fits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit());
            if fits { text.parse().map_err(|_| BadOffset) } else { Err(BadOffset) }
        };
        Ok(Self::new(number(epoch)?, number(n)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn as_it_stands_on_the_wire() {
        assert_eq!(Offset::new(1_795_297_239_091, 42).to_string(), "0001795297239091_0000000000000042");
        assert_eq!(Offset::BEGIN.to_string(), "0000000000000000_0000000000000000");
        assert_eq!("0001795297239091_0000000000000000".parse(), Ok(Offset::BEGIN));
        let long = "0".repeat(17);
        for bad in [
            "",
            "-1",
            "now",
            "1_2",
            "_",
            "a_b",
            &format!("{long}_{long}"),
            "+000000000000001_0000000000000001",
        ] {
            assert_eq!(bad.parse::<Offset>(), Err(BadOffset), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_keeps_the_order_and_comes_back(one: (u64, u64), two: (u64, u64)) {
            let (one, two) = (Offset::new(one.0, one.1), Offset::new(two.0, two.1));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
            prop_assert_eq!(one.cmp(&two), one.to_string().cmp(&two.to_string()));
        }
    }
}

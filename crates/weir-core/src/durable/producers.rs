//! Appends that are told apart from their repeats.

use super::request::Producer;
use super::store::AppendError;

/// What is known of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its newest life.
    pub epoch: u64,
    /// The newest append of that.
    pub seq: u64,
    /// When that came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// Most producers that one stream remembers. It bounds what somebody takes up who makes up names.
pub const MOST_PRODUCERS: usize = 10_000;

/// For how long a producer is remembered that appends nothing, in milliseconds: 7 days.
pub const PRODUCER_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Whether an append of a producer is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is.
    Next,
    /// It was made before.
    Repeat {
        /// The newest of its appends.
        seq: u64,
    },
}

impl Seen {
    /// What is left of it at `now`: a producer that was silent for long is none.
    pub fn unless_forgotten(self, now_ms: u64) -> Option<Self> {
        (now_ms.saturating_sub(self.at_ms) <= PRODUCER_KEPT_MS).then_some(self)
    }

    /// What is known after this append of it.
    pub fn after(producer: &Producer, now_ms: u64) -> Self {
        Self { epoch: producer.epoch, seq: producer.seq, at_ms: now_ms }
    }
}

/// Tells whether it is this append's turn.
///
/// # Errors
/// It comes from an older life, or appends are missing before it.
pub fn turn(seen: Option<Seen>, producer: &Producer) -> Result<Turn, AppendError> {
    let Some(seen) = seen else {
        return gap(0, producer.seq);
    };
    if producer.epoch < seen.epoch {
        return Err(AppendError::StaleEpoch { current: seen.epoch });
    }
    if producer.epoch > seen.epoch {
        return if producer.seq == 0 { Ok(Turn::Next) } else { Err(AppendError::EpochBegins) };
    }
    if producer.seq <= seen.seq {
        return Ok(Turn::Repeat { seq: seen.seq });
    }
    gap(seen.seq.saturating_add(1), producer.seq)
}

fn gap(expected: u64, received: u64) -> Result<Turn, AppendError> {
    if received == expected { Ok(Turn::Next) } else { Err(AppendError::Gap { expected, received }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(epoch: u64, seq: u64) -> Producer {
        Producer { id: "p".into(), epoch, seq }
    }

    #[test]
    fn turns() {
        let seen = Some(Seen { epoch: 3, seq: 7, at_ms: 0 });
        assert_eq!(turn(None, &of(9, 0)), Ok(Turn::Next));
        assert_eq!(turn(None, &of(9, 2)), Err(AppendError::Gap { expected: 0, received: 2 }));
        assert_eq!(turn(seen, &of(3, 8)), Ok(Turn::Next));
        assert_eq!(turn(seen, &of(3, 7)), Ok(Turn::Repeat { seq: 7 }));
        assert_eq!(turn(seen, &of(3, 0)), Ok(Turn::Repeat { seq: 7 }));
        assert_eq!(turn(seen, &of(3, 9)), Err(AppendError::Gap { expected: 8, received: 9 }));
        assert_eq!(turn(seen, &of(2, 8)), Err(AppendError::StaleEpoch { current: 3 }));
        assert_eq!(turn(seen, &of(4, 0)), Ok(Turn::Next));
        assert_eq!(turn(seen, &of(4, 8)), Err(AppendError::EpochBegins));
    }

    #[test]
    fn the_silent_are_forgotten() {
        let seen = Seen { epoch: 0, seq: 1, at_ms: 1000 };
        assert_eq!(seen.unless_forgotten(1000 + PRODUCER_KEPT_MS), Some(seen));
        assert_eq!(seen.unless_forgotten(1001 + PRODUCER_KEPT_MS), None);
        assert_eq!(seen.unless_forgotten(0), Some(seen), "the clock went back");
    }
}

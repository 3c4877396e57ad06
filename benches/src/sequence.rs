//! What of a session's events arrived at one subscriber, and how.

use std::ops::Range;

/// Follows the numbers that one subscriber gets.
#[derive(Debug, Default)]
pub struct Sequence {
    /// The number that comes next if nothing goes wrong.
    next: u64,
    /// Numbers below `next` that have not arrived, as disjoint ranges.
    holes: Vec<Range<u64>>,
}

/// How an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is later than all before it.
    Forward,
    /// It came after a later one.
    Reordered,
    /// It came before.
    Duplicate,
}

impl Sequence {
    /// Number `n` arrived.
    pub fn record(&mut self, n: u64) -> Arrival {
        if n >= self.next {
            if n > self.next {
                self.holes.push(self.next..n);
            }
            self.next = n + 1;
            return Arrival::Forward;
        }
        let Some(place) = self.holes.iter().position(|hole| hole.contains(&n)) else {
            return Arrival::Duplicate;
        };
        let hole = self.holes.swap_remove(place);
        let rests = [hole.start..n, n + 1..hole.end];
        self.holes.extend(rests.into_iter().filter(|rest| !rest.is_empty()));
        Arrival::Reordered
    }

    /// How many of the numbers below `published` never came.
    pub fn missing(&self, published: u64) -> u64 {
        let holes: u64 = self.holes.iter().map(|hole| hole.end - hole.start).sum();
        holes + published.saturating_sub(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_loss_doubling_and_reordering_apart() {
        let mut sequence = Sequence::default();
        let arrivals: Vec<_> = [0, 1, 1, 5, 3, 3, 2, 6].into_iter().map(|n| sequence.record(n)).collect();
        use Arrival::{Duplicate, Forward, Reordered};
        assert_eq!(
            arrivals,
            [Forward, Forward, Duplicate, Forward, Reordered, Duplicate, Reordered, Forward]
        );
        assert_eq!(sequence.missing(7), 1, "4 never came");
        assert_eq!(sequence.missing(9), 3, "nor did 7 and 8");
    }
}

//! The lives of a stream's log.

use super::offset::Offset;
use super::request::From;
use super::store::ReadError;

/// Which epoch each place of a stream has.
///
/// Chunks are numbered from 1 on without holes, over all lives of the log; what a life appended last closes its branch.
///
/// Invariant: the branches rise by epoch and by number, the newest has the highest epoch and none of them ends beyond `tail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branches {
    past: Vec<Branch>,
    epoch: u64,
    tail: u64,
}

/// A life of the log that is over, or that a fork does not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Which.
    pub epoch: u64,
    /// The number of its last chunk.
    pub last: u64,
}

impl Branches {
    /// Most branches kept beside the newest. It bounds what is read with every append of a stream that has seen many lives.
    pub const MOST: usize = 64;

    /// A log without chunks.
    pub fn new(epoch: u64) -> Self {
        Self { past: Vec::new(), epoch, tail: 0 }
    }

    /// As it was stored.
    pub fn stored(past: Vec<Branch>, epoch: u64, tail: u64) -> Self {
        Self { past, epoch, tail }
    }

    /// What is shared up to `n`, and a new life behind it.
    pub fn fork(&self, n: u64, epoch: u64) -> Self {
        let mut past: Vec<_> = self.past.iter().copied().take_while(|branch| branch.last < n).collect();
        if n > 0 {
            past.push(Branch { epoch: self.epoch_of(n), last: n });
        }
        Self { past, epoch, tail: n }.bounded()
    }

    /// Counts one more chunk, appended in this life or, where the log has seen a newer one, in that.
    pub fn push(&mut self, life: u64) -> Offset {
        if life > self.epoch {
            if self.tail > self.past.last().map_or(0, |branch| branch.last) {
                self.past.push(Branch { epoch: self.epoch, last: self.tail });
            }
            self.epoch = life;
            *self = self.clone().bounded();
        }
        self.tail += 1;
        self.tail()
    }

    /// Where the next chunk goes.
    pub fn tail(&self) -> Offset {
        self.at(self.tail)
    }

    /// The place behind the `n`-th chunk.
    pub fn at(&self, n: u64) -> Offset {
        Offset::new(self.epoch_of(n), n)
    }

    /// The lives that are over, oldest first.
    pub fn past(&self) -> &[Branch] {
        &self.past
    }

    /// The newest life.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// After how many chunks reading begins, where the first `trimmed` are gone.
    ///
    /// # Errors
    /// That place is none of this log, or it is gone.
    pub fn begin(&self, from: From, trimmed: u64) -> Result<u64, ReadError> {
        match from {
            From::Begin => Ok(trimmed),
            From::End => Ok(self.tail),
            From::After(offset) if offset.n() >= trimmed && self.has(offset) => Ok(offset.n()),
            From::After(_) => Err(ReadError::OffsetGone),
        }
    }

    /// Whether it is a place of this log.
    pub fn has(&self, offset: Offset) -> bool {
        offset.n() <= self.tail && offset == self.at(offset.n())
    }

    fn epoch_of(&self, n: u64) -> u64 {
        self.past.iter().find(|branch| n <= branch.last).map_or(self.epoch, |branch| branch.epoch)
    }

    /// Merges the oldest so that no place gets an epoch it was ever given out with by another chunk: the lower end with the
    /// higher epoch refuses old offsets that were good, and takes none that was not.
    fn bounded(mut self) -> Self {
        while self.past.len() > Self::MOST {
            let oldest = self.past.remove(0);
            if let Some(next) = self.past.first_mut() {
                next.last = oldest.last;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(ends: &[(u64, u64)], epoch: u64, tail: u64) -> Branches {
        let past = ends.iter().map(|&(epoch, last)| Branch { epoch, last }).collect();
        Branches::stored(past, epoch, tail)
    }

    #[test]
    fn a_place_has_the_epoch_of_the_chunk_before_it() {
        let mut log = Branches::new(10);
        assert_eq!(log.tail(), Offset::BEGIN);
        assert_eq!([log.push(5), log.push(10)], [Offset::new(10, 1), Offset::new(10, 2)]);
        assert_eq!(log.push(20), Offset::new(20, 3), "a newer life");
        assert_eq!(log, lives(&[(10, 2)], 20, 3));
        for (offset, good) in [
            (Offset::BEGIN, true),
            (Offset::new(10, 2), true),
            (Offset::new(20, 2), false),
            (Offset::new(10, 3), false),
            (Offset::new(20, 3), true),
            (Offset::new(20, 4), false),
        ] {
            assert_eq!(log.has(offset), good, "{offset}");
        }
    }

    #[test]
    fn a_life_without_chunks_leaves_nothing() {
        let mut log = Branches::new(10);
        log.push(20);
        assert_eq!(log, lives(&[], 20, 1));
    }

    #[test]
    fn a_fork_shares_what_is_before_it() {
        let log = lives(&[(10, 2), (20, 4)], 30, 6);
        assert_eq!(log.fork(0, 40), lives(&[], 40, 0));
        assert_eq!(log.fork(2, 40), lives(&[(10, 2)], 40, 2));
        assert_eq!(log.fork(3, 40), lives(&[(10, 2), (20, 3)], 40, 3));
        assert_eq!(log.fork(6, 40), lives(&[(10, 2), (20, 4), (30, 6)], 40, 6));
        assert_eq!(log.fork(3, 40).tail(), Offset::new(20, 3));
    }

    #[test]
    fn what_is_trimmed_is_not_read_but_the_oldest_that_is_left() {
        let log = lives(&[(10, 2)], 20, 6);
        assert_eq!(log.begin(From::Begin, 3), Ok(3));
        assert_eq!(log.begin(From::End, 3), Ok(6));
        assert_eq!(log.begin(From::After(Offset::new(20, 3)), 3), Ok(3));
        for gone in [Offset::BEGIN, Offset::new(10, 2), Offset::new(10, 3), Offset::new(20, 7)] {
            assert_eq!(log.begin(From::After(gone), 3), Err(ReadError::OffsetGone), "{gone}");
        }
        assert_eq!(log.begin(From::After(Offset::BEGIN), 0), Ok(0));
    }

    #[test]
    fn many_lives_are_bounded_and_take_no_offset_that_was_not_good() {
        let mut log = Branches::new(1);
        let given: Vec<_> = (1..=200).map(|life| log.push(life)).collect();
        assert_eq!(log.past().len(), Branches::MOST);
        assert!(given[140..].iter().all(|offset| log.has(*offset)));
        for epoch in 1..=200 {
            // Each life began behind `epoch - 1` chunks, and may have lost chunks behind that.
            let beyond = (epoch + 1..=200).find(|n| log.has(Offset::new(epoch, *n)));
            assert_eq!(beyond, None, "of life {epoch}");
        }
    }
}

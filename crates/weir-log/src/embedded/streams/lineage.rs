//! Where a stream's chunks lie, of which a fork has the first ones of others.

use redb::ReadableTable;

use super::record::Record;

/// A run of a stream's chunks that lie under one number: those behind the `after`-th up to the `last`-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) after: u64,
    pub(super) last: u64,
}

impl Record {
    /// Where its chunks lie, oldest first.
    pub(super) fn runs(&self) -> impl DoubleEndedIterator<Item = Run> + '_ {
        let tail = self.state.branches.tail().n();
        let own = (self.number, tail);
        (0..=self.lineage.len()).map(move |index| {
            let (number, last) = self.lineage.get(index).copied().unwrap_or(own);
            let after = index.checked_sub(1).map_or(0, |before| self.lineage[before].1);
            Run { number, after, last }
        })
    }

    /// Behind which chunk its own begin.
    pub(super) fn own_after(&self) -> u64 {
        self.lineage.last().map_or(0, |(_, last)| *last)
    }

    /// Behind which chunk everything is there. A source may have trimmed what a fork had of it.
    pub(super) fn floor(
        &self,
        chunks: &impl ReadableTable<(u64, u64), &'static [u8]>,
    ) -> Result<u64, redb::Error> {
        for run in self.runs().rev().filter(|run| run.after < run.last) {
            let first = chunks.range((run.number, run.after + 1)..=(run.number, run.last))?.next();
            let first = first.transpose()?.map_or(run.last + 1, |(key, _)| key.value().1);
            if first > run.after + 1 {
                return Ok(first - 1);
            }
        }
        Ok(0)
    }
}

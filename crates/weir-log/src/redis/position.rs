//! How far this instance has read, and the proof that nothing before it is missing.
//!
//! Redis counts every entry that was ever added. The index of an entry is the number of entries added up to and with it;
//! of the oldest entry kept it follows from that count and the length. What lies between the index of the cursor and
//! that of the oldest entry was trimmed before it was read.

use weir_core::entry::Entry;
use weir_core::id::EventId;

use super::codec::Print;
use super::scripts::StreamState;

/// Everything up to here was handed out or announced as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The id of it. An entry, or just below the oldest one where entries were lost.
    pub(super) cursor: EventId,
    /// Its index, where Redis tells.
    added: Option<u64>,
    /// The newest entry read, to be recognised later.
    entry: Option<Print>,
    /// Up to here nothing is missing for certain.
    proven: EventId,
}

/// What a look at the stream says about a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// Nothing is missing.
    Intact,
    /// Entries were trimmed before they were read.
    Lost(Hole),
    /// It is no longer the same stream, or it went back.
    Replaced,
}

/// Entries above `after` and up to `through` are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) after: EventId,
    pub(super) through: EventId,
    /// How many, where it is known.
    pub(super) count: Option<u64>,
    /// Whether it lies before the entries that were just read, or after them.
    pub(super) place: Place,
}

impl Hole {
    /// What may be a part of the hole before the entries that were just read, where those are gone themselves and nobody
    /// can tell.
    pub(super) fn before(&self, cursor: EventId, batch: &[Entry]) -> Option<Self> {
        let (first, last) = (batch.first()?, batch.last()?);
        if self.place == Place::BeforeBatch || self.after < last.id {
            return None;
        }
        let through = first.id.prev();
        (cursor < through).then_some(Self { after: cursor, through, count: None, place: Place::BeforeBatch })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    BeforeBatch,
    AfterBatch,
}

impl Position {
    /// At the newest id of the stream.
    pub(super) fn at_head(state: &StreamState, entry: Option<Print>) -> Self {
        Self { cursor: state.last, added: state.added, entry, proven: state.last }
    }

    /// How many entries were added up to here, where Redis tells.
    pub(super) fn added(&self) -> Option<u64> {
        self.added
    }

    /// Moves past entries that were read.
    pub(super) fn pass(&mut self, entries: &[Entry], last: Option<Print>) {
        let Some(newest) = entries.last() else { return };
        self.cursor = newest.id;
        self.added = self.added.map(|added| added + entries.len() as u64);
        self.entry = last;
    }

    /// Stands at the end of a range that was read completely, whose end has the index `added`.
    pub(super) fn reach(&mut self, through: EventId, added: Option<u64>) {
        if self.cursor <= through {
            self.cursor = through;
            self.added = added;
        }
    }

    /// Whether the stream cannot be the one this position was taken in. `known` is what stands at the newest entry read.
    pub(super) fn is_foreign_to(&self, state: &StreamState, known: Option<Print>) -> bool {
        let shrank = matches!((state.added, self.added), (Some(now), Some(then)) if now < then);
        let differs = matches!((known, self.entry), (Some(now), Some(then)) if now != then);
        (!state.exists && self.cursor > EventId::ZERO) || state.last < self.cursor || shrank || differs
    }

    /// The id under which the newest entry read should stand.
    pub(super) fn entry_id(&self) -> EventId {
        self.entry.map_or(EventId::ZERO, |entry| entry.id)
    }

    /// Proves or disproves that nothing is missing. `before` is the position before `batch` was read, `self` the one after
    /// it; `state` was seen later. A hole moves the position, so that it is announced once.
    pub(super) fn prove(&mut self, state: &StreamState, before: &Self, batch: &[Entry]) -> Continuity {
        if self.is_foreign_to(state, None) {
            return Continuity::Replaced;
        }
        // An empty stream has its oldest entry yet to come.
        let first = state.first.unwrap_or_else(|| state.last.next());
        if first <= before.cursor {
            return self.settle(state);
        }
        let gap = Gap { before, batch, first };
        match gap.count(state) {
            Count::Negative => Continuity::Replaced,
            Count::Known(0) => self.settle(state),
            Count::Known(count) => {
                self.added = before.added.map(|added| added + count + batch.len() as u64);
                // A deletion behind the cursor leaves the same trace as trimming.
                let deleted = state.deleted.is_some_and(|deleted| deleted > before.cursor);
                Continuity::Lost(self.fall_into(&gap, (!deleted).then_some(count)))
            }
            // Only a batch that does not join on, or is gone itself, is suspicious, and the first one of a stream joins on to
            // nothing.
            Count::Untold if !batch.is_empty() && before.cursor > EventId::ZERO => {
                Continuity::Lost(self.fall_into(&gap, None))
            }
            Count::Untold => Continuity::Intact,
        }
    }

    fn fall_into(&mut self, gap: &Gap<'_>, count: Option<u64>) -> Hole {
        if let Some(entry) = gap.batch.first().filter(|_| gap.is_before_batch()) {
            let (after, through) = (gap.before.cursor, entry.id.prev());
            return Hole { after, through, count, place: Place::BeforeBatch };
        }
        let after = self.cursor;
        self.cursor = self.cursor.max(gap.first.prev());
        self.proven = self.cursor;
        Hole { after, through: self.cursor, count, place: Place::AfterBatch }
    }

    /// At the head the index is known for certain. Where more was added than was read, it was trimmed between two reads that
    /// nobody looked between; where is not known any more, only since when.
    fn settle(&mut self, state: &StreamState) -> Continuity {
        if state.last != self.cursor {
            return Continuity::Intact;
        }
        let missing = state.added.zip(self.added).and_then(|(now, read)| now.checked_sub(read));
        let after = std::mem::replace(&mut self.proven, self.cursor);
        self.added = state.added;
        let deleted = state.deleted.is_some_and(|deleted| deleted > after);
        match missing {
            Some(count) if count > 0 && !deleted => {
                let (through, place) = (self.cursor, Place::AfterBatch);
                Continuity::Lost(Hole { after, through, count: Some(count), place })
            }
            Some(_) | None => Continuity::Intact,
        }
    }
}

/// The oldest entry left, `first`, stands above the position `before` the `batch`.
struct Gap<'a> {
    before: &'a Position,
    batch: &'a [Entry],
    first: EventId,
}

/// How many entries are gone that were not read.
enum Count {
    Known(u64),
    /// Fewer than none, so this is not the stream that was read.
    Negative,
    /// Redis does not count what it adds.
    Untold,
}

impl Gap<'_> {
    fn count(&self, state: &StreamState) -> Count {
        let (Some(total), Some(added)) = (state.added, self.before.added) else { return Count::Untold };
        // Both up to the oldest entry left: what is gone, and what was read.
        let gone = total - state.length.min(total);
        let read = added + self.older() as u64;
        gone.checked_sub(read).map_or(Count::Negative, Count::Known)
    }

    /// Entries of the batch that are gone by now.
    fn older(&self) -> usize {
        self.batch.partition_point(|entry| entry.id < self.first)
    }

    /// Where a part of the batch is still there, nothing after it can be missing.
    fn is_before_batch(&self) -> bool {
        self.older() < self.batch.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::entry::Content;

    fn id(ms: u64) -> EventId {
        EventId::new(ms, 0)
    }

    /// A stream to which `1..=added` were added, of which `first..` are left.
    fn stream(added: u64, first: u64) -> StreamState {
        StreamState {
            last: id(added),
            added: Some(added),
            length: added + 1 - first,
            first: (first <= added).then(|| id(first)),
            deleted: None,
            exists: true,
        }
    }

    fn entries(ids: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        ids.map(|ms| Entry { id: id(ms), content: Content::Internal }).collect()
    }

    /// Reads `batch` at the head of a stream of ten and looks at `state` afterwards.
    fn prove(batch: std::ops::RangeInclusive<u64>, state: StreamState) -> (Position, Continuity) {
        let before = Position::at_head(&stream(10, 1), None);
        let (mut position, batch) = (before, entries(batch));
        position.pass(&batch, None);
        let continuity = position.prove(&state, &before, &batch);
        (position, continuity)
    }

    #[expect(clippy::reversed_empty_ranges, reason = "an empty batch")]
    const NONE: std::ops::RangeInclusive<u64> = 1..=0;

    #[test]
    fn trimming_behind_the_cursor_is_no_loss() {
        for (batch, state) in [
            (NONE, stream(10, 1)),
            (NONE, stream(10, 10)),
            (NONE, stream(10, 11)),
            (11..=14, stream(20, 5)),
            (11..=14, stream(20, 11)),
            (11..=14, stream(20, 13)),
            (11..=14, stream(20, 15)),
            (11..=14, stream(14, 15)),
        ] {
            assert_eq!(prove(batch.clone(), state).1, Continuity::Intact, "{batch:?} {state:?}");
        }
    }

    #[test]
    fn a_hole_before_the_batch_is_counted_exactly() {
        for (batch, first) in [(14..=18, 14), (14..=18, 16), (14..=14, 14)] {
            let end = *batch.end();
            let (position, continuity) = prove(batch, stream(30, first));
            let (after, through, count) = (id(10), id(14).prev(), Some(3));
            assert_eq!(
                continuity,
                Continuity::Lost(Hole { after, through, count, place: Place::BeforeBatch })
            );
            assert_eq!((position.cursor, position.added), (id(end), Some(end)));
        }
    }

    #[test]
    fn a_hole_after_the_batch_is_counted_exactly_and_once() {
        let (mut position, continuity) = prove(11..=14, stream(30, 21));
        let (after, through, count) = (id(14), id(21).prev(), Some(6));
        assert_eq!(continuity, Continuity::Lost(Hole { after, through, count, place: Place::AfterBatch }));
        assert_eq!((position.cursor, position.added), (id(21).prev(), Some(20)));
        let (before, batch) = (position, entries(21..=25));
        position.pass(&batch, None);
        assert_eq!(position.prove(&stream(30, 21), &before, &batch), Continuity::Intact);
    }

    #[test]
    fn where_the_batch_is_gone_itself_the_hole_may_lie_on_both_sides() {
        let batch = entries(14..=16);
        let before = Position::at_head(&stream(10, 1), None);
        let mut position = before;
        position.pass(&batch, None);
        let Continuity::Lost(hole) = position.prove(&stream(30, 21), &before, &batch) else {
            panic!("a loss")
        };
        assert_eq!((hole.place, hole.after, hole.count), (Place::AfterBatch, id(16), Some(7)));
        let (after, through) = (id(10), id(14).prev());
        let side = Hole { after, through, count: None, place: Place::BeforeBatch };
        assert_eq!(hole.before(before.cursor, &batch), Some(side));
        // Not where the batch joins on, nor where the hole is known to lie before it.
        assert_eq!(hole.before(id(14).prev(), &batch), None);
        assert_eq!(side.before(before.cursor, &batch), None);
        assert_eq!(Hole { after: id(12), ..hole }.before(before.cursor, &batch), None);
    }

    #[test]
    fn everything_trimmed_is_counted_too() {
        let (position, continuity) = prove(NONE, stream(30, 31));
        let (after, through, count) = (id(10), id(30), Some(20));
        assert_eq!(continuity, Continuity::Lost(Hole { after, through, count, place: Place::AfterBatch }));
        assert_eq!((position.cursor, position.added), (id(30), Some(30)));
    }

    #[test]
    fn a_loss_that_nobody_looked_at_in_time_is_found_at_the_head() {
        let before = Position::at_head(&stream(10, 1), None);
        let (mut position, batch) = (before, entries(14..=20));
        position.pass(&batch, None);
        let (after, through, count) = (id(10), id(20), Some(3));
        let lost = Continuity::Lost(Hole { after, through, count, place: Place::AfterBatch });
        let seen = position;
        assert_eq!(position.prove(&stream(20, 14), &seen, &[]), lost);
        let seen = position;
        assert_eq!(position.prove(&stream(20, 14), &seen, &[]), Continuity::Intact);
    }

    #[test]
    fn deletions_make_the_count_unknown_but_are_no_loss_behind_the_cursor() {
        let deleted = |ms, state| StreamState { deleted: Some(id(ms)), length: 10, ..state };
        assert_eq!(prove(11..=20, deleted(5, stream(20, 9))).1, Continuity::Intact);
        let (_, continuity) = prove(14..=20, deleted(25, stream(30, 14)));
        assert!(matches!(continuity, Continuity::Lost(Hole { count: None, .. })), "{continuity:?}");
    }

    #[test]
    fn a_replaced_stream_is_recognised() {
        let gone =
            StreamState { exists: false, last: EventId::ZERO, added: Some(0), length: 0, ..stream(1, 2) };
        assert_eq!(prove(NONE, gone).1, Continuity::Replaced);
        assert_eq!(prove(NONE, stream(9, 1)).1, Continuity::Replaced);
        let fresh =
            StreamState { last: id(99), added: Some(4), length: 4, first: Some(id(95)), ..stream(4, 1) };
        assert_eq!(prove(NONE, fresh).1, Continuity::Replaced);
        let grown =
            StreamState { last: id(99), added: Some(12), length: 12, first: Some(id(80)), ..stream(4, 1) };
        assert_eq!(prove(NONE, grown).1, Continuity::Replaced);
    }

    #[test]
    fn an_old_redis_without_counts_still_tells_of_a_hole() {
        let old = |state| StreamState { added: None, ..state };
        let before = Position::at_head(&old(stream(10, 1)), None);
        let (mut position, batch) = (before, entries(14..=18));
        position.pass(&batch, None);
        let continuity = position.prove(&old(stream(30, 14)), &before, &batch);
        assert!(matches!(continuity, Continuity::Lost(Hole { count: None, .. })), "{continuity:?}");
        assert_eq!(position.prove(&old(stream(30, 2)), &before, &batch), Continuity::Intact);

        let before = Position::at_head(&old(stream(0, 1)), None);
        let (mut position, batch) = (before, entries(1..=4));
        position.pass(&batch, None);
        assert_eq!(position.prove(&old(stream(4, 1)), &before, &batch), Continuity::Intact);
    }

    /// A stream of entries `1, 2, …`, of which the oldest go.
    #[derive(Debug)]
    struct Model {
        added: u64,
        first: u64,
    }

    impl Model {
        fn trim(&mut self, keep: u64) {
            self.first = self.first.max((self.added + 1).saturating_sub(keep));
        }
    }

    proptest::proptest! {
        /// However adding, trimming and reading interleave, also between a read and the look after it: what was read and
        /// what was announced as lost is all there was, in order, and nothing is both.
        #[test]
        fn read_and_lost_is_all_there_was(
            steps in proptest::collection::vec(
                (0_u64..40, 0_u64..60, 1_u64..20, 0_u64..60, proptest::bool::weighted(0.8)),
                1..60,
            ),
        ) {
            let mut model = Model { added: 0, first: 1 };
            let mut position = Position::at_head(&stream(0, 1), None);
            let (mut read, mut lost, mut group) = (0, 0, 0);
            for (add, keep, count, late_keep, looks) in steps {
                model.added += add;
                model.trim(keep);
                let from = model.first.max(group + 1);
                let to = model.added.min(from + count - 1);
                let batch = entries(from..=to);
                group = group.max(to);
                model.trim(late_keep);

                let before = position;
                position.pass(&batch, None);
                read += batch.len() as u64;
                proptest::prop_assert!(position.cursor >= before.cursor);
                if !looks {
                    continue;
                }
                match position.prove(&stream(model.added, model.first), &before, &batch) {
                    Continuity::Intact => {}
                    Continuity::Lost(hole) => {
                        let gone = hole.count.expect("nothing was deleted");
                        proptest::prop_assert!(gone > 0 && hole.after <= hole.through);
                        lost += gone;
                    }
                    Continuity::Replaced => proptest::prop_assert!(false, "the same stream"),
                }
                proptest::prop_assert_eq!(position.added, Some(read + lost));
                // Behind the position nothing is left that could still be read.
                proptest::prop_assert!(position.cursor.ms <= group.max(model.first));
            }
            model.trim(0);
            // The first look brings the position to the head, where the second knows the count.
            for _ in 0..2 {
                let before = position;
                if let Continuity::Lost(hole) = position.prove(&stream(model.added, model.first), &before, &[]) {
                    lost += hole.count.expect("nothing was deleted");
                }
            }
            proptest::prop_assert_eq!(read + lost, model.added);
        }
    }
}

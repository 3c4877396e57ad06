//! Appending to streams.

use redb::ReadableTable;
use weir_core::durable::producers::Seen;
use weir_core::durable::{Append, AppendError, Appended, MOST_PRODUCERS, Standing, StreamName, Verdict};

use super::ledger::{Ledger, cost, producer_cost};
use super::record::Record;
use crate::engine::More;

/// Most old chunks that go with one append, where there are suddenly many too many.
const TRIMMED_AT_ONCE: u64 = 16;

/// Most uses that are written down in one transaction of the upkeep.
const RENEWED_AT_ONCE: usize = 1024;

/// How many of all producers go when there are too many: those that were silent for the longest time. One at a time would mean
/// to look through all of them with every append.
const FORGOTTEN_AT_ONCE: usize = MOST_PRODUCERS / 10;

impl Ledger<'_> {
    /// Appends a chunk, closes the stream, or both.
    pub(super) fn append(
        &mut self,
        name: &StreamName,
        append: &Append,
    ) -> Result<Result<Appended, AppendError>, redb::Error> {
        let mut record = match self.find(name)? {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Err(AppendError::Missing)),
            Err(damaged) => return Ok(Err(damaged.into())),
        };
        match record.state.standing(self.now) {
            Standing::Here => {}
            Standing::Deleted => return Ok(Err(AppendError::Deleted)),
            Standing::Expired => return Ok(Err(AppendError::Missing)),
        }
        let seen = self.seen(&record, append)?;
        match record.state.judge(append, seen) {
            Err(error) => return Ok(Err(error)),
            Ok(Verdict::Answer(answer)) => {
                self.renew_record(name, &mut record)?;
                return Ok(Ok(answer));
            }
            Ok(Verdict::Write) => {}
        }
        if let Some(payload) = &append.payload
            && !self.has_room(cost(payload.bytes.len()))
        {
            return Ok(Err(AppendError::Full(NO_ROOM.into())));
        }
        let answer = record.state.append(append, self.facts.life, self.now);
        if let Some(payload) = &append.payload {
            self.push(record.number, record.state.branches.tail().n(), &payload.bytes)?;
            self.trim(&mut record)?;
        }
        self.remember(&mut record, append, seen)?;
        self.keep(name, &record)?;
        self.announce(name);
        Ok(Ok(answer))
    }

    /// What is known of who appends.
    fn seen(&self, record: &Record, append: &Append) -> Result<Option<Seen>, redb::Error> {
        let Some(producer) = &append.producer else { return Ok(None) };
        let known = self.tables.producers.get((record.number, &*producer.id))?;
        let seen = known.map(|known| {
            let (epoch, seq, at_ms) = known.value();
            Seen { epoch, seq, at_ms }
        });
        Ok(seen.and_then(|seen| seen.unless_forgotten(self.now)))
    }

    fn remember(
        &mut self,
        record: &mut Record,
        append: &Append,
        seen: Option<Seen>,
    ) -> Result<(), redb::Error> {
        let Some(producer) = &append.producer else { return Ok(()) };
        if seen.is_none() && record.producers >= MOST_PRODUCERS as u64 {
            self.forget_silent(record)?;
        }
        let Seen { epoch, seq, at_ms } = Seen::after(producer, self.now);
        let before = self.tables.producers.insert((record.number, &*producer.id), (epoch, seq, at_ms))?;
        if before.is_none() {
            drop(before);
            record.producers += 1;
            self.take(producer_cost(&producer.id));
        }
        Ok(())
    }

    fn forget_silent(&mut self, record: &mut Record) -> Result<(), redb::Error> {
        let mut known = Vec::new();
        let of_stream = (record.number, "")..(record.number + 1, "");
        for producer in self.tables.producers.range(of_stream)? {
            let (key, value) = producer?;
            known.push((value.value().2, Box::<str>::from(key.value().1)));
        }
        known.sort_unstable();
        for (_, id) in known.iter().take(FORGOTTEN_AT_ONCE) {
            self.tables.producers.remove((record.number, &**id))?;
            self.give(producer_cost(id));
        }
        record.producers = known.len().saturating_sub(FORGOTTEN_AT_ONCE) as u64;
        Ok(())
    }

    /// Lets the oldest of its own chunks go where there are too many.
    fn trim(&mut self, record: &mut Record) -> Result<(), redb::Error> {
        let Some(most) = self.facts.limits.maxlen else { return Ok(()) };
        let oldest = record.state.branches.tail().n().saturating_sub(most.max(1));
        let first = record.state.trimmed.max(record.own_after());
        if oldest <= first {
            return Ok(());
        }
        let last = oldest.min(first + TRIMMED_AT_ONCE);
        for n in first + 1..=last {
            let chunk = self.tables.chunks.remove((record.number, n))?;
            let freed = chunk.map_or(0, |chunk| cost(chunk.value().len()));
            self.give(freed);
        }
        record.state.trimmed = last;
        Ok(())
    }

    /// Writes down some of the uses that were noted.
    pub(super) fn renew(&mut self) -> Result<More, redb::Error> {
        let uses = self.facts.uses.some(RENEWED_AT_ONCE);
        let more = match uses.len() {
            0 => return Ok(More::Nothing),
            RENEWED_AT_ONCE => More::ToDo,
            _ => More::Done,
        };
        for (name, _) in &uses {
            // It is found with what is noted of it.
            if let Ok(Some(record)) = self.find(name)?
                && record.state.standing(self.now) == Standing::Here
            {
                self.keep(name, &record)?;
            }
        }
        self.used(uses);
        Ok(more)
    }

    fn renew_record(&mut self, name: &StreamName, record: &mut Record) -> Result<(), redb::Error> {
        if !record.state.is_renewal_due(self.now) {
            return Ok(());
        }
        record.state.used_ms = self.now;
        self.keep(name, record)
    }
}

/// Why something is not taken.
pub(super) const NO_ROOM: &str = "the streams have filled the memory they are given";

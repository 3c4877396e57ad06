//! Making streams.

use bytes::Bytes;
use redb::ReadableTable;
use weir_core::durable::{
    Create, CreateError, Created, Fork, Forked, Standing, State, StreamName, first_units,
};

use super::append::NO_ROOM;
use super::ledger::{Ledger, cost, stream_cost};
use super::record::Record;

/// What a fork begins as.
struct Source {
    record: Record,
    forked: Forked,
    /// The first units of the chunk behind the place it forks from.
    part: Option<Bytes>,
}

impl Ledger<'_> {
    /// Makes a stream, or finds that it is there as it was asked for.
    pub(super) fn create(
        &mut self,
        name: &StreamName,
        create: &Create,
    ) -> Result<Result<Created, CreateError>, redb::Error> {
        match self.find(name)? {
            Ok(None) => {}
            Ok(Some(record)) => match record.state.standing(self.now) {
                Standing::Here => {
                    let head = record.state.head();
                    return Ok(record.state.answers(create).map(|()| Created { is_new: false, head }));
                }
                Standing::Deleted => return Ok(Err(CreateError::Taken)),
                Standing::Expired => {}
            },
            Err(damaged) => return Ok(Err(damaged.into())),
        }
        let source = match &create.fork {
            None => None,
            Some(fork) => match self.source(fork, create)? {
                Ok(source) => Some(source),
                Err(error) => return Ok(Err(error)),
            },
        };
        let part = source.as_ref().and_then(|source| source.part.clone());
        let payload = create.payload.as_ref().map(|payload| payload.bytes.clone());
        let first: Vec<_> = part.into_iter().chain(payload).collect();
        if !self.has_room(stream_cost(name) + first.iter().map(|bytes| cost(bytes.len())).sum::<u64>()) {
            return Ok(Err(CreateError::Full(NO_ROOM.into())));
        }
        self.make(name, create, source.as_ref(), &first)
    }

    fn make(
        &mut self,
        name: &StreamName,
        create: &Create,
        source: Option<&Source>,
        first: &[Bytes],
    ) -> Result<Result<Created, CreateError>, redb::Error> {
        if let Some(Source { record, forked, .. }) = source {
            let mut record = record.clone();
            record.state.forks += 1;
            self.keep(&forked.source, &record)?;
        }
        self.remove(name)?;
        let (number, epoch) = self.next()?;
        let lineage = source.map_or_else(Vec::new, Source::lineage);
        let its = source.map(|source| (&source.record.state, source.forked.clone()));
        let state = State::new(create, its, epoch, self.now);
        let mut record = Record { state, number, lineage, producers: 0, due_ms: None };
        for bytes in first {
            let n = record.state.branches.push(epoch).n();
            self.push(number, n, bytes)?;
        }
        record.due_ms = record.state.expires_ms();
        if let Some(due_ms) = record.due_ms {
            self.tables.expiry.insert((due_ms, number), name.as_str())?;
        }
        self.take(stream_cost(name));
        self.keep(name, &record)?;
        self.announce(name);
        Ok(Ok(Created { is_new: true, head: record.state.head() }))
    }

    fn source(&self, fork: &Fork, create: &Create) -> Result<Result<Source, CreateError>, redb::Error> {
        let record = match self.find(&fork.source)? {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Err(CreateError::NoSource)),
            Err(damaged) => return Ok(Err(damaged.into())),
        };
        match record.state.standing(self.now) {
            Standing::Here => {}
            Standing::Deleted => return Ok(Err(CreateError::SourceDeleted)),
            Standing::Expired => return Ok(Err(CreateError::NoSource)),
        }
        let forked = match record.state.forked(fork, create) {
            Ok(forked) => forked,
            Err(error) => return Ok(Err(error)),
        };
        // It knows only of its own chunks whether they were trimmed.
        if forked.offset.n() < record.floor(&self.tables.chunks)? {
            return Ok(Err(CreateError::OffsetGone));
        }
        let part = match fork.units {
            0 => None,
            units => match self.part(&record, forked.offset.n() + 1, units)? {
                Ok(part) => Some(part),
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(Ok(Source { record, forked, part }))
    }

    fn part(&self, record: &Record, n: u64, units: u64) -> Result<Result<Bytes, CreateError>, redb::Error> {
        let run = record.runs().find(|run| n <= run.last);
        let chunk = match run {
            Some(run) => self.tables.chunks.get((run.number, n))?,
            None => return Ok(Err(CreateError::NoSuchUnits)),
        };
        let Some(chunk) = chunk else { return Ok(Err(CreateError::OffsetGone)) };
        let chunk = Bytes::copy_from_slice(chunk.value());
        Ok(first_units(record.state.media.media(), &chunk, units).ok_or(CreateError::NoSuchUnits))
    }
}

impl Source {
    /// Where the fork's first chunks lie.
    fn lineage(&self) -> Vec<(u64, u64)> {
        let last = self.forked.offset.n();
        self.record
            .runs()
            .take_while(|run| run.after < last)
            .map(|run| (run.number, run.last.min(last)))
            .collect()
    }
}

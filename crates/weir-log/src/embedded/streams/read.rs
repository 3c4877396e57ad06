//! Reading streams.

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};
use weir_core::durable::{Chunk, From, Head, Look, Page, ReadError, Standing, StreamName};

use super::record::Record;
use super::tables::{CHUNKS, STREAMS};

/// Which stream is read.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) name: StreamName,
    pub(super) now_ms: u64,
    /// When it was last read, as far as that is not written down.
    pub(super) noted_ms: u64,
}

/// A page, and whether it is to be written down that the stream is in use.
pub(super) type Read = Result<(Page, bool), ReadError>;

pub(super) fn page(
    txn: &ReadTransaction,
    asked: &Asked,
    from: From,
    max_bytes: usize,
) -> Result<Read, redb::Error> {
    let record = match find(txn, asked)? {
        Ok(record) => record,
        Err(error) => return Ok(Err(error)),
    };
    let chunks = txn.open_table(CHUNKS)?;
    // It knows only of its own chunks whether they were trimmed.
    let trimmed = match from {
        From::Begin if !record.lineage.is_empty() => record.floor(&chunks)?,
        From::After(offset) if offset.n() < record.own_after() => record.floor(&chunks)?,
        From::Begin | From::After(_) | From::End => record.state.trimmed,
    };
    let after = match record.state.branches.begin(from, trimmed) {
        Ok(after) => after,
        Err(error) => return Ok(Err(error)),
    };
    let state = &record.state;
    let read = gather(&chunks, &record, after, max_bytes)?;
    if read.is_empty() && after < state.branches.tail().n() {
        return Ok(Err(ReadError::OffsetGone));
    }
    let next = read.last().map_or_else(|| state.branches.at(after), |chunk| chunk.end);
    Ok(Ok((Page { head: state.head(), chunks: read, next }, state.is_renewal_due(asked.now_ms))))
}

/// The chunks behind the `after`-th, up to where one is missing or there are enough. They share one allocation.
fn gather(
    chunks: &impl ReadableTable<(u64, u64), &'static [u8]>,
    record: &Record,
    after: u64,
    max_bytes: usize,
) -> Result<Vec<Chunk>, redb::Error> {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    let mut last = after;
    'runs: for run in record.runs().filter(|run| run.last > after) {
        for chunk in chunks.range((run.number, last + 1)..=(run.number, run.last))? {
            let (key, value) = chunk?;
            let (n, value) = (key.value().1, value.value());
            if n != last + 1 || (n > after + 1 && bytes.len() + value.len() > max_bytes) {
                break 'runs;
            }
            bytes.extend_from_slice(value);
            ends.push(bytes.len());
            last = n;
        }
        if last < run.last {
            break;
        }
    }
    let mut bytes = Bytes::from(bytes);
    let mut start = 0;
    let numbered = (after + 1..).zip(ends);
    let cut = numbered.map(|(n, end)| {
        let chunk = bytes.split_to(end - start);
        start = end;
        Chunk { end: record.state.branches.at(n), bytes: chunk }
    });
    Ok(cut.collect())
}

/// A stream that is there.
fn find(txn: &ReadTransaction, asked: &Asked) -> Result<Result<Record, ReadError>, redb::Error> {
    let Some(stored) = txn.open_table(STREAMS)?.get(asked.name.as_str())? else {
        return Ok(Err(ReadError::Missing));
    };
    let mut record = match Record::decode(stored.value()) {
        Ok(record) => record,
        Err(damaged) => return Ok(Err(damaged.into())),
    };
    record.state.used_ms = record.state.used_ms.max(asked.noted_ms);
    Ok(match record.state.standing(asked.now_ms) {
        Standing::Here => Ok(record),
        Standing::Deleted => Err(ReadError::Deleted),
        Standing::Expired => Err(ReadError::Missing),
    })
}

pub(super) fn head(txn: &ReadTransaction, asked: &Asked) -> Result<Result<Head, ReadError>, redb::Error> {
    Ok(find(txn, asked)?.map(|record| record.state.head()))
}

/// Where streams end, and of which of them it is to be written down that they are in use.
pub(super) fn look(txn: &ReadTransaction, all: Vec<Asked>) -> Result<(Vec<Look>, Vec<Asked>), redb::Error> {
    let mut looks = Vec::with_capacity(all.len());
    let mut due = Vec::new();
    for asked in all {
        looks.push(match find(txn, &asked)? {
            Ok(record) => {
                let look = Look::At { tail: record.state.branches.tail(), closed: record.state.closed };
                if record.state.is_renewal_due(asked.now_ms) {
                    due.push(asked);
                }
                look
            }
            Err(_) => Look::Missing,
        });
    }
    Ok((looks, due))
}

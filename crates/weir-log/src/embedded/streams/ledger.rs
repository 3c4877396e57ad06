//! The streams while a transaction changes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::ReadableTable;
use weir_core::durable::StreamName;

use super::Facts;
use super::record::{Damaged, Record};
use super::tables::{EPOCH, NUMBER, StreamTables};

/// What a stream of that name takes up besides its record, its chunks and its producers, about. In a second table its name
/// stands where it expires.
pub(super) fn stream_cost(name: &StreamName) -> u64 {
    256 + 2 * name.as_str().len() as u64
}

/// What a producer of that id takes up, about.
pub(super) fn producer_cost(id: &str) -> u64 {
    id.len() as u64 + 128
}

/// What a chunk of so many bytes takes up, about.
pub(super) fn cost(bytes: usize) -> u64 {
    bytes as u64 + 64
}

/// All streams, and when it is.
pub(super) struct Ledger<'t> {
    pub(super) facts: Arc<Facts>,
    pub(super) now: u64,
    pub(super) tables: StreamTables<'t>,
    changes: Changes,
}

/// What there is to do when a transaction is committed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// These are to be announced.
    pub(super) streams: Vec<StreamName>,
    /// These uses were written down.
    pub(super) uses: Vec<(StreamName, u64)>,
}

impl<'t> Ledger<'t> {
    pub(super) fn new(tables: StreamTables<'t>, facts: Arc<Facts>) -> Self {
        Self { now: facts.clock.now_ms(), facts, tables, changes: Changes::default() }
    }

    /// The tables for whoever comes next, and what it has changed.
    pub(super) fn close(self) -> (StreamTables<'t>, Changes) {
        (self.tables, self.changes)
    }

    /// A stream is to be announced.
    pub(super) fn announce(&mut self, name: &StreamName) {
        self.changes.streams.push(name.clone());
    }

    /// Uses are written down.
    pub(super) fn used(&mut self, uses: Vec<(StreamName, u64)>) {
        self.changes.uses = uses;
    }

    pub(super) fn find(&self, name: &StreamName) -> Result<Result<Option<Record>, Damaged>, redb::Error> {
        let Some(stored) = self.tables.streams.get(name.as_str())? else { return Ok(Ok(None)) };
        Ok(Record::decode(stored.value()).map(|mut record| {
            record.state.used_ms = record.state.used_ms.max(self.facts.uses.of(name));
            Some(record)
        }))
    }

    pub(super) fn keep(&mut self, name: &StreamName, record: &Record) -> Result<(), redb::Error> {
        let record = record.encode();
        let before = self.tables.streams.insert(name.as_str(), record.as_slice())?;
        let (before, now) = (before.map_or(0, |before| before.value().len()), record.len());
        self.take(now.saturating_sub(before) as u64);
        self.give(before.saturating_sub(now) as u64);
        Ok(())
    }

    /// A number for a new stream, and an epoch that no stream has had.
    pub(super) fn next(&mut self) -> Result<(u64, u64), redb::Error> {
        let number = self.tables.newest.get(NUMBER)?.map_or(0, |number| number.value()) + 1;
        self.tables.newest.insert(NUMBER, number)?;
        let epoch = self.now.max(self.tables.newest.get(EPOCH)?.map_or(0, |epoch| epoch.value()) + 1);
        self.tables.newest.insert(EPOCH, epoch)?;
        Ok((number, epoch))
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let used = self.facts.used.load(Ordering::Relaxed);
        self.facts.limits.max_bytes.is_none_or(|most| used.saturating_add(bytes) <= most)
    }

    /// Puts a chunk behind the others.
    pub(super) fn push(&mut self, number: u64, n: u64, bytes: &[u8]) -> Result<(), redb::Error> {
        self.tables.chunks.insert((number, n), bytes)?;
        self.take(cost(bytes.len()));
        Ok(())
    }

    /// Counts what is taken up.
    pub(super) fn take(&self, bytes: u64) {
        self.facts.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts what is given back. What an earlier opening of the file has written was never counted.
    pub(super) fn give(&self, bytes: u64) {
        let left = |used: u64| Some(used.saturating_sub(bytes));
        let _ = self.facts.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    }
}

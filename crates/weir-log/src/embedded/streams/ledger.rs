//! The streams while a transaction changes them.

use std::sync::atomic::Ordering;

use redb::{ReadableTable, Table};
use weir_core::durable::StreamName;

use super::Facts;
use super::record::Record;
use super::tables::{CHUNKS, EPOCH, EXPIRY, NEWEST, NUMBER, PRODUCERS, RUBBISH, STREAMS};
use crate::engine::Writing;

/// What one stream takes up besides its chunks and its producers, about.
pub(super) const STREAM_COST: u64 = 512;
/// What a producer takes up, about.
pub(super) const PRODUCER_COST: u64 = 128;

/// What a chunk of so many bytes takes up, about.
pub(super) fn cost(bytes: usize) -> u64 {
    bytes as u64 + 64
}

/// All tables of the streams, open for changes.
pub(super) struct Ledger<'t> {
    pub(super) facts: &'t Facts,
    pub(super) now: u64,
    pub(super) streams: Table<'t, &'static str, &'static [u8]>,
    pub(super) chunks: Table<'t, (u64, u64), &'static [u8]>,
    pub(super) producers: Table<'t, (u64, &'static str), (u64, u64, u64)>,
    pub(super) expiry: Table<'t, (u64, u64), &'static str>,
    pub(super) rubbish: Table<'t, u64, ()>,
    newest: Table<'t, &'static str, u64>,
    changed: Vec<StreamName>,
}

impl<'t> Ledger<'t> {
    pub(super) fn open(writing: &Writing<'t>, facts: &'t Facts) -> Result<Self, redb::Error> {
        Ok(Self {
            facts,
            now: facts.clock.now_ms(),
            streams: writing.table(STREAMS)?,
            chunks: writing.table(CHUNKS)?,
            producers: writing.table(PRODUCERS)?,
            expiry: writing.table(EXPIRY)?,
            rubbish: writing.table(RUBBISH)?,
            newest: writing.table(NEWEST)?,
            changed: Vec::new(),
        })
    }

    /// Which streams it has changed.
    pub(super) fn changed(self) -> Vec<StreamName> {
        self.changed
    }

    /// A stream is to be announced.
    pub(super) fn announce(&mut self, name: &StreamName) {
        self.changed.push(name.clone());
    }

    pub(super) fn find(&self, name: &StreamName) -> Result<Option<Record>, redb::Error> {
        let stored = self.streams.get(name.as_str())?;
        stored.map(|stored| Record::decode(stored.value())).transpose()
    }

    pub(super) fn keep(&mut self, name: &StreamName, record: &Record) -> Result<(), redb::Error> {
        self.streams.insert(name.as_str(), record.encode().as_slice())?;
        Ok(())
    }

    /// A number for a new stream, and an epoch that no stream has had.
    pub(super) fn next(&mut self) -> Result<(u64, u64), redb::Error> {
        let number = self.newest.get(NUMBER)?.map_or(0, |number| number.value()) + 1;
        self.newest.insert(NUMBER, number)?;
        let epoch = self.now.max(self.newest.get(EPOCH)?.map_or(0, |epoch| epoch.value()) + 1);
        self.newest.insert(EPOCH, epoch)?;
        Ok((number, epoch))
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let used = self.facts.used.load(Ordering::Relaxed);
        self.facts.limits.max_bytes.is_none_or(|most| used.saturating_add(bytes) <= most)
    }

    /// Puts a chunk behind the others.
    pub(super) fn push(&mut self, number: u64, n: u64, bytes: &[u8]) -> Result<(), redb::Error> {
        self.chunks.insert((number, n), bytes)?;
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

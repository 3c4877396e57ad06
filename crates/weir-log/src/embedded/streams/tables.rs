//! How streams lie in the database.

use redb::{ReadableTable, Table, TableDefinition};

use crate::engine::Writing;

/// Name to record. A stream has a number besides, under which everything else of it is kept, so that its name is free at once
/// when it is deleted.
pub(super) const STREAMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("streams");
/// Number of the stream and of the chunk, to its bytes.
pub(super) const CHUNKS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("streams.chunks");
/// Number of the stream and the producer's id, to its epoch, its sequence and the time of its newest append.
pub(super) const PRODUCERS: TableDefinition<'_, (u64, &str), (u64, u64, u64)> =
    TableDefinition::new("streams.producers");
/// A time before which a stream does not expire, and its number, to its name.
pub(super) const EXPIRY: TableDefinition<'_, (u64, u64), &str> = TableDefinition::new("streams.expiry");
/// The numbers of streams that are gone, of which chunks or producers are left.
pub(super) const RUBBISH: TableDefinition<'_, u64, ()> = TableDefinition::new("streams.rubbish");
/// The newest epoch and the newest number of a stream.
pub(super) const NEWEST: TableDefinition<'_, &str, u64> = TableDefinition::new("streams.newest");

pub(super) const EPOCH: &str = "epoch";
pub(super) const NUMBER: &str = "number";

/// All of them, open for changes.
pub(crate) struct StreamTables<'t> {
    pub(super) streams: Table<'t, &'static str, &'static [u8]>,
    pub(super) chunks: Table<'t, (u64, u64), &'static [u8]>,
    pub(super) producers: Table<'t, (u64, &'static str), (u64, u64, u64)>,
    pub(super) expiry: Table<'t, (u64, u64), &'static str>,
    pub(super) rubbish: Table<'t, u64, ()>,
    pub(super) newest: Table<'t, &'static str, u64>,
}

impl<'t> StreamTables<'t> {
    /// Makes those that are not there.
    pub(super) fn open(writing: &Writing<'t>) -> Result<Self, redb::Error> {
        Ok(Self {
            streams: writing.table(STREAMS)?,
            chunks: writing.table(CHUNKS)?,
            producers: writing.table(PRODUCERS)?,
            expiry: writing.table(EXPIRY)?,
            rubbish: writing.table(RUBBISH)?,
            newest: writing.table(NEWEST)?,
        })
    }

    /// Begins a new life.
    pub(super) fn begin(&mut self, now_ms: u64) -> Result<u64, redb::Error> {
        let before = self.newest.get(EPOCH)?.map_or(0, |epoch| epoch.value());
        let life = now_ms.max(before + 1);
        self.newest.insert(EPOCH, life)?;
        Ok(life)
    }
}

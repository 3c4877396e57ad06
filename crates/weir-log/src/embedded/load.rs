//! What an earlier life of the log has left in the database.

use std::collections::VecDeque;

use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableError};
use weir_core::Revocation;
use weir_core::entry::Entry;
use weir_core::id::EventId;
use weir_core::revocation::Revocations;

use super::State;
use super::repeats::Repeats;
use super::rows::{
    self, ENTRIES, FACTS, FLOOR_FACT, FORM, FORM_FACT, NEWEST_FACT, REPEATS, REVOCATIONS, SNAPSHOTS,
};
use super::snapshots::Snapshots;
use super::store::{Cap, Past, Store, cost};
use crate::engine::{Engine, Refusal, Writing};

/// A row that this weir does not write.
const STRANGE: &str = "a row of the log makes no sense";

/// Why the log cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A newer weir wrote it.
    #[error(
        "the log of events is kept in form {found}, and this weir knows form {FORM}: start the version that wrote it, or a newer one"
    )]
    Form {
        /// The form it has.
        found: u64,
    },
    /// It cannot be read or written.
    #[error(
        "the log of events cannot be loaded: {0}; restore its file from a copy, or move it away and begin anew"
    )]
    Refused(#[from] Refusal),
}

/// Loads what the bounds allow, newest first; what is beyond them is dropped with what is written next.
///
/// # Errors
/// [`LoadError`].
pub(super) fn load(engine: &Engine, cap: Cap, now: u64) -> Result<State, LoadError> {
    match engine.read_now(|read| fact(read, FORM_FACT))? {
        None => engine.write_now(|writing| begin(writing, now))?,
        Some((FORM, _)) => {}
        Some((found, _)) => return Err(LoadError::Form { found }),
    }
    Ok(engine.read_now(|read| {
        let store = store(read, cap, now)?;
        let (snapshots, repeats) = (snapshots(read, now)?, repeats(read, now)?);
        let revocations = revocations(read, now)?;
        let mut state = State { snapshots, repeats, revocations, ..State::new(store) };
        state.unsettled.dropped_ms = now;
        Ok(state)
    })?)
}

fn begin(writing: &Writing<'_>, now: u64) -> Result<(), redb::Error> {
    let mut facts = writing.table(FACTS)?;
    facts.insert(FORM_FACT, (FORM, 0))?;
    // What is before was never here, so that nobody is told that nothing of it is missing.
    facts.insert(FLOOR_FACT, rows::id_row(EventId::new(now, 0).prev()))?;
    drop(writing.table(ENTRIES)?);
    drop(writing.table(SNAPSHOTS)?);
    drop(writing.table(REPEATS)?);
    drop(writing.table(REVOCATIONS)?);
    Ok(())
}

fn fact(read: &ReadTransaction, name: &str) -> Result<Option<(u64, u64)>, redb::Error> {
    match read.open_table(FACTS) {
        Ok(facts) => Ok(facts.get(name)?.map(|fact| fact.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn store(read: &ReadTransaction, cap: Cap, now: u64) -> Result<Store, redb::Error> {
    let rows = read.open_table(ENTRIES)?;
    let known = |name| Ok::<_, redb::Error>(fact(read, name)?.map_or(EventId::ZERO, rows::id));
    let (mut newest, mut floor) = (known(NEWEST_FACT)?, known(FLOOR_FACT)?);
    let (mut entries, mut bytes) = (VecDeque::<Entry>::new(), 0);
    for row in rows.iter()?.rev() {
        let (id, row) = row?;
        let id = rows::id(id.value());
        let entry = rows::entry(id, row.value()).ok_or_else(strange)?;
        newest = newest.max(id);
        bytes += cost(&entry);
        if !cap.allows((entries.len() + 1, bytes), id, now) {
            floor = floor.max(id);
            break;
        }
        entries.push_front(entry);
    }
    Ok(Store::loaded(cap, entries, Past { added: rows.len()?, newest, floor }))
}

fn snapshots(read: &ReadTransaction, now: u64) -> Result<Snapshots, redb::Error> {
    let mut snapshots = Snapshots::remembering();
    for row in read.open_table(SNAPSHOTS)?.iter()? {
        let (id, row) = row?;
        let (id, (expires, row)) = (rows::id(id.value()), row.value());
        let event = rows::event(id, row).ok_or_else(strange)?;
        // In the order of the ids, so that the newest of a session stays; what has expired goes at once.
        snapshots.keep(now, expires, event.into());
    }
    Ok(snapshots)
}

fn repeats(read: &ReadTransaction, now: u64) -> Result<Repeats, redb::Error> {
    let mut repeats = Repeats::remembering();
    for row in read.open_table(REPEATS)?.iter()? {
        let (key, row) = row?;
        let ((expires, key), (digest, ids)) = (key.value(), row.value());
        repeats.remember(expires, key, digest, ids.into_iter().map(rows::id).collect());
    }
    repeats.forget_expired(now);
    Ok(repeats)
}

fn revocations(read: &ReadTransaction, now: u64) -> Result<Revocations, redb::Error> {
    let mut revocations = Revocations::default();
    for row in read.open_table(REVOCATIONS)?.iter()? {
        let (subject, row) = row?;
        let (at, until) = row.value();
        let held = Revocation::new(subject.value(), at, Some(until)).map_err(|_| strange())?;
        // The database holds no more of them than there may be.
        revocations.add(&held, now).map_err(|_| strange())?;
    }
    Ok(revocations)
}

fn strange() -> redb::Error {
    redb::Error::Corrupted(STRANGE.to_owned())
}

//! The thread that writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::{Durability, Key, Table, TableDefinition, Value, WriteTransaction};
use tokio::sync::oneshot;

use super::refusal::Refusal;
use super::{Shared, place};
use crate::embedded::StreamTables;

/// Most operations in one transaction. It bounds how long the first of them waits for the others.
const BATCH: usize = 512;

/// How often the writer looks what else there is to do.
const UPKEEP: Duration = Duration::from_millis(500);
/// And how soon where there was more than a piece.
const UPKEEP_SOON: Duration = Duration::from_millis(5);

/// Of what is in memory, every so many commits one is settled as that of a file is, which takes several times as long and gives
/// back what the ones before have replaced. No other would be lost by not being settled: there is no file to open again.
const SETTLED: u64 = 32;

/// Something to be done in a transaction.
pub(super) trait Job: Send {
    fn work(&mut self, writing: &mut Writing<'_>) -> Result<(), redb::Error>;
    fn answer(self: Box<Self>, outcome: Result<(), Refusal>);
}

/// A [`Job`] that somebody waits for.
pub(super) struct Task<T, F> {
    work: Option<F>,
    value: Option<T>,
    answer: oneshot::Sender<Result<T, Refusal>>,
}

impl<T, F> Task<T, F> {
    pub(super) fn new(work: F, answer: oneshot::Sender<Result<T, Refusal>>) -> Self {
        Self { work: Some(work), value: None, answer }
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Writing<'_>) -> Result<T, redb::Error> + Send,
{
    fn work(&mut self, writing: &mut Writing<'_>) -> Result<(), redb::Error> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(writing)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Refusal>) {
        let answer = match (outcome, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(Refusal::CLOSED),
            (Err(refusal), _) => Err(refusal),
        };
        // Whoever asked may have left.
        let _ = self.answer.send(answer);
    }
}

/// Done every now and then.
pub(super) type Upkeep = Box<dyn FnMut(&mut Writing<'_>) -> Result<More, redb::Error> + Send>;

/// What is left after a piece of upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum More {
    /// There was nothing to do, and nothing was written.
    Nothing,
    /// It is done for now.
    Done,
    /// There is more.
    ToDo,
}

/// A transaction that is being written.
pub(crate) struct Writing<'t> {
    txn: &'t WriteTransaction,
    after: &'t mut Vec<Box<dyn FnOnce() + Send>>,
    /// The tables of the streams, from the first operation that needs them on: opening them costs more than most operations.
    pub(crate) streams: Option<StreamTables<'t>>,
}

impl<'t> Writing<'t> {
    /// A table, which is made where there is none. Each can be open once.
    pub(crate) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<Table<'t, K, V>, redb::Error> {
        Ok(self.txn.open_table(definition)?)
    }

    /// Something to do when the transaction is committed, before anybody is answered; not at all where it is not.
    pub(crate) fn after(&mut self, then: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(then));
    }
}

/// Writes until nobody can ask any more.
pub(super) fn run(shared: &Shared, jobs: &Receiver<Box<dyn Job>>) {
    let mut due = Instant::now() + UPKEEP;
    loop {
        match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(first) => carry_out(shared, first, jobs),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if due <= Instant::now() {
            due = Instant::now() + keep_up(shared);
        }
    }
}

fn carry_out(shared: &Shared, first: Box<dyn Job>, jobs: &Receiver<Box<dyn Job>>) {
    let mut batch = vec![first];
    batch.extend(jobs.try_iter().take(BATCH - 1));
    let outcome = write(shared, |writing| batch.iter_mut().try_for_each(|job| job.work(writing)));
    for job in batch {
        job.answer(outcome.clone());
    }
}

/// Does a piece of the upkeep, and tells when the next is due.
fn keep_up(shared: &Shared) -> Duration {
    let mut wait = UPKEEP;
    for work in &mut *shared.upkeep.lock() {
        match write_if(shared, |writing| work(writing), |more| *more != More::Nothing) {
            Ok(More::ToDo) => wait = UPKEEP_SOON,
            // A failure is told of where it is noticed, and what was not done is still to do.
            Ok(More::Nothing | More::Done) | Err(_) => {}
        }
    }
    wait
}

/// Writes in one transaction, and knows by that that there is room: upkeep, which mostly writes nothing and else makes room,
/// does not tell.
pub(super) fn write<T>(
    shared: &Shared,
    work: impl FnOnce(&mut Writing<'_>) -> Result<T, redb::Error>,
) -> Result<T, Refusal> {
    let value = write_if(shared, work, |_| true)?;
    shared.recovered();
    Ok(value)
}

/// Writes in one transaction, unless there turns out to be nothing to write. After a failure the file is opened again, because
/// a database that has failed once does nothing any more, and the file has what was committed.
fn write_if<T>(
    shared: &Shared,
    work: impl FnOnce(&mut Writing<'_>) -> Result<T, redb::Error>,
    is_worth_it: impl FnOnce(&T) -> bool,
) -> Result<T, Refusal> {
    if let Some(refusal) = shared.rests() {
        return Err(refusal);
    }
    let mut after = Vec::new();
    let mut number = None;
    let mut value = None;
    let write = || {
        let database = shared.database.read();
        let Some(database) = database.as_ref() else { return Err(redb::Error::DatabaseClosed) };
        let mut txn = database.begin_write()?;
        // Else what opens the file after a crash would read all of it first, and a commit would be told from half of one by
        // a checksum alone that is no secret to those who choose the bytes. Who share a commit do not notice the difference.
        txn.set_quick_repair(shared.lasts());
        if !shared.lasts() && !shared.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(SETTLED) {
            txn.set_durability(Durability::None).map_err(redb::Error::from)?;
        }
        let done = work(&mut Writing { txn: &txn, after: &mut after, streams: None })?;
        let is_worth_it = is_worth_it(&done);
        value = Some(done);
        if is_worth_it {
            number = shared.lasts().then(|| place::count(&txn)).transpose()?;
            txn.commit()?;
        } else {
            after.clear();
        }
        Ok(())
    };
    // A damaged file makes the library panic here and there. It must not take the writer along.
    let written = catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|_| {
        Err(redb::Error::Corrupted("the database has failed in a way it should not".into()))
    });
    let failed = match written {
        Ok(()) => None,
        Err(error) => shared.recover(&error, number),
    };
    match (failed, value) {
        (None, Some(value)) => {
            after.into_iter().for_each(|then| then());
            Ok(value)
        }
        (None, None) => Err(Refusal::CLOSED),
        (Some(refusal), _) => Err(refusal),
    }
}

//! The database of an instance without Redis: one file, or memory that is laid out the same way.
//!
//! One thread writes. It carries out everything that has queued up in one transaction and answers when that is committed,
//! which of a file means that it was synced: what was answered outlives the process, the machine's power included. So the
//! cost of syncing is shared by all who wait for it. Reads see what was committed last and never wait for the writer, but while
//! it opens the file again after a failure.

mod memory;
mod place;
mod recovery;
mod refusal;
mod writer;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use place::{OpenError, Place};
use recovery::Trouble;
pub use refusal::Refusal;
use writer::{Job, Task, Upkeep};
pub(crate) use writer::{More, Writing};

/// Most operations that wait for the writer. It bounds what they hold; at some thousand a second it is a wait of less than a
/// second, beyond which a caller had better be told.
const QUEUE: usize = 4096;

/// How long whoever asks for something to be written waits for the disk. What was ordered may still be written after that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long an engine that is dropped, and was not closed before, waits for its end.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The database. Its tables belong to those who use it: the streams and the log of the fan-out, each under names of its own.
pub struct Engine {
    shared: Arc<Shared>,
    /// `None` once it is closed.
    queue: RwLock<Option<SyncSender<Box<dyn Job>>>>,
    /// Tells of the writer's end; `None` where nobody waits for it any more.
    ended: Mutex<Option<Receiver<Infallible>>>,
}

/// What the writer and the readers share.
struct Shared {
    place: Place,
    /// `None` while it is opened again.
    database: RwLock<Option<Database>>,
    upkeep: Mutex<Vec<Upkeep>>,
    trouble: Mutex<Option<Trouble>>,
    /// Somebody waited for the disk in vain, and nothing was written since.
    slow: AtomicBool,
    /// Transactions of a database in memory.
    commits: AtomicU64,
}

impl Engine {
    /// Opens the database, or makes it where there is none.
    ///
    /// # Errors
    /// It cannot be opened; the text says what to do.
    pub fn open(place: Place) -> Result<Arc<Self>, OpenError> {
        let database = place.open_first()?;
        let database = RwLock::new(Some(database));
        let shared = Arc::new(Shared {
            place,
            database,
            upkeep: Mutex::default(),
            trouble: Mutex::default(),
            slow: AtomicBool::new(false),
            commits: AtomicU64::new(0),
        });
        let (queue, jobs) = sync_channel(QUEUE);
        let (ends, ended) = channel();
        let its = Arc::clone(&shared);
        let write = move || {
            writer::run(&its, &jobs);
            its.close();
            drop(ends);
        };
        let named = std::thread::Builder::new().name("weir-writer".into());
        named.spawn(write).map_err(OpenError::Thread)?;
        Ok(Arc::new(Self { shared, queue: RwLock::new(Some(queue)), ended: Mutex::new(Some(ended)) }))
    }

    /// Has what is queued written and the database closed, and tells whether that was done within this time. A disk that does
    /// not answer is not waited for any longer, nor again: what was answered is there, whatever becomes of the rest.
    pub fn close(&self, patience: Duration) -> bool {
        drop(self.queue.write().take());
        let ended = self.ended.lock().take();
        ended.is_none_or(|ended| ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected))
    }

    /// Whether what it keeps outlives the process.
    pub fn lasts(&self) -> bool {
        self.shared.lasts()
    }

    /// Whether what was written last was written, and nobody has waited for the disk in vain since.
    pub fn is_writable(&self) -> bool {
        !self.shared.slow.load(Ordering::Relaxed) && self.shared.trouble.lock().is_none()
    }

    /// The disk was waited for long enough.
    pub(crate) fn slow(&self) -> Refusal {
        self.shared.slow.store(true, Ordering::Relaxed);
        Refusal::OutcomeUnknown("the disk does not answer".to_owned())
    }

    /// Has the writer do some work, and returns when it is committed, or when the disk has not answered for [`PATIENCE`]. It
    /// is done also where nobody waits for the answer any more. Work that refuses must not have written before: only a
    /// failing database undoes what it did.
    pub(crate) async fn submit<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writing<'_>) -> Result<T, redb::Error> + Send + 'static,
    {
        let answered = self.order(work)?;
        let stopped = |_| Err(Refusal::OutcomeUnknown("the writer has stopped".into()));
        let heard = timeout(PATIENCE, answered).await.map(|heard| heard.unwrap_or_else(stopped));
        heard.unwrap_or_else(|_| Err(self.slow()))
    }

    /// Has the writer do some work, and returns at once: what is ordered first is done first. The answer comes when it is
    /// committed.
    pub(crate) fn order<T, F>(&self, work: F) -> Result<oneshot::Receiver<Result<T, Refusal>>, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writing<'_>) -> Result<T, redb::Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.read();
        let queue = queue.as_ref().ok_or(Refusal::CLOSED)?;
        queue.try_send(Box::new(Task::new(work, answer))).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Unavailable("too much waits to be written".into()),
            TrySendError::Disconnected(_) => Refusal::CLOSED,
        })?;
        Ok(answered)
    }

    /// Reads what was committed last: at once where it is in memory, else on a thread that may wait for the disk.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    {
        if !self.lasts() {
            return self.shared.read(work);
        }
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || shared.read(work));
        read.await.unwrap_or_else(|error| Err(Refusal::Unavailable(error.to_string())))
    }

    /// Reads on this thread, as before there is a runtime.
    pub(crate) fn read_now<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Refusal> {
        self.shared.read(work)
    }

    /// Writes, and waits on this thread, as before there is a runtime.
    pub(crate) fn write_now<T>(
        &self,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, Refusal> {
        writer::write(&self.shared, work)
    }

    /// Work that the writer does every now and then in a transaction of its own, a little at a time.
    pub(crate) fn upkeep(
        &self,
        work: impl FnMut(&mut Writing<'_>) -> Result<More, redb::Error> + Send + 'static,
    ) {
        self.shared.upkeep.lock().push(Box::new(work));
    }
}

impl Shared {
    fn lasts(&self) -> bool {
        matches!(self.place, Place::Directory(_))
    }

    /// Only the writer does it: the disk may take its time.
    fn close(&self) {
        let database = self.database.write().take();
        drop(database);
    }

    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, Refusal> {
        let database = self.database.read();
        let database = database.as_ref().ok_or(Refusal::CLOSED)?;
        let read = || work(&redb::ReadableDatabase::begin_read(database)?);
        read().map_err(|error| Refusal::of(&error))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.close(LAST_WAIT) {
            tracing::warn!("the disk does not answer: the database is left as it is");
        }
    }
}

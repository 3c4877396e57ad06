//! Durable streams in the database of one process.

mod append;
mod create;
mod ledger;
mod lineage;
mod read;
mod record;
mod remove;
mod tables;
mod uses;
mod wake;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use weir_core::durable::{
    Append, AppendError, Appended, Create, CreateError, Created, DeleteError, From, Head, Look, Page,
    Payload, ReadError, StreamName, StreamStore,
};
use weir_core::log::BoxFuture;

use crate::clock::WallClock;
use crate::engine::{Engine, Refusal, Writing};
use ledger::{Changes, Ledger};
use read::Asked;
pub(crate) use tables::StreamTables;
use uses::Uses;
pub use wake::EmbeddedWakes;
use wake::Wakes;

/// Most bytes that wait for the writer. It bounds memory while the disk does not answer, and nobody waits for them any more.
const MOST_WAITING: u32 = 64 << 20;

/// The bounds of all streams together, and of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamLimits {
    /// Most chunks that a stream keeps of its own; its oldest go.
    pub maxlen: Option<u64>,
    /// Most bytes that all of them take up in memory, about. Beyond it nothing is taken any more.
    pub max_bytes: Option<u64>,
}

/// All durable streams of this process. What they keep lasts as long as the [`Engine`]'s database.
pub struct EmbeddedStreams {
    engine: Arc<Engine>,
    facts: Arc<Facts>,
    /// Of [`MOST_WAITING`].
    room: Arc<Semaphore>,
}

/// What holds for all streams.
struct Facts {
    limits: StreamLimits,
    clock: WallClock,
    /// The epoch of this opening of the database: what is appended now is told from what an earlier one may have lost.
    life: u64,
    /// What all streams take up, about.
    used: AtomicU64,
    uses: Uses,
    wakes: Wakes,
}

impl EmbeddedStreams {
    /// The streams in a database, by the clock of the system.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub fn open(engine: Arc<Engine>, limits: StreamLimits) -> Result<Arc<Self>, Refusal> {
        Self::with_clock(engine, limits, WallClock::system())
    }

    /// The streams in a database, by another clock.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub fn with_clock(
        engine: Arc<Engine>,
        limits: StreamLimits,
        clock: WallClock,
    ) -> Result<Arc<Self>, Refusal> {
        let life = engine.write_now(|writing| StreamTables::open(writing)?.begin(clock.now_ms()))?;
        let (used, uses, wakes) = (AtomicU64::new(0), Uses::default(), Wakes::new());
        let facts = Arc::new(Facts { limits, clock, life, used, uses, wakes });
        let its = Arc::clone(&facts);
        engine.upkeep(move |writing| change(writing, &its, |ledger| ledger.sweep()));
        let room = Arc::new(Semaphore::new(MOST_WAITING as usize));
        Ok(Arc::new(Self { engine, facts, room }))
    }

    /// Tells what changes from now on. Everybody who asks for one hears of everything.
    pub fn wakes(&self) -> EmbeddedWakes {
        self.facts.wakes.reader()
    }

    /// What all streams take up, about.
    pub fn used_bytes(&self) -> u64 {
        self.facts.used.load(Ordering::Relaxed)
    }

    /// Has the writer do something to the streams.
    async fn write<T: Send + 'static>(
        &self,
        payload: Option<&Payload>,
        work: impl FnOnce(&mut Ledger<'_>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let facts = Arc::clone(&self.facts);
        let bytes = payload.map_or(0, |payload| payload.bytes.len());
        let bytes = u32::try_from(bytes).unwrap_or(MOST_WAITING).min(MOST_WAITING);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| Refusal::behind())?;
        let work = move |writing: &mut Writing<'_>| {
            let done = change(writing, &facts, work);
            drop(room);
            done
        };
        self.engine.submit(work).await
    }

    async fn read_page(&self, name: &StreamName, from: From, max_bytes: usize) -> Result<Page, ReadError> {
        let asked = self.facts.asked(name);
        let now = asked.now_ms;
        let read = self.engine.read(move |txn| read::page(txn, &asked, from, max_bytes)).await;
        let (page, is_renewal_due) = read.map_err(unreadable)??;
        if is_renewal_due {
            self.facts.uses.note(name, now);
        }
        Ok(page)
    }

    async fn look_at(&self, names: &[StreamName]) -> Result<Vec<Look>, ReadError> {
        let all: Vec<_> = names.iter().map(|name| self.facts.asked(name)).collect();
        let looked = self.engine.read(move |txn| read::look(txn, all)).await;
        let (looks, due) = looked.map_err(unreadable)?;
        due.iter().for_each(|asked| self.facts.uses.note(&asked.name, asked.now_ms));
        Ok(looks)
    }
}

impl Facts {
    /// What is to be known before a stream is read. A use that is forgotten afterwards stands in what is read then.
    fn asked(&self, name: &StreamName) -> Asked {
        Asked { name: name.clone(), now_ms: self.clock.now_ms(), noted_ms: self.uses.of(name) }
    }
}

impl StreamStore for EmbeddedStreams {
    fn create<'a>(
        &'a self,
        name: &'a StreamName,
        create: &'a Create,
    ) -> BoxFuture<'a, Result<Created, CreateError>> {
        Box::pin(async move {
            let (name, its) = (name.clone(), create.clone());
            let made = self.write(create.payload.as_ref(), move |ledger| ledger.create(&name, &its)).await;
            made.map_err(|refusal| match refusal {
                Refusal::Full(why) => CreateError::Full(why),
                Refusal::Unavailable(why) => CreateError::Unavailable(why),
                Refusal::OutcomeUnknown(why) => CreateError::OutcomeUnknown(why),
            })?
        })
    }

    fn append<'a>(
        &'a self,
        name: &'a StreamName,
        append: &'a Append,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(async move {
            let (name, its) = (name.clone(), append.clone());
            let done = self.write(append.payload.as_ref(), move |ledger| ledger.append(&name, &its)).await;
            done.map_err(|refusal| match refusal {
                Refusal::Full(why) => AppendError::Full(why),
                Refusal::Unavailable(why) => AppendError::Unavailable(why),
                Refusal::OutcomeUnknown(why) => AppendError::OutcomeUnknown(why),
            })?
        })
    }

    fn read<'a>(
        &'a self,
        name: &'a StreamName,
        from: From,
        max_bytes: usize,
    ) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(self.read_page(name, from, max_bytes))
    }

    fn head<'a>(&'a self, name: &'a StreamName) -> BoxFuture<'a, Result<Head, ReadError>> {
        Box::pin(async move {
            let asked = self.facts.asked(name);
            self.engine.read(move |txn| read::head(txn, &asked)).await.map_err(unreadable)?
        })
    }

    fn look<'a>(&'a self, names: &'a [StreamName]) -> BoxFuture<'a, Result<Vec<Look>, ReadError>> {
        Box::pin(self.look_at(names))
    }

    fn delete<'a>(&'a self, name: &'a StreamName) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            let name = name.clone();
            self.write(None, move |ledger| ledger.delete(&name)).await.map_err(|refusal| match refusal {
                Refusal::Full(why) | Refusal::Unavailable(why) => DeleteError::Unavailable(why),
                Refusal::OutcomeUnknown(why) => DeleteError::OutcomeUnknown(why),
            })?
        })
    }

    fn lasts(&self) -> bool {
        self.engine.lasts()
    }
}

/// Does something to the streams, and announces it when it is committed.
fn change<T>(
    writing: &mut Writing<'_>,
    facts: &Arc<Facts>,
    work: impl FnOnce(&mut Ledger<'_>) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    let tables = match writing.streams.take() {
        Some(tables) => tables,
        None => StreamTables::open(writing)?,
    };
    let mut ledger = Ledger::new(tables, Arc::clone(facts));
    let done = work(&mut ledger)?;
    let (tables, Changes { streams, uses }) = ledger.close();
    writing.streams = Some(tables);
    if !streams.is_empty() {
        let facts = Arc::clone(facts);
        writing.after(move || facts.wakes.tell(streams));
    }
    if !uses.is_empty() {
        let facts = Arc::clone(facts);
        writing.after(move || facts.uses.forget(&uses));
    }
    Ok(done)
}

fn unreadable(refusal: Refusal) -> ReadError {
    match refusal {
        Refusal::Full(why) | Refusal::Unavailable(why) | Refusal::OutcomeUnknown(why) => {
            ReadError::Unavailable(why)
        }
    }
}

impl fmt::Debug for EmbeddedStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStreams").field("engine", &self.engine).finish_non_exhaustive()
    }
}

//! Durable streams in Redis, shared by all instances.
//!
//! What is done to a stream is one script, so that nothing can come between its checks and its writes, and what Redis refuses
//! it refuses at the first of these.
//!
//! - `keys`, `scripts`, `stored`: what stands in Redis, what runs there, and what that tells
//! - `create`, `append`, `read`, `end`: what is done
//! - `announce`, `wake`: telling all instances of changes, and hearing of them
//! - `failed`: what a fault says

mod announce;
mod append;
mod create;
mod end;
mod failed;
mod keys;
mod read;
mod scripts;
mod stored;
mod wake;

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_core::durable::{
    Append, AppendError, Appended, Create, CreateError, Created, DeleteError, From, Head, Look, Page,
    ReadError, StreamName, StreamStore,
};
use weir_core::log::BoxFuture;

use super::context::Context;
use super::link::Link;
use announce::Announcements;
use failed::Failed;
use keys::StreamKeys;
pub use wake::RedisWakes;

/// Least time between two announcements of one stream. It bounds what a fast writer costs every instance.
const PAUSE_MS: u64 = 5;

/// The durable streams of one Redis, as one instance sees them.
pub struct RedisStreams {
    context: Arc<Context>,
    /// Most chunks of a stream; 0 for no bound.
    maxlen: u64,
    announcements: Arc<Announcements>,
}

impl RedisStreams {
    /// Begins what runs beside: announcing, and removing what has expired. It ends with `stop`.
    pub(super) fn new(
        context: &Arc<Context>,
        maxlen: Option<u64>,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let announcements = Arc::new(Announcements::default());
        let (announcing, sweeping) = (Arc::clone(&announcements), end::sweep(Arc::clone(context)));
        let (own, stop) = (Arc::clone(context), stop.clone());
        tasks.spawn(async move {
            let announcing = announcing.run(own);
            stop.run_until_cancelled(async { tokio::join!(announcing, sweeping) }).await
        });
        Self { context: Arc::clone(context), maxlen: maxlen.unwrap_or(0), announcements }
    }

    async fn link(&self) -> Result<Arc<Link>, Failed> {
        self.context.first_link().await.ok_or_else(|| Failed::Unavailable(super::away()))
    }

    fn keys(&self) -> StreamKeys<'_> {
        StreamKeys::new(&self.context.keys)
    }

    /// Has the master looked up where this server is none.
    fn note(&self, refusal: &impl fmt::Display) {
        if refusal.to_string().contains("READONLY") {
            self.context.demoted.notify_one();
        }
    }
}

impl StreamStore for RedisStreams {
    fn create<'a>(
        &'a self,
        name: &'a StreamName,
        create: &'a Create,
    ) -> BoxFuture<'a, Result<Created, CreateError>> {
        Box::pin(async move {
            let link = self.link().await?;
            let created = create::create(&link, (&self.keys(), self.maxlen), name, create).await;
            created.inspect_err(|error| self.note(error))
        })
    }

    fn append<'a>(
        &'a self,
        name: &'a StreamName,
        append: &'a Append,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(async move {
            let link = self.link().await?;
            let done = append::append(&link, (&self.keys(), self.maxlen), name, append).await;
            let done = done.inspect_err(|error| self.note(error))?;
            if let Some(due) = done.unannounced {
                self.announcements.put(name, due);
            }
            Ok(done.appended)
        })
    }

    fn read<'a>(
        &'a self,
        name: &'a StreamName,
        from: From,
        max_bytes: usize,
    ) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(async move { read::read(&*self.link().await?, &self.keys(), name, (from, max_bytes)).await })
    }

    fn head<'a>(&'a self, name: &'a StreamName) -> BoxFuture<'a, Result<Head, ReadError>> {
        Box::pin(async move { read::head(&*self.link().await?, &self.keys(), name).await })
    }

    fn look<'a>(&'a self, names: &'a [StreamName]) -> BoxFuture<'a, Result<Vec<Look>, ReadError>> {
        Box::pin(async move { read::look(&*self.link().await?, &self.keys(), names).await })
    }

    fn delete<'a>(&'a self, name: &'a StreamName) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            let deleted = end::delete(&*self.link().await?, &self.keys(), name).await;
            deleted.inspect_err(|error| self.note(error))
        })
    }

    fn lasts(&self) -> bool {
        true
    }
}

impl fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams").field("maxlen", &self.maxlen).finish_non_exhaustive()
    }
}

//! Reading the embedded log.

use std::sync::Arc;

use tokio::time::timeout;
use weir_core::id::EventId;
use weir_core::log::{BoxFuture, Feed, Load, LogReader};

use super::{EmbeddedLog, State};

/// A reader of an [`EmbeddedLog`].
#[derive(Debug)]
pub struct EmbeddedReader {
    log: Arc<EmbeddedLog>,
    cursor: Option<Cursor>,
    /// What comes before the next look.
    due: Option<Feed>,
}

/// Everything up to here was handed out or announced as lost.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    index: u64,
    id: EventId,
}

impl EmbeddedReader {
    pub(super) fn new(log: Arc<EmbeddedLog>) -> Self {
        Self { log, cursor: None, due: None }
    }

    async fn read(&mut self) -> Feed {
        let log = Arc::clone(&self.log);
        loop {
            // Made before the look, so that an append between look and wait still wakes it.
            let appended = log.seen.appended.notified();
            if let Some(feed) = self.look() {
                return feed;
            }
            if timeout(log.config.read_block, appended).await.is_err() {
                return Feed::Batch(Vec::new());
            }
        }
    }

    /// What there is right now. It never waits, so a read that is dropped has moved nothing.
    fn look(&mut self) -> Option<Feed> {
        let now = self.log.clock.now_ms();
        if let Some(due) = self.due.take() {
            return Some(due);
        }
        let state = &mut *self.log.seen.state.lock();
        state.reading.pending = 0;
        state.store.trim(now);
        let (cursor, feed) = match self.cursor {
            None => load(state),
            Some(cursor) if cursor.index < state.store.first() => lost(state, cursor),
            Some(cursor) => batch(state, cursor, self.log.config.read_count)?,
        };
        self.cursor = Some(cursor);
        state.reading.index = cursor.index;
        state.reading.read = Some(cursor.id);
        state.reading.since_ms = now;
        state.reading.pending = match &feed {
            Feed::Batch(entries) => entries.len() as u64,
            Feed::Loaded(_)
            | Feed::Revoked(_)
            | Feed::Lost { .. }
            | Feed::Reset { .. }
            | Feed::Down(_)
            | Feed::Restored => 0,
        };
        let may_have_missed = matches!(feed, Feed::Loaded(_) | Feed::Lost { .. });
        let revoked = if may_have_missed { state.revocations.in_force(now) } else { Vec::new() };
        if revoked.is_empty() {
            return Some(feed);
        }
        self.due = Some(feed);
        Some(Feed::Revoked(revoked))
    }
}

fn load(state: &State) -> (Cursor, Feed) {
    let store = &state.store;
    let entries: Vec<_> = store.range(store.first(), store.len()).cloned().collect();
    let head = store.last();
    let floor = store.floor();
    (Cursor { index: store.added(), id: head }, Feed::Loaded(Load { entries, floor, head }))
}

fn lost(state: &State, cursor: Cursor) -> (Cursor, Feed) {
    let store = &state.store;
    let through = store.oldest().map_or(store.last(), EventId::prev);
    let index = store.first();
    let feed = Feed::Lost { after: cursor.id, through, count: Some(index - cursor.index) };
    (Cursor { index, id: through }, feed)
}

fn batch(state: &State, cursor: Cursor, count: usize) -> Option<(Cursor, Feed)> {
    let entries: Vec<_> = state.store.range(cursor.index, count.max(1)).cloned().collect();
    let id = entries.last()?.id;
    let index = cursor.index + entries.len() as u64;
    Some((Cursor { index, id }, Feed::Batch(entries)))
}

impl LogReader for EmbeddedReader {
    fn next(&mut self) -> BoxFuture<'_, Feed> {
        Box::pin(self.read())
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.log.seen.state.lock().reading.pending = 0;
        Box::pin(std::future::ready(()))
    }
}

//! What waits, between those who offer and the delivery.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Bounds, Counts, Offer};
use crate::publish::{BatchEvent, NewPublish};

/// Most events that go out at once.
const BATCH_EVENTS: usize = 200;

/// Most bytes that go out at once, though an event always does: below what a server allows, and as JSON still below the
/// megabyte that nginx takes without being told.
const BATCH_BYTES: usize = 512 * 1024;

/// A bounded queue.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// So many of the oldest go one by one, since one of them was refused.
    alone: usize,
    closed: bool,
    full: bool,
    delivered: u64,
    refused: u64,
    overflowed: u64,
}

#[derive(Debug)]
struct Job {
    event: Arc<BatchEvent>,
    size: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Refused,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Nobody holds it for longer than it takes to look.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in the critical sections can panic half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn offer(&self, session: &str, event: NewPublish) -> Offer {
        let names = event.kind.as_ref().map_or(0, String::len) + event.key.as_ref().map_or(0, String::len);
        let size = session.len() + event.data.len() + names;
        let event = Arc::new(BatchEvent { session: session.to_owned(), event });
        let mut waiting = self.waiting();
        let fits = waiting.jobs.len() < self.bounds.events
            && waiting.bytes.saturating_add(size) <= self.bounds.bytes;
        if waiting.closed || !fits {
            waiting.overflowed += 1;
            let is_first = !std::mem::replace(&mut waiting.full, true);
            let (closed, waits) = (waiting.closed, waiting.jobs.len());
            drop(waiting);
            if is_first && !closed {
                tracing::warn!(waits, "there is no room for more events, and they are dropped");
            }
            return if closed { Offer::Closed } else { Offer::Full };
        }
        waiting.bytes += size;
        waiting.jobs.push_back(Job { event, size });
        drop(waiting);
        self.changed.notify_one();
        Offer::Queued
    }

    pub(super) fn counts(&self) -> Counts {
        let waiting = self.waiting();
        let Waiting { delivered, refused, overflowed, .. } = *waiting;
        Counts { delivered, refused, overflowed, waiting: waiting.jobs.len() as u64 }
    }

    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_one();
    }

    /// The oldest events; they stay in the queue until [`Self::finish`]. None once it is closed and empty.
    pub(super) async fn front(&self) -> Option<Vec<Arc<BatchEvent>>> {
        loop {
            let changed = self.changed.notified();
            {
                let waiting = self.waiting();
                if !waiting.jobs.is_empty() {
                    return Some(waiting.batch());
                }
                if waiting.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The oldest `count` are dealt with.
    pub(super) fn finish(&self, count: usize, outcome: Outcome) {
        let mut waiting = self.waiting();
        let done = waiting.jobs.drain(..count).map(|job| job.size).sum::<usize>();
        waiting.bytes -= done;
        waiting.alone = waiting.alone.saturating_sub(count);
        waiting.full = false;
        match outcome {
            Outcome::Delivered => waiting.delivered += count as u64,
            Outcome::Refused => waiting.refused += count as u64,
        }
    }

    /// One of the oldest `count` is bad, and nothing of them is published: each is asked for by itself.
    pub(super) fn separate(&self, count: usize) {
        self.waiting().alone = count;
    }
}

impl Waiting {
    fn batch(&self) -> Vec<Arc<BatchEvent>> {
        let most = if self.alone > 0 { 1 } else { BATCH_EVENTS };
        let mut bytes = 0;
        let fits = |job: &&Job| {
            let is_first = bytes == 0;
            // Each has a byte at least, so that what follows an empty event is not the first.
            bytes += job.size.max(1);
            is_first || bytes <= BATCH_BYTES
        };
        self.jobs.iter().take(most).take_while(fits).map(|job| Arc::clone(&job.event)).collect()
    }
}

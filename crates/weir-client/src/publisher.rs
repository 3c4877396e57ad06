//! Publish later if need be; the caller never waits.
//!
//! A web hook or a game loop must not fail or slow down because the broker is away. It hands its events to a
//! [`Publisher`], which keeps a bounded number of them and delivers them in order, each under an idempotency key of its
//! own, so that a try whose answer was lost is not published twice.
//!
//! A server remembers the key for five minutes. An event whose answer was lost and whose next try comes later than that
//! may arrive twice; it is never dropped for that reason.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::publish::{NewPublish, PublishError};

/// First pause after a failed try: a restart of the broker should cost little more than its own time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause between tries, which bounds how long events wait after the broker came back.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Delivers events in the background. Share it in an `Arc`; call [`Self::close`] before the process ends.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How much may wait, the event on its way included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events.
    pub events: usize,
    /// Bytes of session, data, type and key.
    pub bytes: usize,
}

impl Default for Bounds {
    /// A thousand events and 16 MiB.
    fn default() -> Self {
        Self { events: 1000, bytes: 16 * 1024 * 1024 }
    }
}

/// What became of an event that was handed over.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It waits for delivery.
    Queued,
    /// There was no room; it is gone and counted as overflowed.
    Full,
    /// The publisher is closed; the event is gone and counted as overflowed.
    Closed,
}

/// What happened so far. Every event that was offered is in exactly one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Published.
    pub delivered: u64,
    /// Turned down by the server for good, such as for a name that is not allowed.
    pub refused: u64,
    /// Turned away here for want of room.
    pub overflowed: u64,
    /// Waiting, or on its way.
    pub waiting: u64,
}

impl Publisher {
    /// Starts delivering to a server. It must be called within a Tokio runtime.
    pub fn start(client: Client, bounds: Bounds) -> Self {
        let shared = Arc::new(Shared { client, bounds, queue: Mutex::default(), changed: Notify::new() });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(stop.clone().run_until_cancelled_owned(deliver(Arc::clone(&shared))));
        tasks.close();
        Self { shared, tasks, stop }
    }

    /// Hands over an event. It never waits and never fails for the server's sake.
    pub fn offer(&self, session: &str, event: NewPublish) -> Offer {
        let job = Job::new(session, event);
        let mut queue = self.shared.queue();
        let bounds = self.shared.bounds;
        let fits = queue.jobs.len() < bounds.events && queue.bytes.saturating_add(job.size) <= bounds.bytes;
        if queue.closed || !fits {
            queue.overflowed += 1;
            return if queue.closed { Offer::Closed } else { Offer::Full };
        }
        queue.bytes += job.size;
        queue.jobs.push_back(Arc::new(job));
        drop(queue);
        self.shared.changed.notify_one();
        Offer::Queued
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        let queue = self.shared.queue();
        let Queue { delivered, refused, overflowed, .. } = *queue;
        Counts { delivered, refused, overflowed, waiting: queue.jobs.len() as u64 }
    }

    /// Takes no more events, delivers what waits, but ends after `within`, and returns the final counts: what still
    /// waits then is not delivered.
    pub async fn close(&self, within: Duration) -> Counts {
        self.shared.queue().closed = true;
        self.shared.changed.notify_one();
        let in_time = timeout(within, self.tasks.wait()).await.is_ok();
        self.stop.cancel();
        self.tasks.wait().await;
        let counts = self.counts();
        if !in_time {
            tracing::warn!(undelivered = counts.waiting, "closed with events that were not delivered");
        }
        counts
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the caller's side and the delivery share.
#[derive(Debug)]
struct Shared {
    client: Client,
    bounds: Bounds,
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Arc<Job>>,
    bytes: usize,
    closed: bool,
    delivered: u64,
    refused: u64,
    overflowed: u64,
}

#[derive(Debug)]
struct Job {
    session: String,
    event: NewPublish,
    idempotency_key: String,
    size: usize,
}

impl Job {
    fn new(session: &str, event: NewPublish) -> Self {
        let names = event.kind.as_ref().map_or(0, String::len) + event.key.as_ref().map_or(0, String::len);
        let size = session.len() + event.data.len() + names;
        let idempotency_key = format!("{:032x}", fastrand::u128(..));
        Self { session: session.to_owned(), event, idempotency_key, size }
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Delivered,
    Refused,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in the critical sections can panic half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest event; it stays in the queue until [`Self::finish`]. None once closed and empty.
    async fn front(&self) -> Option<Arc<Job>> {
        loop {
            let changed = self.changed.notified();
            {
                let queue = self.queue();
                if let Some(job) = queue.jobs.front() {
                    return Some(Arc::clone(job));
                }
                if queue.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn finish(&self, outcome: Outcome) {
        let mut queue = self.queue();
        let Some(job) = queue.jobs.pop_front() else { return };
        queue.bytes -= job.size;
        match outcome {
            Outcome::Delivered => queue.delivered += 1,
            Outcome::Refused => queue.refused += 1,
        }
    }
}

/// Delivers one event after the other, so that their order holds.
async fn deliver(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while let Some(job) = shared.front().await {
        let outcome = deliver_one(&shared.client, &job, &mut backoff).await;
        shared.finish(outcome);
    }
}

async fn deliver_one(client: &Client, job: &Job, backoff: &mut Backoff) -> Outcome {
    loop {
        match client.publish_as(&job.session, &job.event, Some(&job.idempotency_key)).await {
            Ok(_) => {
                backoff.reset();
                return Outcome::Delivered;
            }
            Err(error) if error.is_temporary() => pause(&error, backoff).await,
            Err(error) => {
                tracing::warn!(%error, "an event was refused and is dropped");
                return Outcome::Refused;
            }
        }
    }
}

async fn pause(error: &PublishError, backoff: &mut Backoff) {
    let pause = backoff.after_failure(error.retry_after());
    tracing::debug!(%error, ?pause, "a publish failed and will be repeated");
    tokio::time::sleep(pause).await;
}

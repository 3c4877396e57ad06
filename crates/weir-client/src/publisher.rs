//! Publish later if need be; the caller never waits.
//!
//! A web hook or a game loop must not fail or slow down because the broker is away. It hands its events to a
//! [`Publisher`], which keeps a bounded number of them and delivers them in order, many at once where many wait. What goes
//! out has an idempotency key of its own, and each try has the same key and the same content, so that a try whose answer
//! was lost is not published twice.
//!
//! An event is dropped where there is no room for it, which [`Offer::Full`] and [`Counts::overflowed`] tell, or where the
//! answer is about the event ([`PublishError::is_about_the_event`]), which [`Counts::refused`] and a line of the log tell.
//! Anything else, such as a token that has expired, only makes it wait.
//!
//! A server remembers the key for five minutes. What was on its way when an answer was lost, and is tried next later than
//! that, may arrive twice; it is never dropped for that reason. What waits is lost with the process.
//!
//! ```
//! use std::time::Duration;
//! use weir_client::{Bounds, Client, NewPublish, Offer, Publisher, ServerUrl};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(&ServerUrl::parse("http://127.0.0.1:9")?, None)?;
//! let publisher = Publisher::start(client, Bounds { events: 1, ..Bounds::default() });
//!
//! // Nobody is there, and nobody waits.
//! let joined = NewPublish { data: r#"{"guild":7}"#.into(), kind: Some("guild.joined".into()), ..NewPublish::default() };
//! assert_eq!(publisher.offer("user/42", joined.clone()), Offer::Queued);
//! assert_eq!(publisher.offer("user/42", joined), Offer::Full);
//!
//! let counts = publisher.close(Duration::from_millis(10)).await;
//! assert_eq!((counts.waiting, counts.overflowed), (1, 1));
//! # Ok(())
//! # }
//! ```

mod queue;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::idempotency::IdempotencyKey;
use crate::publish::{BatchEvent, NewPublish, PublishError};
use queue::{Outcome, Queue};

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
        let shared = Arc::new(Shared { client, queue: Queue::new(bounds), hurry: Notify::new() });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(stop.clone().run_until_cancelled_owned(deliver(Arc::clone(&shared))));
        tasks.close();
        Self { shared, tasks, stop }
    }

    /// Hands over an event. It never waits and never fails for the server's sake.
    pub fn offer(&self, session: &str, event: NewPublish) -> Offer {
        self.shared.queue.offer(session, event)
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.queue.counts()
    }

    /// Takes no more events, delivers what waits, but ends after `within`, and returns the final counts: what still
    /// waits then is not delivered, and of what was on its way nobody knows. It is tried once more at once, unless the
    /// server wants to be left alone.
    pub async fn close(&self, within: Duration) -> Counts {
        self.shared.queue.close();
        self.shared.hurry.notify_one();
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
    queue: Queue,
    /// Somebody waits for the end, so a pause that nobody asked for is over.
    hurry: Notify,
}

/// Delivers one batch after the other, so that their order holds.
async fn deliver(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while let Some(batch) = shared.queue.front().await {
        let outcome = shared.deliver_batch(&batch, &mut backoff).await;
        if outcome == Outcome::Refused && batch.len() > 1 {
            shared.queue.separate(batch.len());
        } else {
            shared.queue.finish(batch.len(), outcome);
        }
    }
}

impl Shared {
    /// The key and the events are the same at each try: so one whose answer was lost is known again.
    async fn deliver_batch(&self, batch: &[Arc<BatchEvent>], backoff: &mut Backoff) -> Outcome {
        let key = IdempotencyKey::random();
        loop {
            let answer = self.client.publish_lines(batch.iter().map(AsRef::as_ref), Some(&key)).await;
            match answer {
                Ok(_) => {
                    backoff.reset();
                    return Outcome::Delivered;
                }
                Err(error) if error.is_about_the_event() => {
                    backoff.reset();
                    if batch.len() == 1 {
                        tracing::warn!(%error, "an event was refused and is dropped");
                    }
                    return Outcome::Refused;
                }
                Err(error) => self.pause(&error, backoff).await,
            }
        }
    }

    async fn pause(&self, error: &PublishError, backoff: &mut Backoff) {
        let asked = error.retry_after();
        let pause = backoff.after_failure(asked);
        tracing::debug!(%error, ?pause, "a publish failed and will be repeated");
        match asked {
            Some(_) => sleep(pause).await,
            // Its end is as good as having been called: what matters is that it is over.
            None => drop(timeout(pause, self.hurry.notified()).await),
        }
    }
}

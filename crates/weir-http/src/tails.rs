//! Durable streams that somebody follows here, and how followers learn that there is more.
//!
//! Whoever follows a stream reads it by itself, from where it is. What it needs to be told is only when: by calls to this
//! instance that change the stream, by what other instances announce, and by a look at all that are followed every few
//! seconds, so that an announcement that is lost costs a delay and nothing else. Nobody asks the store for each of those who
//! wait.
//!
//! In reading order:
//! - `tail`: one stream, and who follows it
//! - `read`: one read, for all who want the same
//! - `follow`: what one follower finds next
//! - `events`: what it is given of that as Server-Sent Events; `sse`: how that is written
//! - `cursor`: what tells caches apart

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio_util::sync::CancellationToken;
use weir_core::durable::store::MOST_LOOKED_AT;
use weir_core::durable::{Look, StreamName, StreamStore, WakeReader, Woken};
use weir_core::hub::Seat;
use weir_metrics::{Metrics, WokenBy};

use crate::app::{App, jittered};

pub(crate) mod cursor;
pub(crate) mod events;
pub(crate) mod follow;
pub(crate) mod read;
pub(crate) mod sse;
mod tail;

use tail::Tail;

/// How often all that are followed are looked at, a fifth more or less: what no announcement told comes as much later, and by
/// what the look takes.
const LOOK: Duration = Duration::from_secs(2);

/// See the [module](self).
// Invariant: a stream is in it as long as it is held, and its tail is the only one of its name.
#[derive(Debug)]
pub(crate) struct Tails {
    followed: DashMap<StreamName, Arc<Tail>>,
    metrics: Arc<Metrics>,
}

/// One hold on a stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    app: Arc<App>,
    tail: Arc<Tail>,
    /// Who is woken.
    seat: Option<Arc<Seat>>,
}

impl Tails {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { followed: DashMap::new(), metrics }
    }

    fn get(&self, name: &StreamName) -> Option<Arc<Tail>> {
        self.followed.get(name).map(|tail| Arc::clone(&tail))
    }

    fn wake(&self, by: WokenBy, seats: &[Arc<Seat>]) {
        self.metrics.tails.wakes.inc(by);
        seats.iter().for_each(|seat| seat.nudge());
    }

    /// Somebody has changed a stream. Says whether that may be nothing but what is known already.
    fn announced(&self, name: &StreamName) -> Announced {
        let Some(tail) = self.get(name) else { return Announced::NotFollowed };
        match tail.announced() {
            Some(seats) => {
                self.wake(WokenBy::Announcement, &seats);
                Announced::Woken
            }
            None => Announced::PerhapsKnown,
        }
    }

    /// Nobody holds more of a stream than has not left.
    fn give_way(&self, name: &StreamName) {
        if let Some(tail) = self.get(name) {
            tail.give_way();
        }
    }

    /// Looks at streams, so many at a time as the store takes, and wakes whoever follows one that is not as it was.
    async fn look(&self, store: &dyn StreamStore, names: &[StreamName], by: WokenBy) {
        for names in names.chunks(MOST_LOOKED_AT) {
            let tails: Vec<_> = names.iter().filter_map(|name| self.get(name)).collect();
            let names: Vec<_> = tails.iter().map(|tail| tail.name.clone()).collect();
            let before: Vec<_> = tails.iter().map(|tail| tail.version()).collect();
            let found = match store.look(&names).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(%error, "streams that are followed cannot be looked at");
                    Vec::new()
                }
            };
            for (nth, tail) in tails.iter().enumerate() {
                let woken = match found.get(nth) {
                    Some(now) => tail.found(*now, before[nth]),
                    // What was announced has to be read, then.
                    None if by == WokenBy::Announcement => Some(tail.unsure()),
                    None => None,
                };
                if let Some(seats) = woken {
                    self.wake(by, &seats);
                }
            }
        }
    }

    fn names(&self) -> Vec<StreamName> {
        self.followed.iter().map(|tail| tail.key().clone()).collect()
    }
}

/// What became of an announcement.
enum Announced {
    /// Nobody follows it here.
    NotFollowed,
    /// Who follows it reads on.
    Woken,
    /// A call to this instance has told the same, perhaps.
    PerhapsKnown,
}

impl App {
    /// Holds a stream, so that what happens to it from now on is known.
    pub(crate) fn hold(self: &Arc<Self>, name: &StreamName) -> Following {
        let entry = self.tails.followed.entry(name.clone());
        let tail = entry.or_insert_with(|| {
            self.metrics.tails.followed.inc();
            Arc::new(Tail::new(name.clone()))
        });
        tail.hold();
        Following { app: Arc::clone(self), tail: Arc::clone(&tail), seat: None }
    }

    /// A call to this instance has changed a stream, and found it so. Who follows it here is woken before whoever else is
    /// told of it.
    pub fn stream_changed(&self, name: &StreamName, now: Look) {
        let Some(tail) = self.tails.get(name) else { return };
        if let Some(seats) = tail.changed(now) {
            self.tails.wake(WokenBy::Call, &seats);
        }
    }

    /// Streams were changed, here or elsewhere.
    async fn woken(&self, woken: Woken) {
        match woken {
            Woken::Streams(mut names) => {
                names.retain(|name| matches!(self.tails.announced(name), Announced::PerhapsKnown));
                self.tails.look(&*self.streams, &names, WokenBy::Announcement).await;
            }
            Woken::Any => {
                let names = self.tails.names();
                self.tails.look(&*self.streams, &names, WokenBy::Look).await;
            }
        }
    }
}

impl Following {
    /// Whoever sits here is woken from now on.
    fn sit(&mut self, seat: &Arc<Seat>) {
        self.tail.sit(seat);
        self.seat = Some(Arc::clone(seat));
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.tail.leave(self.seat.as_deref());
        let tails = &self.app.tails.followed;
        let gone = tails.remove_if(&self.tail.name, |_, tail| tail.is_left());
        if gone.is_some() {
            self.app.metrics.tails.followed.dec();
        }
    }
}

/// Wakes whoever follows a stream that was changed, here or elsewhere, until it is stopped.
pub async fn pump(app: Arc<App>, mut wakes: Box<dyn WakeReader>, stop: CancellationToken) {
    loop {
        tokio::select! {
            woken = wakes.next() => app.woken(woken).await,
            () = stop.cancelled() => return,
        }
    }
}

/// Looks at all streams that are followed, again and again, until it is stopped.
pub async fn watch(app: Arc<App>, stop: CancellationToken) {
    loop {
        let rest = Duration::from_millis(jittered(LOOK));
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stop.cancelled() => return,
        }
        let names = app.tails.names();
        app.tails.followed.iter().for_each(|tail| tail.forget());
        tokio::select! {
            () = app.tails.look(&*app.streams, &names, WokenBy::Look) => {}
            () = stop.cancelled() => return,
        }
    }
}

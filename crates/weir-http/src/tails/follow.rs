//! What one follower finds next.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;
use weir_core::durable::{From, StreamName, StreamStore};
use weir_core::hub::Seat;

use super::Following;
use super::read::{self, Found, Read};
use super::tail::{Next, Place, Version};
use crate::app::{App, jittered};

/// How long a follower rests after the store could not be asked, at first and at most.
const REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Follow {
    following: Following,
    store: Arc<dyn StreamStore>,
    place: Place,
    doing: Doing,
    failures: u32,
}

#[derive(Debug)]
enum Doing {
    Waiting,
    Reading(Read, Version),
    Resting(Pin<Box<Sleep>>),
}

impl Follow {
    /// Follows a stream from a place on. What happens to the stream from now on is not missed.
    pub(crate) fn new(
        app: &Arc<App>,
        (store, name): (Arc<dyn StreamStore>, &StreamName),
        from: From,
    ) -> Self {
        let following = app.hold(name);
        let place = Place { from, seen: None, is_new: true };
        Self { following, store, place, doing: Doing::Waiting, failures: 0 }
    }

    /// Whoever sits here is woken when there may be more.
    pub(crate) fn sit(&mut self, seat: &Arc<Seat>) {
        self.following.sit(seat);
    }

    /// What there is behind what was found before, or that there is nothing after all. Where it waits, the seat is woken; a
    /// read wakes the task.
    pub(crate) fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Arc<Found>> {
        loop {
            match &mut self.doing {
                Doing::Waiting => match self.next() {
                    Next::Wait => return Poll::Pending,
                    Next::Read(read, version) => self.doing = Doing::Reading(read, version),
                },
                Doing::Reading(read, version) => {
                    let (found, version) = (ready!(Pin::new(read).poll(cx)), *version);
                    self.doing = Doing::Waiting;
                    self.take(&found, version);
                    return Poll::Ready(found);
                }
                Doing::Resting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.doing = Doing::Waiting;
                }
            }
        }
    }

    fn next(&self) -> Next {
        let Following { app, tail, .. } = &self.following;
        tail.next(self.place, || {
            app.metrics.tails.reads.inc();
            read::begin(Arc::clone(app), Arc::clone(&self.store), tail.name.clone(), self.place.from)
        })
    }

    fn take(&mut self, found: &Found, version: Version) {
        if let Some(end) = found.end() {
            self.following.tail.learn(end, version);
        }
        if let Ok(page) = &found.page {
            self.failures = 0;
            let seen = page.is_up_to_date().then_some(version);
            self.place = Place { from: From::After(page.next), seen, is_new: false };
        }
    }

    /// The store could not be asked: it is asked again after a while.
    pub(crate) fn rest(&mut self) {
        let rest = REST.saturating_mul(1 << self.failures.min(8)).min(LONGEST_REST);
        self.failures += 1;
        self.place.seen = None;
        let rest = Duration::from_millis(jittered(rest));
        self.doing = Doing::Resting(Box::pin(tokio::time::sleep(rest)));
    }
}

//! Looks after clients from outside what writes to them: hyper stops polling the body of a peer that does not read, and a
//! writer waits for one, so a timer in either would stop exactly when it is needed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use weir_metrics::Disconnect;

use crate::app::App;
use crate::client::{Client, Verdict};

/// How far away the first alarm is, until a look has found out.
const FAR: Duration = Duration::from_secs(3600);

/// An alarm that rings so much too late says that this process stood still, or had no processor to run on.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// Who is looked after.
pub(crate) trait Watched {
    /// Whether there is something new to look at; whoever polls is woken when there is. The task of a connection is woken
    /// for every event, which is nothing to a supervisor, so this has to be cheap.
    fn called(&self, cx: &Context<'_>) -> bool;

    /// Calls the supervisor.
    fn caller(&self) -> Waker;

    /// Looks at every client: when to look again, or why the connection is to be cut. Says whether the instance itself
    /// stood still before.
    fn look(&self, app: &App, now: (Instant, bool)) -> Verdict;
}

/// The client of a connection that has nothing but its stream.
impl Watched for Arc<Client> {
    fn called(&self, cx: &Context<'_>) -> bool {
        let called = self.seat.was_called();
        if called {
            self.seat.watch(cx);
        }
        called
    }

    fn caller(&self) -> Waker {
        Waker::from(Arc::clone(&self.seat))
    }

    fn look(&self, app: &App, now: (Instant, bool)) -> Verdict {
        Client::look(self, app, now)
    }
}

/// Resolves when the connection is to be cut.
#[derive(Debug)]
pub(crate) struct Supervisor<'a, W> {
    app: &'a App,
    watched: &'a W,
    sleep: Pin<Box<Sleep>>,
}

impl<'a, W: Watched> Supervisor<'a, W> {
    /// One that begins with a look.
    pub(crate) fn new(app: &'a App, watched: &'a W) -> Self {
        watched.caller().wake();
        Self { app, watched, sleep: Box::pin(tokio::time::sleep(FAR)) }
    }

    /// See [`Watched::called`]; where it did, [`Self::look`] comes next.
    pub(crate) fn called(&self, cx: &Context<'_>) -> bool {
        self.watched.called(cx)
    }

    /// Looks once, and has itself called when it is time for the next look.
    pub(crate) fn look(&mut self) -> Poll<Disconnect> {
        let (now, due) = (Instant::now(), self.sleep.deadline().into_std());
        let stood_still = now.saturating_duration_since(due) >= STOOD_STILL;
        let next = match self.watched.look(self.app, (now, stood_still)) {
            Verdict::Look(next) => next.into(),
            Verdict::Cut(reason) => return Poll::Ready(reason),
        };
        // An alarm that is early costs one look; moving it with every write would cost the timer's lock each time.
        if self.sleep.is_elapsed() || next < self.sleep.deadline() {
            self.sleep.as_mut().reset(next);
        }
        let caller = self.watched.caller();
        if self.sleep.as_mut().poll(&mut Context::from_waker(&caller)).is_ready() {
            caller.wake();
        }
        Poll::Pending
    }
}

impl<W: Watched> Future for Supervisor<'_, W> {
    type Output = Disconnect;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Disconnect> {
        while self.called(cx) {
            if let cut @ Poll::Ready(_) = self.look() {
                return cut;
            }
        }
        Poll::Pending
    }
}

//! The clients of one connection, looked after outside their response bodies: hyper stops polling the body of a peer that
//! does not read, so a timer in the body would stop exactly when it is needed.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Sleep;
use weir_metrics::Disconnect;

use crate::app::App;
use crate::client::{Client, Verdict};
use crate::sniff::Protocol;

/// When to look at a connection that has no client.
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);

/// An alarm that rings so much too late says that this process stood still, or had no processor to run on.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) protocol: Protocol,
    clients: Mutex<SmallVec<[Weak<Client>; 1]>>,
    supervisor: AtomicWaker,
    /// Whether there is something new to look at.
    changed: AtomicBool,
}

/// Seats wake the supervisor by its link.
impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.changed.store(true, Ordering::Release);
        self.supervisor.wake();
    }
}

impl Link {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            clients: Mutex::default(),
            supervisor: AtomicWaker::new(),
            changed: AtomicBool::new(true),
        }
    }

    /// The supervisor looks after this client from now on.
    pub(crate) fn watch(self: &Arc<Self>, client: &Arc<Client>) {
        self.clients.lock().push(Arc::downgrade(client));
        self.wake_by_ref();
    }

    /// The connection broke, and not because the peer went.
    pub(crate) fn failed(&self) {
        self.clients.lock().iter().filter_map(Weak::upgrade).for_each(|client| client.failed());
    }

    /// Looks at every client: when to look again, or why the connection is to be cut. It was to be done by `due`.
    fn look(self: &Arc<Self>, app: &App, due: Instant) -> Verdict {
        let now = Instant::now();
        let stood_still = now.saturating_duration_since(due) >= STOOD_STILL;
        let mut next = now + NOTHING_TO_DO;
        let waker = Waker::from(Arc::clone(self));
        let cx = Context::from_waker(&waker);
        let mut clients = self.clients.lock();
        clients.retain(|client| client.strong_count() > 0);
        for client in clients.iter().filter_map(Weak::upgrade) {
            client.seat.watch(&cx);
            if stood_still {
                client.forgive(now);
            }
            match client.supervise(app, now) {
                Verdict::Look(at) => next = next.min(at),
                cut @ Verdict::Cut(_) => return cut,
            }
        }
        Verdict::Look(next)
    }
}

/// Resolves when the connection is to be cut.
#[derive(Debug)]
pub(crate) struct Supervisor<'a> {
    app: &'a App,
    link: &'a Arc<Link>,
    sleep: Pin<Box<Sleep>>,
    /// Whom link and alarm wake.
    waker: Option<Waker>,
}

impl<'a> Supervisor<'a> {
    /// One that begins with a look.
    pub(crate) fn new(app: &'a App, link: &'a Arc<Link>) -> Self {
        link.changed.store(true, Ordering::Release);
        Self { app, link, sleep: Box::pin(tokio::time::sleep(NOTHING_TO_DO)), waker: None }
    }

    /// Whether there is nothing to look at, and whoever polls is woken when there is. The task of a connection is woken for
    /// every event, and neither link nor alarm have to hear of it each time.
    fn is_quiet(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
            && !self.link.changed.load(Ordering::Acquire)
            && !self.sleep.is_elapsed()
    }
}

impl Future for Supervisor<'_> {
    type Output = Disconnect;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Disconnect> {
        if self.is_quiet(cx) {
            return Poll::Pending;
        }
        self.link.supervisor.register(cx.waker());
        self.waker = Some(cx.waker().clone());
        loop {
            if self.link.changed.swap(false, Ordering::AcqRel) || self.sleep.is_elapsed() {
                let next = match self.link.look(self.app, self.sleep.deadline().into_std()) {
                    Verdict::Look(next) => next.into(),
                    Verdict::Cut(reason) => return Poll::Ready(reason),
                };
                // An alarm that is early costs one look; moving it with every write would cost the timer's lock each time.
                if self.sleep.is_elapsed() || next < self.sleep.deadline() {
                    self.sleep.as_mut().reset(next);
                }
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

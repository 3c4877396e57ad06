//! The clients of one connection of hyper's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::app::App;
use crate::client::{Client, Verdict};
use crate::sniff::Protocol;
use crate::supervisor::Watched;

/// When to look at a connection that has no client.
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) protocol: Protocol,
    /// Whether nobody on the way can listen.
    pub(crate) is_tls: bool,
    clients: Mutex<SmallVec<[Weak<Client>; 1]>>,
    supervisor: AtomicWaker,
    /// Whether there is something new to look at.
    changed: AtomicBool,
    calls: Mutex<Calls>,
}

/// The requests of a connection that are being dealt with.
#[derive(Debug)]
struct Calls {
    now: usize,
    /// When the last of them was answered.
    last: Instant,
}

/// A request that is being dealt with, until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Link>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut calls = self.0.calls.lock();
        *calls = Calls { now: calls.now - 1, last: Instant::now() };
    }
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
    pub(crate) fn new(protocol: Protocol, is_tls: bool) -> Self {
        Self {
            protocol,
            is_tls,
            clients: Mutex::default(),
            supervisor: AtomicWaker::new(),
            changed: AtomicBool::new(true),
            calls: Mutex::new(Calls { now: 0, last: Instant::now() }),
        }
    }

    /// The supervisor looks after this client from now on.
    pub(crate) fn watch(self: &Arc<Self>, client: &Arc<Client>) {
        self.clients.lock().push(Arc::downgrade(client));
        self.wake_by_ref();
    }

    /// A request has come.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.calls.lock().now += 1;
        Busy(Arc::clone(self))
    }

    /// Since when nothing has been going on, where nothing is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let Calls { now, last } = *self.calls.lock();
        let has_client = self.clients.lock().iter().any(|client| client.strong_count() > 0);
        (now == 0 && !has_client).then_some(last)
    }

    /// The connection broke, and not because the peer went.
    pub(crate) fn failed(&self) {
        self.clients.lock().iter().filter_map(Weak::upgrade).for_each(|client| client.failed());
    }
}

impl Watched for Arc<Link> {
    fn called(&self, cx: &Context<'_>) -> bool {
        self.supervisor.register(cx.waker());
        self.changed.swap(false, Ordering::AcqRel)
    }

    fn caller(&self) -> Waker {
        Waker::from(Self::clone(self))
    }

    fn look(&self, app: &App, (now, stood_still): (Instant, bool)) -> Verdict {
        let mut next = now + NOTHING_TO_DO;
        let caller = self.caller();
        let cx = Context::from_waker(&caller);
        let mut clients = self.clients.lock();
        clients.retain(|client| client.strong_count() > 0);
        for client in clients.iter().filter_map(Weak::upgrade) {
            client.seat.watch(&cx);
            match client.look(app, (now, stood_still)) {
                Verdict::Look(at) => next = next.min(at),
                cut @ Verdict::Cut(_) => return cut,
            }
        }
        Verdict::Look(next)
    }
}

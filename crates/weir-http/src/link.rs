//! The clients of one connection of hyper's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::app::App;
use crate::body::Body;
use crate::client::{Client, Verdict};
use crate::handshake::HEAD_TIMEOUT;
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
    /// How many there have been.
    all: u64,
    /// When the last of them was answered.
    last: Instant,
    /// Answers, and parts of answers, that have not left completely, and since when.
    unread: BTreeMap<u64, Instant>,
    /// How many of these there have been.
    parts: u64,
}

impl Calls {
    /// Another part of an answer is on its way, known by this number.
    fn waits(&mut self) -> u64 {
        self.parts += 1;
        self.unread.insert(self.parts, Instant::now());
        self.parts
    }
}

/// A request that is being dealt with, until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    link: Arc<Link>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut calls = self.link.calls.lock();
        calls.now -= 1;
        calls.last = Instant::now();
    }
}

impl Busy {
    /// The same body, which the connection knows of until it has left. A stream of events is a client, and looked after as
    /// such.
    pub(crate) fn watched(self, body: Body) -> Body {
        match body {
            Body::Full(Some(bytes)) => Body::full(self.unread(bytes)),
            Body::Pages(pages) => Body::Pages(pages.watched(self)),
            Body::Frames(frames) => Body::frames(Box::pin(frames.map(move |frame| self.unread(frame)))),
            body @ (Body::Full(None) | Body::Stream(_) | Body::Left) => body,
        }
    }

    /// The same bytes, which the connection knows of until they have left. The kernel gives up a peer that takes nothing, and
    /// has patience with one that takes a byte now and then.
    pub(crate) fn unread(&self, bytes: Bytes) -> Bytes {
        let link = Arc::clone(&self.link);
        let nth = link.calls.lock().waits();
        Bytes::from_owner(Unread { bytes, nth, link })
    }
}

/// An answer until the last of it has left.
struct Unread {
    bytes: Bytes,
    nth: u64,
    link: Arc<Link>,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.link.calls.lock().unread.remove(&self.nth);
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
            calls: Mutex::new(Calls {
                now: 0,
                all: 0,
                last: Instant::now(),
                unread: BTreeMap::new(),
                parts: 0,
            }),
        }
    }

    /// The supervisor looks after this client from now on.
    pub(crate) fn watch(self: &Arc<Self>, client: &Arc<Client>) {
        self.clients.lock().push(Arc::downgrade(client));
        self.wake_by_ref();
    }

    /// A request has come.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        let mut calls = self.calls.lock();
        calls.now += 1;
        calls.all += 1;
        Busy { link: Arc::clone(self) }
    }

    /// Resolves when nothing has gone on for so long, and for that long since now; before the first request, for as long as a
    /// head has. HTTP/1.1 is hyper's to end.
    pub(crate) async fn idle(&self, patience: Duration) {
        if self.protocol == Protocol::Http1 {
            return std::future::pending().await;
        }
        let began = Instant::now();
        self.waited(|link| {
            let patience = if link.was_called() { patience } else { HEAD_TIMEOUT };
            (link.idle_since().map(|last| last.max(began)), patience)
        })
        .await;
    }

    /// Resolves when an answer has waited for so long to be read. Whoever reads none of it has weir hold all of it.
    pub(crate) async fn unread(&self, patience: Duration) {
        self.waited(|link| (link.unread_since(), patience)).await;
    }

    async fn waited(&self, since: impl Fn(&Self) -> (Option<Instant>, Duration)) {
        loop {
            let (since, patience) = since(self);
            let since = since.unwrap_or_else(Instant::now);
            if since.elapsed() >= patience {
                return;
            }
            tokio::time::sleep_until((since + patience).into()).await;
        }
    }

    /// Since when nothing has been going on, where nothing is.
    fn idle_since(&self) -> Option<Instant> {
        let has_client = self.clients.lock().iter().any(|client| client.strong_count() > 0);
        let calls = self.calls.lock();
        (calls.now == 0 && calls.unread.is_empty() && !has_client).then_some(calls.last)
    }

    fn was_called(&self) -> bool {
        self.calls.lock().all > 0
    }

    /// Since when the oldest of the answers waits that have not left.
    fn unread_since(&self) -> Option<Instant> {
        self.calls.lock().unread.values().min().copied()
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
        let (mut next, mut cut) = (now + NOTHING_TO_DO, None);
        let caller = self.caller();
        let cx = Context::from_waker(&caller);
        let mut clients = self.clients.lock();
        clients.retain(|client| client.strong_count() > 0);
        for client in clients.iter().filter_map(Weak::upgrade) {
            client.seat.watch(&cx);
            match client.look(app, (now, stood_still)) {
                Verdict::Look(at) => next = next.min(at),
                Verdict::Cut(reason) => cut = cut.or(Some(reason)),
            }
        }
        let Some(reason) = cut else { return Verdict::Look(next) };
        // Each that is to be cut itself has its own reason by now.
        clients.iter().filter_map(Weak::upgrade).for_each(|client| client.dragged_along());
        Verdict::Cut(reason)
    }
}

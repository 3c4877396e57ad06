//! Who listens to what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::event::Event;
use crate::name::Session;
use crate::notice::Gap;
use crate::subscription::{Budget, End, Offer, Progress, Pulled, Subscription, Wake};
use crate::tally::Tally;
use crate::view::View;
use crate::window::Seq;

/// One client's place: its subscription, and whom to wake for it.
#[derive(Debug)]
pub struct Seat {
    id: u64,
    /// Whether whoever supervises was woken.
    called: AtomicBool,
    inner: Mutex<Inner>,
}

/// A seat is a waker for whoever supervises it, so that an alarm, or news from its socket, come the same way as its own.
impl std::task::Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Also where nobody listens at this moment: whoever is about to listen asks again before it sleeps.
        self.called.store(true, Ordering::Release);
        let supervisor = self.inner.lock().supervisor.take();
        self.call(supervisor);
    }
}

#[derive(Debug)]
struct Inner {
    subscription: Subscription,
    puller: Option<Waker>,
    supervisor: Option<Waker>,
    /// Whether something happened to the subscription that its queue does not show.
    changed: bool,
}

impl Seat {
    /// Its number on this instance.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether a pull would give nothing; then the task is woken when it gives something. It needs no view and no time, and
    /// hyper asks once more after every chunk.
    pub fn poll_quiet(&self, cx: &Context<'_>) -> bool {
        let mut inner = self.inner.lock();
        let quiet = !inner.changed && inner.subscription.is_quiet();
        if quiet {
            remember(&mut inner.puller, cx);
        }
        quiet
    }

    /// What can be written to the client now; where that is nothing, the task is woken when there is. What is ready may
    /// have nothing to write, when it is only to be counted.
    pub fn poll_pull(&self, cx: &Context<'_>, view: &View<'_>, budget: Budget) -> Poll<Pulled> {
        let mut inner = self.inner.lock();
        inner.changed = false;
        let deadline = inner.subscription.deadline();
        let mut pulled = inner.subscription.pull(view, budget);
        let next = inner.subscription.deadline();
        // Whoever supervises may sleep beyond the new time.
        let supervisor = if next.is_some() && next != deadline { inner.supervisor.take() } else { None };
        let nothing = pulled.is_empty() && pulled.resume.is_none() && pulled.tally == Tally::default();
        pulled.drained = inner.subscription.is_quiet();
        if nothing || pulled.drained {
            remember(&mut inner.puller, cx);
        }
        drop(inner);
        self.call(supervisor);
        if nothing { Poll::Pending } else { Poll::Ready(pulled) }
    }

    /// Has the task woken whenever a time to act at may have changed or the stream is to end.
    pub fn watch(&self, cx: &Context<'_>) {
        remember(&mut self.inner.lock().supervisor, cx);
    }

    /// Whether whoever supervises was woken since this was last asked. It may be asked for every event: it is read where
    /// a pull has just been.
    pub fn was_called(&self) -> bool {
        self.called.load(Ordering::Acquire) && self.called.swap(false, Ordering::AcqRel)
    }

    fn call(&self, supervisor: Option<Waker>) {
        if let Some(waker) = supervisor {
            self.called.store(true, Ordering::Release);
            waker.wake();
        }
    }

    /// Looks at the subscription.
    pub fn look<T>(&self, look: impl FnOnce(&Subscription) -> T) -> T {
        look(&self.inner.lock().subscription)
    }

    /// How the client does.
    pub fn progress(&self) -> Progress {
        self.look(Subscription::progress)
    }

    /// Ends the stream; see [`Subscription::close`].
    pub fn close(&self, end: End) {
        self.change(|subscription| subscription.close(end));
    }

    /// Its token expires in so many ms.
    pub fn warn(&self, ms: u64) {
        self.change(|subscription| subscription.warn(ms));
    }

    /// A sign of life is due.
    pub fn beat(&self) {
        self.change(Subscription::beat);
    }

    /// Has whoever pulls look again. Whoever supervises is not woken: it is often the one who asks.
    pub fn nudge(&self) {
        let mut inner = self.inner.lock();
        inner.changed = true;
        let puller = inner.puller.take();
        drop(inner);
        if let Some(puller) = puller {
            puller.wake();
        }
    }

    /// See [`Subscription::leave`].
    pub fn leave(&self) -> u64 {
        self.inner.lock().subscription.leave()
    }

    fn change(&self, change: impl FnOnce(&mut Subscription)) {
        let mut inner = self.inner.lock();
        change(&mut inner.subscription);
        inner.changed = true;
        let (puller, supervisor) = (inner.puller.take(), inner.supervisor.take());
        drop(inner);
        puller.into_iter().for_each(Waker::wake);
        self.call(supervisor);
    }

    /// Offers, and wakes outside the lock.
    fn tell(&self, offer: impl FnOnce(&mut Subscription) -> Wake) {
        let mut inner = self.inner.lock();
        let (puller, supervisor) = match offer(&mut inner.subscription) {
            Wake::None => (None, None),
            Wake::Puller => (inner.puller.take(), None),
            Wake::Supervisor => (None, inner.supervisor.take()),
        };
        drop(inner);
        puller.into_iter().for_each(Waker::wake);
        self.call(supervisor);
    }
}

fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Where the seat with this number stands, or would stand.
fn place(seats: &[Arc<Seat>], id: u64) -> usize {
    seats.partition_point(|other| other.id < id)
}

/// Every client of the instance, by session and by number.
#[derive(Debug, Default)]
pub struct Hub {
    // Invariant: by rising number, so that one of many thousands is found at once when all leave together.
    by_session: DashMap<Session, Vec<Arc<Seat>>>,
    seats: DashMap<u64, Arc<Seat>>,
    next: AtomicU64,
}

impl Hub {
    /// Registers a client with each of its sessions.
    pub fn join(&self, subscription: Subscription) -> Arc<Seat> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let sessions = subscription.wants().sessions.clone();
        let inner = Mutex::new(Inner { subscription, puller: None, supervisor: None, changed: true });
        let seat = Arc::new(Seat { id, called: AtomicBool::new(false), inner });
        self.seats.insert(id, Arc::clone(&seat));
        for session in &sessions {
            let mut seats = self.by_session.entry(session.clone()).or_default();
            let nth = place(&seats, id);
            seats.insert(nth, Arc::clone(&seat));
        }
        seat
    }

    /// Takes a client out.
    pub fn leave(&self, seat: &Seat) {
        self.seats.remove(&seat.id);
        for session in &seat.look(|subscription| subscription.wants().sessions.clone()) {
            self.by_session.remove_if_mut(session, |_, seats| {
                let nth = place(seats, seat.id);
                if seats.get(nth).is_some_and(|other| other.id == seat.id) {
                    seats.remove(nth);
                }
                if seats.len() < seats.capacity() / 4 {
                    seats.shrink_to_fit();
                }
                seats.is_empty()
            });
        }
    }

    /// Sessions somebody listens to.
    pub fn sessions(&self) -> usize {
        self.by_session.len()
    }

    /// Clients.
    pub fn clients(&self) -> usize {
        self.seats.len()
    }

    /// All clients at this moment.
    pub fn all(&self) -> Vec<Arc<Seat>> {
        self.seats.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// Offers an event to every client of its session.
    pub fn fan_out(&self, seq: Seq, event: &Arc<Event>, now: Instant, tally: &mut Tally) {
        let Some(seats) = self.by_session.get(event.session.as_str()) else { return };
        let mut json = None;
        let mut offer = Offer { event, seq, now, json: &mut json };
        for seat in seats.iter() {
            seat.tell(|subscription| subscription.offer(offer.again(), tally));
        }
    }

    /// Announces a loss to the clients of one session, whose event it was.
    pub fn announce(&self, session: &Session, seq: Seq, gap: &Gap, tally: &mut Tally) {
        let Some(seats) = self.by_session.get(session) else { return };
        for seat in seats.iter() {
            seat.tell(|subscription| subscription.announce(seq, gap, 1, tally));
        }
    }

    /// Announces a loss to every client.
    pub fn announce_to_all(&self, seq: Seq, gap: &Gap, tally: &mut Tally) {
        for seat in self.all() {
            seat.tell(|subscription| subscription.announce(seq, gap, 0, tally));
        }
    }
}

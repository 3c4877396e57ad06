//! The clients of the world: they come, read at their pace, break off and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use weir_core::hub::Seat;
use weir_core::id::Position;
use weir_core::subscription::{Budget, End, Pulled, Wants};
use weir_core::{Broker, EventId, Time};

use crate::model::op::From;
use crate::model::viewer::Viewer;
use crate::model::world::World;

pub(crate) const ALL: Budget = Budget { events: usize::MAX, bytes: usize::MAX };

/// Clients at most, so that a run stays readable.
const CLIENTS: usize = 8;

/// Who was pulled in the middle of something, and what came of it.
pub(crate) type Stash = Arc<Mutex<Vec<(usize, Poll<Pulled>)>>>;

pub(crate) struct Client {
    pub(crate) viewer: Viewer,
    pub(crate) seat: Option<Arc<Seat>>,
    pub(crate) alarm: Arc<Alarm>,
    /// The last pull gave nothing.
    pub(crate) idle: bool,
}

/// A waker that remembers that it rang, and pulls somebody at once where it is told to.
#[derive(Default)]
pub(crate) struct Alarm {
    pub(crate) rang: AtomicBool,
    /// How often it ever rang.
    rings: AtomicUsize,
    pub(crate) hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::Relaxed);
        self.rings.fetch_add(1, Ordering::Relaxed);
        let hook = self.hook.lock().take();
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl World {
    pub(crate) fn join(&mut self, wants: Wants, from: &From) {
        if self.clients.len() == CLIENTS {
            return;
        }
        let any = |nth: &usize| {
            let count = self.naive.items.len();
            if count == 0 { self.last } else { self.naive.items[nth % count].id }
        };
        let after = |id: EventId| Position::parse(id.to_string().as_bytes());
        let from = match from {
            From::Live => None,
            From::Earliest => Some(Position::Earliest),
            From::Item(nth) => Some(after(any(nth))),
            From::Above(nth) => Some(Position::After(EventId::new(any(nth).ms, u64::MAX))),
            From::Ahead(ms) => Some(after(EventId::new(self.last.ms + ms, 0))),
            From::Garbage => Some(Position::Unknown),
        };
        let viewer = Viewer::new(Wants { from, ..wants }, self.now);
        self.clients.push(Client { viewer, seat: None, alarm: Arc::default(), idle: false });
        self.connect(self.clients.len() - 1);
    }

    pub(crate) fn connect(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let wants = client.viewer.reconnect(self.now);
        client.seat = Some(self.broker.join(wants, self.now));
        (client.alarm, client.idle) = (Arc::default(), false);
    }

    pub(crate) fn disconnect(&mut self, who: usize) {
        if let Some(seat) = self.clients.get_mut(who).and_then(|client| client.seat.take()) {
            self.left_behind += self.broker.leave(&seat);
            assert_eq!(seat.progress().queued, 0);
        }
        self.disarm();
    }

    /// Hooks know clients by their places and the time by what it was.
    pub(crate) fn disarm(&self) {
        for client in &self.clients {
            client.alarm.hook.lock().take();
        }
    }

    pub(crate) fn reconnect(&mut self, who: usize, lost: bool) {
        if who >= self.clients.len() {
            return;
        }
        if let Some(seat) = &self.clients[who].seat
            && lost
            && let Poll::Ready(pulled) =
                seat.poll_pull(&Context::from_waker(Waker::noop()), &self.broker.view(self.time()), ALL)
        {
            self.tally += pulled.tally;
        }
        self.disconnect(who);
        self.connect(who);
    }

    pub(crate) fn leave(&mut self, who: usize) {
        self.disconnect(who);
        if who < self.clients.len() {
            self.clients.remove(who);
        }
    }

    /// Whether there may be more.
    pub(crate) fn pull(&mut self, who: usize, budget: Budget) -> bool {
        let Some(client) = self.clients.get(who) else { return false };
        let Some(seat) = &client.seat else { return false };
        let polled = poll(&client.alarm, seat, &self.broker, (self.time(), budget));
        let more = polled.is_ready();
        self.polled(who, polled);
        self.take_stash();
        more
    }

    pub(crate) fn polled(&mut self, who: usize, polled: Poll<Pulled>) {
        let moment = self.moment();
        let client = &mut self.clients[who];
        client.idle = polled.is_pending();
        let Poll::Ready(pulled) = polled else { return };
        self.tally += pulled.tally;
        client.viewer.take(&pulled, &self.naive, moment);
        if let Some(end) = pulled.end {
            let left = client.seat.as_ref().map_or(0, |seat| seat.progress().queued);
            assert!(
                left == 0 || matches!(end, End::Overflow | End::Revoked),
                "{left} events are left after {end:?}"
            );
            self.disconnect(who);
        }
    }

    pub(crate) fn drain(&mut self, who: usize) {
        let budget = Budget { events: 2 + who, bytes: if who.is_multiple_of(2) { 150 } else { usize::MAX } };
        let mut rounds = 0;
        while self.pull(who, budget) {
            rounds += 1;
            assert!(rounds < 10_000, "it never ends");
        }
        let Some(client) = self.clients.get(who) else { return };
        let Some(seat) = &client.seat else { return };
        if seat.look(|subscription| subscription.is_waiting() || subscription.deadline().is_some()) {
            return;
        }
        assert_eq!((seat.progress().queued, seat.progress().lag), (0, 0));
        client.viewer.settled(&self.naive, self.moment());
    }

    pub(crate) fn beat(&mut self, who: usize) {
        if let Some(client) = self.clients.get_mut(who)
            && let Some(seat) = &client.seat
        {
            client.viewer.beating = true;
            seat.beat();
        }
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.disarm();
        self.now += Duration::from_millis(ms);
        self.ms += ms;
    }

    pub(crate) fn close(&mut self, who: usize, end: End) {
        if let Some(client) = self.clients.get_mut(who)
            && let Some(seat) = &client.seat
        {
            client.viewer.close(end);
            seat.close(end);
        }
    }

    pub(crate) fn warn(&mut self, who: usize) {
        if let Some(client) = self.clients.get_mut(who)
            && let Some(seat) = &client.seat
        {
            client.viewer.warned = true;
            seat.warn(7000);
        }
    }

    pub(crate) fn hook(&mut self, (on_nth, pull): (usize, usize), events: usize) {
        let (Some(on), Some(target)) = (self.clients.get(on_nth), self.clients.get(pull)) else { return };
        let Some(seat) = target.seat.clone().filter(|_| on_nth != pull) else { return };
        let (alarm, broker, stash) =
            (Arc::clone(&target.alarm), Arc::clone(&self.broker), Arc::clone(&self.stash));
        let time = (self.time(), Budget { events, bytes: usize::MAX });
        *on.alarm.hook.lock() = Some(Box::new(move || {
            let polled = poll(&alarm, &seat, &broker, time);
            stash.lock().push((pull, polled));
        }));
    }
}

pub(crate) fn poll(
    alarm: &Arc<Alarm>,
    seat: &Seat,
    broker: &Broker,
    (time, budget): (Time, Budget),
) -> Poll<Pulled> {
    alarm.rang.store(false, Ordering::Relaxed);
    let waker = Waker::from(Arc::clone(alarm));
    let cx = Context::from_waker(&waker);
    seat.watch(&cx);
    let deadline = |seat: &Seat| seat.look(|subscription| subscription.deadline());
    let (before, rings) = (deadline(seat), alarm.rings.load(Ordering::Relaxed));
    let polled = seat.poll_pull(&cx, &broker.view(time), budget);
    let told =
        alarm.rings.load(Ordering::Relaxed) > rings || deadline(seat).is_none() || deadline(seat) == before;
    assert!(told, "whoever supervises does not know of the deadline");
    polled
}

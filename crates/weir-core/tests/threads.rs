//! The joint between behind and live under real threads: one reader applies the feed while clients join, read at their
//! pace, sleep until they are woken, break off and come back. What each got is held against the log afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weir_core::broker::{BrokerBounds, Time};
use weir_core::event::{Event, EventParts};
use weir_core::hub::Seat;
use weir_core::id::{EventId, Position};
use weir_core::log::{Feed, Load};
use weir_core::mailbox::{MailboxBounds, Overflow};
use weir_core::name::Session;
use weir_core::notice::{GapReason, Notice};
use weir_core::subscription::{Budget, Out, Pulled, Wants};
use weir_core::tally::Tally;
use weir_core::window::WindowBounds;
use weir_core::{Broker, Content, Entry};

/// How long the reader writes. With it the whole test stays near a second.
const RUN: Duration = Duration::from_millis(400);

/// A client that sleeps so long although something came was not woken.
const FORGOTTEN: Duration = Duration::from_secs(10);

const SESSIONS: [&str; 4] = ["a", "b", "c", "d"];

#[test]
fn a_window_larger_than_a_batch() {
    run(64, 8, 4);
}

#[test]
fn a_window_smaller_than_a_batch() {
    run(4, 12, 2);
}

fn run(window: usize, batch: u64, queue: usize) {
    let window = WindowBounds { events: window, bytes: 1 << 20, age: None, remembered_sessions: 10 };
    let mailbox = MailboxBounds { events: queue, bytes: 1 << 20 };
    let broker = Broker::new(BrokerBounds { window, mailbox, snapshot_bytes: 0 });
    let base = EventId::new(1, 0);
    broker.apply(&Feed::Loaded(Load { entries: Vec::new(), floor: base, head: base }), time());
    let shared = Shared { broker, log: Mutex::default(), done: AtomicBool::new(false) };
    let policies = [Overflow::CatchUp, Overflow::DropOldest, Overflow::CatchUp];
    let tallies = thread::scope(|scope| {
        let readers: Vec<_> = (0..policies.len())
            .map(|nth| {
                let (shared, overflow) = (&shared, policies[nth]);
                scope.spawn(move || Client::new(shared, overflow, nth).live())
            })
            .collect();
        let mut tallies = vec![(write(&shared, batch), 0)];
        shared.done.store(true, Ordering::SeqCst);
        shared.broker.hub().all().iter().for_each(|seat| seat.nudge());
        tallies.extend(readers.into_iter().map(|reader| reader.join().expect("a client")));
        tallies
    });
    let mut tally = Tally::default();
    tallies.iter().for_each(|(one, _)| tally += *one);
    let left: u64 = tallies.iter().map(|(_, left)| left).sum();
    assert_eq!(tally.queued, tally.delivered + tally.dropped.overflow + left, "{tally:?}");
    assert!(tally.delivered > 100 && tally.replayed > 100, "too little happened: {tally:?}");
    assert_eq!((shared.broker.hub().clients(), shared.broker.hub().sessions()), (0, 0));
}

struct Shared {
    broker: Broker,
    /// Everything written, before it is applied.
    log: Mutex<Vec<(EventId, &'static str)>>,
    done: AtomicBool,
}

fn write(shared: &Shared, batch: u64) -> Tally {
    let (begun, mut dice, mut tally) = (Instant::now(), Dice(7), Tally::default());
    let mut id = EventId::new(1, 0);
    while begun.elapsed() < RUN {
        let mut entries = Vec::new();
        for _ in 0..=dice.below(batch) {
            id = id.next();
            // The first sessions are busy, the last are quiet.
            let name = SESSIONS[(dice.below(100) * dice.below(4) / 100) as usize];
            shared.log.lock().push((id, name));
            let session = Session::parse(name).expect("a session");
            let parts =
                EventParts { id, session, kind: None, key: None, ts: None, snapshot: None, data: name };
            entries.push(Entry { id, content: Content::Event(Arc::new(Event::new(parts))) });
        }
        tally += shared.broker.apply(&Feed::Batch(entries), time());
        if dice.below(4) == 0 {
            thread::sleep(Duration::from_micros(dice.below(300)));
        }
    }
    tally
}

/// One client across its connections.
struct Client<'a> {
    shared: &'a Shared,
    wants: Wants,
    dice: Dice,
    /// Everything up to here it got or was told of; its position on the wire.
    at: Option<EventId>,
    tally: Tally,
    left: u64,
}

impl<'a> Client<'a> {
    fn new(shared: &'a Shared, overflow: Overflow, nth: usize) -> Self {
        let sessions = SESSIONS[..2 + nth % 2].iter().map(|name| Session::parse(name).expect("a session"));
        let wants = Wants { sessions: sessions.collect(), overflow, ..Wants::default() };
        Self { shared, wants, dice: Dice(11 + nth as u64), at: None, tally: Tally::default(), left: 0 }
    }

    fn live(mut self) -> (Tally, u64) {
        loop {
            let done = self.shared.done.load(Ordering::SeqCst);
            self.connect(done);
            if done {
                break;
            }
        }
        assert_eq!(self.missing(EventId::MAX), 0, "a silent hole at the end, after {:?}", self.at);
        (self.tally, self.left)
    }

    /// One connection. The last one reads to the end.
    fn connect(&mut self, last: bool) {
        let from = self.at.map(|id| Position::parse(id.to_string().as_bytes()));
        let seat = self.shared.broker.join(Wants { from, ..self.wants.clone() }, Instant::now());
        let bell = Arc::new(Bell { thread: thread::current(), rang: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&bell));
        let mut rounds = self.dice.below(60);
        while last || rounds > 0 {
            rounds = rounds.saturating_sub(1);
            let budget = Budget { events: 1 + self.dice.below(6) as usize, bytes: usize::MAX };
            let view = self.shared.broker.view(time());
            bell.rang.store(false, Ordering::SeqCst);
            match seat.poll_pull(&Context::from_waker(&waker), &view, budget) {
                Poll::Ready(pulled) => self.take(&pulled),
                Poll::Pending if last => break,
                Poll::Pending => self.sleep(&bell, &seat),
            }
            if self.dice.below(8) == 0 {
                seat.beat();
            }
        }
        self.left += self.shared.broker.leave(&seat);
    }

    fn sleep(&self, bell: &Bell, seat: &Seat) {
        let asleep = Instant::now();
        while !bell.rang.load(Ordering::SeqCst) && !self.shared.done.load(Ordering::SeqCst) {
            thread::park_timeout(Duration::from_millis(50));
            let lag = seat.progress().lag;
            assert!(asleep.elapsed() < FORGOTTEN || lag == 0, "not woken for {lag} events");
        }
    }

    fn take(&mut self, pulled: &Pulled) {
        self.tally += pulled.tally;
        for item in &pulled.items {
            match item {
                Out::Event(parcel) => {
                    let (id, before) = (parcel.event.id, parcel.event.id.prev());
                    assert!(Some(id) > self.at, "{id} after {:?}", self.at);
                    assert_eq!(self.missing(before), 0, "a silent hole between {:?} and {id}", self.at);
                    assert_eq!(parcel.event.data(), parcel.event.session.as_str());
                    self.at = Some(id);
                }
                Out::Notice(Notice::Gap(gap)) => {
                    let missing = self.missing(gap.then);
                    assert!(matches!(gap.reason, GapReason::Trimmed | GapReason::Overflow), "{gap:?}");
                    assert!(missing > 0, "a false {gap:?}");
                    assert!(gap.missed.is_none_or(|missed| missed == missing), "{missing} missing: {gap:?}");
                    self.at = Some(gap.then);
                }
                Out::Notice(Notice::Connected(id)) => {
                    assert!(self.at.is_none_or(|at| at == *id), "{id} is not {:?}", self.at);
                    self.at = Some(*id);
                }
                Out::Notice(Notice::Ping(id)) => {
                    assert!(Some(*id) >= self.at, "the position goes back from {:?} to {id}", self.at);
                    assert_eq!(self.missing(*id), 0, "a silent hole between {:?} and the ping {id}", self.at);
                    self.at = Some(*id);
                }
                Out::Notice(Notice::Comment) => {}
                other @ (Out::Notice(_) | Out::Part(_)) => panic!("{other:?}"),
            }
        }
    }

    /// Events of its sessions after its position, up to and including this id.
    fn missing(&self, through: EventId) -> u64 {
        let log = self.shared.log.lock();
        let at = self.at.unwrap_or(EventId::MAX);
        let after = &log[log.partition_point(|(id, _)| *id <= at)..];
        let mine = |name: &str| self.wants.sessions.iter().any(|session| session.as_str() == name);
        after.iter().take_while(|(id, _)| *id <= through).filter(|(_, name)| mine(name)).count() as u64
    }
}

struct Bell {
    thread: Thread,
    rang: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Numbers that look random and come again: only the schedule differs from run to run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn time() -> Time {
    Time { now: Instant::now(), ms: 1 }
}

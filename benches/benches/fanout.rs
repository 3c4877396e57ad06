//! What the core adds to each delivery: hub, queue, pull.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use weir_core::event::{Event, EventParts};
use weir_core::hub::Seat;
use weir_core::log::{Feed, Load};
use weir_core::mailbox::MailboxBounds;
use weir_core::subscription::{Budget, Wants};
use weir_core::window::WindowBounds;
use weir_core::{Broker, BrokerBounds, Content, Entry, EventId, Session, Time};

const BUDGET: Budget = Budget { events: 100, bytes: 64 * 1024 };

/// An instance with clients that are live, all of one session.
struct Instance {
    broker: Broker,
    seats: Vec<Arc<Seat>>,
    session: Session,
    time: Time,
    events: Events,
}

/// Makes events, their ids rising.
struct Events {
    next: u64,
}

impl Instance {
    fn with_clients(clients: usize) -> Self {
        let window = WindowBounds { events: 5_000, bytes: 64 << 20, age: None, remembered_sessions: 1_000 };
        let mailbox = MailboxBounds { events: 100, bytes: 1 << 20 };
        let broker = Broker::new(BrokerBounds { window, mailbox, snapshot_bytes: 1 << 20 });
        let time = Time { now: Instant::now(), ms: 1 };
        broker
            .apply(&Feed::Loaded(Load { entries: vec![], floor: EventId::ZERO, head: EventId::ZERO }), time);
        let session = Session::parse("room").expect("valid");
        let wants = Wants { sessions: Box::new([session.clone()]), ..Wants::default() };
        let seats = (0..clients).map(|_| broker.join(wants.clone(), time.now)).collect();
        let this = Self { broker, seats, session, time, events: Events { next: 1 } };
        this.pull(1);
        this
    }

    fn event(&mut self) -> Feed {
        let session = self.session.clone();
        Feed::Batch(vec![self.events.next(session)])
    }

    /// Every client takes what there is for it.
    fn pull(&self, items: usize) {
        let cx = Context::from_waker(Waker::noop());
        for seat in &self.seats {
            let view = self.broker.view(self.time);
            match seat.poll_pull(&cx, &view, BUDGET) {
                Poll::Ready(pulled) => assert_eq!(pulled.items.len(), items),
                Poll::Pending => panic!("there is something to take"),
            }
        }
    }
}

impl Events {
    /// One event to each of these in turn, going on where the last batch ended.
    fn batch(&mut self, sessions: &[Session], count: usize) -> Feed {
        let entry = |_| {
            let next = usize::try_from(self.next).expect("small") % sessions.len();
            self.next(sessions[next].clone())
        };
        Feed::Batch((0..count).map(entry).collect())
    }

    fn next(&mut self, session: Session) -> Entry {
        self.next += 1;
        let id = EventId::new(self.next, 0);
        let data = "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"}}";
        let event =
            Event::new(EventParts { id, session, kind: None, key: None, ts: None, snapshot: None, data });
        Entry { id, content: Content::Event(Arc::new(event)) }
    }
}

fn deliver(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan out and pull");
    for clients in [1, 1_000] {
        let mut instance = Instance::with_clients(clients);
        group.throughput(Throughput::Elements(clients as u64));
        group.bench_function(format!("{clients} clients of one session"), |b| {
            b.iter(|| {
                let feed = instance.event();
                instance.broker.apply(&feed, instance.time);
                instance.pull(1);
            });
        });
    }
    group.finish();
}

/// A batch of the reader for many sessions with one client each, of whom nobody takes anything: the hub alone.
fn route(c: &mut Criterion) {
    const SESSIONS: u64 = 2_000;
    let mut group = c.benchmark_group("hub");
    for (name, listened) in
        [("200 events to 2,000 sessions of one client", SESSIONS), ("200 events that concern nobody", 0)]
    {
        let mut instance = Instance::with_clients(0);
        let sessions: Vec<_> =
            (0..SESSIONS).map(|n| Session::parse(&format!("session:{n}")).expect("valid")).collect();
        let listened = usize::try_from(listened).expect("small");
        let seats: Vec<_> = sessions[..listened]
            .iter()
            .map(|session| {
                let wants = Wants { sessions: Box::new([session.clone()]), ..Wants::default() };
                instance.broker.join(wants, instance.time.now)
            })
            .collect();
        instance.seats = seats;
        instance.pull(1);
        let Instance { broker, events, time, .. } = &mut instance;
        group.throughput(Throughput::Elements(200));
        group.bench_function(name, |b| {
            b.iter_batched(
                || events.batch(&sessions, 200),
                |feed| broker.apply(&feed, *time),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn join(c: &mut Criterion) {
    let instance = Instance::with_clients(1_000);
    let wants = Wants { sessions: Box::new([instance.session.clone()]), ..Wants::default() };
    c.bench_function("join and leave beside 1,000 others", |b| {
        b.iter_batched(
            || wants.clone(),
            |wants| {
                let seat = instance.broker.join(wants, instance.time.now);
                instance.broker.leave(&seat)
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, deliver, route, join);
criterion_main!(benches);

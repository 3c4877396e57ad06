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
        let this = Self { broker, seats, session, time, next: 1 };
        this.pull(1);
        this
    }

    fn event(&mut self) -> Feed {
        self.next += 1;
        let (id, session) = (EventId::new(self.next, 0), self.session.clone());
        let data = "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"}}";
        let event =
            Event::new(EventParts { id, session, kind: None, key: None, ts: None, snapshot: None, data });
        Feed::Batch(vec![Entry { id, content: Content::Event(Arc::new(event)) }])
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

criterion_group!(benches, deliver, join);
criterion_main!(benches);

//! What the queue of one client costs per event, under each policy.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_core::event::{Event, EventParts};
use weir_core::mailbox::{Mailbox, MailboxBounds, Overflow, Parcel};
use weir_core::tally::Tally;
use weir_core::window::{Window, WindowBounds};
use weir_core::{EventId, Key, Session};

const BOUNDS: MailboxBounds = MailboxBounds { events: 100, bytes: 1 << 20 };

/// Twice what the queue holds, so that half of the offers meet a full one.
const OFFERS: usize = 200;

/// As many keys as the queue holds, so that under `latest` every second offer replaces one.
const KEYS: usize = 100;

const POLICIES: [(&str, Overflow); 4] = [
    ("catch-up", Overflow::CatchUp),
    ("drop-oldest", Overflow::DropOldest),
    ("latest", Overflow::Latest),
    ("disconnect", Overflow::Disconnect),
];

/// Events with their places in a window.
fn parcels() -> Vec<Parcel> {
    let bounds = WindowBounds { events: OFFERS, bytes: usize::MAX, age: None, remembered_sessions: 10 };
    let mut window = Window::new(bounds);
    let session = Session::parse("room").expect("valid");
    let at = Instant::now();
    let parcel = |n: usize| {
        let id = EventId::new(1 + n as u64, 0);
        let key = Some(Key::parse(&format!("order:{}", n % KEYS)).expect("valid"));
        let data = "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"}}";
        let parts =
            EventParts { id, session: session.clone(), kind: None, key, ts: None, snapshot: None, data };
        let event = Arc::new(Event::new(parts));
        let seq = window.push(Arc::clone(&event));
        Parcel { event, json: None, seq, at }
    };
    (0..OFFERS).map(parcel).collect()
}

/// One in, one out: a client that keeps up.
fn keep_up(c: &mut Criterion) {
    let parcels = parcels();
    let mut group = c.benchmark_group("mailbox/offer and pop of one that keeps up");
    for (name, policy) in POLICIES {
        let (mut mailbox, mut tally) = (Mailbox::new(BOUNDS, policy, true), Tally::default());
        group.throughput(Throughput::Elements(OFFERS as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                for parcel in &parcels {
                    mailbox.offer(parcel.clone(), &mut tally).expect("it is empty");
                    black_box(mailbox.pop());
                }
            });
        });
    }
    group.finish();
}

/// All in, then all out: a client that stood still while twice as much came as its queue holds.
fn overflow(c: &mut Criterion) {
    let parcels = parcels();
    let mut group = c.benchmark_group("mailbox/200 offers to a queue of 100, then pop all");
    for (name, policy) in POLICIES {
        let (mut mailbox, mut tally) = (Mailbox::new(BOUNDS, policy, true), Tally::default());
        group.throughput(Throughput::Elements(OFFERS as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let taken = parcels
                    .iter()
                    .filter(|parcel| mailbox.offer((*parcel).clone(), &mut tally).is_ok())
                    .count();
                while let Some(queued) = mailbox.pop() {
                    black_box(queued);
                }
                taken
            });
        });
    }
    group.finish();
}

criterion_group!(benches, keep_up, overflow);
criterion_main!(benches);

//! What an event costs once, however many clients get it, and what a control event costs each of them.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_core::{DecodeRules, Event, EventId, EventParts, Session, frame};

const DATA: &str =
    "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"},\"ts\":1795242612340}";

fn encode(c: &mut Criterion) {
    let id = EventId::new(1_795_242_612_345, 0);
    let lines = "a line of a poem\n".repeat(64);
    let mut group = c.benchmark_group("frame");
    let (tiny, large) = ("x".repeat(32), "x".repeat(64 * 1024));
    for (name, data) in [("one line", DATA), ("64 lines", &lines), ("32 B", &tiny), ("64 KiB", &large)] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |b| b.iter(|| frame::encode(id, Some("order.updated"), black_box(data))));
    }
    group.finish();
}

fn encode_others(c: &mut Criterion) {
    let (id, session) = (EventId::new(1_795_242_612_345, 0), Session::parse("user:4711").expect("valid"));
    let event =
        Event::new(EventParts { id, session, kind: None, key: None, ts: None, snapshot: None, data: DATA });
    let mut group = c.benchmark_group("frame");
    group.bench_function("format=json", |b| b.iter(|| frame::encode_json(black_box(&event))));
    let mut out = BytesMut::with_capacity(256);
    group.bench_function("weir.connected with retry", |b| {
        b.iter(|| {
            out.clear();
            frame::put_retry(&mut out, 5_231);
            frame::put_control(&mut out, "connected", Some(black_box(id)), "{\"heartbeat\":15000}");
        });
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    let rules = DecodeRules { default_session: None, max_event_bytes: 256 * 1024 };
    let own = [("session", "user:4711"), ("data", DATA), ("type", "order.updated"), ("ts", "1795242612340")];
    let foreign = [
        ("timestamp", "2026-11-21T08:00:00.000Z"),
        ("event", "order.updated"),
        ("payload", DATA),
        ("session", "u"),
    ];
    let mut group = c.benchmark_group("entry");
    for (name, fields) in [("own fields", own), ("aliases", foreign)] {
        group.bench_function(name, |b| {
            let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            b.iter(|| rules.decode(EventId::new(1, 1), black_box(&fields).iter().copied()));
        });
    }
    group.finish();
}

criterion_group!(benches, encode, encode_others, decode);
criterion_main!(benches);

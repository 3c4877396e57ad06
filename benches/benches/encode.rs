//! What an event costs once, however many clients get it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_core::{DecodeRules, EventId, frame};

const DATA: &str =
    "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"},\"ts\":1795242612340}";

fn encode(c: &mut Criterion) {
    let id = EventId::new(1_795_242_612_345, 0);
    let lines = "a line of a poem\n".repeat(64);
    let mut group = c.benchmark_group("frame");
    for (name, data) in [("one line", DATA), ("64 lines", &lines)] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |b| b.iter(|| frame::encode(id, Some("order.updated"), black_box(data))));
    }
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

criterion_group!(benches, encode, decode);
criterion_main!(benches);

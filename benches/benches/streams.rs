//! Appending to durable streams of one process: alone, where every append waits for a commit of its own, and many at once,
//! who share commits.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use weir_core::durable::{Append, Create, From, MediaType, Payload, StreamName, StreamStore};
use weir_log::{EmbeddedStreams, Engine, Place, StreamLimits};

/// How many append at once.
const CROWD: u64 = 64;

fn append() -> Append {
    let bytes = Bytes::from(vec![b'x'; 100]);
    let payload = Some(Payload { units: bytes.len() as u64, bytes });
    Append { media: Some(MediaType::octets()), payload, close: false, seq: None, producer: None }
}

/// A stream of its own for each of a crowd. No more than some chunks are kept, so that memory stays as it is.
fn streams(runtime: &Runtime, place: Place) -> Arc<EmbeddedStreams> {
    let limits = StreamLimits { maxlen: Some(1000), max_bytes: None };
    let streams = EmbeddedStreams::open(Engine::open(place).expect("opens"), limits).expect("opens");
    for n in 0..CROWD {
        runtime.block_on(streams.create(&name(n), &Create::default())).expect("a new stream");
    }
    streams
}

fn name(n: u64) -> StreamName {
    StreamName::parse(&n.to_string()).expect("a number is a name")
}

fn appends(c: &mut Criterion, what: &str, place: &Place) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let streams = streams(&runtime, place.clone());
    let mut group = c.benchmark_group(format!("streams/{what}"));
    group.throughput(Throughput::Elements(1));
    let one = append();
    group.bench_function("append alone", |b| {
        b.iter(|| runtime.block_on(streams.append(&name(0), &one)).expect("it is taken"));
    });
    group.bench_function("read the newest", |b| {
        let tail = runtime.block_on(streams.head(&name(0))).expect("it is there").tail;
        let from = From::After(weir_core::durable::Offset::new(tail.epoch(), tail.n() - 1));
        b.iter(|| black_box(runtime.block_on(streams.read(&name(0), from, 1 << 20)).expect("it is there")));
    });
    group.bench_function("append in a crowd", |b| {
        b.iter_custom(|count| {
            let left = Arc::new(AtomicU64::new(count));
            let start = std::time::Instant::now();
            runtime.block_on(async {
                let mut crowd = JoinSet::new();
                for n in 0..CROWD {
                    crowd.spawn(keep_appending(Arc::clone(&streams), n, Arc::clone(&left)));
                }
                crowd.join_all().await;
            });
            start.elapsed()
        });
    });
    group.finish();
}

async fn keep_appending(streams: Arc<EmbeddedStreams>, n: u64, left: Arc<AtomicU64>) {
    let (name, one) = (name(n), append());
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        streams.append(&name, &one).await.expect("it is taken");
    }
}

fn in_memory(c: &mut Criterion) {
    appends(c, "memory", &Place::Memory);
}

fn in_a_file(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    appends(c, "file", &Place::Directory(dir.path().to_owned()));
}

criterion_group!(benches, in_memory, in_a_file);
criterion_main!(benches);

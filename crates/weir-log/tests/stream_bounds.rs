//! What bounds the embedded streams, and what is left of them over the lives of a file.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use futures_util::future::join_all;
use weir_core::durable::{
    Append, AppendError, Appended, Create, CreateError, DeleteError, From, Lifetime, Look, MOST_PRODUCERS,
    Offset, PRODUCER_KEPT_MS, ReadError, StreamStore, WakeReader, Woken,
};
use weir_log::{EmbeddedStreams, Engine, Place, StreamLimits, WallClock};
use weir_testkit::stream_suite::ask::{append, by, close, fork, idle, name, stream, text};
use weir_testkit::{DEADLINE, eventually};

/// Some time in 2026.
const START_MS: u64 = 1_795_242_612_345;

fn in_memory(limits: StreamLimits) -> (Arc<EmbeddedStreams>, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(START_MS));
    let time = Arc::clone(&now);
    let clock = WallClock::new(move || time.load(Ordering::Relaxed));
    (EmbeddedStreams::with_clock(Engine::open(Place::Memory).unwrap(), limits, clock).unwrap(), now)
}

fn in_file(dir: &Path, now_ms: u64) -> Arc<EmbeddedStreams> {
    let engine = Engine::open(Place::Directory(dir.to_owned())).unwrap();
    EmbeddedStreams::with_clock(engine, StreamLimits::default(), WallClock::new(move || now_ms)).unwrap()
}

/// Beyond the bound nothing is taken and nothing dropped; what is deleted makes room, to the last byte.
#[tokio::test]
async fn memory_is_bounded_and_given_back() {
    let limits = StreamLimits { max_bytes: Some(1 << 20), maxlen: None };
    let (streams, _) = in_memory(limits);
    let s = stream(&*streams, "s");
    s.make(&text()).await;
    let large = "x".repeat(10_000);
    let mut taken = 0;
    let refused = loop {
        match s.append(&by(append(&large), "p", 0, taken)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full(_)), "{refused}");
    assert!((100..105).contains(&taken), "{taken} of 10 kB in 1 MiB");
    assert!(streams.used_bytes() <= 1 << 20);
    let repeat = s.append(&by(append(&large), "p", 0, taken - 1)).await;
    assert!(matches!(repeat, Ok(Appended::Duplicate { .. })), "a repeat needs no room");
    let with_payload = Create { payload: append(&large).payload, ..text() };
    let created = stream(&*streams, "t").create(&with_payload).await;
    assert!(matches!(created, Err(CreateError::Full(_))), "{created:?}");
    assert_eq!(s.texts_from(From::Begin).await.len() as u64, taken, "nothing is dropped");
    s.append(&close()).await.unwrap();

    stream(&*streams, "f").make(&fork("s")).await;
    streams.delete(&name("s")).await.unwrap();
    let still = stream(&*streams, "f").append(&append(&large)).await;
    assert!(matches!(still, Err(AppendError::Full(_))), "the fork needs it all");
    streams.delete(&name("f")).await.unwrap();
    eventually(DEADLINE, async || {
        ensure!(streams.used_bytes() == 0, "{} bytes are still counted", streams.used_bytes());
        Ok(())
    })
    .await
    .unwrap();
    s.make(&with_payload).await;
}

/// What streams are called, what is known of them and who appends counts too, and is given back to the last byte.
#[tokio::test]
async fn small_streams_with_large_names_are_bounded() {
    let (streams, now) = in_memory(StreamLimits::default());
    let long = |n: usize| format!("{n}{}", "n".repeat(500));
    let used = || streams.used_bytes();
    let first = long(0);
    let s = stream(&*streams, &first);
    s.make(&idle(900)).await;
    let empty = used();
    assert!(empty > 1000 + 100, "{empty}");
    s.append(&by(append("x"), &"p".repeat(256), 0, 0)).await.unwrap();
    assert!(used() > empty + 256 + 128 + 64, "{} with a producer", used() - empty);
    let before = used();
    s.append(&Append { seq: Some("s".repeat(200).into()), ..append("x") }).await.unwrap();
    assert!(used() > before + 200 + 64, "{} with a sequence", used() - before);
    for n in 1..=20 {
        now.fetch_add(1, Ordering::Relaxed);
        stream(&*streams, &long(n)).make(&fork(&long(n - 1))).await;
        stream(&*streams, &long(n)).add("x").await;
        stream(&*streams, &long(n)).append(&by(close(), "q", 0, 0)).await.unwrap();
    }
    for n in 0..=20 {
        streams.delete(&name(&long(n))).await.unwrap();
    }
    eventually(DEADLINE, async || {
        ensure!(used() == 0, "{} bytes are still counted", used());
        Ok(())
    })
    .await
    .unwrap();
}

/// The oldest chunks of a fork go too, but not what it has of its source; of that it has what the source keeps.
#[tokio::test]
async fn a_fork_is_trimmed_by_itself() {
    let (streams, _) = in_memory(StreamLimits { maxlen: Some(3), max_bytes: None });
    let (source, f) = (stream(&*streams, "source"), stream(&*streams, "f"));
    source.make(&text()).await;
    for text in ["1", "2", "3"] {
        source.add(text).await;
    }
    let fork_point = f.make(&fork("source")).await;
    for text in ["4", "5", "6"] {
        f.add(text).await;
    }
    assert_eq!(f.texts().await, ["1", "2", "3", "4", "5", "6"]);
    source.add("x").await;
    assert_eq!(f.texts().await, ["2", "3", "4", "5", "6"], "from what is left");
    assert_eq!(f.read(From::After(Offset::BEGIN)).await.unwrap_err(), ReadError::OffsetGone);
    for _ in 0..3 {
        source.add("x").await;
    }
    assert_eq!(f.texts().await, ["4", "5", "6"]);
    assert_eq!(f.texts_from(From::After(fork_point)).await, ["4", "5", "6"]);
    f.add("7").await;
    assert_eq!(f.texts().await, ["5", "6", "7"]);
    assert_eq!(f.read(From::After(fork_point)).await.unwrap_err(), ReadError::OffsetGone);
}

/// A stream remembers so many producers; those that were silent for the longest time are forgotten first.
#[tokio::test]
async fn producers_are_bounded() {
    let (streams, now) = in_memory(StreamLimits::default());
    let s = stream(&*streams, "s");
    s.make(&text()).await;
    let most = MOST_PRODUCERS;
    for first in (0..most).step_by(1000) {
        now.fetch_add(1, Ordering::Relaxed);
        let appends =
            (first..first + 1000).map(|id| by(append("x"), &id.to_string(), 0, 0)).collect::<Vec<_>>();
        for done in join_all(appends.iter().map(|append| s.append(append))).await {
            done.unwrap();
        }
    }
    now.fetch_add(1, Ordering::Relaxed);
    s.append(&by(append("x"), "5", 0, 1)).await.unwrap();
    let again = async |id: &str, seq| s.append(&by(append("x"), id, 0, seq)).await;
    assert!(matches!(again("6", 0).await, Ok(Appended::Duplicate { .. })), "all of them are known");
    again("one more", 0).await.unwrap();
    assert!(matches!(again("one more", 0).await, Ok(Appended::Duplicate { .. })));
    assert!(matches!(again("5", 1).await, Ok(Appended::Duplicate { .. })), "it was not silent");
    assert!(matches!(again("9999", 0).await, Ok(Appended::Duplicate { .. })));
    assert_eq!(again("6", 1).await, Err(AppendError::Gap { expected: 0, received: 1 }), "it was");

    now.fetch_add(PRODUCER_KEPT_MS + 1, Ordering::Relaxed);
    assert!(
        matches!(again("one more", 0).await, Ok(Appended::Written { .. })),
        "nobody is remembered for ever"
    );
}

/// What has expired is cleared away also where nobody asks for it, and who follows it is told.
#[tokio::test]
async fn expired_streams_are_swept() {
    let (streams, now) = in_memory(StreamLimits::default());
    for n in 0..600 {
        let its = n.to_string();
        let until = Lifetime::Until { at_ms: START_MS + 5000 + n, text: "then".into() };
        let create = if n % 2 == 0 { idle(5) } else { Create { lifetime: Some(until), ..text() } };
        stream(&*streams, &its).make(&create).await;
        stream(&*streams, &its).add("x").await;
    }
    now.fetch_add(4000, Ordering::Relaxed);
    stream(&*streams, "0").add("renewed").await;
    // What was announced before is not heard, and from here on nothing is but that they are gone.
    let mut wakes = streams.wakes();
    now.fetch_add(2000, Ordering::Relaxed);
    let one = 512 + 2 * (64 + 8);
    eventually(DEADLINE, async || {
        ensure!(streams.used_bytes() < one, "{} bytes are left", streams.used_bytes());
        Ok(())
    })
    .await
    .unwrap();
    let woken = tokio::time::timeout(DEADLINE, wakes.next()).await.unwrap();
    assert!(matches!(woken, Woken::Streams(gone) if gone.len() > 1));
    assert_eq!(stream(&*streams, "0").texts().await, ["x", "renewed"]);
    now.fetch_add(5000, Ordering::Relaxed);
    eventually(DEADLINE, async || {
        ensure!(streams.used_bytes() == 0);
        Ok(())
    })
    .await
    .unwrap();
}

/// A file is read as it was left. What one life has appended and lost, as with a backup, has not the offsets of what another
/// appends in its place.
#[tokio::test]
async fn a_file_has_many_lives() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weir.redb");
    let one = {
        let streams = in_file(dir.path(), START_MS);
        stream(&*streams, "s").make(&text()).await;
        stream(&*streams, "s").append(&by(append("one"), "p", 0, 0)).await.unwrap();
        streams.head(&name("s")).await.unwrap().tail
    };
    let backup = std::fs::read(&file).unwrap();
    let lost = {
        let streams = in_file(dir.path(), START_MS + 1000);
        let s = stream(&*streams, "s");
        assert_eq!(streams.head(&name("s")).await.unwrap().tail, one, "nothing was appended since");
        let lost = s.add("lost").await;
        assert_eq!((lost.n(), lost.epoch()), (2, START_MS + 1000));
        assert_eq!(s.texts_from(From::After(one)).await, ["lost"]);
        assert!(matches!(s.append(&by(append("one"), "p", 0, 0)).await, Ok(Appended::Duplicate { .. })));
        lost
    };
    std::fs::write(&file, backup).unwrap();
    let streams = in_file(dir.path(), START_MS + 2000);
    let s = stream(&*streams, "s");
    let two = s.add("two").await;
    assert!(two.n() == lost.n() && two > lost);
    assert_eq!(s.read(From::After(lost)).await.unwrap_err(), ReadError::OffsetGone);
    assert_eq!(s.texts_from(From::After(one)).await, ["two"]);
    // A clock that was set back makes no offset twice.
    drop(streams);
    let streams = in_file(dir.path(), START_MS - 5000);
    assert!(stream(&*streams, "s").add("three").await > two);
}

/// What is damaged is refused to those who ask for it, and holds up nobody else.
#[tokio::test]
async fn a_damaged_stream_is_nobody_elses_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["before", "damaged", "fork", "expires"];
    {
        let streams = in_file(dir.path(), START_MS);
        stream(&*streams, "before").make(&text()).await;
        stream(&*streams, "damaged").make(&idle(5)).await;
        stream(&*streams, "fork")
            .make(&Create { lifetime: Some(Lifetime::Forever), ..fork("damaged") })
            .await;
        stream(&*streams, "expires").make(&idle(5)).await;
    }
    {
        let database = redb::Database::open(dir.path().join("weir.redb")).unwrap();
        let txn = database.begin_write().unwrap();
        let names = redb::TableDefinition::<&str, &[u8]>::new("streams");
        txn.open_table(names).unwrap().insert("damaged", &b"{}"[..]).unwrap();
        txn.commit().unwrap();
    }
    let now = Arc::new(AtomicU64::new(START_MS));
    let time = Arc::clone(&now);
    let clock = WallClock::new(move || time.load(Ordering::Relaxed));
    let engine = Engine::open(Place::Directory(dir.path().to_owned())).unwrap();
    let streams = EmbeddedStreams::with_clock(engine, StreamLimits::default(), clock).unwrap();
    let one = append("x");
    let names: Vec<_> = (0..100).map(|n| name(all[n % 4])).collect();
    let appended = join_all(names.iter().map(|name| streams.append(name, &one))).await;
    for (name, appended) in names.iter().zip(appended) {
        let is_refused = matches!(appended, Err(AppendError::Unavailable(_)));
        assert_eq!(is_refused, name.as_str() == "damaged", "{name}: {appended:?}");
    }
    let looks = streams.look(&names[..4]).await.unwrap();
    assert!(matches!(looks[..], [Look::At { .. }, Look::Missing, Look::At { .. }, Look::At { .. }]));
    let damaged = stream(&*streams, "damaged");
    assert!(matches!(damaged.lack().await, Some(ReadError::Unavailable(_))));
    assert!(matches!(damaged.create(&text()).await, Err(CreateError::Unavailable(_))));
    let forked = stream(&*streams, "g").create(&fork("damaged")).await;
    assert!(matches!(forked, Err(CreateError::Unavailable(_))));
    assert!(matches!(streams.delete(&name("damaged")).await, Err(DeleteError::Unavailable(_))));
    streams.delete(&name("fork")).await.unwrap();

    let mut wakes = streams.wakes();
    now.fetch_add(6000, Ordering::Relaxed);
    let woken = tokio::time::timeout(DEADLINE, wakes.next()).await.unwrap();
    assert_eq!(woken, Woken::Streams(vec![name("expires")]));
}

/// Nothing is left, and what is made again under an old name has not the offsets of what was lost.
#[tokio::test]
async fn a_restart_in_memory_takes_no_old_offset_for_its_own() {
    let lost = {
        let (streams, _) = in_memory(StreamLimits::default());
        stream(&*streams, "s").make(&text()).await;
        stream(&*streams, "s").add("lost").await
    };
    let (streams, now) = in_memory(StreamLimits::default());
    now.fetch_add(1000, Ordering::Relaxed);
    let s = stream(&*streams, "s");
    assert_eq!(s.read(From::After(lost)).await.unwrap_err(), ReadError::Missing);
    s.make(&text()).await;
    let new = s.add("new").await;
    assert!(new.n() == lost.n() && new > lost);
    assert_eq!(s.read(From::After(lost)).await.unwrap_err(), ReadError::OffsetGone);
}

/// However much is appended, memory stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appends_to_a_file_take_no_memory() {
    const MANY: u64 = 50_000;
    let dir = tempfile::tempdir().unwrap();
    let streams = in_file(dir.path(), START_MS);
    stream(&*streams, "s").make(&text()).await;
    let line = "x".repeat(2000);
    let mut after_some = 0;
    for round in 0..MANY / 500 {
        let one = append(&line);
        for done in join_all((0..500).map(|_| stream(&*streams, "s").append(&one))).await {
            done.unwrap();
        }
        if round == MANY / 500 / 4 {
            after_some = resident_kib();
        }
    }
    let tail = streams.head(&name("s")).await.unwrap().tail;
    assert_eq!(tail.n(), MANY);
    let grown = resident_kib().saturating_sub(after_some);
    // The cache of pages goes on to fill up, to its bound. Three quarters of what was appended are 75 MB.
    assert!(grown < 60 << 10, "{grown} KiB more for the last three quarters");
}

/// Of this process, without what the system can take away at once.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    anonymous.trim().trim_end_matches(" kB").parse().unwrap()
}

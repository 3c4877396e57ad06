//! A disk that does not answer: nobody waits for it for ever, neither whoever asks for something nor the end of the process.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use weir_core::Revocation;
use weir_core::durable::{AppendError, Appended, Create, CreateError, DeleteError, From, StreamStore};
use weir_core::log::{AppendError as Unpublished, EventLog, RevokeError};
use weir_log::{EmbeddedConfig, EmbeddedLog, EmbeddedStreams, Engine, Place, StreamLimits, WallClock};
use weir_testkit::log_suite::follow::{plain, write_numbers};
use weir_testkit::stream_suite::ask::{append, by, name, payload, stream, text};
use weir_testkit::{DEADLINE, eventually};

/// Some time in 2026.
const NOW_MS: u64 = 1_795_242_612_345;

/// Where the writer stands still, as it does where the disk does not answer.
#[derive(Clone, Default)]
struct Disk(Arc<(Mutex<bool>, Condvar)>);

impl Disk {
    fn stands_still(&self) {
        *self.0.0.lock().unwrap() = true;
    }

    fn goes_on(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    /// Everything that is written asks for the time, on the writer's thread.
    fn clock(&self) -> WallClock {
        let disk = self.clone();
        WallClock::new(move || {
            if std::thread::current().name() == Some("weir-writer") {
                let (stands, changed) = &*disk.0;
                drop(changed.wait_while(stands.lock().unwrap(), |stands| *stands).unwrap());
            }
            NOW_MS
        })
    }
}

fn engine(dir: &Path) -> Arc<Engine> {
    Engine::open(Place::Directory(dir.to_owned())).unwrap()
}

fn streams(engine: &Arc<Engine>, disk: &Disk) -> Arc<EmbeddedStreams> {
    EmbeddedStreams::with_clock(Arc::clone(engine), StreamLimits::default(), disk.clock()).unwrap()
}

fn log(engine: &Arc<Engine>, disk: &Disk) -> Arc<EmbeddedLog> {
    let config = EmbeddedConfig {
        maxlen: 100,
        max_age: None,
        max_bytes: 1 << 20,
        read_count: 10,
        read_block: Duration::from_millis(20),
    };
    EmbeddedLog::open_in_with_clock(Arc::clone(engine), config, disk.clock()).unwrap()
}

/// Whoever waits hears in time that it is not known, what is there is read, and what has piled up is bounded. When the disk
/// goes on, what was ordered is done.
#[tokio::test]
async fn whoever_asks_hears_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, disk) = (engine(dir.path()), Disk::default());
    let (streams, log) = (streams(&engine, &disk), log(&engine, &disk));
    let s = stream(&*streams, "s");
    s.make(&text()).await;
    s.add("before").await;
    write_numbers(&*log, 0..1).await;
    disk.stands_still();
    // From here on the time passes as soon as everybody waits.
    tokio::time::pause();
    let first = by(append("first"), "p", 0, 0);
    assert!(matches!(s.append(&first).await, Err(AppendError::OutcomeUnknown(_))));
    let made = stream(&*streams, "t").create(&text()).await;
    assert!(matches!(made, Err(CreateError::OutcomeUnknown(_))), "{made:?}");
    let deleted = streams.delete(&name("gone")).await;
    assert!(matches!(deleted, Err(DeleteError::OutcomeUnknown(_))), "{deleted:?}");
    let published = log.append(&[plain(1)], None).await;
    assert!(matches!(published, Err(Unpublished::OutcomeUnknown(_))), "{published:?}");
    assert_eq!(log.facts().writable, Some(false));
    let revoked = log.revoke(&Revocation::new("ann", NOW_MS, None).unwrap()).await;
    assert!(matches!(revoked, Err(RevokeError::OutcomeUnknown(_))), "{revoked:?}");
    assert_eq!(s.texts().await, ["before"]);

    let large = append(&"x".repeat(1 << 20));
    let mut waiting = 0;
    let refused = loop {
        match s.append(&large).await {
            Err(AppendError::OutcomeUnknown(_)) => waiting += 1,
            other => break other,
        }
        assert!(waiting < 100, "memory is not bounded");
    };
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    let with_payload = Create { payload: Some(payload(&"x".repeat(1 << 20))), ..text() };
    let refused = stream(&*streams, "u").create(&with_payload).await;
    assert!(matches!(refused, Err(CreateError::Unavailable(_))), "{refused:?}");
    assert!(waiting > 32, "as much as bodies may take up together is taken: {waiting}");

    disk.goes_on();
    tokio::time::resume();
    eventually(DEADLINE, async || Ok(anyhow::Ok(s.append(&large).await)??)).await.unwrap();
    assert_eq!(log.facts().writable, Some(true));
    assert!(matches!(s.append(&first).await, Ok(Appended::Duplicate { .. })), "it was done");
    assert_eq!(streams.head(&name("s")).await.unwrap().tail.n(), 2 + waiting + 1);
    assert!(!stream(&*streams, "t").create(&text()).await.unwrap().is_new);
}

/// The end is not held up, and what was ordered before it is done if the disk comes back in time for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_waits_no_longer_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, disk) = (engine(dir.path()), Disk::default());
    let streams = streams(&engine, &disk);
    stream(&*streams, "s").make(&text()).await;
    disk.stands_still();
    let waiting = append("waiting");
    let (s, begun) = (name("s"), Instant::now());
    let mut last = streams.append(&s, &waiting);
    assert!(futures_util::poll!(&mut last).is_pending());
    assert!(!engine.close(Duration::from_millis(100)));
    let after = stream(&*streams, "s").append(&append("after")).await;
    assert!(matches!(after, Err(AppendError::Unavailable(_))), "{after:?}");
    drop(last);
    drop(streams);
    drop(engine);
    assert!(begun.elapsed() < Duration::from_secs(4), "it was waited for: {:?}", begun.elapsed());

    disk.goes_on();
    let reopened = eventually(DEADLINE, async || Ok(Engine::open(Place::Directory(dir.path().into()))?));
    let streams = EmbeddedStreams::open(reopened.await.unwrap(), StreamLimits::default()).unwrap();
    assert_eq!(stream(&*streams, "s").texts_from(From::Begin).await, ["waiting"]);
}

/// Without such a disk it is closed when that is said, whoever still holds it.
#[tokio::test]
async fn what_is_closed_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let (first, disk) = (engine(dir.path()), Disk::default());
    let before = streams(&first, &disk);
    stream(&*before, "s").make(&text()).await;
    stream(&*before, "s").add("before").await;
    assert!(first.close(DEADLINE) && first.close(DEADLINE));
    let after = streams(&engine(dir.path()), &disk);
    assert_eq!(stream(&*after, "s").texts().await, ["before"]);
}

/// Also where nobody has closed it.
#[tokio::test]
async fn an_engine_that_is_dropped_does_not_wait_for_ever() {
    let (engine, disk) = (Engine::open(Place::Memory).unwrap(), Disk::default());
    let streams = streams(&engine, &disk);
    drop(engine);
    disk.stands_still();
    let (s, create) = (name("s"), text());
    let mut last = streams.create(&s, &create);
    assert!(futures_util::poll!(&mut last).is_pending());
    drop(last);
    let dropped = tokio::task::spawn_blocking(move || drop(streams));
    tokio::time::timeout(DEADLINE, dropped).await.expect("it has an end").unwrap();
    disk.goes_on();
}

//! What a life of the log leaves to the next.

use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableHandle as _};
use tokio::task::JoinSet;
use weir_core::Revocation;
use weir_core::entry::Content;
use weir_core::id::EventId;
use weir_core::log::{AppendError, Appended, EventLog, Feed, IDEMPOTENCY_SECS, Idempotency, Load, NewEvent};
use weir_log::{EmbeddedConfig, EmbeddedLog};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{events, loaded, next_news, numbers, plain, write, write_numbers};

use super::{Hands, START_MS, config, engine, open};

const FILE: &str = "weir.redb";

/// A log whose lives follow one another in one directory.
struct Lives {
    dir: tempfile::TempDir,
    hands: Hands,
    config: EmbeddedConfig,
    log: Option<Arc<EmbeddedLog>>,
}

impl Lives {
    fn begin(limits: Limits) -> Self {
        let (dir, hands, config) = (tempfile::tempdir().unwrap(), Hands::new(), config(limits));
        let log = open(dir.path(), config.clone(), &hands).unwrap();
        Self { dir, hands, config, log: Some(log) }
    }

    fn log(&self) -> &Arc<EmbeddedLog> {
        self.log.as_ref().unwrap()
    }

    fn end(&mut self) {
        self.log = None;
    }

    async fn again(&mut self) -> Load {
        self.end();
        self.log = Some(open(self.dir.path(), self.config.clone(), &self.hands).unwrap());
        self.load().await
    }

    async fn load(&self) -> Load {
        loaded(&mut self.log().reader()).await
    }

    fn rows(&self, table: &str) -> u64 {
        let file = Database::create(self.dir.path().join(FILE)).unwrap();
        let reading = file.begin_read().unwrap();
        let handle = reading.list_tables().unwrap().find(|handle| handle.name() == table).unwrap();
        reading.open_untyped_table(handle).unwrap().len().unwrap()
    }
}

fn data(load: &Load) -> Vec<String> {
    let texts = load.entries.iter().filter_map(|entry| match &entry.content {
        Content::Event(event) => Some(event.data().to_owned()),
        Content::Revoked(_) | Content::Malformed(..) | Content::Internal => None,
    });
    texts.collect()
}

fn keyed(digest: u8) -> Idempotency {
    Idempotency { scope: "a".to_owned(), key: "k".to_owned(), digest: [digest; 32] }
}

#[tokio::test]
async fn what_was_acknowledged_is_loaded_in_its_order() {
    let mut lives = Lives::begin(Limits::default());
    let ids = write_numbers(&**lives.log(), 0..30).await;
    let load = lives.again().await;
    let loaded: Vec<_> = load.entries.iter().map(|entry| entry.id).collect();
    assert_eq!((loaded, load.head, load.floor), (ids.clone(), ids[29], ids[0].prev()));
    let facts = lives.log().facts();
    assert_eq!((facts.length, facts.newest), (Some(30), Some(ids[29])));
}

/// Also where all entries are gone, and the clock has gone back.
#[tokio::test]
async fn ids_rise_for_ever() {
    let mut lives = Lives::begin(Limits::default());
    let old = write_numbers(&**lives.log(), 0..3).await;
    lives.hands.set(START_MS - 3_600_000);
    let load = lives.again().await;
    assert_eq!(load.head, old[2]);
    let new = write_numbers(&**lives.log(), 3..5).await;
    assert_eq!(new, [old[2].next(), old[2].next().next()]);

    lives.config.max_age = Some(Duration::from_secs(60));
    lives.hands.set(START_MS + 120_000);
    let load = lives.again().await;
    assert_eq!((load.entries.len(), load.head, load.floor), (0, new[1], new[1]));
    lives.hands.set(0);
    assert_eq!(write_numbers(&**lives.log(), 5..6).await, [new[1].next()]);
}

/// The file holds little more than the window does, and is not touched for each entry that leaves it.
#[tokio::test]
async fn the_file_is_trimmed_in_pieces() {
    let mut lives = Lives::begin(Limits { maxlen: 10, read_count: 100 });
    write_numbers(&**lives.log(), 0..50).await;
    lives.end();
    assert_eq!(lives.rows("events.entries"), 50);
    let load = lives.again().await;
    assert_eq!(data(&load).len(), 10);
    write_numbers(&**lives.log(), 50..1000).await;
    lives.end();
    let rows = lives.rows("events.entries");
    assert!((10..=10 + 64).contains(&rows), "{rows}");
    assert_eq!(data(&lives.again().await).first().map(String::as_str), Some("990"));
    // Bounded by bytes, too.
    lives.config.max_bytes = 1;
    assert_eq!(data(&lives.again().await), ["999"]);
}

#[tokio::test]
async fn a_snapshot_lives_for_the_rest_of_its_time() {
    let mut lives = Lives::begin(Limits { maxlen: 1, read_count: 10 });
    let kept = |data: &str| NewEvent { snapshot: Some(60), ..plain(data) };
    write(&**lives.log(), &[kept("1")]).await;
    let ids = write(&**lives.log(), &[kept("2"), plain("3")]).await;
    lives.hands.set(START_MS + 40_000);
    lives.again().await;
    let session = plain("").session;
    let snapshot = lives.log().snapshot(&session).await.unwrap().expect("it is kept");
    assert_eq!((snapshot.id, snapshot.data(), snapshot.snapshot), (ids[0], "2", Some(60)));
    lives.hands.set(START_MS + 60_000);
    assert!(lives.log().snapshot(&session).await.unwrap().is_none());
    lives.again().await;
    assert!(lives.log().snapshot(&session).await.unwrap().is_none());
    // The file drops those that were replaced, or are over, with what is written next.
    write(&**lives.log(), &[plain("4")]).await;
    lives.end();
    assert_eq!(lives.rows("events.snapshots"), 0);
}

#[tokio::test]
async fn a_repeat_is_recognised_by_the_next_life() {
    let mut lives = Lives::begin(Limits::default());
    let Ok(Appended::Written(ids)) = lives.log().append(&[plain(0), plain(1)], Some(&keyed(1))).await else {
        panic!("not written")
    };
    lives.hands.set(START_MS + (IDEMPOTENCY_SECS - 1) * 1000);
    lives.again().await;
    let again = lives.log().append(&[plain(0), plain(1)], Some(&keyed(1))).await;
    assert_eq!(again, Ok(Appended::Duplicate(ids)));
    assert_eq!(lives.log().append(&[plain(9)], Some(&keyed(2))).await, Err(AppendError::Conflict));
    lives.hands.set(START_MS + IDEMPOTENCY_SECS * 1000);
    lives.again().await;
    assert!(matches!(lives.log().append(&[plain(9)], Some(&keyed(2))).await, Ok(Appended::Written(_))));
    lives.end();
    assert_eq!(lives.rows("events.repeats"), 1);
}

#[tokio::test]
async fn a_revocation_holds_in_the_next_life() {
    let mut lives = Lives::begin(Limits { maxlen: 1, read_count: 10 });
    assert!(lives.log().lasts());
    let held =
        |subject: &str, secs: u64| Revocation::new(subject, START_MS, Some(START_MS + secs * 1000)).unwrap();
    for (subject, secs) in [("ann", 600), ("ann", 60), ("bob", 60)] {
        lives.log().revoke(&held(subject, secs)).await.unwrap();
    }
    lives.log().revoke(&Revocation::new("cid", START_MS, None).unwrap()).await.unwrap();
    write_numbers(&**lives.log(), 0..9).await;
    lives.hands.set(START_MS + 60_000);
    lives.end();
    lives.log = Some(open(lives.dir.path(), lives.config.clone(), &lives.hands).unwrap());
    let mut reader = lives.log().reader();
    let Feed::Revoked(told) = next_news(&mut reader).await else { panic!("not told") };
    assert_eq!(told, [held("ann", 600)]);
    loaded(&mut reader).await;
    drop(reader);
    // What is over leaves the file with the next one.
    lives.log().revoke(&held("dan", 600)).await.unwrap();
    lives.end();
    assert_eq!(lives.rows("events.revocations"), 2);
}

/// What is over leaves the file also where nothing is published any more.
#[tokio::test]
async fn a_quiet_log_forgets_in_time() {
    let mut lives = Lives::begin(Limits::default());
    lives.config.max_age = Some(Duration::from_secs(60));
    lives.again().await;
    let kept = NewEvent { snapshot: Some(60), ..plain("1") };
    lives.log().append(&[kept], Some(&keyed(1))).await.unwrap();
    let mut now = START_MS + (IDEMPOTENCY_SECS + 1) * 1000;
    let tables = ["events.entries", "events.snapshots", "events.repeats"];
    for _ in 0..20 {
        now += 60_000;
        lives.hands.set(now);
        // The writer looks after it every half second.
        tokio::time::sleep(Duration::from_millis(600)).await;
        lives.end();
        if tables.map(|table| lives.rows(table)) == [0, 0, 0] {
            // And the ids go on all the same, above what is gone.
            let head = lives.again().await.head;
            let new = write_numbers(&**lives.log(), 0..1).await;
            let load = lives.again().await;
            assert_eq!((load.floor, load.entries[0].id), (head, new[0]));
            assert!(head.ms >= START_MS && new[0] > head);
            return;
        }
        lives.again().await;
    }
    panic!("{:?} rows are left", tables.map(|table| lives.rows(table)));
}

/// Whoever asks for the same while it is on its way to the disk gets what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn repeats_side_by_side_are_one_publish() {
    let lives = Lives::begin(Limits::default());
    let mut reader = lives.log().reader();
    loaded(&mut reader).await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let log = Arc::clone(lives.log());
        calls.spawn(async move { log.append(&[plain(7)], Some(&keyed(1))).await.unwrap() });
    }
    let (mut written, mut all) = (0, Vec::new());
    for call in calls.join_all().await {
        match call {
            Appended::Written(ids) => {
                written += 1;
                all.push(ids);
            }
            Appended::Duplicate(ids) => all.push(ids),
        }
    }
    all.dedup();
    assert_eq!((written, all.len()), (1, 1));
    write_numbers(&**lives.log(), 8..9).await;
    assert_eq!(numbers(&events(&mut reader, 2).await), [7, 8]);
}

/// Many publishers at once, and each sees its own in the order of the ids; so does whoever reads, in this life and the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_order_of_ids_is_the_order_of_what_is_seen() {
    let mut lives = Lives::begin(Limits::default());
    let mut reader = lives.log().reader();
    loaded(&mut reader).await;
    let mut publishers = JoinSet::new();
    for _ in 0..64 {
        let log = Arc::clone(lives.log());
        publishers.spawn(async move { write_numbers(&*log, 0..25).await });
    }
    let seen: Vec<EventId> = events(&mut reader, 1600).await.iter().map(|event| event.id).collect();
    assert!(seen.is_sorted() && seen.windows(2).all(|two| two[0] < two[1]));
    let mut acknowledged = Vec::new();
    for ids in publishers.join_all().await {
        assert!(ids.is_sorted());
        acknowledged.extend(ids);
    }
    drop(reader);
    acknowledged.sort();
    assert_eq!(acknowledged, seen);
    let load = lives.again().await;
    assert_eq!(load.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), seen);
}

/// A publisher that went away has published all the same, once.
#[tokio::test]
async fn who_leaves_while_it_is_written_leaves_a_whole_publish() {
    let lives = Lives::begin(Limits::default());
    let mut reader = lives.log().reader();
    loaded(&mut reader).await;
    let batch = [plain(1), plain(2)];
    let key = keyed(1);
    let mut append = lives.log().append(&batch, Some(&key));
    // Polled once: it is on its way now.
    assert!(futures_util::poll!(&mut append).is_pending());
    drop(append);
    assert_eq!(numbers(&events(&mut reader, 2).await), [1, 2]);
    assert!(matches!(lives.log().append(&batch, Some(&key)).await, Ok(Appended::Duplicate(_))));
}

/// Two at once would each believe to be alone.
#[tokio::test]
async fn a_directory_has_one_log() {
    let lives = Lives::begin(Limits::default());
    let error = engine(lives.dir.path()).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

/// A file that is torn or overwritten is never taken for what was written.
#[tokio::test]
async fn a_damaged_file_is_refused() {
    let mut lives = Lives::begin(Limits::default());
    let file = lives.dir.path().join(FILE);
    let batch: Vec<_> = (0..1000).map(|number| plain(format!("{number} {}", "x".repeat(200)))).collect();
    write(&**lives.log(), &batch).await;
    lives.end();
    let whole = std::fs::read(&file).unwrap();
    let text = whole.windows(9).position(|bytes| bytes == b"xxxxxxxxx").unwrap();
    for (what, damage) in damages(&whole, text) {
        std::fs::write(&file, damage).unwrap();
        let error = engine(lives.dir.path()).expect_err(what);
        let said = error.to_string();
        assert!(said.contains("weir.redb") && said.contains("restore it"), "{what}: {said}");
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(lives.again().await.entries.len(), 1000);
}

fn damages(whole: &[u8], text: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut flipped = whole.to_vec();
    flipped[text] ^= 1;
    let mut overwritten = whole.to_vec();
    let half = whole.len() / 2;
    overwritten[8192..half].fill(0xa5);
    let mut headless = whole.to_vec();
    headless[..512].fill(0);
    vec![
        ("a flipped bit", flipped),
        ("overwritten", overwritten),
        ("without its head", headless),
        ("cut", whole[..whole.len() / 3].to_vec()),
        ("something else", b"this is no database".repeat(1000)),
    ]
}

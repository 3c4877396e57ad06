//! What the log keeps besides entries, and within which bounds.

use std::time::Duration;

use weir_core::log::{AppendError, Appended, IDEMPOTENCY_SECS, Idempotency};
use weir_core::name::Session;

use super::follow::{events, eventually, loaded, next, numbers, plain, write, write_numbers};
use super::{Backend, Instance, Limits};

fn keyed(scope: &str, digest: u8) -> Idempotency {
    Idempotency { scope: scope.to_owned(), key: "k".to_owned(), digest: [digest; 32] }
}

/// A repeated publish is answered with the first ids by any instance and adds nothing.
pub async fn a_repeat_writes_nothing<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let other = backend.join().await;
    let news = [plain(0), plain(1)];
    let Ok(Appended::Written(ids)) = log.append(&news, Some(&keyed("a", 1))).await else {
        panic!("not written")
    };
    assert_eq!(ids.len(), 2);
    for log in [&log, &other.log] {
        assert_eq!(log.append(&news, Some(&keyed("a", 1))).await, Ok(Appended::Duplicate(ids.clone())));
    }
    write_numbers(&*log, 2..3).await;
    assert_eq!(numbers(&events(&mut *reader, 3).await), [0, 1, 2]);
}

/// The same key with other content is refused and adds nothing.
pub async fn other_content_under_one_key_is_a_conflict<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    assert!(matches!(log.append(&[plain(0)], Some(&keyed("a", 1))).await, Ok(Appended::Written(_))));
    assert_eq!(log.append(&[plain(9)], Some(&keyed("a", 2))).await, Err(AppendError::Conflict));
    write_numbers(&*log, 1..2).await;
    assert_eq!(numbers(&events(&mut *reader, 2).await), [0, 1]);
}

/// Two publishers may use the same key.
pub async fn a_key_belongs_to_its_scope<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, .. } = backend.join().await;
    for scope in ["a", "b"] {
        assert!(matches!(log.append(&[plain(0)], Some(&keyed(scope, 1))).await, Ok(Appended::Written(_))));
    }
}

/// A key is remembered just short of its time and forgotten after it.
pub async fn a_repeat_is_forgotten_in_time<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, .. } = backend.join().await;
    assert!(matches!(log.append(&[plain(0)], Some(&keyed("a", 1))).await, Ok(Appended::Written(_))));
    backend.pass(Duration::from_secs(IDEMPOTENCY_SECS - 60)).await;
    assert!(matches!(log.append(&[plain(0)], Some(&keyed("a", 1))).await, Ok(Appended::Duplicate(_))));
    backend.pass(Duration::from_secs(61)).await;
    assert!(matches!(log.append(&[plain(0)], Some(&keyed("a", 1))).await, Ok(Appended::Written(_))));
}

/// A session's snapshot is the newest event that asked for it, whole, on every instance.
pub async fn a_snapshot_is_the_newest<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, .. } = backend.join().await;
    let other = backend.join().await;
    let kept = |data: &str| weir_core::log::NewEvent { snapshot: Some(60), ..plain(data) };
    let session = plain("").session;
    assert!(log.snapshot(&session).await.expect("the log answers").is_none());
    write(&*log, &[kept("1")]).await;
    write(&*log, &[kept("2"), plain("3"), kept("4\n\0é")]).await;
    let ids = write(&*log, &[kept("5\n\0é"), plain("6")]).await;
    for log in [&log, &other.log] {
        let snapshot = log.snapshot(&session).await.expect("the log answers").expect("there is one");
        assert_eq!((snapshot.id, snapshot.data(), snapshot.snapshot), (ids[0], "5\n\0é", Some(60)));
        assert_eq!(snapshot.session, session);
    }
    let quiet = Session::parse("quiet").expect("a session");
    assert!(log.snapshot(&quiet).await.expect("the log answers").is_none());
}

/// A snapshot lives as long as it was asked to, however often the log is written meanwhile.
pub async fn snapshots_expire<B: Backend>() {
    let backend = B::start(Limits { maxlen: 10, read_count: 10 }).await;
    let Instance { log, .. } = backend.join().await;
    let kept = weir_core::log::NewEvent { snapshot: Some(60), ..plain("x") };
    write(&*log, std::slice::from_ref(&kept)).await;
    write_numbers(&*log, 0..300).await;
    backend.pass(Duration::from_secs(30)).await;
    assert!(log.snapshot(&kept.session).await.expect("the log answers").is_some());
    backend.pass(Duration::from_secs(31)).await;
    assert!(log.snapshot(&kept.session).await.expect("the log answers").is_none());
}

/// However much is written, the log keeps its cap.
pub async fn the_cap_holds<B: Backend>() {
    let backend = B::start(Limits { maxlen: 50, read_count: 20 }).await;
    let Instance { log, .. } = backend.join().await;
    let ids = write_numbers(&*log, 0..400).await;
    let batch: Vec<_> = (400..800).map(plain).collect();
    let newest = *[ids, write(&*log, &batch).await].concat().last().expect("ids");
    eventually("facts of the newest entry", async || log.facts().newest == Some(newest)).await;
    let length = log.facts().length.expect("a log that answers knows its length");
    assert!((50..=50 + B::SLACK).contains(&length), "{length} entries");
}

/// Facts follow the log; at rest nothing is pending and nothing lags.
pub async fn facts_tell_what_is_known<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let ids = write_numbers(&*log, 0..20).await;
    events(&mut *reader, 20).await;
    eventually("a log at rest", async || {
        next(&mut *reader).await;
        let facts = log.facts();
        facts.up
            && (facts.length, facts.oldest, facts.newest)
                == (Some(20), ids.first().copied(), ids.last().copied())
            && (facts.read, facts.pending, facts.lag) == (ids.last().copied(), Some(0), Some(0))
            && facts.pending_oldest_ms.is_none()
    })
    .await;
}

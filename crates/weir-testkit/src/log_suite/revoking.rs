//! What the log tells instances of tokens that are refused.

use std::time::Duration;

use weir_core::Revocation;
use weir_core::entry::Content;
use weir_core::log::{EventLog, Feed, LogReader};

use super::follow::{entries, loaded, next_news, plain, write, write_numbers};
use super::{Backend, Instance, Limits};

/// How long tokens are refused in these tests.
const FOR: Duration = Duration::from_secs(600);

/// Now by the clock of the log.
async fn now_ms(log: &dyn EventLog) -> u64 {
    write(log, &[plain("what time is it")]).await[0].ms
}

async fn revoke(log: &dyn EventLog, subject: &str, held: Option<Duration>) -> Revocation {
    let at_ms = now_ms(log).await;
    let until_ms = held.map(|held| at_ms + u64::try_from(held.as_millis()).expect("a few minutes"));
    let revocation = Revocation::new(subject, at_ms, until_ms).expect("a subject");
    log.revoke(&revocation).await.expect("the log takes it");
    revocation
}

/// What a reader that comes now is told before its load.
async fn told_at_first(reader: &mut dyn LogReader) -> Vec<Revocation> {
    match next_news(reader).await {
        Feed::Loaded(_) => Vec::new(),
        Feed::Revoked(mut told) => {
            loaded(reader).await;
            told.sort_by(|one, two| one.subject().cmp(two.subject()));
            told
        }
        feed @ (Feed::Batch(_) | Feed::Lost { .. } | Feed::Reset { .. } | Feed::Down(_) | Feed::Restored) => {
            panic!("neither revocations nor a load: {feed:?}")
        }
    }
}

/// Every instance reads it at its place among the events, as what it is.
pub async fn a_revocation_reaches_every_instance<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let mut other = backend.join().await;
    loaded(&mut *other.reader).await;
    let one = revoke(&*log, "Änn b", Some(FOR)).await;
    let two = revoke(&*other.log, "bob", None).await;
    write_numbers(&*log, 0..1).await;
    for reader in [&mut reader, &mut other.reader] {
        let read = entries(&mut **reader, 5).await;
        assert!(read.is_sorted_by_key(|entry| entry.id));
        let revoked: Vec<_> = read
            .iter()
            .enumerate()
            .filter_map(|(nth, entry)| match &entry.content {
                Content::Revoked(revocation) => Some((nth, (**revocation).clone())),
                Content::Event(_) | Content::Malformed(..) | Content::Internal => None,
            })
            .collect();
        assert_eq!(revoked, [(1, one.clone()), (3, two.clone())]);
    }
}

/// Neither the cap nor the end of every instance loses one that has an end, and it is told before the load.
pub async fn a_revocation_outlives_the_cap<B: Backend>() {
    let backend = B::start(Limits { maxlen: 10, read_count: 10 }).await;
    let Instance { log, reader } = backend.join().await;
    revoke(&*log, "ann", Some(FOR)).await;
    // Of two the later counts.
    let ann = revoke(&*log, "ann", Some(FOR)).await;
    let bob = revoke(&*log, "bob", Some(2 * FOR)).await;
    revoke(&*log, "cid", None).await;
    write_numbers(&*log, 0..300).await;
    reader.close().await;
    let mut later = backend.join().await;
    let told = told_at_first(&mut *later.reader).await;
    let until = |held: Revocation| held.until_ms.map(|until| (held.subject().to_owned(), until));
    assert_eq!(
        told.iter().cloned().map(until).collect::<Vec<_>>(),
        [ann.clone(), bob.clone()].map(until),
        "{told:?}"
    );
    assert!(told[0].at_ms >= ann.at_ms && told[1].at_ms == bob.at_ms, "{told:?}");
}

/// One that is over is told nobody.
pub async fn a_revocation_ends_in_time<B: Backend>() {
    let backend = B::start(Limits { maxlen: 10, read_count: 10 }).await;
    let Instance { log, .. } = backend.join().await;
    revoke(&*log, "ann", Some(FOR)).await;
    backend.pass(FOR - Duration::from_secs(60)).await;
    assert_eq!(told_at_first(&mut *backend.join().await.reader).await.len(), 1);
    backend.pass(Duration::from_secs(61)).await;
    assert_eq!(told_at_first(&mut *backend.join().await.reader).await, []);
}

/// A reader whose entries were trimmed unread is told those that hold again.
pub async fn a_reader_that_lost_entries_is_told_again<B: Backend>() {
    let backend = B::start(Limits { maxlen: 50, read_count: 10 }).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    // A batch is written in one step, so nothing of it can be read before the rest is there.
    let held = revoke(&*log, "ann", Some(FOR)).await;
    let many: Vec<_> = (0..400).map(plain).collect();
    write(&*log, &many).await;
    let (mut lost, mut told) = (false, None);
    while !lost || told.is_none() {
        match next_news(&mut *reader).await {
            Feed::Lost { .. } => lost = true,
            Feed::Revoked(revoked) => told = Some(revoked),
            Feed::Batch(_) => {}
            feed @ (Feed::Loaded(_) | Feed::Reset { .. } | Feed::Down(_) | Feed::Restored) => {
                panic!("{feed:?}")
            }
        }
    }
    assert_eq!(told, Some(vec![held]));
}

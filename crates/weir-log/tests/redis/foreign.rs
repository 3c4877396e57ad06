//! What other producers write.

use weir_core::Revocation;
use weir_core::entry::{Content, Malformed};
use weir_core::log::{EventLog, Feed, LogReader, RevokeError};
use weir_core::revocation::{Full, MOST_REVOKED};
use weir_testkit::log_suite::follow::{entries, event, events, eventually, loaded, next, next_news, numbers};
use weir_testkit::log_suite::{Backend, Limits};

use crate::server::{MAX_EVENT_BYTES, STREAM, Shared};

type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

/// Everything that is wrong with an entry costs that entry alone, in a batch and in a load.
#[tokio::test]
async fn bad_entries_harm_no_others() {
    let shared = Shared::new().await;
    let mut live = shared.instance().await;
    loaded(&mut *live.reader).await;
    let (large, most) = (vec![b'x'; MAX_EVENT_BYTES + 1], vec![b'x'; MAX_EVENT_BYTES]);
    let cases: &[(Fields<'_>, &str)] = &[
        (&[(b"event", b"t"), (b"payload", b"{}"), (b"timestamp", b"2026-11-21T00:00:00Z")], "{}"),
        (&[(b"foo", b"bar")], "data"),
        (&[(b"session", b"s"), (b"data", b"\xff")], "utf8"),
        (&[(b"session", b"\xff"), (b"data", b"x")], "utf8"),
        (&[(b"\xff\xfe", b"\xff"), (b"session", b"s"), (b"data", b"1")], "1"),
        (&[(b"session", b"s\n"), (b"data", b"x")], "session"),
        (&[(b"session", b"s")], "data"),
        (&[(b"session", b"s"), (b"data", b"x"), (b"type", b"weir.gap")], "type"),
        (&[(b"session", b"s"), (b"data", b"x"), (b"key", b"a\r")], "key"),
        (&[(b"session", b"s"), (b"data", b"2"), (b"data", b"3"), (b"session", b"t")], "2"),
        (&[(b"session", b"s"), (b"data", &large)], "oversize"),
        (&[(b"session", b"s"), (b"data", &most)], "large"),
        (&[(b"", b""), (b"session", b"s"), (b"data", b"")], ""),
        (&[(b"weir", b"unknown kind"), (b"data", b"x")], "internal"),
        (&[(b"session", b"s"), (b"data", b"a\r\nb\0c")], "a\r\nb\0c"),
    ];
    for (fields, _) in cases {
        shared.add(fields).await;
    }
    let mut many: Vec<(&[u8], &[u8])> = vec![(b"noise", b"x"); 1000];
    many.push((b"data", b"end"));
    shared.add(&many).await;

    let mut want: Vec<_> = cases.iter().map(|(_, want)| *want).collect();
    want.push("end");
    let mut later = shared.instance().await;
    for got in [entries(&mut *live.reader, want.len()).await, loaded(&mut *later.reader).await.entries] {
        let got: Vec<_> = got.into_iter().map(|entry| describe(&entry.content)).collect();
        assert_eq!(got, want);
    }
}

fn describe(content: &Content) -> String {
    match content {
        Content::Event(event) if event.data().len() == MAX_EVENT_BYTES => "large".to_owned(),
        Content::Event(event) => event.data().to_owned(),
        Content::Malformed(reason, session) => {
            assert!(
                *reason != Malformed::Oversize || session.is_some(),
                "an oversize entry tells its session"
            );
            reason.as_str().to_owned()
        }
        Content::Internal => "internal".to_owned(),
        Content::Revoked(revocation) => format!("revoked {}", revocation.subject()),
    }
}

/// After a large entry less is asked for at once, and none is missing.
#[tokio::test]
async fn large_entries_come_in_small_batches() {
    let shared = Shared::new().await;
    let mut live = shared.instance().await;
    loaded(&mut *live.reader).await;
    let large = vec![b'x'; MAX_EVENT_BYTES];
    let add = async |count| {
        for _ in 0..count {
            shared.add(&[(b"session", b"s"), (b"data", &large)]).await;
        }
    };
    add(1).await;
    events(&mut *live.reader, 1).await;
    add(30).await;
    let mut count = 0;
    while count < 30 {
        let feed = next(&mut *live.reader).await;
        let Feed::Batch(batch) = feed else { panic!("{feed:?}") };
        assert!(batch.len() <= 4, "{} large entries at once", batch.len());
        count += batch.len();
    }
    let mut later = shared.instance().await;
    assert_eq!(loaded(&mut *later.reader).await.entries.len(), 31);
}

/// Producers that never trim are trimmed after, by count and by age.
#[tokio::test]
async fn the_stream_is_trimmed_for_producers_that_do_not() {
    let shared = Shared::start(Limits { maxlen: 300, read_count: 100 }).await;
    let joined = shared.instance().await;
    shared.add_numbers(0..1500).await;
    eventually("a trimmed stream", async || {
        let length: u64 = shared.server.cli(&["XLEN", STREAM]).await.parse().unwrap();
        length <= 400 && joined.log.facts().length == Some(length)
    })
    .await;

    let mut aged = crate::server::config(&shared.server, Limits::default());
    aged.max_age = Some(std::time::Duration::from_millis(200));
    let _aged = crate::server::open(aged);
    eventually("a stream without old entries", async || shared.server.cli(&["XLEN", STREAM]).await == "0")
        .await;
}

/// Deleting from the middle of what was read is no loss; and what is left loads.
#[tokio::test]
async fn a_deleted_entry_is_no_gap() {
    let shared = Shared::new().await;
    let mut live = shared.instance().await;
    loaded(&mut *live.reader).await;
    shared.add_numbers(0..3).await;
    let ids: Vec<_> = entries(&mut *live.reader, 3).await.into_iter().map(|entry| entry.id).collect();
    shared.server.cli(&["XDEL", STREAM, &ids[1].to_string(), &ids[2].to_string()]).await;
    shared.add_numbers(3..5).await;
    assert_eq!(numbers(&events(&mut *live.reader, 2).await), [3, 4]);
    for _ in 0..3 {
        assert!(matches!(next(&mut *live.reader).await, Feed::Batch(batch) if batch.is_empty()));
    }
    let load = loaded(&mut *shared.instance().await.reader).await;
    assert_eq!(numbers(&load.entries.into_iter().map(event).collect::<Vec<_>>()), [0, 3, 4]);
    live.reader.close().await;
}

/// Whatever stands where revocations are kept, the rest works; what cannot be read is nobody's.
#[tokio::test]
async fn a_garbled_list_of_revocations_harms_nobody() {
    let shared = Shared::new().await;
    let key = "{weir:events}:revoked";
    let long = format!("1 99999999999999 {}", "x".repeat(300));
    let lines = ["1 99999999999999 ann", "", "x", "1 2", &long, "5 99999999999999 b c", "\u{1} 1 2"];
    shared.server.cli(&["SET", key, &lines.join("\n")]).await;
    let mut joined = shared.instance().await;
    let Feed::Revoked(told) = next_news(&mut *joined.reader).await else { panic!("nothing is told") };
    assert_eq!(told.iter().map(Revocation::subject).collect::<Vec<_>>(), ["ann", "b c"]);
    // Of another type it cannot be read at all.
    shared.server.cli(&["DEL", key]).await;
    shared.server.cli(&["LPUSH", key, "x"]).await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    let refused = joined.log.revoke(&Revocation::new("ann", 1, Some(99_999_999_999_999)).unwrap()).await;
    assert!(
        matches!(&refused, Err(RevokeError::Unavailable(why)) if why.contains("WRONGTYPE")),
        "{refused:?}"
    );
    assert_eq!(
        shared.server.cli(&["XLEN", STREAM]).await,
        "0",
        "an entry without what has to stand beside it"
    );
}

/// Where the entry cannot be written, the list does not know what the instances were not told.
#[tokio::test]
async fn a_revocation_that_was_not_told_is_not_kept() {
    let shared = Shared::new().await;
    let joined = shared.instance().await;
    shared.server.cli(&["DEL", STREAM]).await;
    shared.server.cli(&["SET", STREAM, "x"]).await;
    let refused = joined.log.revoke(&Revocation::new("ann", 1, Some(99_999_999_999_999)).unwrap()).await;
    assert!(
        matches!(&refused, Err(RevokeError::Unavailable(why)) if why.contains("WRONGTYPE")),
        "{refused:?}"
    );
    assert_eq!(shared.server.cli(&["EXISTS", "{weir:events}:revoked"]).await, "0");
}

/// A full list takes no more, and says so; what is over makes room.
#[tokio::test]
async fn a_full_list_of_revocations_takes_no_more() {
    let shared = Shared::new().await;
    let joined = shared.instance().await;
    let revoke = async |subject: &str| {
        let revocation = Revocation::new(subject, 1, Some(99_999_999_999_999)).unwrap();
        joined.log.revoke(&revocation).await
    };
    let line = |nth: usize, until: &str| format!("1 {until} subject-{nth}");
    let mut lines: Vec<_> = (0..MOST_REVOKED).map(|nth| line(nth, "99999999999999")).collect();
    let key = "{weir:events}:revoked";
    shared.server.cli(&["SET", key, &lines.join("\n")]).await;
    assert_eq!(revoke("one more").await, Err(Full.into()));
    assert_eq!(shared.server.cli(&["XLEN", STREAM]).await, "0");
    revoke("subject-7").await.unwrap();
    lines[9] = line(9, "2");
    shared.server.cli(&["SET", key, &lines.join("\n")]).await;
    revoke("one more").await.unwrap();
    assert!(shared.server.cli(&["PTTL", key]).await.parse::<u64>().unwrap() > 0, "it is kept for ever");
}

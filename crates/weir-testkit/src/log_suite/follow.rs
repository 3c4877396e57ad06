//! Reading a log in a test: everything has a deadline, and nothing unexpected passes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::entry::{Content, Entry};
use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::log::{Appended, EventLog, Feed, Load, LogReader, NewEvent};
use weir_core::name::Session;

/// How long a test waits for something that must happen. It bounds a broken log, not a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The next thing that happens.
///
/// # Panics
/// Where nothing happens within [`PATIENCE`].
pub async fn next(reader: &mut dyn LogReader) -> Feed {
    tokio::time::timeout(PATIENCE, reader.next()).await.expect("a read returns within its block")
}

/// The next thing that happens other than an empty batch.
///
/// # Panics
/// Where nothing happens within [`PATIENCE`].
pub async fn next_news(reader: &mut dyn LogReader) -> Feed {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "only empty batches");
        match next(reader).await {
            Feed::Batch(entries) if entries.is_empty() => {}
            feed @ (Feed::Loaded(_)
            | Feed::Revoked(_)
            | Feed::Batch(_)
            | Feed::Lost { .. }
            | Feed::Reset { .. }
            | Feed::Down(_)
            | Feed::Restored) => return feed,
        }
    }
}

/// The window load, which must come next.
///
/// # Panics
/// Where something else comes.
pub async fn loaded(reader: &mut dyn LogReader) -> Load {
    match next_news(reader).await {
        Feed::Loaded(load) => load,
        feed @ (Feed::Batch(_)
        | Feed::Revoked(_)
        | Feed::Lost { .. }
        | Feed::Reset { .. }
        | Feed::Down(_)
        | Feed::Restored) => {
            panic!("a load was due: {feed:?}")
        }
    }
}

/// The next `count` entries, which must come without anything between them.
///
/// # Panics
/// Where something else or more comes.
pub async fn entries(reader: &mut dyn LogReader, count: usize) -> Vec<Entry> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        match next_news(reader).await {
            Feed::Batch(batch) => all.extend(batch),
            feed @ (Feed::Loaded(_)
            | Feed::Revoked(_)
            | Feed::Lost { .. }
            | Feed::Reset { .. }
            | Feed::Down(_)
            | Feed::Restored) => {
                panic!("entry {} of {count} was due: {feed:?}", all.len())
            }
        }
    }
    assert_eq!(all.len(), count, "more entries than were written");
    all
}

/// [`entries`] that are all events.
///
/// # Panics
/// Where one is not, or something else comes.
pub async fn events(reader: &mut dyn LogReader, count: usize) -> Vec<Arc<Event>> {
    entries(reader, count).await.into_iter().map(event).collect()
}

/// The event of an entry that must have one.
///
/// # Panics
/// Where it has none.
pub fn event(entry: Entry) -> Arc<Event> {
    match entry.content {
        Content::Event(event) => event,
        other @ (Content::Malformed(..) | Content::Internal | Content::Revoked(_)) => {
            panic!("{} is no event: {other:?}", entry.id)
        }
    }
}

/// A plain event of the session `s`.
///
/// # Panics
/// Never.
#[expect(clippy::needless_pass_by_value, reason = "numbers and literals read better by value")]
pub fn plain(data: impl ToString) -> NewEvent {
    let session = Session::parse("s").expect("`s` is a session");
    NewEvent { session, data: data.to_string(), kind: None, key: None, snapshot: None }
}

/// Appends the events by one call, which must write them.
///
/// # Panics
/// Where it does not.
pub async fn write(log: &dyn EventLog, events: &[NewEvent]) -> Vec<EventId> {
    match log.append(events, None).await {
        Ok(Appended::Written(ids)) => ids,
        other @ (Ok(Appended::Duplicate(_)) | Err(_)) => panic!("nothing was written: {other:?}"),
    }
}

/// Appends plain events with these numbers as data, one call for each.
///
/// # Panics
/// Where one is not written.
pub async fn write_numbers(log: &dyn EventLog, numbers: std::ops::Range<usize>) -> Vec<EventId> {
    let mut ids = Vec::with_capacity(numbers.len());
    for number in numbers {
        ids.extend(write(log, &[plain(number)]).await);
    }
    ids
}

/// The numbers that [`write_numbers`] wrote.
///
/// # Panics
/// Where the data is no number.
pub fn numbers(events: &[Arc<Event>]) -> Vec<usize> {
    events.iter().map(|event| event.data().parse().expect("the data is a number")).collect()
}

/// Waits until `done`.
///
/// # Panics
/// Where it does not come true within [`PATIENCE`].
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

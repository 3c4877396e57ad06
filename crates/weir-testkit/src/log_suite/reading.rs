//! What readers are promised.

use std::time::Duration;

use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::log::{Feed, NewEvent};
use weir_core::name::{EventType, Key, Session};

use super::follow::{entries, event, events, loaded, next, next_news, numbers, plain, write, write_numbers};
use super::{Backend, Instance, Limits};

/// An empty log loads as nothing at position zero.
pub async fn an_empty_log_loads_empty<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let mut instance = backend.join().await;
    let load = loaded(&mut *instance.reader).await;
    assert_eq!((load.entries.len(), load.floor, load.head), (0, EventId::ZERO, EventId::ZERO));
}

/// A read of a quiet log returns empty, again and again.
pub async fn a_quiet_log_returns_empty<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let mut instance = backend.join().await;
    loaded(&mut *instance.reader).await;
    for _ in 0..3 {
        assert!(matches!(next(&mut *instance.reader).await, Feed::Batch(entries) if entries.is_empty()));
    }
}

/// Ids rise, and every part of an event survives, one by one and in batches, live and in a load.
pub async fn entries_come_back_as_they_went_in<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let news = samples();
    let mut ids = Vec::new();
    for new in &news {
        ids.extend(write(&*log, std::slice::from_ref(new)).await);
    }
    ids.extend(write(&*log, &news).await);
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");

    let live = events(&mut *reader, ids.len()).await;
    let mut later = backend.join().await;
    let load: Vec<_> = loaded(&mut *later.reader).await.entries.into_iter().map(event).collect();
    for got in [live, load] {
        assert_eq!(got.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
        for (event, new) in got.iter().zip(news.iter().chain(&news)) {
            assert_same(event, new);
        }
    }
}

fn samples() -> Vec<NewEvent> {
    let session = Session::parse("röom/1 {x}").expect("a session");
    let full = NewEvent {
        session: session.clone(),
        data: "{\"a\":1}".to_owned(),
        kind: Some(EventType::parse("order.created").expect("a type")),
        key: Some(Key::parse("ord 42\té").expect("a key")),
        snapshot: Some(60),
    };
    let text = |data: &str| NewEvent { data: data.to_owned(), ..plain("") };
    vec![full, text(""), text(" a\r\nb\rc\n"), text("\u{feff}\0é"), plain("x".repeat(100_000))]
}

fn assert_same(event: &Event, new: &NewEvent) {
    assert_eq!(
        (&event.session, event.data(), &event.kind, &event.key, event.snapshot),
        (&new.session, new.data.as_str(), &new.kind, &new.key, new.snapshot)
    );
    assert!(event.ts.abs_diff(event.id.ms) < 60_000, "time {} of {}", event.ts, event.id);
}

/// A load is the newest entries up to the cap, its floor just below them and its head the newest id.
pub async fn the_load_gives_the_newest<B: Backend>() {
    let backend = B::start(Limits { maxlen: 50, read_count: 20 }).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let ids = write_numbers(&*log, 0..500).await;

    let mut later = backend.join().await;
    let load = loaded(&mut *later.reader).await;
    let got: Vec<_> = load.entries.into_iter().map(event).collect();
    assert_eq!(numbers(&got), (450..500).collect::<Vec<_>>());
    assert_eq!((load.floor, load.head), (ids[450].prev(), ids[499]));

    write_numbers(&*log, 500..510).await;
    assert_eq!(numbers(&events(&mut *later.reader, 10).await), (500..510).collect::<Vec<_>>());
}

/// A batch of a thousand lands in order with nothing between, and is read in batches of the size asked for.
pub async fn a_batch_lands_whole<B: Backend>() {
    let backend = B::start(Limits { maxlen: 5000, read_count: 64 }).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let news: Vec<_> = (0..1000).map(plain).collect();
    let other = backend.join().await;
    let (ids, singles) = tokio::join!(write(&*log, &news), write_numbers(&*other.log, 1000..1050));
    assert_eq!(ids.len(), 1000);
    let (first, last) = (ids[0], ids[999]);
    assert!(singles.iter().all(|id| *id < first || *id > last), "something stands within the batch");

    let mut got = Vec::new();
    while got.len() < 1050 {
        let feed = next_news(&mut *reader).await;
        let Feed::Batch(batch) = feed else { panic!("{feed:?}") };
        assert!(batch.len() <= 64, "{} entries at once", batch.len());
        got.extend(batch.into_iter().map(event));
    }
    got.retain(|event| (first..=last).contains(&event.id));
    assert_eq!(numbers(&got), (0..1000).collect::<Vec<_>>());
}

/// Two instances each get every entry, in one order, whoever wrote it.
pub async fn every_instance_sees_everything<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let (mut one, mut two) = (backend.join().await, backend.join().await);
    loaded(&mut *one.reader).await;
    loaded(&mut *two.reader).await;
    let (a, b) = tokio::join!(write_numbers(&*one.log, 0..200), write_numbers(&*two.log, 200..400));
    let (got, same) = tokio::join!(entries(&mut *one.reader, 400), entries(&mut *two.reader, 400));
    let ids = |entries: &[weir_core::Entry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(ids(&got), ids(&same));
    let mut written = [a, b].concat();
    written.sort();
    assert_eq!(ids(&got), written);
}

/// A read that is dropped before it returns has taken nothing with it.
pub async fn a_dropped_read_loses_nothing<B: Backend>() {
    const COUNT: usize = 300;
    let backend = B::start(Limits { maxlen: 5000, read_count: 7 }).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let write = write_numbers(&*log, 0..COUNT);
    let read = async {
        let (mut got, mut round) = (Vec::new(), 0);
        while got.len() < COUNT {
            round += 1;
            assert!(round < 100_000, "only {} of {COUNT}", got.len());
            let patience = Duration::from_micros(round % 5 * 100);
            match tokio::time::timeout(patience, reader.next()).await {
                Err(_) => {}
                Ok(Feed::Batch(batch)) => got.extend(batch.into_iter().map(event)),
                Ok(
                    feed @ (Feed::Loaded(_)
                    | Feed::Revoked(_)
                    | Feed::Lost { .. }
                    | Feed::Reset { .. }
                    | Feed::Down(_)
                    | Feed::Restored),
                ) => panic!("{feed:?}"),
            }
        }
        got
    };
    let (_, got) = tokio::join!(write, read);
    assert_eq!(numbers(&got), (0..COUNT).collect::<Vec<_>>());
}

/// A reader that the cap overtook is told how many entries it lost, at their place, and gets all the others.
pub async fn a_reader_behind_the_cap_is_told<B: Backend>() {
    let backend = B::start(Limits { maxlen: 20, read_count: 10 }).await;
    let Instance { log, mut reader } = backend.join().await;
    loaded(&mut *reader).await;
    let before = write_numbers(&*log, 0..5).await;
    assert_eq!(numbers(&events(&mut *reader, 5).await), [0, 1, 2, 3, 4]);
    let ids = write_numbers(&*log, 5..1000).await;

    let id = |number: usize| if number < 5 { before[number] } else { ids[number - 5] };
    let (mut due, mut lost, mut read) = (5, 0, 0);
    while due < 1000 {
        match next_news(&mut *reader).await {
            Feed::Batch(batch) => {
                let got = numbers(&batch.into_iter().map(event).collect::<Vec<_>>());
                assert_eq!(got, (due..due + got.len()).collect::<Vec<_>>());
                due += got.len();
                read += got.len();
            }
            Feed::Lost { after, through, count } => {
                let count = usize::try_from(count.expect("the log counts what it adds")).expect("few");
                assert_eq!(after, id(due - 1));
                due += count;
                lost += count;
                assert!(through >= id(due - 1) && through < id(due), "{through}");
            }
            feed @ (Feed::Loaded(_)
            | Feed::Revoked(_)
            | Feed::Reset { .. }
            | Feed::Down(_)
            | Feed::Restored) => {
                panic!("{feed:?}")
            }
        }
    }
    assert!(lost > 0 && read >= 20, "lost {lost}, read {read}");
    assert_eq!(due, 1000);
}

/// A closed reader leaves nothing in the log, read or not, and others go on.
pub async fn close_leaves_nothing<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let (mut one, mut two) = (backend.join().await, backend.join().await);
    let unread = backend.join().await;
    loaded(&mut *one.reader).await;
    loaded(&mut *two.reader).await;
    write_numbers(&*one.log, 0..10).await;
    events(&mut *one.reader, 10).await;
    // Dropped while it waits: closing must not wait for the block.
    drop(tokio::time::timeout(Duration::from_millis(1), one.reader.next()).await);
    one.reader.close().await;
    unread.reader.close().await;
    assert_eq!(numbers(&events(&mut *two.reader, 10).await), (0..10).collect::<Vec<_>>());
    two.reader.close().await;
    assert_eq!(backend.leftovers().await, Vec::<String>::new());
}

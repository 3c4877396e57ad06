//! What is read is what was appended.

use std::time::Duration;

use tokio::time::timeout;
use weir_core::durable::{From, Look, Offset, ReadError, WakeReader, Woken};

use super::ask::{close, name, stream, text};
use super::{Backend, Limits};
use crate::DEADLINE;

/// Chunks come back in order, from every place between them, and each has the place behind it.
pub async fn chunks_come_back_as_they_went_in<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "a/b c/ä");
    assert_eq!(s.make(&text()).await, Offset::BEGIN);
    assert!(s.texts().await.is_empty());

    let mut ends = vec![Offset::BEGIN];
    for text in ["one", "two", "\0\r\n", "four"] {
        ends.push(s.add(text).await);
    }
    assert!(ends.is_sorted_by(|one, two| one < two && one.to_string() < two.to_string()), "{ends:?}");
    let page = s.read(From::Begin).await.unwrap();
    assert_eq!(page.chunks.iter().map(|chunk| chunk.end).collect::<Vec<_>>(), ends[1..]);
    assert_eq!((page.next, page.head.tail), (ends[4], ends[4]));
    assert_eq!(s.texts().await, ["one", "two", "\0\r\n", "four"]);
    assert_eq!(s.texts_from(From::After(ends[2])).await, ["\0\r\n", "four"]);
    assert!(s.texts_from(From::End).await.is_empty());
    assert!(s.texts_from(From::After(ends[4])).await.is_empty());
    assert_eq!(s.read(From::End).await.unwrap().next, ends[4]);

    let beyond = Offset::new(ends[4].epoch(), 5);
    let other = Offset::new(ends[4].epoch() - 1, 2);
    for bad in [beyond, other] {
        assert_eq!(s.read(From::After(bad)).await.unwrap_err(), ReadError::OffsetGone);
    }
}

/// A page has at least one chunk, and no more than fit.
pub async fn pages_are_bounded<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    for text in ["aaaa", "bb", "cc", "dddddddd", "e"] {
        s.add(text).await;
    }
    let mut pages = Vec::new();
    let mut from = From::Begin;
    loop {
        let page = store.read(&name("s"), from, 4).await.unwrap();
        pages.push(page.chunks.iter().map(|chunk| chunk.bytes.len()).collect::<Vec<_>>());
        from = From::After(page.next);
        if page.is_up_to_date() {
            break;
        }
    }
    assert_eq!(pages, [vec![4], vec![2, 2], vec![8], vec![1]]);
    assert_eq!(store.read(&name("s"), From::Begin, 0).await.unwrap().chunks.len(), 1);
}

/// What was trimmed is not passed over in silence; from the beginning there is what is left.
pub async fn a_trimmed_stream_says_so<B: Backend>() {
    let backend = B::start(Limits { maxlen: Some(3) }).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let mut ends = vec![Offset::BEGIN];
    for n in 1..=8 {
        ends.push(s.add(&n.to_string()).await);
    }
    assert_eq!(s.texts().await, ["6", "7", "8"]);
    assert_eq!(s.texts_from(From::After(ends[5])).await, ["6", "7", "8"]);
    for gone in &ends[..5] {
        assert_eq!(s.read(From::After(*gone)).await.unwrap_err(), ReadError::OffsetGone, "{gone}");
    }
}

/// Offsets of a stream that had the name before are none of the new one.
pub async fn a_new_stream_of_an_old_name_is_another<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let old = s.add("old").await;
    let born = store.head(&name("s")).await.unwrap().born;
    store.delete(&name("s")).await.unwrap();
    s.make(&text()).await;
    assert!(s.texts().await.is_empty());
    let new = s.add("new").await;
    assert!(store.head(&name("s")).await.unwrap().born > born);
    assert!(new > old);
    assert_eq!(s.read(From::After(old)).await.unwrap_err(), ReadError::OffsetGone);
    assert_eq!(s.texts_from(From::After(Offset::BEGIN)).await, ["new"]);
}

/// Appending, closing and deleting are announced; where announcements may be lost, a look finds out.
pub async fn whoever_follows_hears_of_changes<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let mut wakes = backend.wakes().await;
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let tail = s.add("one").await;
    wait_for(&mut *wakes, "s").await;
    let names = [name("s"), name("none")];
    let look = store.look(&names).await.unwrap();
    assert_eq!(look, [Look::At { tail, closed: false }, Look::Missing]);

    // Announcements of one stream come at most every few milliseconds, so the last may be one of the append before.
    drain(&mut *wakes).await;
    s.append(&close()).await.unwrap();
    wait_for(&mut *wakes, "s").await;
    assert_eq!(store.look(&names[..1]).await.unwrap(), [Look::At { tail, closed: true }]);
    drain(&mut *wakes).await;
    store.delete(&name("s")).await.unwrap();
    wait_for(&mut *wakes, "s").await;
    assert_eq!(store.look(&names[..1]).await.unwrap(), [Look::Missing]);
}

async fn wait_for(wakes: &mut dyn WakeReader, its: &str) {
    let told = async {
        loop {
            match wakes.next().await {
                Woken::Streams(names) if !names.contains(&name(its)) => {}
                Woken::Streams(_) | Woken::Any => return,
            }
        }
    };
    timeout(DEADLINE, told).await.expect("nobody told of the change");
}

async fn drain(wakes: &mut dyn WakeReader) {
    while timeout(Duration::from_millis(50), wakes.next()).await.is_ok() {}
}

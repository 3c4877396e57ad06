//! What is taken and what is refused.

use weir_core::durable::{
    Append, AppendError, Appended, Create, CreateError, DeleteError, Lifetime, ReadError,
};

use super::ask::{append, close, idle, json, media, name, payload, stream, text};
use super::{Backend, Limits};

/// Nothing can be done to a stream that is not there.
pub async fn what_is_not_there<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    store.delete(&name("s")).await.unwrap();
    assert_eq!(s.append(&append("x")).await, Err(AppendError::Missing));
    assert_eq!(s.append(&close()).await, Err(AppendError::Missing));
    assert_eq!(s.lack().await, Some(ReadError::Missing));
    assert_eq!(store.head(&name("s")).await.unwrap_err(), ReadError::Missing);
    assert_eq!(store.delete(&name("s")).await, Err(DeleteError::Missing));
}

/// The same stream can be made twice, another one not.
pub async fn creating_again_is_fine_if_it_is_the_same<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    let first = Create { payload: Some(payload("first")), ..idle(900) };
    s.make(&first).await;
    let tail = s.add("second").await;
    let again = s.create(&first).await.unwrap();
    assert!(!again.is_new);
    assert_eq!((again.head.tail, again.head.lifetime), (tail, Lifetime::Idle(900)));
    assert_eq!(s.texts().await, ["first", "second"], "nothing is appended again");
    let charset = Create { media: Some(media("TEXT/PLAIN; charset=utf-8")), ..idle(900) };
    assert!(!s.create(&charset).await.unwrap().is_new);
    let until = Lifetime::Until { at_ms: 9_999_999_999_999, text: "then".into() };
    for other in [
        text(),
        json(),
        idle(901),
        Create { lifetime: Some(until), ..text() },
        Create { closed: true, ..idle(900) },
    ] {
        assert_eq!(s.create(&other).await.unwrap_err(), CreateError::Exists, "{other:?}");
    }
    let octets = stream(&*store, "octets");
    octets.make(&Create::default()).await;
    let said = Create { media: Some(media("application/octet-stream")), ..Create::default() };
    assert!(!octets.create(&said).await.unwrap().is_new);
}

/// Parameters and case do not count.
pub async fn another_content_type_is_refused<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let like = Append { media: Some(media("Text/Plain;charset=utf-8")), ..append("x") };
    assert!(matches!(s.append(&like).await, Ok(Appended::Written { closed: false, .. })));
    let other = Append { media: Some(media("text/html")), ..append("y") };
    assert_eq!(s.append(&other).await, Err(AppendError::Media));
    assert_eq!(s.texts().await, ["x"]);
}

/// They are compared byte by byte, and only where they are given.
pub async fn sequences_rise<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let with = |seq: &str| Append { seq: Some(seq.into()), ..append(seq) };
    for (seq, taken) in [
        ("2", true),
        ("10", false),
        ("2", false),
        ("20", true),
        ("A", true),
        ("a", true),
        ("B", false),
        ("ä", true),
    ] {
        assert_eq!(s.append(&with(seq)).await.is_ok(), taken, "{seq}");
    }
    s.add("without").await;
    assert_eq!(s.append(&with("z")).await, Err(AppendError::Seq));
    assert_eq!(s.texts().await, ["2", "20", "A", "a", "ä", "without"]);
}

//! The end of a stream.

use weir_core::durable::{Append, AppendError, Appended, Create};

use super::ask::{append, close, name, payload, stream, text};
use super::{Backend, Limits};

/// A stream is closed with its last chunk, without one, or from the beginning, and once it is, again.
pub async fn closing_is_repeatable<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let tail = s.add("one").await;
    for _ in 0..2 {
        assert_eq!(s.append(&close()).await, Ok(Appended::Written { tail, closed: true }));
    }
    assert!(store.head(&name("s")).await.unwrap().closed);

    let last = stream(&*store, "last");
    last.make(&text()).await;
    let closing = Append { close: true, ..append("end") };
    assert!(matches!(last.append(&closing).await, Ok(Appended::Written { closed: true, .. })));
    assert_eq!(last.texts().await, ["end"]);

    let whole = stream(&*store, "whole");
    let create = Create { closed: true, payload: Some(payload("all")), ..text() };
    whole.make(&create).await;
    assert_eq!(whole.texts().await, ["all"]);
    assert!(!whole.create(&create).await.unwrap().is_new);
}

/// It says where its end is.
pub async fn a_closed_stream_takes_nothing<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let tail = s.add("one").await;
    s.append(&close()).await.unwrap();
    for refused in
        [append("two"), Append { close: true, ..append("two") }, Append { media: None, ..append("two") }]
    {
        assert_eq!(s.append(&refused).await, Err(AppendError::Closed { tail }));
    }
    assert_eq!(s.texts().await, ["one"]);
    store.delete(&name("s")).await.unwrap();
    s.make(&text()).await;
    s.add("open").await;
}

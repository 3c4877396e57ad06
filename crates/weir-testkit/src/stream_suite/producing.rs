//! Producers that repeat what they are not sure of.

use weir_core::durable::{Append, AppendError, Appended};

use super::ask::{append, by, close, name, stream, text};
use super::{Backend, Limits};

/// Repeats are answered, gaps and older lives refused; nothing of that is appended.
pub async fn a_producer_is_known_for_its_repeats<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    let p = |epoch, seq| by(append(&format!("{epoch}.{seq}")), "p", epoch, seq);
    assert_eq!(s.append(&p(0, 1)).await, Err(AppendError::Gap { expected: 0, received: 1 }));
    for seq in 0..3 {
        assert!(matches!(s.append(&p(0, seq)).await, Ok(Appended::Written { .. })));
    }
    let tail = store.head(&name("s")).await.unwrap().tail;
    for seq in 0..3 {
        assert_eq!(s.append(&p(0, seq)).await, Ok(Appended::Duplicate { seq: 2, tail, closed: false }));
    }
    assert_eq!(s.append(&p(0, 4)).await, Err(AppendError::Gap { expected: 3, received: 4 }));
    assert_eq!(s.append(&p(1, 3)).await, Err(AppendError::EpochBegins));
    assert!(s.append(&p(5, 0)).await.is_ok());
    assert_eq!(s.append(&p(4, 0)).await, Err(AppendError::StaleEpoch { current: 5 }));
    assert!(s.append(&by(append("other"), "q", 0, 0)).await.is_ok());
    let largest = (1 << 53) - 1;
    assert!(s.append(&by(append("large"), "r", largest, 0)).await.is_ok());
    assert!(matches!(s.append(&by(append("large"), "r", largest, 0)).await, Ok(Appended::Duplicate { .. })));
    assert_eq!(s.texts().await, ["0.0", "0.1", "0.2", "5.0", "other", "large"]);

    // A repeat is one even where its Stream-Seq does not rise any more.
    let with = |append| Append { seq: Some("1".into()), ..append };
    assert!(matches!(s.append(&with(p(5, 1))).await, Ok(Appended::Written { .. })));
    assert!(matches!(s.append(&with(p(5, 1))).await, Ok(Appended::Duplicate { seq: 1, .. })));
    assert_eq!(s.append(&with(p(5, 2))).await, Err(AppendError::Seq));
    assert!(s.append(&p(5, 2)).await.is_ok(), "what is refused is not remembered");

    store.delete(&name("s")).await.unwrap();
    s.make(&text()).await;
    assert_eq!(
        s.append(&p(5, 3)).await,
        Err(AppendError::Gap { expected: 0, received: 3 }),
        "another stream"
    );
}

/// Who closed a stream hears so again, an older life of it that it is one, everybody else that it is closed.
pub async fn a_producer_that_closed_a_stream_may_repeat_it<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let s = stream(&*store, "s");
    s.make(&text()).await;
    s.append(&by(append("one"), "p", 0, 0)).await.unwrap();
    let last = by(Append { close: true, ..append("two") }, "p", 1, 0);
    let Ok(Appended::Written { tail, closed: true }) = s.append(&last).await else { panic!("it closes") };
    assert_eq!(s.append(&last).await, Ok(Appended::Duplicate { seq: 0, tail, closed: true }));
    let closed = Err(AppendError::Closed { tail });
    assert_eq!(s.append(&by(append("x"), "p", 1, 1)).await, closed);
    assert_eq!(s.append(&by(close(), "q", 1, 0)).await, closed);
    assert_eq!(s.append(&by(close(), "p", 0, 1)).await, Err(AppendError::StaleEpoch { current: 1 }));
    assert_eq!(s.append(&close()).await, Ok(Appended::Written { tail, closed: true }));

    let alone = stream(&*store, "alone");
    alone.make(&text()).await;
    assert_eq!(
        alone.append(&by(close(), "p", 0, 1)).await,
        Err(AppendError::Gap { expected: 0, received: 1 })
    );
    assert!(matches!(
        alone.append(&by(close(), "p", 0, 0)).await,
        Ok(Appended::Written { closed: true, .. })
    ));
    assert!(matches!(
        alone.append(&by(close(), "p", 0, 0)).await,
        Ok(Appended::Duplicate { closed: true, .. })
    ));
}

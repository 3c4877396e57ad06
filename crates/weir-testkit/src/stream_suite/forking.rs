//! Streams that begin as others.

use weir_core::durable::{
    Append, AppendError, Create, CreateError, DeleteError, From, Lifetime, Offset, ReadError,
};

use super::ask::{append, by, close, fork, fork_at, idle, json, media, name, payload, stream, text};
use super::{Backend, Limits};

/// A fork has what its source had there, and each goes its own way from then on.
pub async fn a_fork_begins_as_its_source<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let source = stream(&*store, "source");
    source.make(&idle(900)).await;
    let one = source.append(&by(append("one"), "p", 0, 0)).await.map(|_| ());
    assert_eq!(one, Ok(()));
    let two = source.add("two").await;
    let three = source.add("three").await;
    source.append(&close()).await.unwrap();

    let f = stream(&*store, "f");
    assert_eq!(f.make(&fork_at("source", Some(two), 0)).await, two, "their offsets are the same");
    let head = store.head(&name("f")).await.unwrap();
    assert_eq!((head.closed, head.lifetime), (false, Lifetime::Idle(900)));
    assert_eq!(f.texts().await, ["one", "two"]);
    let mine = f.add("mine").await;
    assert!(mine > two && mine != three);
    assert_eq!(f.read(From::After(three)).await.unwrap_err(), ReadError::OffsetGone, "that is its source's");
    assert_eq!(f.texts_from(From::After(two)).await, ["mine"]);
    assert_eq!(source.texts().await, ["one", "two", "three"]);
    assert!(f.append(&by(append("p"), "p", 0, 1)).await.is_err(), "it knows no producers of its source");

    let deep = stream(&*store, "deep");
    deep.make(&Create { payload: Some(payload("first")), lifetime: Some(Lifetime::Forever), ..fork("f") })
        .await;
    deep.add("second").await;
    assert_eq!(deep.texts().await, ["one", "two", "mine", "first", "second"]);
    let paged = store.read(&name("deep"), From::After(two), 9).await.unwrap();
    assert_eq!(paged.chunks.len(), 2, "a page goes over the borders of forks");

    let none = stream(&*store, "none");
    assert_eq!(none.make(&fork_at("source", Some(Offset::BEGIN), 0)).await, Offset::BEGIN);
    assert!(none.texts().await.is_empty());
    let within = stream(&*store, "within");
    within.make(&fork_at("deep", Some(two), 0)).await;
    assert_eq!(within.texts().await, ["one", "two"], "from what its source has of another");

    assert!(!f.create(&fork_at("source", Some(two), 0)).await.unwrap().is_new);
    assert!(!f.create(&fork("source")).await.unwrap().is_new);
    for other in [fork_at("source", Some(three), 0), fork("deep"), text(), fork_at("source", Some(two), 1)] {
        assert_eq!(f.create(&other).await.unwrap_err(), CreateError::Exists);
    }
}

/// A part of a chunk becomes the fork's first own one: so many bytes, or values of JSON.
pub async fn a_fork_within_a_chunk<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let source = stream(&*store, "source");
    source.make(&text()).await;
    let one = source.add("abc").await;
    source.add("defg").await;
    let f = stream(&*store, "f");
    let tail = f.make(&fork_at("source", Some(one), 2)).await;
    assert_eq!(f.texts().await, ["abc", "de"]);
    assert_eq!((tail.n(), f.add("X").await.n()), (2, 3));
    assert!(!f.create(&fork_at("source", Some(one), 2)).await.unwrap().is_new);
    let whole = stream(&*store, "whole");
    whole.make(&Create { payload: Some(payload("!")), ..fork_at("source", Some(one), 4) }).await;
    assert_eq!(whole.texts().await, ["abc", "defg", "!"]);
    let of_fork = stream(&*store, "of fork");
    of_fork.make(&fork_at("f", Some(one), 1)).await;
    assert_eq!(of_fork.texts().await, ["abc", "d"]);
    let nested = stream(&*store, "nested");
    nested.make(&fork_at("f", Some(Offset::BEGIN), 1)).await;
    assert_eq!(nested.texts().await, ["a"], "a part of what the fork has of its source");

    let values = stream(&*store, "values");
    values.make(&json()).await;
    let text = r#"{"a": [1,2]},"x,]",1.0"#;
    values.append(&Append { media: Some(media("application/json")), ..append(text) }).await.unwrap();
    let f = stream(&*store, "fork of values");
    f.make(&fork_at("values", Some(Offset::BEGIN), 2)).await;
    assert_eq!(f.texts().await, [r#"{"a": [1,2]},"x,]""#]);
    let more = stream(&*store, "more").create(&fork_at("values", Some(Offset::BEGIN), 4)).await;
    assert_eq!(more.unwrap_err(), CreateError::NoSuchUnits);
    let more = stream(&*store, "more").create(&fork_at("source", Some(one), 5)).await;
    assert_eq!(more.unwrap_err(), CreateError::NoSuchUnits);
}

/// Nothing is left of a fork that is refused: its source goes when it is deleted.
pub async fn what_cannot_be_forked<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let source = stream(&*store, "source");
    source.make(&text()).await;
    let one = source.add("one").await;
    let f = stream(&*store, "f");
    for (create, why) in [
        (fork("none"), CreateError::NoSource),
        (fork_at("source", Some(Offset::new(one.epoch(), 2)), 0), CreateError::NoSuchOffset),
        (fork_at("source", Some(Offset::new(one.epoch() - 1, 1)), 0), CreateError::OffsetGone),
        (fork_at("source", Some(one), 1), CreateError::NoSuchUnits),
        (Create { media: Some(media("text/html")), ..fork("source") }, CreateError::Media),
    ] {
        assert_eq!(f.create(&create).await.unwrap_err(), why, "{create:?}");
    }
    stream(&*store, "taken").make(&text()).await;
    assert_eq!(stream(&*store, "taken").create(&fork("source")).await.unwrap_err(), CreateError::Exists);
    store.delete(&name("source")).await.unwrap();
    assert_eq!(source.lack().await, Some(ReadError::Missing));

    let mut last = "0".to_owned();
    stream(&*store, &last).make(&text()).await;
    for depth in 1..=32 {
        let next = depth.to_string();
        stream(&*store, &next).make(&fork(&last)).await;
        stream(&*store, &next).add(&next).await;
        last = next;
    }
    assert_eq!(stream(&*store, &last).texts().await.len(), 32);
    assert_eq!(f.create(&fork(&last)).await.unwrap_err(), CreateError::TooDeep(32));
}

/// What forks have of it can still be read by them, and by nobody else; its name is taken.
pub async fn a_deleted_source_stays_for_its_forks<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let source = stream(&*store, "source");
    source.make(&text()).await;
    source.add("one").await;
    let f = stream(&*store, "f");
    f.make(&fork("source")).await;
    store.delete(&name("source")).await.unwrap();
    assert_eq!(f.texts().await, ["one"]);
    f.add("two").await;
    assert_eq!(source.lack().await, Some(ReadError::Deleted));
    assert_eq!(store.head(&name("source")).await.unwrap_err(), ReadError::Deleted);
    assert_eq!(source.append(&append("x")).await, Err(AppendError::Deleted));
    assert_eq!(source.append(&close()).await, Err(AppendError::Deleted));
    assert_eq!(store.delete(&name("source")).await, Err(DeleteError::Deleted));
    assert_eq!(source.create(&text()).await.unwrap_err(), CreateError::Taken);
    assert_eq!(stream(&*store, "g").create(&fork("source")).await.unwrap_err(), CreateError::SourceDeleted);
    store.delete(&name("f")).await.unwrap();
    assert_eq!(source.lack().await, Some(ReadError::Missing), "nobody needs it any more");
    source.make(&text()).await;
    assert!(source.texts().await.is_empty());
}

/// A fork has lost what its source has trimmed, and cannot be forked there any more than its source.
pub async fn what_a_source_has_trimmed_cannot_be_forked<B: Backend>() {
    let backend = B::start(Limits { maxlen: Some(10) }).await;
    let store = backend.store();
    let source = stream(&*store, "source");
    source.make(&text()).await;
    let mut ends = vec![Offset::BEGIN];
    for _ in 0..10 {
        ends.push(source.add("x").await);
    }
    let f = stream(&*store, "f");
    f.make(&fork("source")).await;
    stream(&*store, "before").make(&fork_at("f", Some(ends[5]), 0)).await;
    assert_eq!(stream(&*store, "before").texts().await.len(), 5);
    for _ in 0..7 {
        source.add("y").await;
    }
    let g = stream(&*store, "g");
    for (n, end) in ends[..7].iter().enumerate() {
        for of in ["f", "source"] {
            let refused = g.create(&fork_at(of, Some(*end), 0)).await.unwrap_err();
            assert_eq!(refused, CreateError::OffsetGone, "of {of}, behind {n}");
        }
    }
    for (left, end) in ends[7..].iter().enumerate() {
        let its = left.to_string();
        stream(&*store, &its).make(&fork_at("f", Some(*end), 0)).await;
        assert_eq!(stream(&*store, &its).texts().await.len(), left);
    }
    g.make(&fork_at("f", Some(ends[8]), 1)).await;
    assert_eq!(g.texts().await, ["x", "x"], "what is left of it, and a part");
}

/// What the second of two sources has trimmed lies in the middle of their fork, which begins behind it then.
pub async fn what_is_before_a_hole_is_gone<B: Backend>() {
    let backend = B::start(Limits { maxlen: Some(3) }).await;
    let store = backend.store();
    let (first, second) = (stream(&*store, "first"), stream(&*store, "second"));
    first.make(&text()).await;
    let mut ends = vec![Offset::BEGIN, first.add("1").await, first.add("2").await];
    second.make(&fork("first")).await;
    ends.push(second.add("3").await);
    let f = stream(&*store, "f");
    f.make(&fork("second")).await;
    f.add("own").await;
    assert_eq!(f.texts_from(From::After(ends[1])).await, ["2", "3", "own"]);
    for n in 4..=6 {
        second.add(&n.to_string()).await;
    }
    assert_eq!(f.texts().await, ["own"]);
    assert_eq!(f.texts_from(From::After(ends[3])).await, ["own"]);
    let g = stream(&*store, "g");
    for (n, gone) in ends[..3].iter().enumerate() {
        assert_eq!(f.read(From::After(*gone)).await.unwrap_err(), ReadError::OffsetGone, "behind {n}");
        let refused = g.create(&fork_at("f", Some(*gone), 0)).await.unwrap_err();
        assert_eq!(refused, CreateError::OffsetGone, "behind {n}");
    }
    assert_eq!(first.texts_from(From::After(ends[1])).await, ["2"], "it is gone for the fork alone");
}

/// A deleted stream in the middle of a chain keeps what is before it.
pub async fn forks_of_forks_go_when_the_last_is_gone<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let all = ["0", "1", "2"];
    stream(&*store, "0").make(&text()).await;
    stream(&*store, "0").add("a").await;
    for (of, its) in [("0", "1"), ("1", "2")] {
        stream(&*store, its).make(&fork(of)).await;
        stream(&*store, its).add(its).await;
    }
    let beside = stream(&*store, "beside");
    beside.make(&fork("0")).await;
    store.delete(&name("1")).await.unwrap();
    store.delete(&name("0")).await.unwrap();
    assert_eq!(stream(&*store, "2").texts().await, ["a", "1", "2"]);
    store.delete(&name("2")).await.unwrap();
    assert_eq!(stream(&*store, "1").lack().await, Some(ReadError::Missing));
    assert_eq!(stream(&*store, "0").lack().await, Some(ReadError::Deleted), "there is one more");
    assert_eq!(beside.texts().await, ["a"]);
    store.delete(&name("beside")).await.unwrap();
    for gone in all {
        assert_eq!(stream(&*store, gone).lack().await, Some(ReadError::Missing));
    }

    stream(&*store, "alive").make(&text()).await;
    stream(&*store, "f").make(&fork("alive")).await;
    store.delete(&name("f")).await.unwrap();
    stream(&*store, "alive").add("still here").await;
}

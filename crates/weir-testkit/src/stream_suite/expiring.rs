//! Streams that nobody deletes.

use std::time::Duration;

use weir_core::durable::{
    AppendError, Create, CreateError, DeleteError, From, Lifetime, Look, Offset, ReadError,
};

use super::ask::{append, fork, fork_at, idle, name, stream, text};
use super::{Backend, Limits};
use crate::DEADLINE;

/// A stream that has expired is as one that never was, for whatever is asked of it first.
pub async fn expired_streams_are_gone<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let all = ["read", "head", "append", "delete", "create", "fork", "look"];
    for its in all {
        stream(&*store, its).make(&idle(2)).await;
        stream(&*store, its).add("x").await;
    }
    stream(&*store, "stays").make(&text()).await;
    backend.pass(Duration::from_millis(2500)).await;
    assert_eq!(stream(&*store, "read").lack().await, Some(ReadError::Missing));
    assert_eq!(store.head(&name("head")).await.unwrap_err(), ReadError::Missing);
    assert_eq!(stream(&*store, "append").append(&append("x")).await, Err(AppendError::Missing));
    assert_eq!(store.delete(&name("delete")).await, Err(DeleteError::Missing));
    assert_eq!(store.look(&[name("look")]).await.unwrap(), [Look::Missing]);
    assert_eq!(stream(&*store, "f").create(&fork("fork")).await.unwrap_err(), CreateError::NoSource);
    stream(&*store, "create").make(&text()).await;
    assert!(stream(&*store, "create").texts().await.is_empty());
    stream(&*store, "stays").add("x").await;
}

/// Reading and appending keep it, and so does who follows it; asking what it is does not.
pub async fn reading_keeps_an_idle_stream<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    for its in ["read", "at the end", "appended", "followed", "asked"] {
        stream(&*store, its).make(&idle(3)).await;
    }
    for _ in 0..3 {
        backend.pass(Duration::from_millis(1400)).await;
        stream(&*store, "read").read(From::Begin).await.unwrap();
        stream(&*store, "at the end").read(From::End).await.unwrap();
        stream(&*store, "appended").add("x").await;
        let followed = store.look(&[name("followed")]).await.unwrap();
        assert!(matches!(followed[..], [Look::At { .. }]));
        let _ = store.head(&name("asked")).await;
    }
    for kept in ["read", "at the end", "appended", "followed"] {
        assert_eq!(stream(&*store, kept).lack().await, None, "{kept}");
    }
    assert_eq!(stream(&*store, "asked").lack().await, Some(ReadError::Missing));
}

/// Forking a stream is no use of it, wherever the fork ends, and whether it is made or refused.
pub async fn forking_keeps_no_source_alive<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let sources = ["whole", "at a chunk", "within a chunk", "refused", "read"];
    for its in sources {
        stream(&*store, its).make(&idle(30)).await;
        stream(&*store, its).add("abc").await;
    }
    backend.pass(Duration::from_secs(20)).await;
    let begin = Some(Offset::BEGIN);
    for (its, offset, units) in [("whole", None, 0), ("at a chunk", begin, 0), ("within a chunk", begin, 2)] {
        let kept = Create { lifetime: Some(Lifetime::Forever), ..fork_at(its, offset, units) };
        stream(&*store, &format!("fork: {its}")).make(&kept).await;
    }
    let beyond = stream(&*store, "beyond").create(&fork_at("refused", begin, 9)).await;
    assert_eq!(beyond.unwrap_err(), CreateError::NoSuchUnits);
    stream(&*store, "read").read(From::Begin).await.unwrap();
    backend.pass(Duration::from_secs(20)).await;
    for its in ["whole", "at a chunk", "within a chunk"] {
        assert_eq!(stream(&*store, its).lack().await, Some(ReadError::Deleted), "{its}");
    }
    assert_eq!(stream(&*store, "refused").lack().await, Some(ReadError::Missing));
    assert_eq!(stream(&*store, "read").lack().await, None);
    assert_eq!(stream(&*store, "fork: within a chunk").texts().await, ["ab"]);
}

/// A fork has a life of its own, and keeps what it has of a source that has expired.
pub async fn the_sources_of_forks_expire_with_them<B: Backend>() {
    let backend = B::start(Limits::default()).await;
    let store = backend.store();
    let source = stream(&*store, "source");
    source.make(&idle(2)).await;
    source.add("one").await;
    let f = stream(&*store, "f");
    f.make(&Create { lifetime: Some(Lifetime::Forever), ..fork("source") }).await;
    stream(&*store, "short").make(&fork("source")).await;
    backend.pass(Duration::from_millis(2500)).await;
    assert_eq!(f.texts().await, ["one"]);
    assert_eq!(source.lack().await, Some(ReadError::Deleted));
    assert_eq!(source.create(&text()).await.unwrap_err(), CreateError::Taken);
    assert_eq!(stream(&*store, "short").lack().await, Some(ReadError::Missing), "it inherited the lifetime");
    assert_eq!(stream(&*store, "g").create(&fork("source")).await.unwrap_err(), CreateError::SourceDeleted);
    store.delete(&name("f")).await.unwrap();
    // The short one may still be counted until somebody clears it away.
    crate::eventually(DEADLINE, async || Ok(source.create(&text()).await?)).await.unwrap();
}

//! What Redis may refuse, and answers that never come.

use std::net::{Ipv4Addr, SocketAddr};

use weir_core::durable::{
    Append, AppendError, Appended, Create, CreateError, DeleteError, From, Lifetime, Look, Producer,
    ReadError, StreamStore,
};
use weir_testkit::chaos::{Flow, Proxy, Way};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::eventually;
use weir_testkit::redis::RedisServer;

use super::{Streams, chunk, name, payload, server};
use crate::server::config_of;

/// Everything in Redis, to see that a refusal changed nothing.
async fn image(server: &RedisServer) -> String {
    let mut image = String::new();
    let keys = server.cli(&["KEYS", "*:ds:*"]).await;
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    for key in keys {
        image.push_str(
            &server.cli(&["EVAL", "return redis.sha1hex(redis.call('DUMP', KEYS[1]))", "1", key]).await,
        );
    }
    image
}

fn once() -> Append {
    let producer = Some(Producer { id: "p".into(), epoch: 0, seq: 0 });
    Append { producer, seq: Some("1".into()), close: true, ..chunk("x") }
}

/// A Redis without memory is full: nothing is done by halves, reading and deleting go on.
#[tokio::test]
async fn a_full_memory() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let (stream, idle) = (name("s"), name("idle"));
    one.create(&stream).await;
    one.append(&stream, "a").await;
    let lifetime = Some(Lifetime::Idle(100));
    one.store.create(&idle, &Create { lifetime, ..Create::default() }).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let before = image(&server).await;
    for append in [chunk("b"), once(), Append { payload: None, close: true, ..chunk("") }] {
        let refused = one.store.append(&stream, &append).await;
        assert!(matches!(&refused, Err(AppendError::Full(why)) if why.contains("OOM")), "{refused:?}");
    }
    let create = Create { payload: Some(payload("x")), ..Create::default() };
    let refused = one.store.create(&name("new"), &create).await;
    assert!(matches!(&refused, Err(CreateError::Full(why)) if why.contains("OOM")), "{refused:?}");
    assert_eq!(image(&server).await, before);
    assert_eq!(one.all(&stream).await.len(), 1);
    assert!(one.read(&idle, From::Begin).await.is_ok());
    one.store.delete(&stream).await.unwrap();
    assert_eq!(one.store.head(&stream).await.unwrap_err(), ReadError::Missing);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    one.create(&stream).await;
}

/// Where there is no memory, what is read and what is followed does not end for want of it.
#[tokio::test]
async fn what_is_used_outlives_a_full_memory() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let used = [name("read"), name("followed")];
    for stream in &used {
        let create = Create { lifetime: Some(Lifetime::Idle(5)), ..Create::default() };
        one.store.create(stream, &create).await.unwrap();
    }
    let end_of =
        async |stream: &str| server.cli(&["HGET", &format!("{{weir:events}}:ds:head:{stream}"), "x"]).await;
    let first = [end_of("read").await, end_of("followed").await];
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused =
        one.store.append(&used[0], &Append { media: None, payload: None, close: true, ..chunk("") }).await;
    assert!(matches!(refused, Err(AppendError::Full(_))), "{refused:?}");
    eventually("later ends", async || {
        let read = one.read(&used[0], From::Begin).await;
        let looked = one.store.look(&used[1..]).await.unwrap();
        assert!(read.is_ok() && matches!(looked[..], [Look::At { .. }]), "{read:?} {looked:?}");
        end_of("read").await > first[0] && end_of("followed").await > first[1]
    })
    .await;
    let expiry = server.cli(&["ZRANGE", "{weir:events}:ds:expiry", "0", "-1", "WITHSCORES"]).await;
    assert!(first.iter().all(|end| !expiry.contains(&**end)), "{expiry}");
}

/// What fails behind a first write is not said to be undone.
#[tokio::test]
async fn what_is_done_by_halves() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    let create =
        Create { media: Some(super::text()), lifetime: Some(Lifetime::Idle(100)), ..Create::default() };
    one.store.create(&stream, &create).await.unwrap();
    let soon = server.cli(&["TIME"]).await.lines().next().unwrap().parse::<u64>().unwrap() + 50;
    server.cli(&["HSET", "{weir:events}:ds:head:s", "x", &format!("{soon}000")]).await;
    server.cli(&["SET", "{weir:events}:ds:expiry", "no sorted set"]).await;
    let unknown = one.store.append(&stream, &chunk("x")).await;
    assert!(
        matches!(&unknown, Err(AppendError::OutcomeUnknown(why)) if why.contains("WRONGTYPE")),
        "{unknown:?}"
    );
    assert_eq!(one.all(&stream).await.len(), 1);
}

/// A replica takes nothing and is read; what is refused changes nothing.
#[tokio::test]
async fn a_server_that_takes_no_writes() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    one.create(&stream).await;
    one.append(&stream, "a").await;
    let before = image(&server).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for append in [chunk("b"), once()] {
        let refused = one.store.append(&stream, &append).await;
        assert!(
            matches!(&refused, Err(AppendError::Unavailable(why)) if why.contains("READONLY")),
            "{refused:?}"
        );
    }
    let refused = one.store.create(&name("new"), &Create::default()).await;
    assert!(
        matches!(&refused, Err(CreateError::Unavailable(why)) if why.contains("READONLY")),
        "{refused:?}"
    );
    let refused = one.store.delete(&stream).await;
    assert!(
        matches!(&refused, Err(DeleteError::Unavailable(why)) if why.contains("READONLY")),
        "{refused:?}"
    );
    assert_eq!(one.all(&stream).await.len(), 1);
    server.cli(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(image(&server).await, before);
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let refused = one.store.append(&stream, &once()).await;
    assert!(
        matches!(&refused, Err(AppendError::Unavailable(why)) if why.contains("NOREPLICAS")),
        "{refused:?}"
    );
    assert_eq!(image(&server).await, before);
}

/// An answer that never comes: it may be done or not, and a producer finds out by asking again. What was never sent is told
/// apart from that.
#[tokio::test]
async fn an_answer_that_never_comes() {
    let mut server = server().await;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
    let proxy = Proxy::start(addr).await.unwrap();
    let one = Streams::joined(config_of(format!("redis://{}", proxy.addr()), Limits::default()), None).await;
    let stream = name("s");
    one.create(&stream).await;
    let append = |seq| Append { producer: Some(Producer { id: "p".into(), epoch: 0, seq }), ..chunk("x") };
    one.store.append(&stream, &append(0)).await.unwrap();
    proxy.set(Way::ToClient, Flow::Swallow);
    let unknown = one.store.append(&stream, &append(1)).await;
    assert!(matches!(unknown, Err(AppendError::OutcomeUnknown(_))), "{unknown:?}");
    proxy.heal();
    let mut again = None;
    eventually("an answer", async || {
        again = one.store.append(&stream, &append(1)).await.ok();
        again.is_some()
    })
    .await;
    assert!(matches!(again, Some(Appended::Duplicate { seq: 1, .. })), "{again:?}");
    assert_eq!(one.all(&stream).await.len(), 2);

    server.stop();
    eventually("no connection", async || {
        matches!(one.store.append(&stream, &append(2)).await, Err(AppendError::Unavailable(_)))
    })
    .await;
    let refused = one.store.create(&name("new"), &Create::default()).await;
    assert!(matches!(refused, Err(CreateError::Unavailable(_))), "{refused:?}");
    assert!(matches!(one.store.head(&stream).await, Err(ReadError::Unavailable(_))));
    assert!(matches!(one.store.delete(&stream).await, Err(DeleteError::Unavailable(_))));
}

/// Somebody evicts or deletes parts of a stream: nothing that is left is taken for something else.
#[tokio::test]
async fn parts_that_are_missing() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    one.create(&stream).await;
    let first = one.append(&stream, "a").await;
    server.cli(&["DEL", "{weir:events}:ds:log:s"]).await;
    assert_eq!(
        one.read(&stream, From::After(weir_core::durable::Offset::BEGIN)).await.unwrap_err(),
        ReadError::OffsetGone
    );
    let second = one.append(&stream, "b").await;
    assert_eq!(second.n(), 2);
    assert_eq!(
        super::chunks(&one.read(&stream, From::After(first)).await.unwrap()),
        [(second, "b".to_owned())]
    );
    server.cli(&["DEL", "{weir:events}:ds:head:s"]).await;
    assert_eq!(one.read(&stream, From::Begin).await.unwrap_err(), ReadError::Missing);
    one.create(&stream).await;
    let new = one.append(&stream, "c").await;
    assert_eq!(one.all(&stream).await, [(new, "c".to_owned())]);
    assert_eq!(one.read(&stream, From::After(first)).await.unwrap_err(), ReadError::OffsetGone);
}

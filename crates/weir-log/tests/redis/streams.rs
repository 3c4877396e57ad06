//! Durable streams on a server of their own: the rules by which one stream is one thing to everybody.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "streams/cluster.rs"]
mod cluster;
#[path = "streams/differential.rs"]
mod differential;
#[path = "streams/epochs.rs"]
mod epochs;
#[path = "streams/faults.rs"]
mod faults;
#[path = "streams/load.rs"]
mod load;
#[path = "streams/shared.rs"]
mod shared;
#[path = "streams/wakes.rs"]
mod wakes;

use std::sync::Arc;

use weir_core::durable::{
    Append, AppendError, Appended, Create, Fork, From, Look, MediaType, Offset, Page, Payload, Producer,
    ReadError, StreamName, StreamStore,
};
use weir_log::{RedisConfig, RedisLog, RedisReader, RedisStreams, RedisWakes};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::eventually;
use weir_testkit::redis::RedisServer;

use crate::SOFTWARE;
use crate::server::{Joined, config, open, ready};

/// Room for any page.
const ALL: usize = 64 << 20;

/// The streams of one instance.
pub(crate) struct Streams {
    pub(crate) store: Arc<RedisStreams>,
    pub(crate) wakes: RedisWakes,
    pub(crate) log: Arc<RedisLog>,
    _reader: Box<RedisReader>,
}

impl Streams {
    /// An instance that can write.
    pub(crate) async fn join(server: &RedisServer) -> Self {
        Self::joined(config(server, Limits::default()), None).await
    }

    pub(crate) async fn joined(config: RedisConfig, maxlen: Option<u64>) -> Self {
        let Joined { log, reader, .. } = open(config);
        ready(&log).await;
        let (store, wakes) = log.streams(maxlen);
        Self { store, wakes, log, _reader: reader }
    }

    pub(crate) async fn create(&self, name: &StreamName) {
        let text = Create { media: Some(text()), ..Create::default() };
        assert!(self.store.create(name, &text).await.unwrap().is_new, "{name} is new");
    }

    /// Appends one chunk, and gives its end.
    pub(crate) async fn append(&self, name: &StreamName, data: &str) -> Offset {
        match self.store.append(name, &chunk(data)).await {
            Ok(Appended::Written { tail, .. }) => tail,
            other => panic!("{other:?}"),
        }
    }

    /// Everything from there on.
    pub(crate) async fn read(&self, name: &StreamName, from: From) -> Result<Page, ReadError> {
        self.store.read(name, from, ALL).await
    }

    /// The chunks as text, and their ends.
    pub(crate) async fn all(&self, name: &StreamName) -> Vec<(Offset, String)> {
        let page = self.read(name, From::Begin).await.unwrap();
        assert!(page.is_up_to_date());
        chunks(&page)
    }
}

pub(crate) fn chunks(page: &Page) -> Vec<(Offset, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    page.chunks.iter().map(|chunk| (chunk.end, text(&chunk.bytes))).collect()
}

pub(crate) fn name(text: &str) -> StreamName {
    StreamName::parse(text).unwrap()
}

pub(crate) fn text() -> MediaType {
    MediaType::parse("text/plain").unwrap()
}

pub(crate) fn payload(data: &str) -> Payload {
    Payload { bytes: data.to_owned().into(), units: data.len() as u64 }
}

pub(crate) fn chunk(data: &str) -> Append {
    Append { media: Some(text()), payload: Some(payload(data)), close: false, seq: None, producer: None }
}

async fn server() -> RedisServer {
    RedisServer::start_with(SOFTWARE.into()).await
}

/// Names may be anything, and all that stands in Redis for one has the slot of the shared stream.
#[tokio::test]
async fn names_of_all_kinds_in_one_slot() {
    let server = server().await;
    let one = Streams::join(&server).await;
    for odd in ["a/b", "{other}", "ä ö", "x:y:1 2 3", "5 6 7"] {
        let name = name(odd);
        one.create(&name).await;
        let producer = Producer { id: "1 2 }{ p".into(), epoch: 0, seq: 0 };
        let append = Append { producer: Some(producer.clone()), close: true, ..chunk("x") };
        one.store.append(&name, &append).await.unwrap();
        let again = one.store.append(&name, &append).await.unwrap();
        assert!(matches!(again, Appended::Duplicate { seq: 0, closed: true, .. }), "{odd}: {again:?}");
        let fork = Fork { source: name.clone(), offset: None, units: 0 };
        let fork = Create { fork: Some(fork), ..Create::default() };
        let forked = self::name(&format!("fork of {odd}"));
        assert!(one.store.create(&forked, &fork).await.unwrap().is_new);
        assert_eq!(one.all(&forked).await.len(), 1, "{odd}");
    }
    let slot = |key: &str| fred::util::redis_keyslot(key.as_bytes());
    for key in server.cli(&["KEYS", "*"]).await.lines() {
        assert_eq!(slot(key), slot(crate::server::STREAM), "{key}");
    }
}

/// A script that was forgotten is sent again, and nobody hears of it.
#[tokio::test]
async fn scripts_that_are_forgotten() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    one.create(&stream).await;
    for data in ["a", "b", "c"] {
        one.append(&stream, data).await;
        server.cli(&["SCRIPT", "FLUSH"]).await;
    }
    assert_eq!(one.all(&stream).await.len(), 3);
}

/// Streams that have expired leave nothing in Redis, and who is read stays.
#[tokio::test]
async fn what_has_expired_is_swept() {
    let server = server().await;
    let one = Streams::join(&server).await;
    for nth in (0..150).rev() {
        // Those that are kept have the time that a slow machine may need between two looks.
        let lifetime = Some(weir_core::durable::Lifetime::Idle(if nth < 2 { 3 } else { 1 }));
        let create = Create { lifetime, payload: Some(payload("x")), ..Create::default() };
        one.store.create(&name(&format!("s{nth}")), &create).await.unwrap();
    }
    let kept = [name("s0"), name("s1")];
    let mut looked = Vec::new();
    eventually("the end of all but those that are looked at", async || {
        one.read(&kept[0], From::End).await.unwrap();
        looked = one.store.look(&kept[1..]).await.unwrap();
        server.cli(&["ZCARD", "{weir:events}:ds:expiry"]).await == "2"
    })
    .await;
    assert!(matches!(looked[..], [Look::At { closed: false, .. }]));
    let mut left: Vec<_> = server.cli(&["KEYS", "*:ds:*"]).await.lines().map(str::to_owned).collect();
    left.sort_unstable();
    let of = |kind, name| format!("{{weir:events}}:ds:{kind}:{name}");
    let fixed = |kind| format!("{{weir:events}}:ds:{kind}");
    let expected = [
        fixed("expiry"),
        of("head", "s0"),
        of("head", "s1"),
        fixed("life"),
        of("log", "s0"),
        of("log", "s1"),
    ];
    assert_eq!(left, expected);
    eventually("the end of the others", async || server.cli(&["KEYS", "*:ds:*"]).await.lines().count() == 1)
        .await;
    assert_eq!(one.read(&kept[0], From::Begin).await.unwrap_err(), ReadError::Missing);
    assert_eq!(one.store.append(&kept[0], &chunk("x")).await, Err(AppendError::Missing));
}

/// An append within moments of another one does not say anew when the stream ends: whoever sweeps finds out.
#[tokio::test]
async fn what_is_used_is_not_swept() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    let lifetime = Some(weir_core::durable::Lifetime::Idle(100));
    let create = Create { media: Some(text()), lifetime, ..Create::default() };
    one.store.create(&stream, &create).await.unwrap();
    let expiry = "{weir:events}:ds:expiry";
    server.cli(&["ZADD", expiry, "1", "s"]).await;
    server.cli(&["ZADD", expiry, "1", "nobody"]).await;
    eventually("a round", async || {
        server.cli(&["ZRANGEBYSCORE", expiry, "-inf", "1000"]).await.trim().is_empty()
    })
    .await;
    let ends = server.cli(&["HGET", "{weir:events}:ds:head:s", "x"]).await;
    assert_eq!(server.cli(&["ZRANGE", expiry, "0", "-1", "WITHSCORES"]).await, format!("s\n{ends}"));
    one.append(&stream, "a").await;
}

/// Of many names that producers are made up by, as many are remembered as are allowed. One that was heard of lately is not forgotten
/// for another.
#[tokio::test]
async fn producers_are_bounded() {
    let server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    one.create(&stream).await;
    let producers = "{weir:events}:ds:producers:s";
    let fill = "for i = 1, 10000 do redis.call('HSET', KEYS[1], 'old' .. i, '0 0 ' .. ARGV[1]) end";
    let now = server.cli(&["TIME"]).await.lines().next().unwrap().parse::<u64>().unwrap();
    let fill = async |secs: u64| server.cli(&["EVAL", fill, "1", producers, &format!("{secs}000")]).await;
    let append =
        |id: &str, seq| Append { producer: Some(Producer { id: id.into(), epoch: 0, seq }), ..chunk("x") };
    fill(now).await;
    let crowded = one.store.append(&stream, &append("new", 0)).await;
    assert!(matches!(crowded, Err(AppendError::Full(_))), "{crowded:?}");
    assert!(one.all(&stream).await.is_empty());
    let known = one.store.append(&stream, &append("old7", 1)).await;
    assert!(matches!(known, Ok(Appended::Written { .. })), "{known:?}");
    fill(now - 600).await;
    one.store.append(&stream, &append("new", 0)).await.unwrap();
    assert_eq!(server.cli(&["HLEN", producers]).await, "10000");
    let next = one.store.append(&stream, &append("new", 1)).await.unwrap();
    assert!(matches!(next, Appended::Written { .. }), "the newest is remembered: {next:?}");
    // Silent for more than a week.
    server.cli(&["HSET", producers, "new", "0 1 1"]).await;
    let gap = one.store.append(&stream, &append("new", 2)).await;
    assert_eq!(gap, Err(AppendError::Gap { expected: 0, received: 2 }));
}

//! No offset ever stands for two things, whatever happens to the server.

use std::net::{Ipv4Addr, SocketAddr};

use weir_core::durable::{AppendError, Create, CreateError, Fork, From, Offset, ReadError, StreamStore};
use weir_testkit::chaos::{Close, Proxy};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::eventually;
use weir_testkit::redis::{Options, RedisServer, Sentinels};

use super::{Streams, chunk, name, server};
use crate::SOFTWARE;
use crate::server::config_of;

async fn replica_of(server: &RedisServer) -> RedisServer {
    let replica = RedisServer::start_with(Options::from(SOFTWARE).replica_of(server.port())).await;
    server.replicated().await;
    replica
}

/// The replica loses sight of its master, which goes on alone.
async fn cut_off(master: &RedisServer, replica: &RedisServer) {
    replica.pause();
    master.cli(&["CLIENT", "KILL", "TYPE", "replica"]).await;
}

/// What every reader of a log with a lost tail has to hear: `kept` holds, `lost` never comes back.
async fn holds(streams: &Streams, stream: &str, kept: &[Offset], lost: &[Offset]) {
    let stream = name(stream);
    for offset in kept {
        let page = streams.read(&stream, From::After(*offset)).await;
        assert!(page.is_ok(), "{offset}: {page:?}");
    }
    for (place, offset) in lost.iter().enumerate() {
        let page = streams.read(&stream, From::After(*offset)).await;
        assert_eq!(page.unwrap_err(), ReadError::OffsetGone, "{offset}");
        let fork = Fork { source: stream.clone(), offset: Some(*offset), units: 0 };
        let fork = Create { fork: Some(fork), ..Create::default() };
        let forked = streams.store.create(&name(&format!("{stream} fork {place}")), &fork).await;
        let refused = forked.unwrap_err();
        assert!(
            matches!(refused, CreateError::OffsetGone | CreateError::NoSuchOffset),
            "{offset}: {refused}"
        );
    }
}

/// Sentinels replace a master whose replica missed the newest chunks.
#[tokio::test]
async fn a_failover_that_lost_chunks() {
    let mut master = server().await;
    let replica = replica_of(&master).await;
    let sentinels = Sentinels::watch(SOFTWARE, master.port(), 1).await;
    let one = Streams::joined(config_of(sentinels.url(), Limits::default()), None).await;
    let (stream, quiet) = (name("s"), name("quiet"));
    one.create(&stream).await;
    one.create(&quiet).await;
    let kept = [one.append(&stream, "1").await, one.append(&stream, "2").await];
    let still = one.append(&quiet, "1").await;
    master.replicated().await;
    cut_off(&master, &replica).await;
    let lost = [one.append(&stream, "lost 3").await, one.append(&stream, "lost 4").await];
    master.stop();
    replica.resume();

    let mut tail = None;
    eventually("appending to the new master", async || {
        match one.store.append(&stream, &chunk("3")).await {
            Ok(written) => tail = Some(written),
            Err(AppendError::Unavailable(_) | AppendError::OutcomeUnknown(_)) => {}
            Err(other) => panic!("{other}"),
        }
        tail.is_some()
    })
    .await;
    one.append(&stream, "4").await;
    let all = one.all(&stream).await;
    let texts: Vec<_> = all.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[..2], ["1", "2"]);
    assert!(texts[2..].iter().all(|text| !text.starts_with("lost")), "{texts:?}");
    assert_eq!(
        all.iter().map(|(end, _)| end.n()).collect::<Vec<_>>(),
        (1..=texts.len() as u64).collect::<Vec<_>>()
    );
    assert_eq!([all[0].0, all[1].0], kept);
    assert!(all[2].0.n() == lost[0].n() && all[2].0 > lost[1], "they go on to rise: {:?} {lost:?}", all[2].0);
    holds(&one, "s", &kept, &lost).await;
    // A stream that nobody has appended to since.
    assert_eq!(one.read(&quiet, From::After(still)).await.unwrap().next, still);
}

/// The same connection leads to a server that was a replica for a moment, and lost what it had: nobody tells the connection.
#[tokio::test]
async fn a_master_that_was_a_replica_for_a_moment() {
    let master = server().await;
    let other = replica_of(&master).await;
    let one = Streams::join(&master).await;
    let stream = name("s");
    one.create(&stream).await;
    let kept = one.append(&stream, "1").await;
    master.replicated().await;
    other.cli(&["REPLICAOF", "NO", "ONE"]).await;
    let lost = one.append(&stream, "lost").await;
    let connections = async || {
        let list = master.cli(&["CLIENT", "LIST", "TYPE", "normal"]).await;
        list.lines()
            .filter_map(|line| line.split("id=").nth(1)?.split(' ').next())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = connections().await;
    master.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).await;
    let synced = async || master.cli(&["INFO", "replication"]).await.contains("master_link_status:up");
    eventually("a copy of the other", synced).await;
    master.cli(&["REPLICAOF", "NO", "ONE"]).await;
    let new = one.append(&stream, "2").await;
    assert!(connections().await.iter().any(|id| before.contains(id)), "a connection stayed");
    assert_eq!((new.n(), new > lost), (2, true));
    holds(&one, "s", &[kept, new], &[lost]).await;
    assert_eq!(one.all(&stream).await, [(kept, "1".to_owned()), (new, "2".to_owned())]);
}

/// A restart that loses everything, and somebody who empties Redis: the streams are missing, and one that is made again knows
/// nothing of the offsets of the one before.
#[tokio::test]
async fn a_redis_that_is_emptied() {
    let mut server = server().await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    let mut old = Vec::new();
    for flushed in [true, false, true] {
        one.create(&stream).await;
        let born = one.store.head(&stream).await.unwrap().born;
        for offset in &old {
            assert_eq!(one.read(&stream, From::After(*offset)).await.unwrap_err(), ReadError::OffsetGone);
        }
        for data in ["1", "2"] {
            old.push(one.append(&stream, data).await);
        }
        holds(&one, "s", &old[old.len() - 2..], &old[..old.len() - 2]).await;
        assert_eq!(old.last().unwrap().epoch(), born);
        if flushed {
            server.cli(&["FLUSHALL"]).await;
        } else {
            server.restart().await;
        }
        eventually("a stream that is gone", async || {
            one.read(&stream, From::Begin).await.err() == Some(ReadError::Missing)
        })
        .await;
    }
}

/// A restart from a copy on disk that is older than what was acknowledged.
#[tokio::test]
async fn a_restart_that_lost_the_newest() {
    let mut server = RedisServer::start_with(Options::from(SOFTWARE).set("dbfilename", &["dump.rdb"])).await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    one.create(&stream).await;
    let kept = one.append(&stream, "1").await;
    server.cli(&["SAVE"]).await;
    let lost = one.append(&stream, "lost").await;
    server.restart().await;
    eventually("the copy", async || one.read(&stream, From::Begin).await.is_ok()).await;
    assert_eq!(
        one.read(&stream, From::After(lost)).await.unwrap_err(),
        ReadError::OffsetGone,
        "already before an append"
    );
    let new = one.append(&stream, "2").await;
    assert_eq!((new.n(), new > lost), (2, true));
    holds(&one, "s", &[kept, new], &[lost]).await;
}

/// The log is continued by so many servers that their epochs are no longer all kept: the newest hold, no lost one comes back.
#[tokio::test]
async fn many_lives() {
    let options = Options::from(SOFTWARE).set("enable-debug-command", &["local"]);
    let server = RedisServer::start_with(options).await;
    let one = Streams::join(&server).await;
    let stream = name("s");
    one.create(&stream).await;
    let mut all = Vec::new();
    for nth in 0..80 {
        all.push(one.append(&stream, &nth.to_string()).await);
        // A new replication id is what tells a new life.
        server.cli(&["DEBUG", "CHANGE-REPL-ID"]).await;
    }
    assert!(all.windows(2).all(|pair| pair[0].epoch() < pair[1].epoch()));
    holds(&one, "s", &all[20..], &[]).await;
    let ends = one.all(&stream).await;
    assert_eq!(ends.len(), 80);
    assert!(ends[20..].iter().map(|(end, _)| end).eq(&all[20..]));
    for (n, offset) in (1..).zip(&all).skip(20) {
        // A place of one life is never taken for the same place of another.
        let other = Offset::new(offset.epoch() + 1, n);
        assert_eq!(one.read(&stream, From::After(other)).await.unwrap_err(), ReadError::OffsetGone);
    }
}

/// Two masters for a moment: what the one that was cut off acknowledged is not taken for what the other has there.
#[tokio::test]
async fn two_masters_for_a_moment() {
    let old = server().await;
    let new = replica_of(&old).await;
    let at = |server: &RedisServer| SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
    let proxy = Proxy::start(at(&old)).await.unwrap();
    let one = Streams::joined(config_of(format!("redis://{}", proxy.addr()), Limits::default()), None).await;
    let cut = Streams::join(&old).await;
    let stream = name("s");
    one.create(&stream).await;
    let kept = one.append(&stream, "1").await;
    old.replicated().await;
    new.cli(&["REPLICAOF", "NO", "ONE"]).await;
    let lost = cut.append(&stream, "of the old one").await;
    proxy.point_at(Some(at(&new)));
    proxy.close_all(Close::Reset);
    eventually("the new one", async || one.store.append(&stream, &chunk("2")).await.is_ok()).await;
    holds(&one, "s", &[kept], &[lost]).await;
    let there = one.all(&stream).await.pop().unwrap().0;
    assert_eq!(cut.read(&stream, From::After(there)).await.unwrap_err(), ReadError::OffsetGone);
}

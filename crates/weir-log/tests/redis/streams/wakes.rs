//! What instances hear of changes.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use weir_core::durable::{Append, ReadError, StreamName, StreamStore, WakeReader, Woken};
use weir_log::RedisWakes;
use weir_testkit::log_suite::follow::eventually;
use weir_testkit::redis::RedisServer;

use super::{Streams, chunk, name, server};

const PATIENCE: Duration = Duration::from_secs(20);

const WAKE: &str = "{weir:events}:wake";

async fn next(wakes: &mut RedisWakes) -> Woken {
    timeout(PATIENCE, wakes.next()).await.expect("an announcement")
}

/// Until this stream is announced.
async fn hear(wakes: &mut RedisWakes, stream: &StreamName) {
    loop {
        match next(wakes).await {
            Woken::Streams(names) if names.contains(stream) => return,
            Woken::Streams(_) | Woken::Any => {}
        }
    }
}

/// What is appended, closed and deleted on one instance is heard on the other, also what came shortly after an announcement.
#[tokio::test]
async fn every_change_is_heard() {
    let server = server().await;
    let (one, mut two) = (Streams::join(&server).await, Streams::join(&server).await);
    let stream = name("s");
    one.create(&stream).await;
    assert_eq!(next(&mut two.wakes).await, Woken::Any, "at first");
    for nth in 0..50 {
        // Two at once: the second is announced when the pause is over.
        one.append(&stream, "a").await;
        let tail = one.append(&stream, "b").await;
        let heard = async {
            loop {
                hear(&mut two.wakes, &stream).await;
                if two.store.head(&stream).await.unwrap().tail == tail {
                    return;
                }
            }
        };
        timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("{nth}: the second is not heard"));
    }
    let close = Append { payload: None, close: true, ..chunk("") };
    one.store.append(&stream, &close).await.unwrap();
    let closed = async {
        while !two.store.head(&stream).await.unwrap().closed {
            hear(&mut two.wakes, &stream).await;
        }
    };
    timeout(PATIENCE, closed).await.expect("the end");
    one.store.delete(&stream).await.unwrap();
    let gone = async {
        while two.store.head(&stream).await.is_ok() {
            hear(&mut two.wakes, &stream).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the deletion");
}

/// However fast it is written to, a stream is announced once in 5 ms and not more, whichever instance writes.
#[tokio::test]
async fn a_fast_stream_is_announced_now_and_then() {
    let server = server().await;
    let (one, two) = (Streams::join(&server).await, Streams::join(&server).await);
    let (fast, other) = (name("fast"), name("other"));
    one.create(&fast).await;
    one.create(&other).await;
    // Those of their creation.
    server.cli(&["DEL", WAKE]).await;
    let first = now_ms(&server).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        // So many at once that a slow machine has more of them than announcements, too.
        let appends = (0..128).map(|nth| if nth % 2 == 0 { &one } else { &two }.append(&fast, "a"));
        futures_util::future::join_all(appends).await;
    }
    let elapsed = now_ms(&server).await - first;
    one.append(&other, "c").await;
    let tail = one.store.head(&fast).await.unwrap().tail;
    let appended = tail.n();
    // The last of them comes by itself.
    eventually("the announcement of the last", async || {
        let at: u64 = server.cli(&["HGET", "{weir:events}:ds:head:fast", "w"]).await.parse().unwrap();
        let list = server.cli(&["XRANGE", WAKE, "-", "+"]).await;
        list.contains("fast") && now_ms(&server).await > at + 50
    })
    .await;
    let list = server.cli(&["XRANGE", WAKE, "-", "+"]).await;
    let lines: Vec<_> = list.lines().collect();
    let announced = |stream| lines.chunks_exact(3).filter(|entry| entry[2] == stream).count() as u64;
    let fast = announced("fast");
    // With the first, and the last that comes by itself. Not of each pair, whose clocks a slow machine reads late.
    assert!(fast <= elapsed / 5 + 2, "{fast} in {elapsed} ms");
    assert!(fast > 5 && fast * 3 < appended, "{fast} of {appended}");
    assert_eq!(announced("other"), 1);
}

/// By the clock of Redis.
async fn now_ms(server: &RedisServer) -> u64 {
    let time = server.cli(&["TIME"]).await;
    let mut numbers = time.lines().map(|line| line.parse::<u64>().unwrap());
    numbers.next().unwrap() * 1000 + numbers.next().unwrap() / 1000
}

/// After anything by which announcements may have been missed it says so: a connection that ended, more than are kept, and a
/// Redis that was emptied.
#[tokio::test]
async fn whoever_may_have_missed_some_is_told() {
    let mut server = server().await;
    let mut one = Streams::join(&server).await;
    assert_eq!(next(&mut one.wakes).await, Woken::Any);
    let blocked = async || server.cli(&["CLIENT", "LIST"]).await.contains("cmd=xread ");
    let idle = async {
        loop {
            one.wakes.next().await;
        }
    };
    tokio::select! {
        () = idle => {}
        () = eventually("a blocked read", blocked) => {}
    }
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert_eq!(next(&mut one.wakes).await, Woken::Any, "after a reconnection");
    let fill =
        "for i = 1, 3000 do redis.call('XADD', KEYS[1], 'MAXLEN', '~', '1000', '*', 's', 'x' .. i) end";
    server.cli(&["EVAL", fill, "1", WAKE]).await;
    assert_eq!(next(&mut one.wakes).await, Woken::Any, "more than are kept");
    let stream = name("s");
    let missing = async || one.store.head(&stream).await.err() == Some(ReadError::Missing);
    eventually("a connection to write by", missing).await;
    one.create(&stream).await;
    one.append(&stream, "a").await;
    hear(&mut one.wakes, &stream).await;
    // Emptied, with a clock that is far behind what was announced before.
    server.cli(&["XADD", WAKE, "9999999999999-0", "s", "late"]).await;
    hear(&mut one.wakes, &name("late")).await;
    server.cli(&["DEL", WAKE]).await;
    assert_eq!(next(&mut one.wakes).await, Woken::Any, "after the key was gone");
    one.append(&stream, "b").await;
    hear(&mut one.wakes, &stream).await;
    server.restart().await;
    assert_eq!(next(&mut one.wakes).await, Woken::Any, "after a restart");
}

/// What others write there names nothing, and stops nobody.
#[tokio::test]
async fn nonsense_is_passed_over() {
    let server = server().await;
    let mut one = Streams::join(&server).await;
    assert_eq!(next(&mut one.wakes).await, Woken::Any);
    for bytes in [&b"\xff\xfe"[..], b"", b"a\nb"] {
        server.command(&[b"XADD", WAKE.as_bytes(), b"*", b"s", bytes]).await;
    }
    server.cli(&["XADD", WAKE, "*", "s", "fine", "more", "fields"]).await;
    hear(&mut one.wakes, &name("fine")).await;
}

//! The users that `docs/redis.md` makes, and what is said and done where one of their rights is missing.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::time::Duration;

use weir_core::durable::{Create, Lifetime, Look, StreamStore, WakeReader, Woken};
use weir_core::log::{AppendError, Appended, EventLog, Feed, Idempotency, LogReader, NewEvent};
use weir_core::peers::Peers;
use weir_log::{Pace, RedisConfig, RedisLog};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{events, eventually, loaded, next_news, numbers, plain, write_numbers};
use weir_testkit::redis::{Options, RedisCluster, RedisServer};
use weir_testkit::stream_suite::ask::{append, by, close, fork, fork_at, idle, name, payload, stream, text};

use crate::SOFTWARE;
use crate::server::{Joined, STREAM, config_of, open, ready};

const DOC: &str = include_str!("../../../../docs/redis.md");

/// Rights without which nothing can be delivered.
const NEEDED: [&str; 4] = ["eval", "time", "xrange", "xrevrange"];

/// The words of the document's command that makes this user.
fn rule(user: &str) -> Vec<&'static str> {
    let start = format!("ACL SETUSER {user} ");
    let line = DOC.lines().find(|line| line.starts_with(&start)).expect("a command of the document");
    line.split(' ').collect()
}

/// A server with the user of the document; the test itself is another.
async fn server() -> RedisServer {
    let server = RedisServer::start_with(Options::from(SOFTWARE)).await;
    server.cli(&rule("weir")).await;
    server
}

fn as_user(user: &str, server: &RedisServer) -> RedisConfig {
    let mut config = config_of(format!("redis://{user}@127.0.0.1:{}", server.port()), Limits::default());
    config.access.password = Some("PASSWORD".to_owned());
    config
}

fn once() -> Idempotency {
    Idempotency { scope: "s".to_owned(), key: "k".to_owned(), digest: [1; 32] }
}

/// All that weir does, by the least rights: reading with a group, publishing in every way, snapshots, lease, janitor, facts.
#[tokio::test]
async fn the_least_rights_suffice() {
    let server = server().await;
    server.cli(&["XGROUP", "CREATE", STREAM, "weir:dead:1", "0", "MKSTREAM"]).await;
    let mut config = as_user("weir", &server);
    config.pace = Pace { upkeep: Duration::from_millis(30), lease: Duration::from_millis(300) };
    config.maxlen = 100;
    let Joined { log, mut reader, metrics } = open(config);
    loaded(&mut *reader).await;
    ready(&log).await;
    write_numbers(&*log, 0..3).await;
    let batch = [plain(3), NewEvent { snapshot: Some(60), ..plain(4) }];
    let written = log.append(&batch, Some(&once())).await;
    assert!(matches!(written, Ok(Appended::Written(_))), "{written:?}");
    assert!(matches!(log.append(&batch, Some(&once())).await, Ok(Appended::Duplicate(_))));
    assert_eq!(log.snapshot(&batch[1].session).await.unwrap().unwrap().data(), "4");
    assert_eq!(numbers(&events(&mut *reader, 5).await), [0, 1, 2, 3, 4]);
    eventually("the end of a dead group", async || metrics.redis().groups_reaped.get() == 1).await;
    for _ in 0..300 {
        server.cli(&["XADD", STREAM, "*", "session", "s", "data", "5"]).await;
    }
    eventually("trimming", async || server.cli(&["XLEN", STREAM]).await.parse::<u64>().unwrap() <= 200).await;
    streams(&log).await;
    let peers = log.peers();
    peers.tell("{}").await.unwrap();
    assert_eq!(peers.look().await.unwrap().told.len(), 1);
    assert!(peers.are_watched().await.unwrap());
    peers.leave().await.unwrap();
    eventually("facts", async || log.facts().lag.is_some() && log.facts().pending.is_some()).await;
    let facts = log.facts();
    assert_eq!((facts.lacks, facts.group_refused, facts.trouble, facts.groups), (None, None, None, Some(1)));
    reader.close().await;
    assert!(!server.cli(&["XINFO", "GROUPS", STREAM]).await.contains("weir:"));
    // What is denied all the same does no harm and is known to the document.
    let denied = server.cli(&["ACL", "LOG"]).await;
    let mut objects: Vec<_> = denied
        .lines()
        .zip(denied.lines().skip(1))
        .filter_map(|(name, value)| (name == "object").then_some(value))
        .collect();
    objects.sort_unstable();
    assert_eq!(objects, ["client|id"], "{denied}");
}

/// All that is done with durable streams.
async fn streams(log: &RedisLog) {
    let (store, mut wakes) = log.streams(Some(3));
    assert_eq!(wakes.next().await, Woken::Any);
    let s = stream(&*store, "s");
    s.make(&Create { payload: Some(payload("0")), ..idle(1) }).await;
    for seq in 0..5 {
        s.append(&by(append("x"), "p", 0, seq)).await.unwrap();
    }
    stream(&*store, "fork").make(&Create { lifetime: Some(Lifetime::Forever), ..fork("s") }).await;
    stream(&*store, "short").make(&fork_at("s", None, 0)).await;
    assert_eq!(s.texts().await, ["x", "x", "x"]);
    assert!(matches!(store.look(&[name("s")]).await.unwrap()[..], [Look::At { .. }]));
    assert!(matches!(wakes.next().await, Woken::Streams(_)));
    s.append(&close()).await.unwrap();
    eventually("the end of an idle stream", async || store.head(&name("s")).await.is_err()).await;
    store.delete(&name("fork")).await.unwrap();
    eventually("the end of its source", async || s.create(&text()).await.is_ok()).await;
}

/// Each right by itself: where it is missing it is named, what can work works, and all works as soon as it is there.
#[tokio::test]
async fn a_missing_right_is_named() {
    let server = server().await;
    let rights: Vec<_> = rule("weir").iter().filter_map(|word| word.strip_prefix('+')).collect();
    assert!(rights.len() > 15);
    for right in rights {
        server.cli(&["ACL", "SETUSER", "weir", &format!("-{right}")]).await;
        let Joined { log, mut reader, .. } = open(as_user("weir", &server));
        let first = next_news(&mut *reader).await;
        if NEEDED.contains(&right) {
            assert!(
                matches!(&first, Feed::Down(why) if why.contains(right) && why.contains("docs/redis.md")),
                "{right}: {first:?}"
            );
            assert!(log.facts().trouble.is_some_and(|why| why.contains(right)));
        } else {
            assert!(matches!(first, Feed::Loaded(_)), "{right}: {first:?}");
            server.cli(&["XADD", STREAM, "*", "session", "s", "data", "7"]).await;
            assert_eq!(numbers(&events(&mut *reader, 1).await), [7], "{right}");
            let named = || log.facts().lacks.is_some_and(|rights| rights.contains(&format!("+{right} on")));
            eventually(right, async || named()).await;
        }
        if ["xgroup|create", "xreadgroup", "xack"].contains(&right) {
            assert!(log.facts().group_refused.is_some_and(|why| why.contains(right)), "{right}");
        }
        server.cli(&["ACL", "SETUSER", "weir", &format!("+{right}")]).await;
        let whole = || {
            let facts = log.facts();
            facts.lacks.is_none() && facts.group_refused.is_none() && facts.trouble.is_none()
        };
        let read = async {
            loop {
                reader.next().await;
            }
        };
        tokio::select! {
            () = read => {}
            () = eventually(right, async || whole() && log.facts().group.is_some()) => {}
        }
        reader.close().await;
    }
}

/// A publish that may not be remembered, or whose snapshot may not be kept, is refused before anything is written.
#[tokio::test]
async fn a_publish_without_rights_writes_nothing() {
    let server = server().await;
    let stream = ["resetkeys", "~weir:events", "~{weir:events}:leases", "~{weir:events}:janitor*"];
    for (missing, named) in [
        (&["-set"][..], "+set on {weir:events}:snapshot:"),
        (&["+set", "-get"], "+get on {weir:events}:idem:"),
        (&[&["+get"], &stream[..]].concat(), "+set on {weir:events}:snapshot:"),
    ] {
        server.cli(&[&["ACL", "SETUSER", "weir"], missing].concat()).await;
        let Joined { log, mut reader, .. } = open(as_user("weir", &server));
        loaded(&mut *reader).await;
        ready(&log).await;
        let before = server.cli(&["XLEN", STREAM]).await;
        let kept = [plain(0), NewEvent { snapshot: Some(60), ..plain(1) }];
        for (events, idempotency) in [(&kept[..1], Some(once())), (&kept[..], None)] {
            if missing.contains(&"-get") && idempotency.is_none() {
                continue;
            }
            let refused = log.append(events, idempotency.as_ref()).await;
            let why = format!("{refused:?}");
            assert!(
                matches!(refused, Err(AppendError::Unavailable(_))) && why.contains("NOPERM"),
                "{missing:?}: {why}"
            );
            let kinds = [STREAM, "{weir:events}:idem:*", "{weir:events}:snapshot:*"];
            let named = kinds.iter().any(|key| why.contains(&format!(" on {key}\"")));
            assert!(named || !why.contains(" on "), "{missing:?}: {why}");
        }
        assert_eq!(server.cli(&["XLEN", STREAM]).await, before, "{missing:?}");
        let lacks = log.facts().lacks.unwrap_or_default();
        assert!(lacks.contains(named), "{missing:?}: {lacks}");
        write_numbers(&*log, 0..1).await;
        assert_eq!(numbers(&events(&mut *reader, 1).await), [0]);
    }
}

/// What a stream needs is found out before anything is written, and named.
#[tokio::test]
async fn a_stream_without_rights_is_not_touched() {
    let server = server().await;
    let Joined { log, .. } = open(as_user("weir", &server));
    ready(&log).await;
    let (store, _wakes) = log.streams(None);
    let s = stream(&*store, "s");
    s.make(&idle(60)).await;
    let image = async || {
        let head = server.cli(&["HGETALL", "{weir:events}:ds:head:s"]).await;
        head + &server.cli(&["XRANGE", "{weir:events}:ds:log:s", "-", "+"]).await
    };
    let before = image().await;
    let last = by(weir_core::durable::Append { close: true, ..append("x") }, "p", 0, 0);
    for right in ["xadd", "hset", "info"] {
        server.cli(&["ACL", "SETUSER", "weir", &format!("-{right}")]).await;
        let refused = format!("{:?}", s.append(&last).await);
        assert!(refused.contains("NOPERM") && refused.contains(right), "{right}: {refused}");
        let refused = format!("{:?}", stream(&*store, "new").create(&idle(60)).await);
        assert!(refused.contains("NOPERM") && refused.contains(right), "{right}: {refused}");
        assert!(!refused.contains(":new"), "who is refused is not named: {refused}");
        assert_eq!(image().await, before, "{right}");
        server.cli(&["ACL", "SETUSER", "weir", &format!("+{right}")]).await;
    }
    server.cli(&["ACL", "SETUSER", "weir", "-unlink"]).await;
    let refused = format!("{:?}", store.delete(&name("s")).await);
    assert!(
        refused.contains("NOPERM") && refused.contains("unlink on {weir:events}:ds:producers:*"),
        "{refused}"
    );
    assert_eq!(image().await, before);
    // Also what is found out only where there are too many producers.
    server.cli(&["ACL", "SETUSER", "weir", "+unlink"]).await;
    let producers = "{weir:events}:ds:producers:s";
    let fill = "for i = 1, 10000 do redis.call('HSET', KEYS[1], i, '0 0 1') end";
    for (right, full) in [("hlen", false), ("hrandfield", true), ("hdel", true)] {
        if full {
            server.cli(&["EVAL", fill, "1", producers]).await;
        }
        server.cli(&["ACL", "SETUSER", "weir", &format!("-{right}")]).await;
        let refused = format!("{:?}", s.append(&last).await);
        assert!(refused.contains("Unavailable") && refused.contains(right), "{right}: {refused}");
        assert_eq!(image().await, before, "{right}");
        server.cli(&["ACL", "SETUSER", "weir", &format!("+{right}")]).await;
    }
    // Only longer.
    server.cli(&["ACL", "SETUSER", "weir", "-evalsha"]).await;
    s.append(&last).await.unwrap();
    assert_eq!(s.texts().await, ["x"]);
}

/// A producer that may only write writes, and may do nothing else.
#[tokio::test]
async fn a_producer_may_only_write() {
    let server = server().await;
    server.cli(&rule("producer")).await;
    let dry = async |args: &[&str]| server.try_cli(&[&["ACL", "DRYRUN", "producer"], args].concat()).await;
    assert_eq!(dry(&["XADD", STREAM, "*", "session", "s", "data", "x"]).await.unwrap(), "OK");
    for denied in [&["XRANGE", STREAM, "-", "+"][..], &["DEL", STREAM], &["XADD", "other", "*", "a", "b"]] {
        assert_ne!(dry(denied).await, Ok("OK".to_owned()), "{denied:?}");
    }
}

/// In a cluster two more rights are enough.
#[tokio::test]
async fn the_least_rights_suffice_in_a_cluster() {
    assert!(DOC.contains("a cluster `+cluster|slots +exists`"));
    let cluster = RedisCluster::start(SOFTWARE).await;
    for node in &cluster.nodes {
        node.cli(&[&rule("weir")[..], &["+cluster|slots", "+exists"]].concat()).await;
    }
    let url = cluster.url(0).replace("redis-cluster://", "redis-cluster://weir@");
    let mut config = config_of(url, Limits::default());
    config.access.password = Some("PASSWORD".to_owned());
    let Joined { log, mut reader, .. } = open(config);
    loaded(&mut *reader).await;
    ready(&log).await;
    write_numbers(&*log, 0..3).await;
    assert_eq!(numbers(&events(&mut *reader, 3).await), [0, 1, 2]);
    assert_eq!(log.facts().lacks, None);
}

/// A password that changes cuts off whom it does not know, who comes back by himself with the right one.
#[tokio::test]
async fn a_password_that_changes() {
    let options = Options::from(SOFTWARE)
        .user("control", &[">control", "~*", "&*", "+@all"])
        .set("requirepass", &["one"])
        .logged_in_as("control", "control");
    let server = RedisServer::start_with(options).await;
    let mut config = config_of(server.url(), Limits::default());
    config.access.password = Some("one".to_owned());
    let Joined { log, mut reader, metrics } = open(config);
    loaded(&mut *reader).await;
    ready(&log).await;
    server.cli(&["CONFIG", "SET", "requirepass", "two"]).await;
    write_numbers(&*log, 0..2).await;
    assert_eq!(numbers(&events(&mut *reader, 2).await), [0, 1]);
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    let feed = next_news(&mut *reader).await;
    assert!(
        matches!(&feed, Feed::Down(why) if why.contains("WRONGPASS") && why.contains("--redis-password-file")),
        "{feed:?}"
    );
    assert!(metrics.redis().reader_errors.get(weir_metrics::ReaderError::Auth) > 0);
    server.cli(&["XADD", STREAM, "*", "session", "s", "data", "2"]).await;
    server.cli(&["CONFIG", "SET", "requirepass", "one"]).await;
    assert!(matches!(next_news(&mut *reader).await, Feed::Restored));
    assert_eq!(numbers(&events(&mut *reader, 1).await), [2]);
    ready(&log).await;
    write_numbers(&*log, 3..4).await;
    assert_eq!(numbers(&events(&mut *reader, 1).await), [3]);
}

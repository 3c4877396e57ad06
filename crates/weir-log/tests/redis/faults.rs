//! What happens to connections, groups and servers.
// sizes: one fault after the other, all on the same log

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_core::id::EventId;
use weir_core::log::{AppendError, EventLog, Feed, LogReader};
use weir_metrics::ReaderError;
use weir_testkit::log_suite::follow::{
    entries, event, events, eventually, loaded, next_news, numbers, plain, write_numbers,
};
use weir_testkit::log_suite::{Backend, Limits};
use weir_testkit::redis::RedisServer;

use crate::server::{Joined, STREAM, Shared, config, open, ready};

/// A group destroyed under a reader is made anew, and nothing is lost.
#[tokio::test]
async fn a_destroyed_group_is_made_anew() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    shared.add_numbers(0..5).await;
    events(&mut *joined.reader, 5).await;
    let group = shared.groups().await.remove(0);
    shared.server.cli(&["XGROUP", "DESTROY", STREAM, &group]).await;
    shared.add_numbers(5..10).await;
    assert_eq!(numbers(&events(&mut *joined.reader, 5).await), [5, 6, 7, 8, 9]);
    assert_eq!(joined.metrics.redis().group_recreated.get(), 1);
    assert_eq!(joined.metrics.redis().reader_errors.get(ReaderError::NoGroup), 1);
    assert_eq!(shared.groups().await.len(), 1);
}

/// Connections killed again and again while entries are added: nothing is lost, doubled or out of order.
#[tokio::test]
async fn killed_connections_lose_nothing() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    let add = async {
        for round in 0..20 {
            shared.add_numbers(round * 20..(round + 1) * 20).await;
            shared.server.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        }
    };
    let read = async {
        let mut got = Vec::new();
        while got.len() < 400 {
            match next_news(&mut *joined.reader).await {
                Feed::Batch(batch) => got.extend(batch.into_iter().map(event)),
                // One that is killed again whenever it is made anew is an outage.
                Feed::Down(_) | Feed::Restored => {}
                feed @ (Feed::Loaded(_) | Feed::Revoked(_) | Feed::Lost { .. } | Feed::Reset { .. }) => {
                    panic!("{feed:?}")
                }
            }
        }
        got
    };
    let (got, ()) = tokio::join!(read, add);
    assert_eq!(numbers(&got), (0..400).collect::<Vec<_>>());
    assert!(joined.metrics.redis().reconnects.get() > 0);
    eventually("one group", async || shared.groups().await.len() == 1).await;
}

/// A reply that was lost with its connection is fetched again: Redis believes it delivered.
#[tokio::test]
async fn what_a_dead_socket_took_comes_again() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    let group = shared.groups().await.remove(0);
    // Another socket on the same group takes entries away, as one does that only our side believes dead.
    shared.add_numbers(0..5).await;
    shared.server.cli(&["XREADGROUP", "GROUP", &group, "reader", "STREAMS", STREAM, ">"]).await;
    shared.server.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    shared.add_numbers(5..10).await;
    assert_eq!(numbers(&events(&mut *joined.reader, 10).await), (0..10).collect::<Vec<_>>());
}

/// A socket that only this side believes dead stays blocked on its group in Redis, where it would take the next entry.
#[tokio::test]
async fn an_old_socket_that_is_still_blocked_takes_nothing() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    let group = shared.groups().await.remove(0);
    let mut old = TcpStream::connect(("127.0.0.1", shared.server.port())).await.unwrap();
    let read = format!("CLIENT ID\r\nXREADGROUP GROUP {group} reader BLOCK 0 STREAMS {STREAM} >\r\n");
    old.write_all(read.as_bytes()).await.unwrap();
    let mut said = vec![0; 64];
    let length = old.read(&mut said).await.unwrap();
    let own = String::from_utf8(said[1..length].to_vec()).unwrap().trim().to_owned();
    let blocked = async || {
        let clients = shared.server.cli(&["CLIENT", "LIST"]).await;
        let readers = clients.lines().filter(|line| line.contains("cmd=xreadgroup"));
        readers.map(|line| line.split([' ', '=']).nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The reader runs only while it is asked.
    let (again, ()) = tokio::join!(events(&mut *joined.reader, 3), async {
        eventually("both in their read", async || blocked().await.len() == 2).await;
        eventually("another group", async || {
            if shared.groups().await.iter().any(|other| *other != group) {
                return true;
            }
            // The list names the last command: between two reads it may be another.
            for id in blocked().await.into_iter().filter(|id| *id != own) {
                shared.server.cli(&["CLIENT", "KILL", "ID", &id]).await;
            }
            false
        })
        .await;
        shared.add_numbers(0..3).await;
    });
    assert_eq!(numbers(&again), [0, 1, 2]);
    said.fill(0);
    old.read_exact(&mut said[..5]).await.unwrap();
    assert!([&b"-NOGR"[..], b"-UNBL"].contains(&&said[..5]), "{:?}", String::from_utf8_lossy(&said));
}

/// A server that stands still is noticed by the read's deadline; afterwards nothing is missing.
#[tokio::test]
async fn a_server_that_stands_still_is_noticed() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    shared.add_numbers(0..3).await;
    events(&mut *joined.reader, 3).await;
    shared.server.pause();
    let feed = next_news(&mut *joined.reader).await;
    assert!(matches!(&feed, Feed::Down(_)), "{feed:?}");
    assert!(joined.metrics.redis().reader_errors.get(ReaderError::Timeout) > 0);
    assert!(matches!(
        joined.log.append(&[plain(9)], None).await,
        Err(AppendError::OutcomeUnknown(_) | AppendError::Unavailable(_))
    ));
    shared.server.resume();
    let feed = next_news(&mut *joined.reader).await;
    assert!(matches!(&feed, Feed::Restored), "{feed:?}");
    shared.add_numbers(3..6).await;
    // The publish of unknown outcome may have landed.
    let mut got = Vec::new();
    while got.last() != Some(&5) {
        if let Feed::Batch(batch) = next_news(&mut *joined.reader).await {
            got.extend(numbers(&batch.into_iter().map(event).collect::<Vec<_>>()));
        }
    }
    got.retain(|number| *number != 9);
    assert_eq!(got, [3, 4, 5]);
}

/// An emptied log is announced, loaded anew, and read on, also where the ids begin again below the old ones.
#[tokio::test]
async fn an_emptied_log_is_a_reset() {
    for [first_id, next_id] in [["*", "*"], ["5-0", "6-0"]] {
        let shared = Shared::new().await;
        let mut joined = shared.instance().await;
        loaded(&mut *joined.reader).await;
        shared.add_numbers(0..5).await;
        let last = entries(&mut *joined.reader, 5).await.pop().unwrap().id;
        shared.server.cli(&["FLUSHALL"]).await;
        shared.server.cli(&["XADD", STREAM, first_id, "session", "s", "data", "7"]).await;
        let feed = next_news(&mut *joined.reader).await;
        assert!(
            matches!(feed, Feed::Reset { after: EventId::ZERO, through } if through == last),
            "{first_id}: {feed:?}"
        );
        let load = loaded(&mut *joined.reader).await;
        assert_eq!(numbers(&load.entries.into_iter().map(event).collect::<Vec<_>>()), [7]);
        // Nothing is passed over because its id is below those of the old log.
        shared.server.cli(&["XADD", STREAM, next_id, "session", "s", "data", "8"]).await;
        assert_eq!(numbers(&events(&mut *joined.reader, 1).await), [8]);
    }
}

/// A stream that was deleted before anything was read from it is no loss: what comes after is read from its beginning.
#[tokio::test]
async fn an_empty_stream_that_is_deleted_costs_nothing() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    let (got, ()) = tokio::join!(events(&mut *joined.reader, 6), async {
        for round in 0..3 {
            // One step, so that the read that is unblocked by it finds the entries already there.
            let again = format!(
                "redis.call('DEL', KEYS[1]) \
                 for n = 0, 1 do redis.call('XADD', KEYS[1], '*', 'session', 's', 'data', {round} * 2 + n) end"
            );
            if round == 0 {
                let blocked =
                    async || shared.server.cli(&["CLIENT", "LIST"]).await.contains("cmd=xreadgroup");
                eventually("a read under way", blocked).await;
                shared.server.cli(&["EVAL", &again, "1", STREAM]).await;
            } else {
                shared.add_numbers(round * 2..round * 2 + 2).await;
            }
        }
    });
    assert_eq!(numbers(&got), [0, 1, 2, 3, 4, 5]);
}

/// The same ids with other content are another log.
#[tokio::test]
async fn the_same_ids_with_other_content_are_a_reset() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    let add = async |id: &str, data: &str| {
        shared.server.cli(&["XADD", STREAM, id, "session", "s", "data", data]).await;
    };
    add("5-0", "1").await;
    events(&mut *joined.reader, 1).await;
    // Between two reads, so that no read is unblocked by it; a key renamed away goes without the reader's notice.
    shared.server.cli(&["DEL", STREAM]).await;
    for (id, data) in [("4-0", "2"), ("5-0", "3"), ("6-0", "4")] {
        add(id, data).await;
    }
    let feed = next_news(&mut *joined.reader).await;
    assert!(matches!(feed, Feed::Reset { .. }), "{feed:?}");
    let load = loaded(&mut *joined.reader).await;
    assert_eq!(numbers(&load.entries.into_iter().map(event).collect::<Vec<_>>()), [2, 3, 4]);
}

/// A server that restarts empty: down, restored, reset, and on it goes.
#[tokio::test]
async fn a_server_that_restarts_empty_is_a_reset() {
    let mut shared = Shared::new().await;
    let Joined { log, mut reader, .. } = shared.instance().await;
    loaded(&mut *reader).await;
    shared.add_numbers(0..5).await;
    events(&mut *reader, 5).await;
    shared.server.stop();
    let feed = next_news(&mut *reader).await;
    assert!(matches!(&feed, Feed::Down(_)), "{feed:?}");
    eventually("facts of an outage", async || !log.facts().up).await;
    assert!(matches!(log.append(&[plain(0)], None).await, Err(AppendError::Unavailable(_))));
    shared.server.restart().await;
    for want in ["Restored", "Reset", "Loaded"] {
        let feed = format!("{:?}", next_news(&mut *reader).await);
        assert!(feed.starts_with(want), "{want} was due: {feed}");
    }
    ready(&log).await;
    write_numbers(&*log, 5..8).await;
    assert_eq!(numbers(&events(&mut *reader, 3).await), [5, 6, 7]);
}

/// A server that is away at first is waited for, and said to be away once.
#[tokio::test]
async fn a_server_that_is_away_at_first_is_waited_for() {
    let mut server = RedisServer::start_with(crate::SOFTWARE.into()).await;
    server.stop();
    let Joined { log, mut reader, .. } = open(config(&server, Limits::default()));
    let feed = next_news(&mut *reader).await;
    assert!(matches!(&feed, Feed::Down(reason) if reason.contains("no connection")), "{feed:?}");
    assert!(tokio::time::timeout(Duration::from_millis(700), reader.next()).await.is_err(), "said once");
    server.restart().await;
    assert!(matches!(next_news(&mut *reader).await, Feed::Restored));
    loaded(&mut *reader).await;
    ready(&log).await;
    write_numbers(&*log, 0..3).await;
    assert_eq!(numbers(&events(&mut *reader, 3).await), [0, 1, 2]);
}

/// Something else at the key is said, and what comes after it is read.
#[tokio::test]
async fn a_key_of_another_type_is_said_until_it_is_gone() {
    let shared = Shared::new().await;
    shared.server.cli(&["SET", STREAM, "x"]).await;
    let Joined { mut reader, metrics, log: _log } = open(config(&shared.server, Limits::default()));
    let feed = next_news(&mut *reader).await;
    assert!(matches!(&feed, Feed::Down(reason) if reason.contains("WRONGTYPE")), "{feed:?}");
    shared.server.cli(&["DEL", STREAM]).await;
    assert!(matches!(next_news(&mut *reader).await, Feed::Restored));
    loaded(&mut *reader).await;
    assert!(metrics.redis().reader_errors.get(ReaderError::WrongType) > 0);
}

/// A password beside the URL is used instead of the one in it; a wrong one is said without repeating it.
#[tokio::test]
async fn passwords() {
    let shared = Shared::new().await;
    shared.server.cli(&["ACL", "SETUSER", "weir", "on", ">right", "~*", "&*", "+@all"]).await;
    let mut config = config(&shared.server, Limits::default());
    config.access.url = shared.server.url().replace("redis://", "redis://weir:hunter2@");
    let Joined { mut reader, metrics, log: _log } = open(config.clone());
    let feed = next_news(&mut *reader).await;
    assert!(
        matches!(&feed, Feed::Down(why) if why.contains("WRONGPASS") && !why.contains("hunter2")),
        "{feed:?}"
    );
    assert!(metrics.redis().reader_errors.get(ReaderError::Auth) > 0);
    config.access.password = Some("right".to_owned());
    let Joined { mut reader, .. } = open(config);
    loaded(&mut *reader).await;
}

/// More publishes at once than may wait are refused, and the rest lands; nothing is left hanging.
#[tokio::test]
async fn a_flood_of_publishes_is_bounded() {
    let shared = Shared::start(Limits { maxlen: 100_000, read_count: 1000 }).await;
    let Joined { log, mut reader, .. } = shared.instance().await;
    loaded(&mut *reader).await;
    let one = [plain("x")];
    let flood = (0..20_000).map(|_| log.append(&one, None));
    let begun = Instant::now();
    let outcomes = futures_util::future::join_all(flood).await;
    let took = begun.elapsed();
    let written = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(AppendError::Unavailable(_)))).count();
    assert!(written > 0 && refused > 0, "written {written}, refused {refused}");
    // Of those for which a busy machine takes longer than the three seconds that they have, and of no others, nobody knows whether
    // they are written.
    let unknown =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(AppendError::OutcomeUnknown(_)))).count();
    assert_eq!(written + refused + unknown, 20_000);
    assert!(unknown == 0 || took >= Duration::from_secs(3), "{unknown} unknown after {took:?}");
    ready(&log).await;
    write_numbers(&*log, 0..1).await;
    let mut got = 0;
    'all: loop {
        match next_news(&mut *reader).await {
            Feed::Batch(batch) => {
                for event in batch.into_iter().map(event) {
                    if event.data() == "0" {
                        break 'all;
                    }
                    got += 1;
                }
            }
            Feed::Down(_) | Feed::Restored => {}
            feed @ (Feed::Loaded(_) | Feed::Revoked(_) | Feed::Lost { .. } | Feed::Reset { .. }) => {
                panic!("{feed:?}")
            }
        }
    }
    assert!((written..=written + unknown).contains(&got), "{got} of {written}, and {unknown} perhaps");
}

/// A full server refuses appends and says that nothing was written; reading goes on.
#[tokio::test]
async fn a_full_server_refuses_appends() {
    let shared = Shared::new().await;
    let Joined { log, mut reader, .. } = shared.instance().await;
    loaded(&mut *reader).await;
    shared.server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let batch = [plain(0), plain(1)];
    for events in [&batch[..1], &batch[..]] {
        let refused = log.append(events, None).await;
        assert!(matches!(&refused, Err(AppendError::Unavailable(why)) if why.contains("OOM")), "{refused:?}");
    }
    shared.server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    write_numbers(&*log, 5..8).await;
    assert_eq!(numbers(&events(&mut *reader, 3).await), [5, 6, 7]);
}

/// A reply larger than what Redis buffers for a client ends the connection; less is asked for until it passes.
#[tokio::test]
async fn replies_beyond_the_output_buffer_are_asked_for_in_parts() {
    let shared = Shared::new().await;
    let mut joined = shared.instance().await;
    loaded(&mut *joined.reader).await;
    shared.add_numbers(0..3).await;
    events(&mut *joined.reader, 3).await;
    shared.server.cli(&["CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0"]).await;
    // All at once, so that the first reply is as large as it gets.
    let fill = "for n = 3, 99 do \
                  redis.call('XADD', KEYS[1], '*', 'session', 's', 'data', n, 'more', string.rep('x', 100000)) end";
    shared.server.cli(&["EVAL", fill, "1", STREAM]).await;
    let mut got = Vec::new();
    while got.len() < 97 {
        match next_news(&mut *joined.reader).await {
            Feed::Batch(batch) => got.extend(batch.into_iter().map(event)),
            Feed::Down(_) | Feed::Restored => {}
            feed @ (Feed::Loaded(_) | Feed::Revoked(_) | Feed::Lost { .. } | Feed::Reset { .. }) => {
                panic!("{feed:?}")
            }
        }
    }
    assert_eq!(numbers(&got), (3..100).collect::<Vec<_>>());
    assert!(joined.metrics.redis().reader_errors.get(ReaderError::Disconnected) > 0);
}

/// A reader that stood still past the cap is told exactly what it lost, after what its open read still got.
#[tokio::test]
async fn a_loss_behind_an_open_read_is_exact() {
    let shared = Shared::start(Limits { maxlen: 50, read_count: 20 }).await;
    let Joined { log, mut reader, .. } = shared.instance().await;
    loaded(&mut *reader).await;
    // The read is under way and blocks in Redis; then nobody looks at its answer for a while.
    drop(tokio::time::timeout(Duration::from_millis(20), reader.next()).await);
    write_numbers(&*log, 0..1000).await;
    let (mut due, mut lost) = (0, 0);
    while due < 1000 {
        match next_news(&mut *reader).await {
            Feed::Batch(batch) => {
                let got = numbers(&batch.into_iter().map(event).collect::<Vec<_>>());
                assert_eq!(got, (due..due + got.len()).collect::<Vec<_>>());
                due += got.len();
            }
            Feed::Lost { count, .. } => {
                let count = usize::try_from(count.unwrap()).unwrap();
                due += count;
                lost += count;
            }
            feed @ (Feed::Loaded(_)
            | Feed::Revoked(_)
            | Feed::Reset { .. }
            | Feed::Down(_)
            | Feed::Restored) => {
                panic!("{feed:?}")
            }
        }
    }
    assert!(lost > 0);
}

/// Everything trimmed while no read saw it is announced by the next quiet read.
#[tokio::test]
async fn a_loss_that_leaves_nothing_to_read_is_announced() {
    let shared = Shared::new().await;
    let Joined { mut reader, .. } = shared.instance().await;
    loaded(&mut *reader).await;
    shared.add_numbers(0..3).await;
    events(&mut *reader, 3).await;
    shared.add_numbers(3..8).await;
    shared.server.cli(&["XTRIM", STREAM, "MAXLEN", "0"]).await;
    let feed = next_news(&mut *reader).await;
    assert!(matches!(feed, Feed::Lost { count: Some(5), .. }), "{feed:?}");
    shared.add_numbers(8..9).await;
    assert_eq!(numbers(&events(&mut *reader, 1).await), [8]);
}

//! Servers that are there and have no time or no room.

use std::net::TcpStream;

use weir_core::log::{AppendError, EventLog, Feed};
use weir_metrics::ReaderError;
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{events, eventually, loaded, next_news, numbers, plain, write_numbers};
use weir_testkit::redis::{Options, RedisServer};

use crate::SOFTWARE;
use crate::server::{Joined, STREAM, config, open, ready};

/// A server that reads its data into memory for seconds is waited for, as one that is away.
#[tokio::test]
async fn a_server_that_loads_its_data() {
    let slow = Options::from(SOFTWARE)
        .set("key-load-delay", &["2000"])
        .set("loading-process-events-interval-bytes", &["1024"]);
    let mut server = RedisServer::start_with(slow).await;
    let Joined { log, mut reader, metrics } = open(config(&server, Limits::default()));
    loaded(&mut *reader).await;
    ready(&log).await;
    write_numbers(&*log, 0..3).await;
    events(&mut *reader, 3).await;
    let fill = "for i = 1, 1500 do redis.call('SET', 'k' .. i, string.rep('x', 64)) end return 1";
    server.cli(&["EVAL", fill, "0"]).await;
    server.cli(&["SAVE"]).await;
    server.stop();
    let feed = next_news(&mut *reader).await;
    assert!(matches!(feed, Feed::Down(_)), "{feed:?}");
    let waited = async {
        let feed = next_news(&mut *reader).await;
        assert!(matches!(feed, Feed::Restored), "{feed:?}");
    };
    let meanwhile = async {
        eventually("the reason", async || {
            log.facts().trouble.is_some_and(|why| why.contains("LOADING") && why.contains("is waited for"))
        })
        .await;
        assert!(!log.facts().up, "a server that loads is no fault of the reader");
        let refused = log.append(&[plain(9)], None).await;
        assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    };
    tokio::join!(server.restart(), waited, meanwhile);
    assert!(metrics.redis().reader_errors.get(ReaderError::Loading) > 0);
    ready(&log).await;
    write_numbers(&*log, 3..5).await;
    assert_eq!(numbers(&events(&mut *reader, 2).await), [3, 4]);
}

/// A server that takes no more clients says so, and is tried until there is room.
#[tokio::test]
async fn a_server_that_takes_no_more_clients() {
    let server = RedisServer::start_with(SOFTWARE.into()).await;
    server.cli(&["XADD", STREAM, "*", "session", "s", "data", "0"]).await;
    let crowd: Vec<_> =
        (0..10).map(|_| TcpStream::connect(("127.0.0.1", server.port())).expect("room")).collect();
    eventually("the crowd", async || server.cli(&["INFO", "clients"]).await.contains("connected_clients:11"))
        .await;
    server.cli(&["CONFIG", "SET", "maxclients", "10"]).await;
    let Joined { log, mut reader, metrics } = open(config(&server, Limits::default()));
    let feed = next_news(&mut *reader).await;
    assert!(
        matches!(&feed, Feed::Down(why) if why.contains("max number of clients") && why.contains("raise maxclients")),
        "{feed:?}"
    );
    assert!(metrics.redis().reader_errors.get(ReaderError::MaxClients) > 0);
    drop(crowd);
    assert!(matches!(next_news(&mut *reader).await, Feed::Restored));
    assert_eq!(loaded(&mut *reader).await.entries.len(), 1);
    ready(&log).await;
}

//! Ways in: TLS, a Unix socket, and what is said where they are closed.

use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;

use weir_core::log::{EventLog, Feed};
use weir_log::{RedisConfig, RedisTls};
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::{events, loaded, next_news, numbers, plain, write_numbers};
use weir_testkit::redis::{Authority, Options, Pair, RedisServer};

use crate::SOFTWARE;
use crate::server::{Joined, Shared, config, config_of, open, ready};

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file that the test made")
}

/// How a server is reached by TLS under the name `host`.
fn by_tls(server: &RedisServer, host: &str, ca: Option<&Authority>, identity: Option<&Pair>) -> RedisConfig {
    let mut config = config_of(format!("rediss://{host}:{}", server.tls_port()), Limits::default());
    config.access.tls = RedisTls {
        ca: ca.map(|ca| read(&ca.file())),
        identity: identity.map(|pair| (read(&pair.certificate), read(&pair.key))),
    };
    config
}

/// Everything works by it.
async fn works(config: RedisConfig) {
    let Joined { log, mut reader, .. } = open(config);
    loaded(&mut *reader).await;
    ready(&log).await;
    write_numbers(&*log, 0..2).await;
    assert_eq!(numbers(&events(&mut *reader, 2).await), [0, 1]);
}

/// Nothing works by it, and what is said has all of these words.
async fn fails(config: RedisConfig, words: &[&str]) {
    let mut joined = open(config);
    let feed = next_news(&mut *joined.reader).await;
    let Feed::Down(why) = &feed else { panic!("{words:?}: {feed:?}") };
    assert!(words.iter().all(|word| why.contains(word)), "{words:?}: {why}");
    assert!(!why.contains("Os {") && !why.contains("Custom {"), "{why}");
}

#[tokio::test]
async fn tls() {
    let ca = Authority::new();
    let server = RedisServer::start_with(Options::from(SOFTWARE).tls(&ca.issue(&["localhost"]), None)).await;
    works(by_tls(&server, "localhost", Some(&ca), None)).await;
    fails(by_tls(&server, "127.0.0.1", Some(&ca), None), &["TLS", "host name", "localhost"]).await;
    let other = Authority::new();
    fails(by_tls(&server, "localhost", Some(&other), None), &["TLS", "--redis-ca-file"]).await;
    fails(by_tls(&server, "localhost", None, None), &["TLS", "--redis-ca-file"]).await;
    fails(config_of(format!("redis://localhost:{}", server.tls_port()), Limits::default()), &["rediss://"])
        .await;
    fails(
        config_of(format!("rediss://localhost:{}", server.port()), Limits::default()),
        &["TLS", "redis://"],
    )
    .await;
}

#[tokio::test]
async fn tls_that_asks_who_comes() {
    let (ca, theirs) = (Authority::new(), Authority::new());
    let options = Options::from(SOFTWARE).tls(&ca.issue(&["localhost"]), Some(&theirs.file()));
    let server = RedisServer::start_with(options).await;
    works(by_tls(&server, "localhost", Some(&ca), Some(&theirs.issue(&["weir"])))).await;
    fails(by_tls(&server, "localhost", Some(&ca), None), &["TLS", "--redis-cert-file"]).await;
    let strangers = Authority::new();
    let strange = strangers.issue(&["weir"]);
    fails(by_tls(&server, "localhost", Some(&ca), Some(&strange)), &["TLS", "--redis-cert-file"]).await;
}

/// A literal in a URL has brackets, which no other place knows it by.
#[tokio::test]
async fn an_address_of_ipv6() {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
        .expect("this machine has no ::1: switch IPv6 on for the loopback");
    let ca = Authority::new();
    let options = Options::from(SOFTWARE).tls(&ca.issue(&["localhost", "::1"]), None);
    let server = RedisServer::start_with(options.set("bind", &["127.0.0.1", "::1"])).await;
    works(config_of(format!("redis://[::1]:{}", server.port()), Limits::default())).await;
    works(by_tls(&server, "[::1]", Some(&ca), None)).await;
}

#[tokio::test]
async fn a_database() {
    let server = RedisServer::start_with(SOFTWARE.into()).await;
    works(config_of(format!("{}/2", server.url()), Limits::default())).await;
    assert!(server.cli(&["INFO", "keyspace"]).await.contains("db2:"));
    assert_eq!(server.cli(&["DBSIZE"]).await, "0");
}

#[tokio::test]
async fn a_unix_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("redis.sock");
    let server = RedisServer::start_with(Options::from(SOFTWARE).socket(&path)).await;
    let config = config_of(format!("redis+unix://{}", path.display()), Limits::default());
    works(config.clone()).await;
    drop(server);
    fails(config, &["Connection refused"]).await;
}

/// The reader has a connection of its own, and is often there first: whoever may read may publish.
#[tokio::test]
async fn the_first_publish_waits_for_its_connection() {
    let shared = Shared::new().await;
    let joined = open(config(&shared.server, Limits::default()));
    joined.log.append(&[plain(0)], None).await.expect("it waits for the connection");
}

//! Every kind of server comes up and does what its name says.

use super::*;
use crate::deadline::eventually;

#[tokio::test]
async fn a_server_of_its_own_answers_pauses_and_restarts_empty() {
    let mut server = RedisServer::start().await;
    assert_eq!(server.cli(&["RPUSH", "k", "a", "b"]).await, "2");
    assert_eq!(server.command(&[b"RPUSH", b"k", b"\xff"]).await, "3");
    assert_eq!(server.cli(&["LRANGE", "k", "0", "1"]).await, "a\nb");
    server.pause();
    server.resume();
    assert_eq!(server.cli(&["GET", "none"]).await, "(nil)");
    server.restart().await;
    assert_eq!(server.cli(&["EXISTS", "k"]).await, "0");
    assert!(server.url().ends_with(&server.port().to_string()));
}

/// Else a test beside this one may have it while the server is stopped.
#[test]
fn its_port_is_given_to_nobody_else() {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let ports: Vec<u16> = (0..100).map(|_| free_port()).collect();
    assert!(ports.iter().all(|port| *port < first), "{ports:?}: from {first} on they are anybody's");
}

#[tokio::test]
async fn a_caller_outlasts_the_process() {
    let port = free_port();
    let mut server = RedisServer::start_with(Options::default().port(port)).await;
    assert_eq!(server.port(), port);
    let caller = server.caller(PATIENCE);
    assert_eq!(caller.command(&[b"INCR", b"n"]).await.unwrap().unwrap(), "1");
    server.stop();
    caller.command(&[b"INCR", b"n"]).await.unwrap_err();
    server.restart().await;
    assert_eq!(caller.command(&[b"INCR", b"n"]).await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn a_persistent_server_keeps_what_it_acknowledged() {
    let mut server = RedisServer::start_persistent().await;
    assert_eq!(server.cli(&["RPUSH", "k", "a", "b"]).await, "2");
    server.restart().await;
    assert_eq!(server.cli(&["LLEN", "k"]).await, "2");
}

#[tokio::test]
#[should_panic(expected = "wrong number of arguments")]
async fn an_error_reply_fails_the_test() {
    RedisServer::start().await.cli(&["GET"]).await;
}

#[tokio::test]
async fn a_server_with_a_socket_and_users() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::default()
        .socket(&dir.path().join("s"))
        .user("control", &[">secret", "~*", "&*", "+@all"])
        .user("default", &["resetpass", "-@all"])
        .logged_in_as("control", "secret");
    let server = RedisServer::start_with(options).await;
    assert_eq!(server.cli(&["ACL", "WHOAMI"]).await, "control");
    assert!(server.try_cli(&["NONSENSE"]).await.unwrap_err().contains("unknown command"));
}

#[tokio::test]
async fn a_cluster_moves_a_slot() {
    let mut cluster = RedisCluster::start(Software::Redis).await;
    cluster.add_replica(0).await;
    let (slot, from) = (cluster.slot("k").await, cluster.owner("k").await);
    cluster.nodes[from].cli(&["SET", "k", "v"]).await;
    let to = (from + 1) % 3;
    cluster.open_slot(&slot, from, to).await;
    cluster.move_keys(&slot, from, to).await;
    cluster.close_slot(&slot, from, to).await;
    assert_eq!(cluster.owner("k").await, to);
    assert_eq!(cluster.nodes[to].cli(&["GET", "k"]).await, "v");
}

#[tokio::test]
async fn sentinels_replace_a_master() {
    let mut master = RedisServer::start().await;
    let replica = RedisServer::start_with(Options::default().replica_of(master.port())).await;
    let sentinels = Sentinels::watch(Software::Redis, master.port(), 1).await;
    assert_eq!(sentinels.master().await, master.port());
    master.stop();
    eventually(PATIENCE, async || {
        anyhow::ensure!(sentinels.master().await == replica.port());
        Ok(())
    })
    .await
    .unwrap();
}

//! Totals of all instances: each addition once, whatever becomes of its answer.

use weir_log::Totals;
use weir_testkit::log_suite::Limits;
use weir_testkit::log_suite::follow::eventually;
use weir_testkit::redis::{Options, RedisServer};

use crate::SOFTWARE;
use crate::server::{Shared, config, config_of, open, ready};

const KEY: &str = "weir:stats";

fn totals(connections: u64, disconnects: u64, dropped: u64) -> Totals {
    Totals { connections, disconnects, dropped }
}

async fn stands(server: &RedisServer) -> Vec<String> {
    let reply = server.cli(&["HMGET", KEY, "connections", "disconnects", "dropped"]).await;
    reply.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn instances_add_up_and_leave_the_rest_alone() {
    let shared = Shared::new().await;
    shared.server.cli(&["HSET", KEY, "connections", "100", "mine", "x"]).await;
    let (a, b) = (shared.instance().await, shared.instance().await);
    let (mut a, mut b) = (a.log.totals(KEY.to_owned()), b.log.totals(KEY.to_owned()));
    a.add(Totals::default()).await.unwrap();
    assert_eq!(stands(&shared.server).await, ["100", "0", "0"]);
    a.add(totals(3, 1, 0)).await.unwrap();
    b.add(totals(10, 0, 7)).await.unwrap();
    a.add(totals(4, 2, 1)).await.unwrap();
    assert_eq!(stands(&shared.server).await, ["114", "2", "8"]);
    assert_eq!(shared.server.cli(&["HLEN", KEY]).await, "4");
}

/// Redis stands still, and does what it was asked for when nobody waits any longer.
#[tokio::test]
async fn what_nobody_heard_of_is_not_added_twice() {
    let shared = Shared::new().await;
    let instance = shared.instance().await;
    let mut adds = instance.log.totals(KEY.to_owned());
    adds.add(totals(1, 0, 0)).await.unwrap();
    shared.server.pause();
    adds.add(totals(2, 0, 0)).await.unwrap_err();
    assert!(adds.waits());
    shared.server.resume();
    eventually("what was asked for is done", async || stands(&shared.server).await[0] == "2").await;
    ready(&instance.log).await;
    eventually("the rest is added", async || adds.add(totals(5, 4, 3)).await.is_ok()).await;
    assert_eq!(stands(&shared.server).await, ["5", "4", "3"]);
    assert!(!adds.waits());
}

/// Redis is killed after it did what was asked for, or before, and nobody heard of it: what it keeps tells the two apart.
#[tokio::test]
async fn nor_where_redis_was_started_again_in_between() {
    for was_made in [true, false] {
        let mut server = RedisServer::start_persistent().await;
        let instance = open(config(&server, Limits::default()));
        ready(&instance.log).await;
        let mut adds = instance.log.totals(KEY.to_owned());
        adds.add(totals(1, 0, 0)).await.unwrap();
        server.pause();
        adds.add(totals(3, 1, 0)).await.unwrap_err();
        if was_made {
            server.resume();
            eventually("what was asked for is done", async || stands(&server).await[0] == "3").await;
        }
        server.restart().await;
        assert_eq!(stands(&server).await[0], if was_made { "3" } else { "1" });
        eventually("the rest is added", async || adds.add(totals(7, 2, 1)).await.is_ok()).await;
        assert_eq!(stands(&server).await, ["7", "2", "1"]);
    }
}

/// A key that holds something else, and a field that is no number: nothing is added, and all of it is when that is mended.
#[tokio::test]
async fn all_or_nothing() {
    let shared = Shared::new().await;
    let instance = shared.instance().await;
    let mut adds = instance.log.totals(KEY.to_owned());
    shared.server.cli(&["SET", KEY, "a text"]).await;
    assert!(adds.add(totals(1, 1, 1)).await.unwrap_err().to_string().contains("WRONGTYPE"));
    shared.server.cli(&["DEL", KEY]).await;
    shared.server.cli(&["HSET", KEY, "dropped", "many"]).await;
    adds.add(totals(2, 2, 2)).await.unwrap_err();
    assert_eq!(stands(&shared.server).await[2], "many");
    shared.server.cli(&["HSET", KEY, "dropped", "0"]).await;
    adds.add(totals(3, 3, 3)).await.unwrap();
    assert_eq!(stands(&shared.server).await, ["3", "3", "3"]);
}

/// The user of the document may, with the one right that is named there, and nothing is half done without.
#[tokio::test]
async fn the_named_right_suffices() {
    let doc = include_str!("../../../../docs/redis.md");
    let rule = doc.lines().find(|line| line.starts_with("ACL SETUSER weir ")).unwrap();
    let server = RedisServer::start_with(Options::from(SOFTWARE)).await;
    server.cli(&rule.split(' ').collect::<Vec<_>>()).await;
    let mut config = config_of(format!("redis://weir@127.0.0.1:{}", server.port()), Limits::default());
    config.access.password = Some("PASSWORD".to_owned());
    let instance = open(config);
    ready(&instance.log).await;
    let mut adds = instance.log.totals(KEY.to_owned());
    adds.add(totals(1, 0, 0)).await.unwrap_err();
    assert!(doc.contains("`--stats-key KEY` needs `~KEY +hincrby`"));
    server.cli(&["ACL", "SETUSER", "weir", &format!("~{KEY}"), "+hincrby"]).await;
    adds.add(totals(2, 0, 0)).await.unwrap();
    assert_eq!(stands(&server).await, ["2", "0", "0"]);
}

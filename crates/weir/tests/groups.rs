//! `weir groups` against a real Redis.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_testkit::program::without_settings;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const STREAM: &str = "weir:events";
const LEASES: &str = "{weir:events}:leases";

/// Longer than any of the patience that a look at Redis has, and a slow machine on top.
const BOUNDED: Duration = Duration::from_secs(30);

/// A command without the environment of whoever runs the tests.
fn weir(args: &[&str]) -> Command {
    let mut command = Command::new(WEIR);
    without_settings(&mut command).args(args);
    command
}

/// Exit status, standard output, standard error.
fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("weir is built, and script is there: apt-get install bsdutils");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What `weir groups --json` says, by the name of the group.
fn seen(redis: &RedisServer, flags: &[&str]) -> BTreeMap<String, Value> {
    let url = redis.url();
    let (status, out, err) = run(weir(&[&["groups", "--json", "--redis", &url], flags].concat()));
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    let group = |line: &str| {
        let group: Value = serde_json::from_str(line).unwrap();
        (group["group"].as_str().unwrap().to_owned(), group)
    };
    out.lines().map(group).collect()
}

fn states(seen: &BTreeMap<String, Value>) -> Vec<&str> {
    seen.values().map(|group| group["state"].as_str().unwrap()).collect()
}

/// The time of Redis in ms.
async fn now(redis: &RedisServer) -> u64 {
    redis.cli(&["TIME"]).await.lines().next().unwrap().parse::<u64>().unwrap() * 1000
}

/// A group whose instance gave its last sign of life so long ago.
async fn forge(redis: &RedisServer, group: &str, age: Duration) {
    redis.cli(&["XGROUP", "CREATE", STREAM, group, "0", "MKSTREAM"]).await;
    let stamp = now(redis).await - u64::try_from(age.as_millis()).unwrap();
    redis.cli(&["ZADD", LEASES, &stamp.to_string(), group]).await;
}

/// An instance whose janitor rests, so that what is reaped is reaped by the command.
async fn instance(redis: &RedisServer) -> anyhow::Result<Instance> {
    let weir = Instance::start(WEIR, &["--redis", &redis.url(), "--instance", "web-1"]).await?;
    redis.cli(&["SET", "{weir:events}:janitor", "1", "PX", "600000"]).await;
    Ok(weir)
}

#[tokio::test]
async fn each_group_is_told_with_its_owner_and_state() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let _weir = instance(&redis).await?;
    let ids = [redis.cli(&["XADD", STREAM, "*", "session", "s", "data", "1"]).await];
    redis.cli(&["XADD", STREAM, "*", "session", "s", "data", "2"]).await;
    forge(&redis, "weir:old:1111111111111111", Duration::from_secs(3600)).await;
    redis.cli(&["XGROUP", "CREATE", STREAM, "weir:new:2222222222222222", "0"]).await;
    redis.cli(&["XGROUP", "CREATE", STREAM, "analytics", &ids[0]]).await;
    redis.cli(&["XREADGROUP", "GROUP", "analytics", "c", "COUNT", "1", "STREAMS", STREAM, ">"]).await;
    redis.cli(&["XDEL", STREAM, &ids[0]]).await;

    eventually(DEADLINE, async || {
        let groups = seen(&redis, &[]);
        let live = groups.values().find(|group| group["instance"] == "web-1");
        anyhow::ensure!(live.is_some_and(|group| group["lag"] == 0 && group["pending"] == 0), "{groups:?}");
        Ok(())
    })
    .await?;
    let groups = seen(&redis, &[]);
    assert_eq!(states(&groups), ["foreign", "unleased", "orphaned", "alive"]);
    let live = groups.values().next_back().unwrap();
    assert!(live["leaseMs"].as_u64().unwrap() < 60_000 && live["consumers"] == 1, "{live}");
    let old = &groups["weir:old:1111111111111111"];
    assert!(old["leaseMs"].as_u64().unwrap() >= 3_600_000 && old["instance"] == "old", "{old}");
    assert_eq!((&old["pending"], &old["consumers"]), (&0.into(), &0.into()));
    let new = &groups["weir:new:2222222222222222"];
    assert_eq!((&new["leaseMs"], &new["instance"]), (&Value::Null, &"new".into()));
    let foreign = &groups["analytics"];
    assert_eq!((&foreign["instance"], &foreign["pending"]), (&Value::Null, &1.into()));
    assert_eq!(redis.cli(&["ZCARD", LEASES]).await, "2", "looking writes nothing");
    Ok(())
}

/// Redis cannot always tell how far a group is behind, and 0 would be a lie.
#[tokio::test]
async fn an_unknown_lag_is_a_dash() {
    let redis = RedisServer::start().await;
    let mut ids = Vec::new();
    for data in ["1", "2", "3"] {
        ids.push(redis.cli(&["XADD", STREAM, "*", "session", "s", "data", data]).await);
    }
    redis.cli(&["XGROUP", "CREATE", STREAM, "weir:w:3333333333333333", &ids[1]]).await;
    assert_eq!(seen(&redis, &[]).values().next().unwrap()["lag"], Value::Null);
    let (_, out, _) = run(weir(&["groups", "--redis", &redis.url()]));
    let lines: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["GROUP", "INSTANCE", "STATE", "LEASE", "CONSUMERS", "PENDING", "LAG"]);
    assert_eq!(lines[1], ["weir:w:3333333333333333", "w", "unleased", "-", "0", "0", "-"]);
}

#[tokio::test]
async fn reaping_takes_orphans_alone() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = instance(&redis).await?;
    let mut stream = weir.client().subscribe("s").await?;
    forge(&redis, "weir:old:1111111111111111", Duration::from_secs(61)).await;
    forge(&redis, "weir:late:2222222222222222", Duration::from_secs(50)).await;
    forge(&redis, "weir:ahead:3333333333333333", Duration::ZERO).await;
    redis.cli(&["ZADD", LEASES, "9795242612345", "weir:ahead:3333333333333333"]).await;
    redis.cli(&["XGROUP", "CREATE", STREAM, "weir:young:4444444444444444", "0"]).await;
    redis.cli(&["XGROUP", "CREATE", STREAM, "not-weir:old:5", "0"]).await;
    redis.cli(&["ZADD", LEASES, "1", "not-weir:old:5"]).await;

    let reaped = seen(&redis, &["--reap"]);
    let of = |name: &str| reaped[name]["state"].as_str().unwrap();
    assert_eq!(of("weir:old:1111111111111111"), "reaped");
    assert_eq!((of("weir:late:2222222222222222"), of("weir:ahead:3333333333333333")), ("alive", "alive"));
    assert_eq!((of("weir:young:4444444444444444"), of("not-weir:old:5")), ("unleased", "foreign"));
    let left = redis.cli(&["XINFO", "GROUPS", STREAM]).await;
    let is_left = |name: &str| left.lines().any(|line| line == name);
    assert!(!is_left("weir:old:1111111111111111"), "{left}");
    for name in reaped.keys().filter(|name| *name != "weir:old:1111111111111111") {
        assert!(is_left(name), "{name} in {left}");
    }
    assert_eq!(redis.cli(&["ZSCORE", LEASES, "weir:old:1111111111111111"]).await, "(nil)");

    // What had no lease has one now, of a full period: only after that it is an orphan.
    let second = seen(&redis, &["--reap"]);
    assert_eq!(second["weir:young:4444444444444444"]["state"], "alive");
    assert!(!second.contains_key("weir:old:1111111111111111"));
    redis
        .cli(&["ZADD", LEASES, &(now(&redis).await - 61_000).to_string(), "weir:young:4444444444444444"])
        .await;
    assert_eq!(seen(&redis, &["--reap"])["weir:young:4444444444444444"]["state"], "reaped");

    weir.client().publish("s", "still here").await?;
    assert_eq!(stream.next_event().await?.data, "still here");
    let recreated = weir.metrics().await?.value("weir_group_recreated_total", &[]);
    assert_eq!(recreated, Some(0.0), "its own group was never touched");
    Ok(())
}

/// Instances that may not renew their leases look dead, and whoever has no more rights than they must not believe it.
#[tokio::test]
async fn without_the_right_to_leases_nothing_is_reaped() {
    let redis = RedisServer::start().await;
    forge(&redis, "weir:alive:1111111111111111", Duration::from_secs(3600)).await;
    for right in ["zadd", "zrem", "zscore", "xinfo|groups", "xgroup|destroy"] {
        let rules = ["ACL", "SETUSER", "w", "reset", "on", ">secret1", "~*", "+@all", &format!("-{right}")];
        redis.cli(&rules).await;
        let url = format!("redis://w:secret1@127.0.0.1:{}", redis.port());
        let (status, out, err) = run(weir(&["groups", "--reap", "--redis", &url]));
        assert_eq!((status, out.as_str(), err.lines().count()), (Some(1), "", 1), "{right}: {err}");
        assert!(err.contains(&format!("may not run {right} on ")), "{err}");
    }
    assert!(redis.cli(&["XINFO", "GROUPS", STREAM]).await.contains("weir:alive:1111111111111111"));
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let none = run(weir(&["groups", "--redis", &url]));
    assert_eq!(none, (Some(0), "there is no stream weir:events\n".to_owned(), String::new()));
    assert_eq!(run(weir(&["groups", "--json", "--redis", &url])).1, "");
    redis.cli(&["XADD", STREAM, "*", "session", "s", "data", "1"]).await;
    let (status, out, _) = run(weir(&["groups", "--redis", &url]));
    assert_eq!((status, out.as_str()), (Some(0), "no groups on weir:events\n"));
    redis.cli(&["SET", "other", "x"]).await;
    let (status, out, err) = run(weir(&["groups", "--redis", &url, "--stream", "other"]));
    assert_eq!((status, out.as_str(), err.lines().count()), (Some(1), "", 1));
    assert!(err.starts_with("weir: Redis refuses: WRONGTYPE"), "{err}");
}

#[tokio::test]
async fn it_takes_the_settings_of_an_instance() {
    let redis = RedisServer::start().await;
    redis.cli(&["XADD", "mine", "*", "session", "s", "data", "1"]).await;
    redis.cli(&["XGROUP", "CREATE", "mine", "theirs", "0"]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weir.toml");
    let (_, config, _) =
        run(weir(&["config", "--stream", "mine", "--redis", &redis.url(), "--heartbeat", "7s"]));
    std::fs::write(&file, config).unwrap();
    let file = file.to_str().unwrap();
    let (status, out, err) = run(weir(&["groups", "--config", file]));
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(out.contains("theirs"), "{out}");
    let mut by_variable = weir(&["groups"]);
    by_variable.env("WEIR_REDIS", redis.url()).env("WEIR_STREAM", "mine").env("WEIR_STRAEM", "x");
    let (_, out, err) = run(by_variable);
    assert!(out.contains("theirs"), "{out}");
    assert_eq!(err, "weir: unknown environment variable WEIR_STRAEM: the nearest is WEIR_STREAM\n");

    std::fs::write(file, "reap = true\n").unwrap();
    let (status, _, err) = run(weir(&["groups", "--config", file]));
    assert_eq!((status, err.lines().count()), (Some(2), 1), "what one call does is no setting: {err}");
    assert!(err.starts_with("weir: unknown key reap in "), "{err}");

    let (status, out, err) = run(weir(&["groups", "--reap"]));
    assert_eq!((status, out.as_str(), err.lines().count()), (Some(2), "", 1));
    assert!(err.contains("--redis URL"), "{err}");
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_is_one_line_within_a_bounded_time() {
    let redis = RedisServer::start().await;
    redis.cli(&["CONFIG", "SET", "requirepass", "secret1"]).await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // It takes connections, in its backlog, and never answers.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    for (url, why) in [
        (format!("redis://:secret2@{closed}"), "Connection refused"),
        (format!("redis://:secret3@{}", hole.local_addr().unwrap()), ""),
        (format!("redis://127.0.0.1:{}", redis.port()), "NOAUTH"),
        (format!("redis://:secret4@127.0.0.1:{}", redis.port()), "WRONGPASS"),
    ] {
        let start = Instant::now();
        let (status, out, err) = run(weir(&["groups", "--redis", &url]));
        assert!(start.elapsed() < BOUNDED, "{url}: {:?}", start.elapsed());
        assert_eq!((status, out.as_str(), err.lines().count()), (Some(1), "", 1), "{url}: {err}");
        assert!(err.starts_with("weir: Redis ") && err.contains(why), "{url}: {err}");
        assert!(!err.contains("secret"), "{err}");
    }
    let right = format!("redis://:secret1@127.0.0.1:{}", redis.port());
    assert_eq!(run(weir(&["groups", "--redis", &right])).0, Some(0));
}

/// Names may be long, and hold what a terminal would obey.
#[tokio::test]
async fn a_terminal_gets_lines_that_fit() {
    let redis = RedisServer::start().await;
    let owner = "a-host-name-as-long-as-they-may-be.".repeat(2)[..64].to_owned();
    forge(&redis, &format!("weir:{owner}:0123456789abcdef"), Duration::from_secs(7)).await;
    redis.cli(&["XGROUP", "CREATE", STREAM, &format!("{}\u{1b}[2J", "x".repeat(200)), "0"]).await;
    let line = format!("stty cols 100; exec {WEIR} groups --redis {}", redis.url());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env_remove("WEIR_REDIS");
    let (status, out, err) = run(command);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines.iter().all(|line| line.trim_end().chars().count() <= 100), "{out}");
    assert!(!out.contains('\u{1b}') && out.contains("0123456789abcdef") && out.contains('…'), "{out}");
    let (_, whole, _) = run(weir(&["groups", "--redis", &redis.url()]));
    assert!(
        whole.contains(&format!("weir:{owner}:0123456789abcdef")) && !whole.contains('\u{1b}'),
        "{whole}"
    );
}

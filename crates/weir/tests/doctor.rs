//! `weir doctor`: each finding is provoked once, on a real Redis, and nobody notices.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
// sizes: one finding after the other, all told by the same report

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use weir_testkit::program::without_settings;
use weir_testkit::redis::{Options, RedisCluster, RedisServer, Sentinels, Software};
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

/// What a call said.
#[derive(Debug)]
struct Report {
    status: Option<i32>,
    findings: Vec<Value>,
    err: String,
}

impl Report {
    fn of(mut command: Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        // The passwords of these tests, and not the name of a flag.
        let shows = |text: &str| text.replace("--jwt-secret-file", "").contains("secret");
        assert!(!shows(&out) && !shows(&err), "{out}{err}");
        let findings = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { status: output.status.code(), findings, err }
    }

    /// Level, finding and advice of one check.
    fn check(&self, name: &str) -> Option<(&str, String)> {
        let found = self.findings.iter().find(|finding| finding["check"] == name)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default();
        Some((text("level"), format!("{}; {}", text("finding"), text("advice"))))
    }

    #[track_caller]
    fn assert(&self, name: &str, level: &str, says: &str) {
        let (have, text) = self.check(name).unwrap_or_else(|| panic!("no {name} in {self:#?}"));
        assert!(have == level && text.contains(says), "{have} {name} {text}");
    }

    /// The checks that are not as they should be.
    fn troubles(&self) -> Vec<&str> {
        let bad = self.findings.iter().filter(|finding| finding["level"] != "ok");
        bad.map(|finding| finding["check"].as_str().unwrap())
            .filter(|name| !OF_THE_MACHINE.contains(name))
            .collect()
    }
}

/// Checks whose outcome depends on where the tests run, and on what else runs there.
const OF_THE_MACHINE: [&str; 6] = ["files", "backlog", "conntrack", "memory", "clock", "round-trip"];

fn doctor(redis: &RedisServer, flags: &[&str]) -> Report {
    doctor_at(&redis.url(), flags)
}

fn doctor_at(url: &str, flags: &[&str]) -> Report {
    Report::of(weir(&[&["doctor", "--json", "--redis", url], flags].concat()))
}

async fn set(redis: &RedisServer, name: &str, value: &str) {
    redis.cli(&["CONFIG", "SET", name, value]).await;
}

/// A server without anything to complain about.
async fn healthy() -> RedisServer {
    let redis = RedisServer::start().await;
    set(&redis, "appendonly", "yes").await;
    redis
}

async fn add(redis: &RedisServer, fields: &[&str]) -> String {
    redis.cli(&[&["XADD", STREAM, "*"], fields].concat()).await
}

#[tokio::test]
async fn a_healthy_deployment_is_all_ok_and_nobody_notices() -> anyhow::Result<()> {
    let redis = healthy().await;
    let weir =
        Instance::start(WEIR, &["--redis", &redis.url(), "--read-block", "200ms", "--heartbeat", "100ms"])
            .await?;
    let mut stream = weir.client().subscribe("s").await?;
    weir.client().publish("s", "before").await?;
    assert_eq!(stream.next_event().await?.data, "before");
    let groups = redis
        .cli(&["XINFO", "GROUPS", STREAM])
        .await
        .lines()
        .filter(|line| line.starts_with("weir:"))
        .count();

    let report = doctor(&redis, &[]);
    assert_eq!((report.status, report.err.as_str(), report.troubles()), (Some(0), "", vec![]), "{report:#?}");
    for (name, says) in [
        ("connect", "answers within"),
        ("version", "Redis 7"),
        ("role", "a master"),
        ("eviction", "noeviction"),
        ("persistence", "each write"),
        ("rights", "default may do all"),
        ("stream", "weir:events is a stream"),
        ("length", "1 entries, with --maxlen 5000"),
        ("entries", "the newest 1 can all be delivered"),
        ("groups", "1 of running instances"),
        ("pending", "0 entries"),
    ] {
        report.assert(name, "ok", says);
    }
    let (level, trip) = report.check("round-trip").context("no round trip")?;
    assert!(level != "fail" && trip.contains("which no client sees"), "{trip}");

    let after = weir.client().publish("s", "after").await?;
    let next = loop {
        let event = stream.next_event().await?;
        // Its position moved without an event of its own, which is all that a client may learn of others.
        if event.event != "weir.ping" {
            break event;
        }
    };
    assert_eq!((next.data.as_str(), next.id.as_deref()), ("after", Some(after.to_string().as_str())));
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.sum("weir_entries_malformed_total", &[]), 0.0);
    assert_eq!(metrics.sum("weir_gap_notices_total", &[]), 0.0);
    eventually(DEADLINE, async || {
        let lag = weir.metrics().await?.value("weir_reader_lag_entries", &[]);
        anyhow::ensure!(lag == Some(0.0), "the lag stays known: {lag:?}");
        Ok(())
    })
    .await?;
    let info = redis.cli(&["XINFO", "GROUPS", STREAM]).await;
    assert_eq!(info.lines().filter(|line| line.starts_with("weir:")).count(), groups, "{info}");
    assert_eq!(redis.cli(&["ZCARD", LEASES]).await, "1");
    assert_eq!(redis.cli(&["XLEN", STREAM]).await, "3", "two events and the probe");
    let keys = redis.cli(&["KEYS", "*doctor*"]).await;
    assert_eq!(keys, "", "nothing else is left");
    Ok(())
}

#[tokio::test]
async fn what_can_evict_the_stream() {
    let redis = healthy().await;
    for (policy, max, level, says) in [
        ("allkeys-lru", "0", "warn", "as soon as somebody sets maxmemory"),
        ("allkeys-lru", "1gb", "fail", "the whole log would be gone"),
        ("volatile-ttl", "1gb", "warn", "snapshots"),
        ("volatile-ttl", "0", "ok", "leaves the stream alone"),
        ("noeviction", "1gb", "ok", "leaves the stream alone"),
    ] {
        set(&redis, "maxmemory-policy", policy).await;
        set(&redis, "maxmemory", max).await;
        let report = doctor(&redis, &[]);
        report.assert("eviction", level, says);
        assert_eq!(report.status, Some(i32::from(level == "fail")), "{report:#?}");
    }
    redis.cli(&["SET", "much", &"x".repeat(10 << 20)]).await;
    let info = redis.cli(&["INFO", "memory"]).await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let used: u64 = used.trim().parse().unwrap();
    set(&redis, "maxmemory", &(used / 100 * 106).to_string()).await;
    doctor(&redis, &[]).assert("memory", "warn", "make room before publishes are refused");
    set(&redis, "maxmemory", "1mb").await;
    let report = doctor(&redis, &[]);
    report.assert("memory", "fail", "raise maxmemory");
    report.assert("round-trip", "fail", "OOM");
    assert_eq!((report.status, report.err.as_str()), (Some(1), "weir: 2 checks failed\n"));
}

#[tokio::test]
async fn a_replica_takes_no_writes() {
    let (master, replica) = (RedisServer::start().await, RedisServer::start().await);
    add(&master, &["session", "s", "data", "x"]).await;
    set(&master, "repl-diskless-sync-delay", "0").await;
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    eventually(DEADLINE, async || {
        anyhow::ensure!(replica.cli(&["EXISTS", STREAM]).await == "1", "not replicated");
        Ok(())
    })
    .await
    .unwrap();
    let report = doctor(&replica, &[]);
    report.assert("role", "fail", &format!("a replica of 127.0.0.1:{}", master.port()));
    report.assert("role", "fail", "point --redis at the master");
    report.assert("round-trip", "fail", "READONLY");
    report.assert("rights", "ok", "");
    report.assert("entries", "ok", "");
    assert_eq!(report.status, Some(1));

    set(&master, "min-replicas-to-write", "1").await;
    // It counts as soon as it has acknowledged something.
    eventually(DEADLINE, async || {
        let report = doctor(&master, &[]);
        let (level, text) = report.check("replicas").context("no finding")?;
        anyhow::ensure!(level == "warn" && text.contains("one less"), "{text}");
        Ok(())
    })
    .await
    .unwrap();
    set(&master, "min-replicas-to-write", "2").await;
    let report = doctor(&master, &[]);
    report.assert("replicas", "fail", "NOREPLICAS");
    report.assert("round-trip", "fail", "NOREPLICAS");
}

#[tokio::test]
async fn what_a_restart_keeps() {
    let redis = RedisServer::start().await;
    let report = doctor(&redis, &[]);
    report.assert("persistence", "warn", "set appendonly yes");
    assert_eq!(report.status, Some(0));
    set(&redis, "save", "3600 1").await;
    doctor(&redis, &[]).assert("persistence", "ok", "a crash loses what came after");

    // The snapshot cannot take the place of a directory.
    let dir = redis.cli(&["CONFIG", "GET", "dir"]).await;
    std::fs::create_dir(format!("{}/dump.rdb", dir.lines().nth(1).unwrap())).unwrap();
    redis.cli(&["BGSAVE"]).await;
    eventually(DEADLINE, async || {
        let info = redis.cli(&["INFO", "persistence"]).await;
        anyhow::ensure!(info.contains("rdb_last_bgsave_status:err"), "{info}");
        Ok(())
    })
    .await
    .unwrap();
    let report = doctor(&redis, &[]);
    report.assert("persistence", "fail", "MISCONF");
    report.assert("round-trip", "fail", "MISCONF");
    set(&redis, "stop-writes-on-bgsave-error", "no").await;
    doctor(&redis, &[]).assert("persistence", "warn", "could not be saved");
    set(&redis, "save", "").await;
    set(&redis, "stop-writes-on-bgsave-error", "yes").await;
    doctor(&redis, &[]).assert("persistence", "warn", "could not be saved");
}

#[tokio::test]
async fn limits_of_the_server() {
    let redis = healthy().await;
    set(&redis, "client-output-buffer-limit", "normal 1mb 0 0").await;
    set(&redis, "stream-node-max-entries", "0").await;
    set(&redis, "stream-node-max-bytes", "0").await;
    let report = doctor(&redis, &[]);
    report.assert("output-buffer", "warn", "above 1 MiB is cut");
    report.assert("trimming", "warn", "never trimmed");
    assert_eq!(report.status, Some(0), "{report:#?}");
    let small = doctor(&redis, &["--read-count", "4", "--max-event-bytes", "128KiB"]);
    small.assert("output-buffer", "ok", "512 KiB");
    set(&redis, "stream-node-max-entries", "100000").await;
    set(&redis, "stream-node-max-bytes", "1000000").await;
    doctor(&redis, &[]).assert("trimming", "warn", "trimmed as a whole");
    set(&redis, "maxclients", "1").await;
    // The connection that set it may still count.
    eventually(DEADLINE, async || {
        let report = doctor(&redis, &[]);
        let (level, text) = report.check("clients").context("it was not let in")?;
        anyhow::ensure!(level == "warn" && text.contains("raise maxclients"), "{text}");
        report.assert("round-trip", "fail", "max number of clients");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn rights_that_are_missing() {
    let redis = healthy().await;
    let user = async |rules: &[&str]| {
        redis.cli(&[&["ACL", "SETUSER", "w", "reset", "on", ">secret1"], rules].concat()).await;
        let url = format!("redis://w:secret1@127.0.0.1:{}", redis.port());
        Report::of(weir(&["doctor", "--json", "--redis", &url]))
    };
    let report = user(&["~*", "+@all", "-xtrim", "-xgroup|destroy", "-zadd"]).await;
    report.assert("rights", "fail", "w lacks +xgroup|destroy +xtrim +zadd; ACL SETUSER w");
    assert_eq!(report.status, Some(1));
    let report = user(&["~weir:events", "+@all"]).await;
    report.assert("rights", "fail", "~{<stream>}*");
    assert_eq!(report.check("round-trip").context("no round trip").unwrap().0, "fail");

    // Managed servers hide how they are set up, and that is no fault.
    let hidden = user(&["~*", "+@all", "-config", "-info", "-acl", "-pttl"]).await;
    assert_eq!(hidden.troubles(), ["server", "settings"], "{hidden:#?}");
    hidden.assert("server", "unknown", "does not answer INFO");
    hidden.assert("settings", "unknown", "does not answer CONFIG GET");
    hidden.assert("rights", "ok", "this user may do all");
    assert_eq!(hidden.status, Some(0));

    let keys = ["~weir:events", "~{weir:events}:*"];
    let commands = [
        "+time",
        "+eval",
        "+xadd",
        "+xinfo",
        "+xrange",
        "+xrevrange",
        "+xread",
        "+xreadgroup",
        "+xack",
        "+xpending",
        "+xgroup",
        "+xtrim",
        "+get",
        "+set",
        "+zadd",
        "+zscore",
        "+zrem",
        "+zremrangebyscore",
        "+zrangebyscore",
        "+evalsha",
        "+hmget",
        "+hset",
        "+hlen",
        "+hrandfield",
        "+hdel",
        "+unlink",
    ];
    let least = user(&[&keys[..], &commands].concat()).await;
    least.assert("rights", "ok", "");
    least.assert("round-trip", "ok", "");
    assert_eq!(least.status, Some(0), "{least:#?}");
}

#[tokio::test]
async fn what_is_wrong_with_the_stream() {
    let redis = healthy().await;
    redis.cli(&["SET", STREAM, "x"]).await;
    let report = doctor(&redis, &[]);
    report.assert("stream", "fail", "is no stream");
    report.assert("round-trip", "fail", "WRONGTYPE");
    assert_eq!(report.check("groups"), None);

    redis.cli(&["DEL", STREAM]).await;
    doctor(&redis, &["--stream", "none:yet"]).assert("stream", "ok", "the first instance makes it");
    doctor(&redis, &["--stream", "a}b"]).assert("hash-tag", "warn", "such as {weir}:events");

    add(&redis, &["session", "s", "data", "x"]).await;
    redis.cli(&["EXPIRE", STREAM, "1000"]).await;
    doctor(&redis, &[]).assert("expiry", "fail", "PERSIST weir:events");
    redis.cli(&["PERSIST", STREAM]).await;

    for number in 0..300 {
        add(&redis, &["session", "s", "data", &number.to_string()]).await;
    }
    let report = doctor(&redis, &["--maxlen", "100"]);
    report.assert("length", "warn", "no instance trims it");
    report.assert("horizon", "warn", "raise --maxlen");
    assert_eq!(redis.cli(&["XLEN", STREAM]).await, "303", "it trims nothing, and adds one entry each time");
    let bounded = doctor(&redis, &["--maxlen", "1000000000", "--max-age", "5s"]);
    bounded.assert("horizon", "warn", "raise --max-age");
    doctor(&redis, &["--maxlen", "1000000000"]).assert("horizon", "ok", "entries a second");

    let ahead = redis.cli(&["TIME"]).await.lines().next().unwrap().parse::<u64>().unwrap() * 1000 + 3_600_000;
    redis.cli(&["XADD", STREAM, &format!("{ahead}-0"), "session", "s", "data", "x"]).await;
    doctor(&redis, &[]).assert("ids", "warn", "ahead of the clock");
    let end = "18446744073709551615-18446744073709551615";
    redis.cli(&["XADD", STREAM, end, "session", "s", "data", "x"]).await;
    let report = doctor(&redis, &[]);
    report.assert("ids", "fail", end);
    report.assert("round-trip", "fail", "");
}

#[tokio::test]
async fn entries_that_cannot_be_delivered() {
    let redis = healthy().await;
    add(&redis, &["session", "s", "data", "fine"]).await;
    let mut bare = Vec::new();
    for _ in 0..5 {
        bare.push(add(&redis, &["event", "t", "payload", "{}"]).await);
    }
    let none = add(&redis, &["session", "s"]).await;
    add(&redis, &["session", "s", "data", "x", "type", "weir.gap"]).await;
    add(&redis, &["session", "s", "data", &"x".repeat(2000)]).await;
    let report = doctor(&redis, &["--max-event-bytes", "1000"]);
    let entries: Vec<_> = report.findings.iter().filter(|finding| finding["check"] == "entries").collect();
    assert_eq!(entries.len(), 4, "one for each reason: {entries:#?}");
    let about = |text: &str| {
        let found = entries.iter().find(|entry| entry["finding"].as_str().unwrap().contains(text));
        found.unwrap_or_else(|| panic!("no {text} in {entries:#?}"))
    };
    let session = about("no session");
    let finding = session["finding"].as_str().unwrap();
    assert!(finding.starts_with("skipped, 5 of the newest 9: "), "{finding}");
    assert!(finding.ends_with(&format!("({}, {}, {})", bare[4], bare[3], bare[2])), "{finding}");
    assert!(
        session["advice"].as_str().unwrap().contains("--default-session for the 5 without one"),
        "{session}"
    );
    assert!(about("no data")["finding"].as_str().unwrap().contains(&none));
    assert!(about("too large")["advice"].as_str().unwrap().contains("--max-event-bytes"));
    assert!(about("a type that cannot be one")["level"] == "warn" && report.status == Some(0));

    let mended = doctor(&redis, &["--default-session", "all"]);
    let entries = mended.findings.iter().filter(|finding| finding["check"] == "entries");
    assert_eq!(entries.count(), 2, "no data and the type: {mended:#?}");
    redis.cli(&["DEL", STREAM]).await;
    add(&redis, &["foo", "bar"]).await;
    let report = doctor(&redis, &[]);
    report.assert("entries", "fail", "skipped, 1 of the newest 1");
    assert_eq!((report.status, report.err.as_str()), (Some(1), "weir: one check failed\n"));
}

#[tokio::test]
async fn groups_that_need_a_look() {
    let redis = healthy().await;
    for number in 0..100 {
        add(&redis, &["session", "s", "data", &number.to_string()]).await;
    }
    let now = redis.cli(&["TIME"]).await.lines().next().unwrap().parse::<u64>().unwrap() * 1000;
    for (group, stamp) in [("weir:gone:1", now - 100_000), ("weir:slow:2", now)] {
        redis.cli(&["XGROUP", "CREATE", STREAM, group, "0"]).await;
        redis.cli(&["ZADD", LEASES, &stamp.to_string(), group]).await;
    }
    redis.cli(&["XGROUP", "CREATE", STREAM, "weir:new:3", "0"]).await;
    redis.cli(&["XGROUP", "CREATE", STREAM, "analytics", "0"]).await;
    redis.cli(&["XREADGROUP", "GROUP", "weir:slow:2", "reader", "COUNT", "30", "STREAMS", STREAM, ">"]).await;
    let report = doctor(&redis, &["--read-count", "10", "--maxlen", "100"]);
    report.assert("groups", "ok", "1 of running instances, 1 without a lease yet: weir:slow:2; ");
    report.assert("orphans", "warn", "1 left by instances that are gone: weir:gone:1; weir groups --reap");
    report.assert("foreign", "ok", "analytics");
    report.assert("pending", "warn", "30 entries at most are not acknowledged, by weir:slow:2");
    report.assert("lag", "warn", "readers are 70 entries behind at most, weir:slow:2 is");
    assert_eq!(redis.cli(&["ZCARD", LEASES]).await, "2", "it reaps nothing and stamps nothing");
    assert_eq!(redis.cli(&["XINFO", "GROUPS", STREAM]).await.matches("weir:").count(), 3);
}

/// Nobody but an operator knows that they are two.
#[tokio::test]
async fn two_systems_on_one_key() -> anyhow::Result<()> {
    let redis = healthy().await;
    let url = redis.url();
    let _shop = Instance::start(WEIR, &["--redis", &url, "--instance", "shop"]).await?;
    let _bank = Instance::start(WEIR, &["--redis", &url, "--instance", "bank"]).await?;
    let report = doctor(&redis, &[]);
    for says in ["2 of running instances: ", "weir:shop:", "weir:bank:", "; where one is not yours"] {
        report.assert("groups", "ok", says);
    }
    report.assert("groups", "ok", "give each system a --stream of its own");
    Ok(())
}

/// Redis as it is, but for its clock, which is an hour ahead.
fn an_hour_ahead(redis: &RedisServer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) = (listener.local_addr().unwrap(), redis.port());
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) =
                (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (mut asks, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut asks, &mut server));
            thread::spawn(move || {
                let mut bytes = [0; 64 << 10];
                while let Ok(length @ 1..) = answers.read(&mut bytes) {
                    put_forward(&mut bytes[..length]);
                    client.write_all(&bytes[..length]).unwrap();
                }
            });
        }
    });
    address
}

/// The answer to TIME is two texts of which the first is ten digits of seconds.
fn put_forward(answer: &mut [u8]) {
    const HEAD: &[u8] = b"*2\r\n$10\r\n";
    let Some(digits) = answer.get_mut(..HEAD.len() + 10).filter(|start| start.starts_with(HEAD)) else {
        return;
    };
    let digits = &mut digits[HEAD.len()..];
    if let Ok(seconds) = std::str::from_utf8(digits).unwrap_or_default().parse::<u64>() {
        digits.copy_from_slice((seconds + 3600).to_string().as_bytes());
    }
}

#[tokio::test]
async fn clocks_that_differ() {
    let redis = healthy().await;
    let report = doctor_at(&format!("redis://{}", an_hour_ahead(&redis)), &[]);
    report.assert("clock", "warn", " ahead of the one here; run NTP on both");
    assert_eq!(report.status, Some(0), "{report:#?}");
}

#[tokio::test]
async fn without_redis_there_is_only_this_machine() {
    let report = Report::of(weir(&["doctor", "--json"]));
    assert_eq!((report.status, report.err.as_str()), (Some(0), ""));
    report.assert("log", "ok", "give --data-dir to keep it, or --redis");
    report.assert("drain", "ok", "draining takes 20s");
    report.assert(
        "drain",
        "ok",
        "whoever stops weir must wait longer (terminationGracePeriodSeconds, TimeoutStopSec=",
    );
    assert_eq!(report.check("addresses"), None);
    for limit in ["--max-connections-per-ip=5", "--connect-rate=5/s", "--publish-rate=5/s"] {
        let report = Report::of(weir(&["doctor", "--json", limit]));
        report.assert("addresses", "ok", "nobody is a --trusted-proxy; behind a load balancer name it");
        let named = Report::of(weir(&["doctor", "--json", limit, "--trusted-proxy", "10.0.0.0/8"]));
        assert_eq!(named.check("addresses"), None);
    }
    assert_eq!(report.check("connect"), None);

    let mut misspelt = weir(&["doctor", "--json", "--drain-window", "1m", "--max-connections", "1000000000"]);
    misspelt.env("WEIR_HARTBEAT", "1s");
    let report = Report::of(misspelt);
    report.assert(
        "variables",
        "warn",
        "WEIR_HARTBEAT is set, and weir knows no such variable; the nearest is WEIR_HEARTBEAT",
    );
    report.assert("drain", "warn", "--shutdown-timeout cuts it after 25s; shorten --drain-delay");
    report.assert("files", "warn", "LimitNOFILE=");
    assert_eq!(report.status, Some(0));

    let wrong = Report::of(weir(&["doctor", "--listen", "0.0.0.0:80"]));
    assert_eq!(
        (wrong.status, wrong.err.lines().count()),
        (Some(2), 1),
        "settings that no instance would take"
    );
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_ends_it_within_a_bounded_time() {
    let redis = RedisServer::start().await;
    set(&redis, "requirepass", "secret1").await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // It takes connections, in its backlog, and never answers.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    for (url, says) in [
        (format!("redis://:secret2@{closed}"), "Connection refused; see that Redis runs"),
        (format!("redis://:secret3@{}", hole.local_addr().unwrap()), "see that Redis runs"),
        (format!("redis://127.0.0.1:{}", redis.port()), "--redis-password-file"),
        (format!("redis://:secret4@127.0.0.1:{}", redis.port()), "--redis-password-file"),
    ] {
        let start = Instant::now();
        let report = Report::of(weir(&["doctor", "--json", "--redis", &url]));
        assert!(start.elapsed() < BOUNDED, "{url}: {:?}", start.elapsed());
        report.assert("connect", "fail", says);
        assert_eq!((report.status, report.check("version")), (Some(1), None), "{report:#?}");
    }
}

#[tokio::test]
async fn a_cluster_is_reached_as_one() {
    let cluster = RedisCluster::start(Software::Redis).await;
    let report = doctor_at(&cluster.url(1), &[]);
    assert_eq!((report.status, report.troubles()), (Some(0), vec!["persistence"]), "{report:#?}");
    report.assert("cluster", "ok", "is reached as one");
    report.assert("hash-tag", "ok", "share the slot");
    let report = doctor_at(&cluster.url(0), &["--stream", "a}b"]);
    report.assert("hash-tag", "fail", "such as {weir}:events");
    assert_eq!((report.status, report.check("round-trip")), (Some(1), None), "nothing can work: {report:#?}");
    let owner = cluster.owner(STREAM).await;
    doctor(&cluster.nodes[owner], &[]).assert("cluster", "warn", "begin the URL with redis-cluster://");
}

#[tokio::test]
async fn sentinels_lead_to_the_master() {
    let master = RedisServer::start().await;
    let sentinels = Sentinels::watch(Software::Redis, master.port(), 0).await;
    let report = doctor_at(&sentinels.url(), &[]);
    assert_eq!((report.status, report.troubles()), (Some(0), vec!["persistence"]), "{report:#?}");
    report.assert("role", "ok", "a master");
    let nobody = sentinels.url().replace("sentinelServiceName=", "sentinelServiceName=no");
    assert_eq!(doctor_at(&nobody, &[]).check("connect").unwrap().0, "fail");
}

#[tokio::test]
async fn valkey_is_known() {
    let valkey = RedisServer::start_with(Options::from(Software::Valkey)).await;
    let report = doctor(&valkey, &[]);
    report.assert("version", "ok", "Valkey ");
    assert_eq!((report.status, report.troubles()), (Some(0), vec!["persistence"]), "{report:#?}");
    valkey.cli(&["ACL", "SETUSER", "w", "reset", "on", ">secret1", "~weir:events", "+@all", "-xtrim"]).await;
    let report = doctor_at(&format!("redis://w:secret1@127.0.0.1:{}", valkey.port()), &[]);
    report.assert("rights", "fail", "w lacks +xtrim ~<stream>*");
}

/// It answers at first, and then stands still.
#[tokio::test]
async fn a_redis_that_stops_answering_ends_it_too() {
    let redis = RedisServer::start().await;
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let start = Instant::now();
    let report = doctor(&redis, &[]);
    assert!(start.elapsed() < BOUNDED, "{:?}", start.elapsed());
    report.assert("version", "ok", "");
    let last = report.findings.last().unwrap();
    assert_eq!((&last["check"], &last["level"]), (&"connect".into(), &"fail".into()), "{last}");
    assert_eq!((report.status, &last["finding"]), (Some(1), &"Redis did not answer in time".into()));
}

#[tokio::test]
async fn lines_are_for_people_and_fit_a_terminal() {
    let redis = RedisServer::start().await;
    redis.cli(&["XADD", STREAM, "*", "foo", "bar"]).await;
    redis.cli(&["XGROUP", "CREATE", STREAM, &format!("{}\u{1b}[2J", "x".repeat(200)), "0"]).await;
    let (url, text) = (redis.url(), |bytes| String::from_utf8(bytes).unwrap());
    let output = weir(&["doctor", "--redis", &url]).output().unwrap();
    let out = text(output.stdout);
    for line in out.lines() {
        let mut words = line.split_whitespace();
        let (level, name) = (words.next().unwrap(), words.next().unwrap());
        assert!(["ok", "warn", "fail", "unknown"].contains(&level) && words.next().is_some(), "{line}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{line}");
    }
    assert!(out.contains("\nwarn     persistence    nothing is saved"), "{out}");
    assert!(out.contains("; set appendonly yes to keep it\n"), "{out}");

    let mut command = Command::new("script");
    command.args(["-qec", &format!("stty cols 200; exec {WEIR} doctor --redis {url}"), "/dev/null"]);
    let output = command.env_remove("WEIR_REDIS").stdin(Stdio::null()).output();
    let output = output.expect("script is there: apt-get install bsdutils");
    let out = text(output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.lines().all(|line| line.trim_end().chars().count() <= 100), "{out}");
    assert!(out.lines().count() > 30 && !out.contains('\u{1b}'), "{out}");
}

//! Two instances on one Redis are one broker, whatever others write to the stream and whatever happens to Redis.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::deadline::within;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, SseStream, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "weir:events";

/// Two instances on one Redis.
struct Cluster {
    redis: RedisServer,
    one: Instance,
    two: Instance,
}

impl Cluster {
    async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let flags = [&["--redis", &url, "--read-block", "200ms", "--heartbeat", "500ms"], flags].concat();
        let (one, two) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
        Ok(Self { redis, one, two })
    }

    /// A stream of `s` on each.
    async fn both(&self) -> anyhow::Result<[SseStream; 2]> {
        Ok([self.one.client().subscribe("s").await?, self.two.client().subscribe("s").await?])
    }

    /// Ids of all entries in the log.
    async fn ids(&self) -> Vec<String> {
        let entries = self.redis.cli(&["XRANGE", STREAM, "-", "+"]).await;
        let is_id = |line: &&str| {
            line.split_once('-').is_some_and(|(ms, seq)| ms.len() == 13 && seq.parse::<u64>().is_ok())
        };
        entries.lines().filter(is_id).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn every_client_gets_every_event_of_its_session_in_the_same_order() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let mut streams = cluster.both().await?;
    let mut other = cluster.two.client().subscribe("other").await?;
    let (one, two) = (cluster.one.client(), cluster.two.client());
    let publish = async |to: weir_testkit::Client, name: &str| -> anyhow::Result<()> {
        for nth in 0..50 {
            to.publish("s", format!("{name}{nth}")).await?;
        }
        Ok(())
    };
    tokio::try_join!(publish(one, "a"), publish(two, "b"))?;
    one.publish("other", "for another").await?;

    let want = cluster.ids().await;
    let mut seen = Vec::new();
    for stream in &mut streams {
        let mut got = Vec::new();
        for _ in 0..100 {
            let event = stream.next_published().await?;
            got.push((event.last_event_id, event.data));
        }
        seen.push(got);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].iter().map(|(id, _)| id).eq(&want[..100]), "not the order of the log");
    for name in ["a", "b"] {
        let of = seen[0].iter().filter(|(_, data)| data.starts_with(name)).map(|(_, data)| data.clone());
        assert!(of.eq((0..50).map(|nth| format!("{name}{nth}"))), "{name} out of order");
    }
    assert_eq!(other.next_data(1).await?, ["for another"]);
    Ok(())
}

#[tokio::test]
async fn any_producer_writes_with_plain_xadd() -> anyhow::Result<()> {
    let cluster = Cluster::start(&["--default-session", "fallback"]).await?;
    let target = "/v1/events?session=s&session=fallback";
    let one = cluster.one.client().get(target).subscribe().await?;
    let two = cluster.two.client().get(target).subscribe().await?;
    for fields in [
        &["event", "bot.joined", "payload", r#"{"n":1}"#, "timestamp", "2026-11-21T10:00:00.5Z"][..],
        &["timestamp", "1795242612340", "payload", "x", "session", "s", "key", "k", "unknown", "y"],
        &["session", "s", "session", "other", "data", "first wins", "payload", "second", "ts", "no time"],
        &["data", "", "session", "s"],
    ] {
        cluster.redis.cli(&[&["XADD", STREAM, "*"], fields].concat()).await;
    }
    for mut stream in [one, two] {
        let mut got = Vec::new();
        for _ in 0..4 {
            let mut event: Value = serde_json::from_str(&stream.next_published().await?.data)?;
            let id = event["id"].take().as_str().and_then(|id| id.split('-').next()?.parse::<u64>().ok());
            // A time that nobody can read is that of the entry.
            if event["ts"].as_u64() == id {
                event["ts"] = json!("of the id");
            }
            got.push(event);
        }
        let event = |session, kind: Option<&str>, key: Option<&str>, data, ts: Value| json!({"id": null, "session": session, "type": kind, "key": key, "data": data, "ts": ts});
        assert_eq!(
            got,
            [
                event("fallback", Some("bot.joined"), None, r#"{"n":1}"#, json!(1_795_255_200_500_u64)),
                event("s", None, Some("k"), "x", json!(1_795_242_612_340_u64)),
                event("s", None, None, "first wins", json!("of the id")),
                event("s", None, None, "", json!("of the id")),
            ]
        );
    }
    Ok(())
}

#[tokio::test]
async fn entries_that_are_no_events_are_counted_and_harm_nobody() -> anyhow::Result<()> {
    let cluster = Cluster::start(&["--max-event-bytes", "1000"]).await?;
    let mut streams = cluster.both().await?;
    let (long, big) = ("s".repeat(257), "x".repeat(1001));
    let (long, big) = (long.as_bytes(), big.as_bytes());
    let bad: [(&str, &[&[u8]]); 13] = [
        ("session", &[b"foo", b"bar"]),
        ("session", &[b"session", long, b"data", b"x"]),
        ("session", &[b"session", b"a\nb", b"data", b"x"]),
        ("data", &[b"session", b"s"]),
        ("utf8", &[b"session", b"s", b"data", b"\xff"]),
        ("utf8", &[b"session", b"\xff", b"data", b"x"]),
        ("type", &[b"session", b"s", b"data", b"{}", b"type", b"weir.gap"]),
        ("type", &[b"session", b"s", b"data", b"x", b"event", b"a\nid: 9-9"]),
        ("type", &[b"session", b"s", b"data", b"x", b"type", b""]),
        ("key", &[b"session", b"s", b"data", b"x", b"key", b"a\0b"]),
        ("oversize", &[b"session", b"s", b"data", big]),
        ("oversize", &[b"session", b"another", b"data", big]),
        ("", &[b"session", b"s", b"data", b"x", b"weir", b"revoke"]),
    ];
    for (nth, (_, fields)) in bad.iter().enumerate() {
        cluster.redis.command(&[&[b"XADD", STREAM.as_bytes(), b"*"], *fields].concat()).await;
        let nth = nth.to_string();
        cluster.redis.cli(&["XADD", STREAM, "*", "session", "s", "data", &nth]).await;
    }
    for stream in &mut streams {
        let mut got = Vec::new();
        while got.last().is_none_or(|last| last != "12") {
            let event = stream.next_event().await?;
            match event.event.as_str() {
                "message" => got.push(event.data),
                "weir.gap" => got.push(serde_json::from_str::<Value>(&event.data)?["reason"].to_string()),
                "weir.ping" => {}
                other => anyhow::bail!("{other}"),
            }
        }
        let want = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "\"oversize\"", "10", "11", "12"];
        assert_eq!(got, want);
    }
    for weir in [&cluster.one, &cluster.two] {
        let metrics = weir.metrics().await?;
        for reason in ["session", "data", "utf8", "type", "key", "oversize"] {
            let want = bad.iter().filter(|(of, _)| *of == reason).count();
            let have = metrics.value("weir_entries_malformed_total", &[("reason", reason)]);
            assert_eq!(have, Some(want as f64), "{reason}");
        }
        assert_eq!(metrics.value("weir_entries_read_total", &[]), Some(26.0));
        assert_eq!(metrics.value("weir_events_dropped_total", &[("reason", "oversize")]), Some(1.0));
        eventually(DEADLINE, async || {
            let pending = weir.metrics().await?.value("weir_reader_pending_entries", &[]);
            ensure!(pending == Some(0.0), "{pending:?} pending");
            Ok(())
        })
        .await?;
        expect::balance(weir).await?;
    }
    Ok(())
}

/// The data that comes next, and what weir says about the log between.
async fn told(stream: &mut SseStream, until: &str) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    let telling = async {
        loop {
            let event = stream.next_event().await?;
            match event.event.as_str() {
                "weir.ping" => continue,
                "message" => told.push(event.data.clone()),
                "weir.gap" => told.push(serde_json::from_str::<Value>(&event.data)?["reason"].to_string()),
                other => told.push(other.to_owned()),
            }
            if event.data == until || event.event == until {
                return Ok(());
            }
        }
    };
    // Heartbeats go on, so that the stream by itself never is silent for too long.
    let done = within(DEADLINE * 2, format!("{until:?}"), telling).await;
    done.with_context(|| format!("told so far: {told:?}"))?;
    Ok(told)
}

/// It takes the time in which a Redis that stands still is told from one that is slow.
#[tokio::test]
async fn an_outage_is_told_and_costs_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let [mut one, mut two] = cluster.both().await?;
    let (client, admin) = (cluster.one.client(), cluster.one.admin_client());
    client.publish("s", "before").await?;
    cluster.redis.pause();
    // It was sent, and nobody says what became of it.
    let publish = client.event("s").body("unknown").send();
    let (answer, degraded) = tokio::join!(publish, told(&mut one, "weir.degraded"));
    let answer = answer?;
    expect::problem(&answer, 503, "outcome_unknown")?;
    assert!(answer.head.header("retry-after").is_some(), "{answer:?}");
    assert_eq!(degraded?, ["before", "weir.degraded"]);
    assert_eq!(told(&mut two, "weir.degraded").await?, ["before", "weir.degraded"]);

    let ready = admin.get("/readyz").send().await?;
    assert_eq!((ready.status(), &ready.json()?["status"]), (200, &json!("degraded")));
    let metrics = cluster.one.metrics().await?;
    assert_eq!(
        (metrics.value("weir_redis_up", &[]), metrics.value("weir_ready", &[])),
        (Some(0.0), Some(1.0))
    );
    let unavailable = metrics.value("weir_publishes_total", &[("result", "unavailable")]);
    assert_eq!(unavailable, Some(1.0));
    // Replays come from the window, and who comes now is told, too.
    let mut replay = client.events("s").query("lastEventId", "earliest").subscribe().await?;
    assert_eq!(told(&mut replay, "weir.degraded").await?, ["weir.connected", "before", "weir.degraded"]);

    cluster.redis.resume();
    let waited = [told(&mut one, "weir.restored").await?, told(&mut two, "weir.restored").await?];
    eventually(DEADLINE, async || client.publish("s", "after").await).await?;
    let log = cluster.redis.cli(&["XRANGE", STREAM, "-", "+"]).await;
    for (stream, mut got) in [&mut one, &mut two].into_iter().zip(waited) {
        got.extend(told(stream, "after").await?);
        got.retain(|data| data != "weir.restored");
        // What nobody knew about is delivered if and only if it is in the log, and once.
        let unknown = if log.contains("unknown") { vec!["unknown", "after"] } else { vec!["after"] };
        assert_eq!(got, unknown);
    }
    eventually(DEADLINE, async || {
        let up = cluster.one.metrics().await?.value("weir_redis_up", &[]);
        ensure!(up == Some(1.0), "{up:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_redis_that_is_gone_is_said_at_once() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(&["--ready-grace", "0s"]).await?;
    let [mut one, _] = cluster.both().await?;
    let client = cluster.one.client();
    client.publish("s", "before").await?;
    cluster.redis.stop();
    eventually(DEADLINE, async || {
        let answer = client.event("s").body("lost").send().await?;
        expect::problem(&answer, 503, "log_unavailable")
    })
    .await?;
    assert_eq!(told(&mut one, "weir.degraded").await?, ["before", "weir.degraded"]);
    eventually(DEADLINE, async || {
        let ready = cluster.one.admin_client().get("/readyz").send().await?;
        ensure!((ready.status(), &ready.json()?["status"]) == (503, &json!("log-away")), "{ready:?}");
        Ok(())
    })
    .await?;

    // What comes up is empty: another log, which begins where the clients are told so.
    cluster.redis.restart().await;
    let mut said = told(&mut one, "weir.restored").await?;
    if said.len() == 1 {
        said.extend(told(&mut one, "weir.gap").await?);
    }
    said.sort();
    assert_eq!(said, ["\"reset\"", "weir.restored"]);
    eventually(DEADLINE, async || client.publish("s", "after").await).await?;
    assert_eq!(told(&mut one, "after").await?, ["after"]);
    eventually(DEADLINE, async || {
        let ready = cluster.one.admin_client().get("/readyz").send().await?;
        ensure!(ready.status() == 200, "{ready:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_log_that_is_emptied_is_told_once() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let mut streams = cluster.both().await?;
    let (one, two) = (cluster.one.client(), cluster.two.client());
    let old = one.publish("s", "old").await?;
    for stream in &mut streams {
        assert_eq!(stream.next_data(1).await?, ["old"]);
    }
    cluster.redis.cli(&["FLUSHALL"]).await;
    let mut positions = Vec::new();
    for stream in &mut streams {
        let mut gap = stream.next_event().await?;
        while gap.event == "weir.ping" {
            gap = stream.next_event().await?;
        }
        assert_eq!(gap.event, "weir.gap");
        let gap: Value = serde_json::from_str(&gap.data)?;
        assert_eq!(
            (&gap["reason"], &gap["missed"], &gap["session"]),
            (&json!("reset"), &Value::Null, &Value::Null)
        );
        let ping = stream.next_event().await?;
        assert_eq!(ping.event, "weir.ping");
        positions.push(ping.last_event_id);
    }
    for nth in 0..5 {
        [&one, &two][nth % 2].publish("s", nth.to_string()).await?;
    }
    // Neither again on the same stream, nor to who comes back from the position that was told with it.
    for stream in &mut streams {
        assert_eq!(stream.next_data(5).await?, ["0", "1", "2", "3", "4"]);
    }
    for (weir, position) in [&two, &one].into_iter().zip(positions) {
        let mut again = weir.events("s").header("last-event-id", position).subscribe().await?;
        assert_eq!(again.next_data(5).await?, ["0", "1", "2", "3", "4"]);
        let mut old = weir.events("s").header("last-event-id", old.to_string()).subscribe().await?;
        assert_eq!(told(&mut old, "weir.gap").await?, ["weir.connected", "\"reset\""]);
    }
    for weir in [&cluster.one, &cluster.two] {
        let metrics = weir.metrics().await?;
        // One for each stream that was open, and one for the old position.
        assert_eq!(metrics.value("weir_gap_notices_total", &[("reason", "reset")]), Some(2.0));
    }
    Ok(())
}

/// One who reads nothing holds up neither the reader nor the group.
#[tokio::test]
async fn a_stalled_client_of_one_instance_is_no_matter_to_the_other() -> anyhow::Result<()> {
    let cluster = Cluster::start(&["--queue-events", "10"]).await?;
    let mut stalled = cluster.one.client().events("s").receive_buffer(4096).subscribe().await?;
    stalled.next_event().await?;
    let mut streams = cluster.both().await?;
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(4096));
    let batch = cluster.two.client().post("/v1/events").header("content-type", "application/x-ndjson");
    assert_eq!(batch.body(line.repeat(300)).send().await?.status(), 201);
    for stream in &mut streams {
        assert_eq!(stream.next_data(300).await?.len(), 300);
    }
    eventually(DEADLINE, async || {
        for weir in [&cluster.one, &cluster.two] {
            let metrics = weir.metrics().await?;
            let (pending, lag) = (
                metrics.value("weir_reader_pending_entries", &[]),
                metrics.value("weir_reader_lag_entries", &[]),
            );
            ensure!((pending, lag) == (Some(0.0), Some(0.0)), "pending {pending:?}, lag {lag:?}");
        }
        Ok(())
    })
    .await
}

/// A second life on the same log holds what the first one published.
#[tokio::test]
async fn an_instance_that_is_killed_leaves_the_others_and_its_next_life_whole() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let [one, mut two] = cluster.both().await?;
    let id = cluster.one.client().publish("s", "1").await?;
    let Cluster { redis, one: killed, two: stays } = cluster;
    drop((one, killed));
    stays.client().publish("s", "2").await?;
    assert_eq!(two.next_data(2).await?, ["1", "2"]);
    let again = Instance::start(WEIR, &["--redis", &redis.url()]).await?;
    let mut stream = again.client().events("s").header("last-event-id", id.to_string()).subscribe().await?;
    assert_eq!(stream.next_data(1).await?, ["2"]);
    again.client().publish("s", "3").await?;
    assert_eq!(
        (stream.next_data(1).await?, two.next_data(1).await?),
        (vec!["3".to_owned()], vec!["3".to_owned()])
    );
    Ok(())
}

//! What operators see: health, metrics, clients.
// sizes: each call of operators by itself, all on one kind of instance

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_core::EventId;
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Instance, Metrics, RawConn, Response, Signal, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

#[tokio::test]
async fn health_of_an_instance_that_is_well() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    for path in ["/livez", "/readyz"] {
        let public = weir.client().get(path).send().await?;
        assert_eq!((public.status(), public.text()?), (200, "ok\n"), "{path}");
        let head = weir.client().request("HEAD", path).send().await?;
        assert_eq!((head.status(), head.body.len()), (200, 0), "{path}");
    }
    let live = weir.admin_client().get("/livez").send().await?;
    assert_eq!((live.status(), live.text()?), (200, "ok\n"));
    let ready = weir.admin_client().get("/readyz").send().await?;
    assert_eq!(ready.json()?, json!({"ready": true, "status": "ready", "waitingFor": null, "group": null}));
    assert_eq!(ready.head.header("cache-control"), Some("no-store"));
    Ok(())
}

#[tokio::test]
async fn it_says_that_it_waits_for_redis_and_is_ready_when_that_comes() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await;
    redis.stop();
    let weir = Instance::builder(WEIR).flags(&["--redis", &redis.url()]).unready().start().await?;
    let ready = weir.admin_client().get("/readyz").send().await?;
    assert_eq!(ready.status(), 503);
    let said = ready.json()?;
    assert_eq!(
        (&said["ready"], &said["status"], &said["group"]),
        (&json!(false), &json!("starting"), &Value::Null)
    );
    assert!(said["waitingFor"].as_str().is_some_and(|what| what.contains("window load")), "{said}");
    // The public need not know what is wrong.
    let public = weir.client().get("/readyz").send().await?;
    assert_eq!((public.status(), public.text()?), (503, "not ready\n"));
    assert_eq!(weir.client().get("/livez").send().await?.status(), 200);
    let metrics = weir.metrics().await?;
    assert_eq!(
        (metrics.value("weir_ready", &[]), metrics.value("weir_redis_up", &[])),
        (Some(0.0), Some(0.0))
    );
    expect::problem(&weir.client().event("s").body("x").send().await?, 503, "log_unavailable")?;
    // A client that is already there is held, and served when it is time.
    let mut held = weir.client().events("s").subscribe().await?;

    redis.restart().await;
    eventually(DEADLINE, async || {
        let ready = weir.admin_client().get("/readyz").send().await?;
        ensure!(ready.status() == 200, "{:?}", ready.text());
        ensure!(ready.json()?["group"].as_str().is_some_and(|group| group.starts_with("weir:")), "no group");
        Ok(())
    })
    .await?;
    assert_eq!(held.next_event().await?.event, "weir.connected");
    eventually(DEADLINE, async || weir.client().publish("s", "at last").await).await?;
    assert_eq!(held.next_data(1).await?, ["at last"]);
    eventually(DEADLINE, async || {
        let metrics = weir.metrics().await?;
        ensure!(metrics.value("weir_redis_up", &[]) == Some(1.0), "not up");
        ensure!(
            metrics.value("weir_groups", &[]) == Some(1.0),
            "{:?} groups",
            metrics.value("weir_groups", &[])
        );
        Ok(())
    })
    .await
}

/// Labels whose values are known in advance, so that every one of them is 0 from the start.
const KNOWN: [(&str, &str, &[&str]); 11] = [
    ("weir_clients", "transport", &["sse", "long-poll"]),
    ("weir_connections_total", "transport", &["sse", "long-poll"]),
    (
        "weir_disconnections_total",
        "reason",
        &["client", "stalled", "overflow", "expired", "revoked", "shutdown", "max-age", "error"],
    ),
    ("weir_connections_rejected_total", "reason", &["limit", "draining", "starting", "auth"]),
    ("weir_publishes_total", "result", &["ok", "invalid", "denied", "unavailable", "duplicate"]),
    ("weir_entries_malformed_total", "reason", &["session", "data", "utf8", "type", "key", "oversize"]),
    ("weir_events_total", "type", &["message", "order.updated", "other"]),
    ("weir_events_dropped_total", "reason", &["overflow", "trimmed", "oversize"]),
    (
        "weir_events_discarded_total",
        "reason",
        &["client", "stalled", "disconnect", "shutdown", "expired", "conflated"],
    ),
    ("weir_resumes_total", "result", &["complete", "gap"]),
    (
        "weir_gap_notices_total",
        "reason",
        &["trimmed", "unknown-id", "overflow", "reader", "oversize", "reset"],
    ),
];

/// Series without labels that are there from the start, with their value; `None` where that is not known in advance.
const PLAIN: [(&str, Option<f64>); 15] = [
    ("weir_ready", Some(1.0)),
    ("weir_draining", Some(0.0)),
    ("weir_clients_max", Some(77.0)),
    ("weir_clients_catching_up", Some(0.0)),
    ("weir_sessions", Some(0.0)),
    ("weir_subscriptions", Some(0.0)),
    ("weir_entries_read_total", Some(0.0)),
    ("weir_events_queued_total", Some(0.0)),
    ("weir_events_delivered_total", Some(0.0)),
    ("weir_delivered_bytes_total", Some(0.0)),
    ("weir_replayed_events_total", Some(0.0)),
    ("weir_queue_bytes", Some(0.0)),
    ("weir_stream_maxlen", Some(5000.0)),
    ("weir_window_events", Some(0.0)),
    ("process_resident_memory_bytes", None),
];

#[tokio::test]
async fn every_series_is_there_from_the_start() -> anyhow::Result<()> {
    let flags = ["--max-connections", "77", "--metric-types", "message,order.updated"];
    let weir = Instance::start(WEIR, &flags).await?;
    let answer = weir.admin_client().get("/metrics").send().await?;
    assert_eq!(answer.head.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let metrics = Metrics::parse(answer.text()?)?;
    for (name, label, values) in KNOWN {
        for value in values {
            assert_eq!(metrics.value(name, &[(label, value)]), Some(0.0), "{name}{{{label}={value}}}");
        }
    }
    for (name, want) in PLAIN {
        let have = metrics.value(name, &[]);
        assert!(have.is_some() && (want.is_none() || have == want), "{name}: {have:?}");
    }
    assert_eq!(metrics.sum("weir_build_info", &[]), 1.0);
    for histogram in
        ["weir_publish_duration_seconds", "weir_connection_duration_seconds", "weir_queue_events"]
    {
        assert_eq!(metrics.sum(&format!("{histogram}_count"), &[]), 0.0, "{histogram}");
        assert!(metrics.sum(&format!("{histogram}_bucket"), &[("le", "+Inf")]) == 0.0, "{histogram}");
    }
    Ok(())
}

#[tokio::test]
async fn metrics_count_what_happened() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--metric-types", "order.updated"]).await?;
    let client = weir.client();
    let (mut one, mut two) = (client.subscribe("s").await?, client.subscribe("s").await?);
    let both = client.get("/v1/events?session=s&session=t").subscribe().await?;
    client.event("s").query("type", "order.updated").body("a").send().await?;
    client.event("s").query("type", "another").body("b").send().await?;
    client.event("nobody").body("c").send().await?;
    for stream in [&mut one, &mut two] {
        assert_eq!(stream.next_data(2).await?, ["a", "b"]);
    }
    let metrics = eventually(DEADLINE, async || {
        let metrics = weir.metrics().await?;
        let delivered = metrics.value("weir_events_delivered_total", &[]);
        ensure!(delivered == Some(6.0), "{delivered:?} delivered");
        ensure!(metrics.value("weir_window_events", &[]) == Some(3.0), "not yet in the window");
        Ok(metrics)
    })
    .await?;
    for (name, labels, want) in [
        ("weir_clients", &[("transport", "sse")][..], 3.0),
        ("weir_connections_total", &[("transport", "sse")], 3.0),
        ("weir_sessions", &[], 2.0),
        ("weir_subscriptions", &[], 4.0),
        ("weir_entries_read_total", &[], 3.0),
        ("weir_events_total", &[("type", "order.updated")], 1.0),
        ("weir_events_total", &[("type", "other")], 2.0),
        ("weir_events_queued_total", &[], 6.0),
        ("weir_publish_duration_seconds_count", &[], 3.0),
        ("weir_delivery_latency_seconds_count", &[], 6.0),
        ("weir_window_events", &[], 3.0),
    ] {
        assert_eq!(metrics.value(name, labels), Some(want), "{name}{labels:?}");
    }
    let sizes: usize = [&one, &two].iter().map(|stream| stream.transcript().len()).sum();
    assert!(metrics.value("weir_delivered_bytes_total", &[]).is_some_and(|bytes| bytes > sizes as f64));
    drop((one, two, both));
    eventually(DEADLINE, async || {
        let metrics = weir.metrics().await?;
        let left = metrics.value("weir_disconnections_total", &[("reason", "client")]);
        ensure!(left == Some(3.0), "{left:?} left");
        ensure!(metrics.value("weir_sessions", &[]) == Some(0.0), "sessions are left");
        ensure!(metrics.value("weir_subscriptions", &[]) == Some(0.0), "subscriptions are left");
        ensure!(metrics.value("weir_connection_duration_seconds_count", &[]) == Some(3.0), "durations");
        Ok(())
    })
    .await
}

/// No session, user or address is ever a label: a flood of names must not become a flood of series.
#[tokio::test]
async fn the_page_does_not_grow_with_what_clients_say() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let names = async || -> anyhow::Result<usize> {
        Ok(weir.admin_client().get("/metrics").send().await?.text()?.lines().count())
    };
    let before = names().await?;
    let mut streams = Vec::new();
    for nth in 0..20 {
        streams.push(weir.client().subscribe(&format!("session-{nth}")).await?);
        let publish = weir.client().event(&format!("session-{nth}")).query("type", format!("type-{nth}"));
        publish.body("x").send().await?.event_id()?;
    }
    assert_eq!(names().await?, before);
    Ok(())
}

async fn clients(admin: &Client, query: &str) -> anyhow::Result<Response> {
    admin.get(&format!("/clients{query}")).header("weir-admin", "1").send().await
}

#[tokio::test]
async fn only_this_machine_sees_the_clients_and_no_web_page_does() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let admin = weir.admin_client();
    expect::problem(&admin.get("/clients").send().await?, 403, "admin_header_missing")?;
    let other = admin.get("/clients").header("weir-admin", "true").send().await?;
    expect::problem(&other, 403, "admin_header_missing")?;
    for (name, value) in
        [("host", "evil.example"), ("host", "10.0.0.1:8081"), ("x-forwarded-for", "10.0.0.1")]
    {
        let request = admin.get("/clients").header("weir-admin", "1").header(name, value);
        expect::problem(&request.send().await?, 403, "admin_not_local")?;
    }
    for host in ["localhost:8081", "127.0.0.1", "[::1]:8081"] {
        let request = admin.get("/clients").header("weir-admin", "1").header("host", host);
        assert_eq!(request.send().await?.json()?, json!({"total": 0, "clients": []}), "{host}");
    }
    for query in ["?sort=name", "?limit=-1", "?limit=1001", "?limit=x"] {
        expect::problem(&clients(&admin, query).await?, 400, "invalid_parameter")?;
    }
    let elsewhere = admin.get("/v1/events").header("weir-admin", "1").send().await?;
    expect::problem(&elsewhere, 404, "unknown_path")?;
    let denied = weir.metrics().await?.value("weir_admin_denied_total", &[]);
    assert_eq!(denied, Some(5.0));
    let post = admin.post("/metrics").send().await?;
    expect::problem(&post, 405, "method_not_allowed")?;
    assert_eq!(post.head.header("allow"), Some("GET, HEAD"));
    let metrics = weir.metrics().await?;
    let refused = |reason| metrics.value("weir_requests_rejected_total", &[("reason", reason)]);
    assert_eq!((refused("path"), refused("method")), (Some(1.0), Some(1.0)));
    // Nor does the public listener show any of it.
    for path in ["/clients", "/metrics"] {
        let public = weir.client().get(path).header("weir-admin", "1").send().await?;
        expect::problem(&public, 404, "unknown_path")?;
    }
    Ok(())
}

/// What is told of each client.
const DESCRIPTION: [&str; 13] = [
    "address",
    "catchingUp",
    "connectedSeconds",
    "delivered",
    "dropped",
    "id",
    "lag",
    "position",
    "queued",
    "queuedBytes",
    "sessions",
    "subject",
    "transport",
];

#[tokio::test]
async fn the_slowest_and_the_busiest_are_listed_first() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "10"]).await?;
    let client = weir.client();
    let mut busy = client.subscribe("busy").await?;
    let mut idle = client.get("/v1/events?session=idle&session=b%2Fc").subscribe().await?;
    idle.next_event().await?;
    let mut slow = client.events("slow").receive_buffer(4096).subscribe().await?;
    slow.next_event().await?;
    for nth in 0..3 {
        client.publish("busy", nth.to_string()).await?;
    }
    busy.next_data(3).await?;
    let line = format!("{{\"session\":\"slow\",\"data\":\"{}\"}}\n", "x".repeat(65536));
    let batch = client.post("/v1/events").header("content-type", "application/x-ndjson");
    let ids = batch.body(line.repeat(60)).send().await?.json()?;
    let head: EventId = ids["ids"][59].as_str().context("sixty ids")?.parse()?;

    let admin = weir.admin_client();
    let listed = eventually(DEADLINE, async || {
        let listed = clients(&admin, "").await?.json()?;
        let slowest = &listed["clients"][0];
        ensure!(slowest["catchingUp"] == true, "not catching up: {listed}");
        ensure!(slowest["lag"].as_u64().is_some_and(|lag| lag > 30), "{slowest}");
        Ok(listed)
    });
    let listed = listed.await?;
    assert_eq!(listed["total"], 3);
    let slowest = &listed["clients"][0];
    assert_eq!((&slowest["sessions"], &slowest["transport"]), (&json!(["slow"]), &json!("sse")));
    assert_eq!((&slowest["address"], &slowest["subject"]), (&json!("127.0.0.1"), &Value::Null));
    assert!(slowest["position"].as_str().context("a position")?.parse::<EventId>()? < head, "{slowest}");
    let known: BTreeSet<_> =
        slowest.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert_eq!(known, BTreeSet::from(DESCRIPTION));

    let all = clients(&admin, "?sort=lag&limit=1000").await?.json()?;
    let others = all["clients"].as_array().context("a list")?[1..].iter();
    let mut others: Vec<_> =
        others.map(|one| json!([one["sessions"], one["lag"], one["delivered"]])).collect();
    others.sort_by_key(Value::to_string);
    assert_eq!(others, [json!([["busy"], 0, 3]), json!([["idle", "b/c"], 0, 0])]);

    drop(slow);
    eventually(DEADLINE, async || {
        let busiest = clients(&admin, "?sort=delivered&limit=1").await?.json()?;
        ensure!(busiest["total"] == 2, "{busiest}");
        let [one] = busiest["clients"].as_array().context("a list")?.as_slice() else {
            anyhow::bail!("{busiest}")
        };
        ensure!(one["sessions"] == json!(["busy"]) && one["delivered"] == 3, "{one}");
        Ok(())
    })
    .await?;
    assert_eq!(clients(&admin, "?limit=0").await?.json()?, json!({"total": 2, "clients": []}));
    Ok(())
}

const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An instance whose admin calls need [`ADMIN_TOKEN`], and the folder with its file.
async fn guarded(flags: &[&str]) -> anyhow::Result<(Instance, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{ADMIN_TOKEN}\n"))?;
    let flag = ["--admin-token-file", file.to_str().context("a path")?];
    Ok((Instance::start(WEIR, &[&flag[..], flags].concat()).await?, folder))
}

#[tokio::test]
async fn with_an_admin_token_nothing_else_opens() -> anyhow::Result<()> {
    let (weir, _folder) = guarded(&[]).await?;
    let admin = weir.admin_client();
    for path in ["/", "/metrics", "/livez", "/readyz"] {
        let foreign = admin.get(path).header("host", "weir.example").header("x-forwarded-for", "10.0.0.1");
        assert_eq!(foreign.send().await?.status(), 200, "{path}");
    }
    // Neither being on this machine nor the header of the other way in.
    let missing = clients(&admin, "").await?;
    expect::problem(&missing, 401, "admin_token_missing")?;
    assert_eq!(missing.head.header("www-authenticate"), Some("Bearer"));
    for wrong in ["", "wrong", &ADMIN_TOKEN[1..], &format!("{ADMIN_TOKEN}0"), &ADMIN_TOKEN.to_uppercase()] {
        let request = admin.get("/clients").header("authorization", format!("Bearer {wrong}"));
        let answer = request.send().await?;
        let code = if wrong.is_empty() { "admin_token_missing" } else { "admin_token_invalid" };
        expect::problem(&answer, 401, code)?;
        assert!(!answer.text()?.contains(&ADMIN_TOKEN[..8]));
    }
    for carrier in
        [format!("/clients?token={ADMIN_TOKEN}"), "/unknown".to_owned(), "/console/events".to_owned()]
    {
        let answer = admin.get(&carrier).header("cookie", format!("weir_token={ADMIN_TOKEN}"));
        expect::problem(&answer.send().await?, 401, "admin_token_missing")?;
    }
    let given = admin.get("/clients").header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let through_a_proxy = given.header("host", "weir.example").header("x-forwarded-for", "10.0.0.1");
    assert_eq!(through_a_proxy.send().await?.json()?, json!({"total": 0, "clients": []}));
    assert!(!weir.log().join("").contains(&ADMIN_TOKEN[..8]));
    Ok(())
}

/// A token that leaked is replaced without a restart, and what makes no sense replaces none.
#[tokio::test]
async fn the_admin_token_is_read_anew() -> anyhow::Result<()> {
    let (weir, folder) = guarded(&[]).await?;
    let status = async |token: &str| -> anyhow::Result<u16> {
        let request = weir.admin_client().get("/clients").header("authorization", format!("Bearer {token}"));
        Ok(request.send().await?.status())
    };
    std::fs::write(folder.path().join("token"), "too short")?;
    weir.signal(Signal::HUP)?;
    eventually(DEADLINE, async || {
        weir.logged("not read anew, kept as it was").context("nothing is said")?;
        Ok(())
    })
    .await?;
    assert_eq!(status(ADMIN_TOKEN).await?, 200);
    let newer = ADMIN_TOKEN.to_uppercase();
    std::fs::write(folder.path().join("token"), &newer)?;
    weir.signal(Signal::HUP)?;
    eventually(DEADLINE, async || {
        ensure!(status(&newer).await? == 200, "not yet");
        Ok(())
    })
    .await?;
    assert_eq!(status(ADMIN_TOKEN).await?, 401);
    Ok(())
}

/// More connections than there is room for, all silent, and each kind of them: a scrape gets through all the same.
#[tokio::test]
async fn nobody_keeps_a_scrape_out_by_holding_connections() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let mut silent = Vec::new();
    for nth in 0..150 {
        let mut conn = RawConn::open(weir.admin()).await?;
        if nth % 2 == 0 {
            conn.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n").await?;
        }
        silent.push(conn);
    }
    assert!(weir.metrics().await?.value("weir_ready", &[]).is_some());
    // The first were put out, and the newest still stand.
    let (_, closed) = silent[0].read_until_close(DEADLINE).await?;
    assert!(closed.is_some(), "the oldest is still open");
    let newest = silent.last_mut().context("one")?;
    newest.write(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let (answer, _) = newest.read_until_close(DEADLINE).await?;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    Ok(())
}

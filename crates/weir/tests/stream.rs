//! A stream on the wire: its head, its first bytes, formats, filters, heartbeats, and the protocols it is served by.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::sse::{Event, Item, Parser};
use weir_testkit::{DEADLINE, End, Instance, Next, Output, Program, RawConn, SseStream, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

#[tokio::test]
async fn the_head_and_the_first_bytes() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "7s"]).await?;
    let mut retries = Vec::new();
    for _ in 0..20 {
        let stream = weir.client().subscribe("s").await?;
        assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
        assert_eq!(stream.head.header("cache-control"), Some("no-cache, no-transform"));
        assert_eq!(stream.head.header("x-accel-buffering"), Some("no"));
        assert_eq!(stream.head.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(stream.head.header("content-length"), None);
        assert_eq!(stream.head.header("connection"), Some("close"));
        let retry = stream.retry().unwrap_or_default();
        let first =
            format!("retry: {retry}\nevent: weir.connected\nid: 0-0\ndata: {{\"heartbeat\":7000}}\n\n");
        assert_eq!(std::str::from_utf8(stream.transcript())?, first);
        assert!((4000..=6000).contains(&retry), "{retry}");
        retries.push(retry);
    }
    retries.dedup();
    assert!(retries.len() > 1, "not jittered: {retries:?}");
    Ok(())
}

#[tokio::test]
async fn connected_tells_the_head() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let id = weir.client().publish("elsewhere", "x").await?;
    expect::has_read(&weir, 1).await?;
    let mut stream = weir.client().events("s").subscribe().await?;
    let connected = stream.next_event().await?;
    assert_eq!((connected.event.as_str(), connected.id), ("weir.connected", Some(id.to_string())));
    Ok(())
}

#[tokio::test]
async fn an_event_in_each_format() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let mut raw = client.subscribe("s").await?;
    let mut json = client.events("s").query("format", "json").subscribe().await?;
    json.next_event().await?;
    let publish = client.event("s").query("type", "t").query("key", "k").body("a\r\nb");
    let id = publish.send().await?.event_id()?;

    let event = raw.next_event().await?;
    assert_eq!(
        event,
        Event {
            event: "t".to_owned(),
            named: true,
            data: "a\nb".to_owned(),
            id: Some(id.to_string()),
            last_event_id: id.to_string(),
        }
    );
    let event = json.next_event().await?;
    assert_eq!((event.named, event.id), (false, Some(id.to_string())));
    let body: Value = serde_json::from_str(&event.data)?;
    let ts = body["ts"].as_u64().unwrap_or_default();
    assert!(ts.abs_diff(id.ms) < 1000, "{body}");
    let want = format!(r#"{{"id":"{id}","session":"s","type":"t","key":"k","data":"a\r\nb","ts":{ts}}}"#);
    assert_eq!(body, serde_json::from_str::<Value>(&want)?);
    Ok(())
}

#[tokio::test]
async fn several_sessions_on_one_connection() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-sessions-per-connection", "3"]).await?;
    let client = weir.client();
    let mut both = client.get("/v1/events?session=a&session=b%2Fc&session=a").subscribe().await?;
    let mut raw = client.get("/v1/events?session=a&session=b%2Fc&format=raw").subscribe().await?;
    for (session, data) in [("a", "1"), ("x", "foreign"), ("b/c", "2"), ("a", "3")] {
        client.publish(session, data).await?;
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = both.next_published().await?;
        assert!(!event.named);
        let event: Value = serde_json::from_str(&event.data)?;
        seen.push(json!([event["session"], event["data"], event["type"], event["key"]]));
    }
    assert_eq!(
        seen,
        [json!(["a", "1", null, null]), json!(["b/c", "2", null, null]), json!(["a", "3", null, null])]
    );
    assert_eq!(raw.next_data(3).await?, ["1", "2", "3"]);
    assert_eq!(weir.metrics().await?.value("weir_subscriptions", &[]), Some(4.0));

    let four = "/v1/events?session=a&session=b&session=c&session=d";
    expect::problem(&client.get(four).send().await?, 400, "too_many_sessions")?;
    expect::problem(&client.get("/v1/events").send().await?, 400, "missing_session")?;
    expect::problem(&client.get("/v1/events?session=").send().await?, 400, "invalid_session")
}

#[tokio::test]
async fn filters_by_type_and_key() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let path = "/v1/sessions/s/events";
    let mut types = client.get(&format!("{path}?type=t1&type=t2")).subscribe().await?;
    let mut keys = client.get(&format!("{path}?key=k%201")).subscribe().await?;
    let mut both = client.get(&format!("{path}?type=t2&key=k%201")).subscribe().await?;
    for (data, labels) in [
        ("bare", ""),
        ("t1", "type=t1"),
        ("t3", "type=t3"),
        ("k1", "key=k%201"),
        ("t2 k2", "type=t2&key=k2"),
        ("t2 k1", "type=t2&key=k%201"),
        ("end", "type=t2&key=k%201"),
    ] {
        client.post(&format!("{path}?{labels}")).body(data).send().await?.event_id()?;
    }
    assert_eq!(types.next_data(4).await?, ["t1", "t2 k2", "t2 k1", "end"]);
    assert_eq!(keys.next_data(3).await?, ["k1", "t2 k1", "end"]);
    assert_eq!(both.next_data(2).await?, ["t2 k1", "end"]);

    expect::has_read(&weir, 7).await?;
    // Whoever comes back is given the same choice.
    let replay = client.get(&format!("{path}?type=t1&lastEventId=earliest"));
    assert_eq!(replay.subscribe().await?.next_data(1).await?, ["t1"]);
    Ok(())
}

#[tokio::test]
async fn a_silent_stream_gets_comments() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "300ms"]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    for _ in 0..2 {
        assert_eq!(stream.next().await?, Next::Item(Item::Comment(String::new())));
    }
    // A colon and a line end, and no blank line: that would end a block that was never begun.
    assert!(stream.transcript().ends_with(b"\n\n:\n:\n"), "{:?}", stream.transcript());
    Ok(())
}

#[tokio::test]
async fn a_position_that_moved_is_told_by_a_ping() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "300ms"]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    let own = client.publish("s", "x").await?;
    assert_eq!(stream.next_event().await?.id, Some(own.to_string()));

    let other = client.publish("another", "not for s").await?;
    let ping = stream.next_event().await?;
    assert_eq!((ping.event.as_str(), ping.id), ("weir.ping", Some(other.to_string())));
    let ts = serde_json::from_str::<Value>(&ping.data)?["ts"].as_u64();
    assert!(ts.is_some_and(|ts| ts >= other.ms), "{}", ping.data);
    // It stands still now, so a comment is enough.
    assert_eq!(stream.next().await?, Next::Item(Item::Comment(String::new())));
    Ok(())
}

#[tokio::test]
async fn a_visible_heartbeat_is_always_a_ping() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "300ms"]).await?;
    let client = weir.client();
    let mut stream = client.events("s").query("heartbeat", "event").subscribe().await?;
    assert_eq!(stream.next_event().await?.event, "weir.connected");
    let id = client.publish("s", "x").await?;
    assert_eq!(stream.next_event().await?.data, "x");
    for _ in 0..2 {
        let ping = stream.next_event().await?;
        assert_eq!((ping.event.as_str(), ping.id), ("weir.ping", Some(id.to_string())));
    }
    assert_eq!(stream.comments(), 0);
    Ok(())
}

#[tokio::test]
async fn a_page_that_loads_gets_the_snapshot_first() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    client.publish("s", "before").await?;
    let id = client.event("s").query("snapshot", "60").body("snapshot").send().await?.event_id()?;
    client.publish("s", "after").await?;
    expect::has_read(&weir, 3).await?;

    let mut stream = client.events("s").query("snapshot", "1").subscribe().await?;
    stream.next_event().await?;
    let first = stream.next_event().await?;
    assert_eq!((first.data.as_str(), first.id, first.named), ("snapshot", Some(id.to_string()), false));
    client.publish("s", "live").await?;
    assert_eq!(stream.next_data(2).await?, ["after", "live"]);

    let mut without = client.events("empty").query("snapshot", "1").subscribe().await?;
    client.publish("empty", "live").await?;
    assert_eq!(without.next_data(1).await?, ["live"]);
    Ok(())
}

#[tokio::test]
async fn conflation_keeps_the_newest_of_each_key() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let mut all = client.subscribe("s").await?;
    let mut some = client.events("s").query("conflate", "2000").subscribe().await?;
    assert_eq!(some.next_event().await?.event, "weir.connected");
    let item = |key: &str, data: usize| format!(r#"{{"session":"s","key":"{key}","data":{data}}}"#);
    // The first goes out at once and closes the gate, behind which the others wait for each other.
    client.event("s").query("key", "a").body("0").send().await?;
    assert_eq!(some.next_data(1).await?, ["0"]);
    let rest: Vec<_> = (1..=9).map(|nth| item(["a", "b"][nth % 2], nth)).collect();
    let batch = client.post("/v1/events").header("content-type", "application/x-ndjson");
    assert_eq!(batch.body(rest.join("\n")).send().await?.status(), 201);
    assert_eq!(some.next_data(2).await?, ["8", "9"]);
    assert_eq!(all.next_data(10).await?.len(), 10);

    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_events_discarded_total", &[("reason", "conflated")]), Some(7.0));
    assert_eq!(metrics.sum("weir_events_dropped_total", &[]), 0.0);
    eventually(DEADLINE, async || expect::balance(&weir).await).await?;
    Ok(())
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_named() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    for (query, status, code) in [
        ("format=xml", 400, "invalid_parameter"),
        ("overflow=drop", 400, "invalid_parameter"),
        ("conflate=60001", 400, "invalid_parameter"),
        ("heartbeat=yes", 400, "invalid_parameter"),
        ("snapshot=2", 400, "invalid_parameter"),
        ("wait=61", 400, "invalid_parameter"),
        ("type=weir.ping", 422, "reserved_type"),
        ("type=a%20b", 422, "invalid_type"),
        ("key=", 422, "invalid_key"),
    ] {
        let answer = weir.client().get(&format!("/v1/sessions/s/events?{query}")).send().await?;
        expect::problem(&answer, status, code).map_err(|error| error.context(query))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_old_enough_is_rotated() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connection-age", "1s", "--retry", "1s"]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    let (events, end) = stream.read_to_end().await?;
    assert_eq!((events.len(), events[0].event.as_str(), end), (1, "weir.shutdown", End::Clean));
    eventually(DEADLINE, async || {
        let ended = weir.metrics().await?.value("weir_disconnections_total", &[("reason", "max-age")]);
        ensure!(ended == Some(1.0), "{ended:?}");
        Ok(())
    })
    .await
}

/// Whom the request is for stands in its target there, and not in `Host`.
#[tokio::test]
async fn http2_with_prior_knowledge() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "300ms"]).await?;
    let mut command = Command::new("curl");
    command.args(["--http2-prior-knowledge", "--no-buffer", "--silent", "--max-time", "30", "--include"]);
    command.arg(format!("http://{}/v1/sessions/s/events", weir.public()));
    let curl = Program::start(command, Output::Stdout)?;
    clients(&weir, 1.0).await?;
    let id = weir.client().publish("s", "one\r\ntwo").await?;
    weir.client().event("s").query("type", "t").body("three").send().await?.event_id()?;
    let published = format!("id: {id}\ndata: one\ndata: two\n\n");
    eventually(DEADLINE, async || {
        let text = curl.lines().join("\n").replace('\r', "");
        let (head, body) = text.split_once("\n\n").context("no head")?;
        ensure!(head.starts_with("HTTP/2 200"), "{head}");
        for header in [
            "content-type: text/event-stream",
            "cache-control: no-cache, no-transform",
            "x-accel-buffering: no",
        ] {
            ensure!(head.lines().any(|line| line == header), "no {header}: {head}");
        }
        ensure!(body.starts_with("retry: ") && body.contains("event: weir.connected\n"), "{body}");
        ensure!(body.contains(&published) && body.contains("event: t\ndata: three\n\n"), "{body}");
        ensure!(body.ends_with("\n\n:\n:"), "no two heartbeats: {body}");
        Ok(())
    })
    .await?;
    drop(curl);
    clients(&weir, 0.0).await
}

#[tokio::test]
async fn http1_0_is_served_until_the_close() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--anonymous", "all"]).await?;
    let mut conn = RawConn::open(weir.public()).await?;
    conn.write(b"GET /v1/sessions/s/events HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
    clients(&weir, 1.0).await?;
    weir.client().publish("s", "hello").await?;
    let mut received = Vec::new();
    let text = eventually(DEADLINE, async || {
        received.extend_from_slice(&conn.read_until_close(Duration::from_millis(20)).await?.0);
        let text = String::from_utf8(received.clone())?;
        ensure!(text.ends_with("data: hello\n\n"), "{text:?}");
        Ok(text)
    })
    .await?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let head = head.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.0 200 ok\r\n") && head.contains("content-type: text/event-stream"),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    let items = Parser::strict().push(body.as_bytes());
    let [Item::Retry(_), Item::Event(connected), Item::Event(hello)] = items.as_slice() else {
        anyhow::bail!("{items:?}")
    };
    assert_eq!((connected.event.as_str(), hello.data.as_str()), ("weir.connected", "hello"));
    Ok(())
}

/// Nothing is answered on a connection behind its stream, whose end is told and is the connection's own.
#[tokio::test]
async fn a_stream_is_the_last_answer_of_its_connection() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connection-age", "1s"]).await?;
    let mut conn = RawConn::open(weir.public()).await?;
    let live = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let both = format!("{live}GET /v1/sessions/s/events HTTP/1.1\r\nHost: localhost\r\n\r\n{live}");
    conn.write(both.as_bytes()).await?;
    let (said, closed) = conn.read_until_close(DEADLINE).await?;
    let said = String::from_utf8(said.to_vec())?;
    assert!(closed.is_some() && said.ends_with("\r\n0\r\n\r\n"), "{closed:?} {said}");
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
    assert!(said.find("ok\n") < said.find("weir.connected"), "{said}");
    Ok(())
}

/// Whether they are copied or leave from where they are, in one write or in many.
#[tokio::test]
async fn events_of_every_size_come_whole() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    let sizes = [0, 1, 15, 16, 8_100, 8_192, 8_193, 16_384, 65_536, 200_000, 1];
    for size in sizes {
        weir.client().publish("s", "x".repeat(size)).await?;
    }
    for size in sizes {
        assert_eq!(stream.next_event().await?.data.len(), size);
    }
    Ok(())
}

/// What a client closes, and what it only resets, is free again at once.
#[tokio::test]
async fn a_client_that_leaves_is_noticed() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "300ms"]).await?;
    let open = async || -> anyhow::Result<SseStream> { weir.client().subscribe("s").await };
    let (closes, resets, mut speaks) = (open().await?, open().await?, open().await?.into_raw());
    clients(&weir, 3.0).await?;
    drop(closes);
    clients(&weir, 2.0).await?;
    resets.into_raw().reset()?;
    clients(&weir, 1.0).await?;
    // Bytes that nobody asked for are read away, and the end is seen behind them.
    speaks.write(b"GET / HTTP/1.1\r\n").await?;
    speaks.reset()?;
    clients(&weir, 0.0).await?;
    let ended = weir.metrics().await?.value("weir_disconnections_total", &[("reason", "client")]);
    assert_eq!(ended, Some(3.0));
    Ok(())
}

async fn clients(weir: &Instance, want: f64) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let have = weir.metrics().await?.value("weir_clients", &[("transport", "sse")]);
        ensure!(have == Some(want), "{have:?} clients instead of {want}");
        Ok(())
    })
    .await
}

//! How events get in: what a publish may say, what it is answered, and what a subscriber then gets.

use serde_json::{Value, json};
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Instance, RawConn, Response, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn a_publish_is_answered_with_the_id_under_which_it_arrives() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("room").await?;

    let answer = client.event("room").body("hello").send().await?;
    let id = answer.event_id()?;
    assert_eq!(answer.head.header("content-type"), Some("application/json"));
    assert_eq!(answer.head.header("weir-duplicate"), None);
    assert_eq!(answer.text()?, format!(r#"{{"id":"{id}"}}"#));

    let event = stream.next_published().await?;
    assert_eq!((event.id, event.named, event.data.as_str()), (Some(id.to_string()), false, "hello"));
    assert_eq!(weir.metrics().await?.value("weir_publishes_total", &[("result", "ok")]), Some(1.0));
    Ok(())
}

/// What is published, and what a client of `format=raw` is given. `format=json` gives the very bytes.
const DATA: [(&str, &str); 16] = [
    ("", ""),
    ("plain", "plain"),
    (" one space before", " one space before"),
    ("  two spaces around  ", "  two spaces around  "),
    ("a\nb", "a\nb"),
    ("a\rb", "a\nb"),
    ("a\r\nb", "a\nb"),
    ("a\n\rb", "a\n\nb"),
    ("\n", "\n"),
    ("\r", "\n"),
    ("ends with\n", "ends with\n"),
    ("\u{feff}byte order mark", "\u{feff}byte order mark"),
    ("nul \0 within", "nul \0 within"),
    ("id: 9-9\nevent: weir.gap\ndata: x\n\nretry: 1", "id: 9-9\nevent: weir.gap\ndata: x\n\nretry: 1"),
    (": comment", ": comment"),
    ("ü 日本 🦀 \u{2028}\u{85}", "ü 日本 🦀 \u{2028}\u{85}"),
];

#[tokio::test]
async fn data_arrives_as_it_was_published() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let mut raw = client.subscribe("s").await?;
    let mut json = client.events("s").query("format", "json").subscribe().await?;
    for (published, received) in DATA {
        let id = client.publish("s", published).await?;
        let event = raw.next_published().await?;
        assert_eq!((event.data.as_str(), event.last_event_id), (received, id.to_string()), "{published:?}");
        let event: Value = serde_json::from_str(&json.next_published().await?.data)?;
        assert_eq!(event["data"], published);
    }
    Ok(())
}

#[tokio::test]
async fn type_and_key_are_labels_of_the_event() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let mut raw = client.subscribe("s").await?;
    let mut json = client.events("s").query("format", "json").subscribe().await?;

    client.event("s").query("type", "order.updated").query("key", "ord 4/2 ü").body("a").send().await?;
    let event = raw.next_published().await?;
    assert_eq!((event.event.as_str(), event.named, event.data.as_str()), ("order.updated", true, "a"));
    let event: Value = serde_json::from_str(&json.next_published().await?.data)?;
    assert_eq!((&event["type"], &event["key"]), (&json!("order.updated"), &json!("ord 4/2 ü")));

    // Whatever calls itself a message goes to `onmessage`, as an event without a type does.
    client.event("s").query("type", "message").body("b").send().await?;
    let event = raw.next_published().await?;
    assert_eq!((event.event.as_str(), event.named), ("message", false));
    Ok(())
}

#[tokio::test]
async fn a_snapshot_is_kept_by_itself_for_its_time() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let path = "/v1/sessions/match/snapshot";
    expect::problem(&client.get(path).send().await?, 404, "no_snapshot")?;

    let id = client.event("match").query("snapshot", "60").body(r#"{"score":1}"#).send().await?.event_id()?;
    client.publish("match", "no snapshot").await?;
    expect::has_read(&weir, 2).await?;
    let answer = client.get(path).send().await?;
    assert_eq!(answer.text()?, r#"{"score":1}"#);
    assert_eq!(answer.head.header("content-type"), Some("application/json"));
    assert_eq!(answer.head.header("weir-event-id"), Some(id.to_string().as_str()));
    assert_eq!(answer.head.header("cache-control"), Some("private, no-cache"));
    let tag = answer.head.header("etag").unwrap_or_default();

    let answer = client.get(path).header("if-none-match", tag).send().await?;
    assert_eq!((answer.status(), answer.body.len()), (304, 0));

    client.event("text").query("snapshot", "1").body("not JSON").send().await?;
    expect::has_read(&weir, 3).await?;
    let text = "/v1/sessions/text/snapshot";
    let answer = client.get(text).send().await?;
    assert_eq!(answer.head.header("content-type"), Some("text/plain; charset=utf-8"), "{answer:?}");
    eventually(DEADLINE, async || expect::problem(&client.get(text).send().await?, 404, "no_snapshot")).await
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_publishes_nothing() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let mut stream = client.events("s").query("lastEventId", "earliest").subscribe().await?;
    let long_type = format!("type={}", "t".repeat(129));
    let long_key = format!("key={}", "k".repeat(257));
    for (query, status, code) in [
        ("type=weir.gap", 422, "reserved_type"),
        ("type=weir.", 422, "reserved_type"),
        ("type=", 422, "invalid_type"),
        ("type=a%20b", 422, "invalid_type"),
        ("type=a%0Aid:%207", 422, "invalid_type"),
        ("type=%C3%BC", 422, "invalid_type"),
        (long_type.as_str(), 422, "invalid_type"),
        ("key=", 422, "invalid_key"),
        ("key=a%00b", 422, "invalid_key"),
        ("key=a%0Db", 422, "invalid_key"),
        (long_key.as_str(), 422, "invalid_key"),
        ("key=%FF", 400, "invalid_parameter"),
        ("key=%zz", 400, "invalid_parameter"),
        ("snapshot=soon", 400, "invalid_parameter"),
        ("snapshot=-1", 400, "invalid_parameter"),
    ] {
        let answer = client.post(&format!("/v1/sessions/s/events?{query}")).body("x").send().await?;
        expect::problem(&answer, status, code).map_err(|error| error.context(query.to_owned()))?;
    }
    for body in [&b"\xff"[..], b"a\xc3", b"\xed\xa0\x80"] {
        let answer = client.event("s").body(body).send().await?;
        expect::problem(&answer, 400, "invalid_utf8")?;
    }
    for key in ["k".repeat(129), String::new()] {
        let answer = client.event("s").header("idempotency-key", key).body("x").send().await?;
        expect::problem(&answer, 400, "invalid_idempotency_key")?;
    }
    assert_eq!(weir.metrics().await?.value("weir_publishes_total", &[("result", "invalid")]), Some(20.0));

    client.publish("s", "the first").await?;
    assert_eq!(stream.next_data(1).await?, ["the first"]);
    Ok(())
}

#[tokio::test]
async fn a_session_is_decoded_once_and_strictly() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let long = "s".repeat(257);
    for raw in ["", "%", "%z", "%zz", "a%2", "%00", "%0A", "a%7Fb", "%C2%85", "%FF", "%ED%A0%80", &long] {
        for method in ["GET", "POST"] {
            let answer = client.request(method, &format!("/v1/sessions/{raw}/events")).send().await?;
            expect::problem(&answer, 400, "invalid_session")
                .map_err(|error| error.context(raw.to_owned()))?;
        }
    }
    for (raw, name) in [
        ("a%2Fb", "a/b"),
        ("%252F", "%2F"),
        ("..", ".."),
        ("a+b", "a+b"),
        ("%C3%BC", "ü"),
        ("u%CC%88", "u\u{308}"),
        ("%7B%7D*:%20", "{}*: "),
        (&long[..256], &long[..256]),
    ] {
        let path = format!("/v1/sessions/{raw}/events");
        let mut stream = client.get(&path).query("format", "json").subscribe().await?;
        client.post(&path).body("x").send().await?.event_id()?;
        let event: Value = serde_json::from_str(&stream.next_published().await?.data)?;
        assert_eq!(event["session"], name);
    }
    Ok(())
}

#[tokio::test]
async fn too_much_is_too_large_whether_declared_or_not() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-event-bytes", "1000"]).await?;
    let client = weir.client();
    let (fits, too_large) = ("x".repeat(1000), "x".repeat(1001));
    client.publish("s", fits.clone()).await?;
    expect::problem(&client.event("s").body(too_large.clone()).send().await?, 413, "too_large")?;

    assert_eq!(chunked(&weir, &fits).await?, 201);
    assert_eq!(chunked(&weir, &too_large).await?, 413);

    // Each line end costs a line of the frame, which is bounded by twice the data.
    client.publish("s", "\n".repeat(250)).await?;
    expect::problem(&client.event("s").body("\n".repeat(500)).send().await?, 413, "too_large")?;

    // What is declared is believed: nothing of it needs to be sent to be refused.
    let mut conn = RawConn::open(weir.public()).await?;
    conn.write(b"POST /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1152921504606846976\r\n\r\n")
        .await?;
    let head = conn.read_head(DEADLINE).await?;
    assert_eq!(head.status, 413, "{head:?}");
    Ok(())
}

/// The status that answers a publish whose length is not declared.
async fn chunked(weir: &Instance, body: &str) -> anyhow::Result<u16> {
    let (one, two) = body.split_at(body.len() / 2);
    let mut conn = RawConn::open(weir.public()).await?;
    let head = "POST /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let body = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
    conn.write(format!("{head}{body}").as_bytes()).await?;
    Ok(conn.read_head(DEADLINE).await?.status)
}

#[tokio::test]
async fn other_methods_and_paths_say_what_there_is() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    for (method, path, allow) in [
        ("PUT", "/v1/sessions/s/events", "GET, POST"),
        ("DELETE", "/v1/sessions/s/events", "GET, POST"),
        ("PATCH", "/v1/events", "GET, POST"),
        ("POST", "/v1/sessions/s/snapshot", "GET, HEAD"),
        ("POST", "/readyz", "GET, HEAD"),
    ] {
        let answer = client.request(method, path).send().await?;
        expect::problem(&answer, 405, "method_not_allowed")?;
        assert_eq!(answer.head.header("allow"), Some(allow), "{method} {path}");
    }
    for path in ["/v1", "/v1/sessions/s", "/v1/sessions/a/b/events", "/v2/events", "//v1/events", "/metrics"]
    {
        expect::problem(&client.get(path).send().await?, 404, "unknown_path")?;
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_is_published_in_its_order() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let sessions = "/v1/events?session=a&session=b";
    let mut stream = client.get(sessions).subscribe().await?;

    let array = r#"[ {"session":"a","data":"text\nof two lines"},
        {"session":"b","data":{"n" : [1, 1.50]},"type":"t","key":"k"}, {"session":"a","data":null} ]"#;
    let lines = "{\"session\":\"b\",\"data\":1}\r\n\n{\"session\":\"a\",\"data\":true}";
    let mut ids = Vec::new();
    for (kind, body, count) in [("application/json; charset=utf-8", array, 3), (NDJSON, lines, 2)] {
        let answer = batch(&client, kind, body).await?;
        assert_eq!(answer.status(), 201, "{answer:?}");
        let answer = answer.json()?;
        let published = answer["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(published.len(), count);
        ids.extend_from_slice(published);
    }
    let want = [
        json!(["a", "text\nof two lines", null, null]),
        json!(["b", r#"{"n":[1,1.50]}"#, "t", "k"]),
        json!(["a", "null", null, null]),
        json!(["b", "1", null, null]),
        json!(["a", "true", null, null]),
    ];
    for (want, id) in want.iter().zip(&ids) {
        let event: Value = serde_json::from_str(&stream.next_published().await?.data)?;
        let got = json!([event["session"], event["data"], event["type"], event["key"]]);
        assert_eq!((&got, &event["id"]), (want, id));
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_is_published_whole_or_not_at_all() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-event-bytes", "1000"]).await?;
    let client = weir.client();
    let good = r#"{"session":"s","data":1}"#;
    let list = |count: usize| format!("[{}]", vec![good; count].join(","));
    let with = |bad: &str| format!("[{good},{bad},{good}]");
    for (kind, body, status, code) in [
        ("text/plain", list(1), 415, "unsupported_media_type"),
        ("", list(1), 415, "unsupported_media_type"),
        (JSON, "[]".to_owned(), 400, "batch_size"),
        (JSON, good.to_owned(), 400, "invalid_batch"),
        (JSON, list(3).replace(']', ""), 400, "invalid_batch"),
        (JSON, list(1001), 413, "too_large"),
        (NDJSON, vec![good; 1001].join("\n"), 413, "too_large"),
        (JSON, format!("{}{}", list(3), " ".repeat(4 << 20)), 413, "too_large"),
        (JSON, with(r#"{"session":"s"}"#), 400, "invalid_batch"),
        (JSON, with(r#"{"session":"s","data":1,"tpye":"x"}"#), 400, "invalid_batch"),
        (JSON, with(r#"{"session":"","data":1}"#), 400, "invalid_session"),
        (JSON, with(r#"{"session":"s","data":1,"type":"weir.x"}"#), 422, "reserved_type"),
        (JSON, with(r#"{"session":"s","data":1,"key":""}"#), 422, "invalid_key"),
        (JSON, with(&format!(r#"{{"session":"s","data":"{}"}}"#, "x".repeat(1001))), 413, "too_large"),
        (NDJSON, format!("{good}\nno JSON\n{good}"), 400, "invalid_batch"),
    ] {
        expect::problem(&batch(&client, kind, body.clone()).await?, status, code)
            .map_err(|error| error.context(body[..body.len().min(80)].to_owned()))?;
    }
    let poll = client.events("s").query("lastEventId", "earliest").query("wait", "0").send().await?;
    assert_eq!(poll.json()?["events"], json!([]));

    let answer = batch(&client, JSON, list(1000)).await?;
    assert_eq!(answer.json()?["ids"].as_array().map(Vec::len), Some(1000));
    Ok(())
}

#[tokio::test]
async fn a_repeat_under_its_key_publishes_nothing() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    repeats(&weir.client(), &weir.client()).await?;
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_publishes_total", &[("result", "duplicate")]), Some(2.0));
    Ok(())
}

#[tokio::test]
async fn a_repeat_on_another_instance_publishes_nothing() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", &url];
    let (one, two) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
    repeats(&one.client(), &two.client()).await?;
    assert_eq!(redis.cli(&["XLEN", "weir:events"]).await, "6");
    Ok(())
}

async fn repeats(one: &Client, two: &Client) -> anyhow::Result<()> {
    let mut stream = two.get("/v1/events?session=s&session=t").subscribe().await?;
    let publish = |to: &Client, session: &str, body: &str| {
        to.event(session).header("idempotency-key", "k1").body(body.to_owned())
    };
    let first = publish(one, "s", "a").send().await?;
    let again = publish(two, "s", "a").send().await?;
    assert_eq!((first.status(), first.head.header("weir-duplicate")), (201, None));
    assert_eq!((again.status(), again.head.header("weir-duplicate")), (201, Some("true")));
    assert_eq!(again.body, first.body);
    expect::problem(&publish(two, "s", "b").send().await?, 422, "idempotency_conflict")?;
    expect::problem(&publish(two, "s", "a").query("type", "t").send().await?, 422, "idempotency_conflict")?;
    // The key belongs to the session: another one's is another key.
    publish(two, "t", "c").send().await?.event_id()?;

    let lines = "{\"session\":\"s\",\"data\":\"d\"}\n{\"session\":\"t\",\"data\":\"e\"}";
    let batch = |to: &Client, body: &str| {
        to.post("/v1/events")
            .header("content-type", NDJSON)
            .header("idempotency-key", "k2")
            .body(body.to_owned())
    };
    let first = batch(one, lines).send().await?;
    let again = batch(two, lines).send().await?;
    assert_eq!((first.status(), first.head.header("weir-duplicate")), (201, None));
    assert_eq!((again.status(), again.head.header("weir-duplicate")), (201, Some("true")));
    assert_eq!(again.body, first.body);
    expect::problem(
        &batch(two, &lines.replace("\"e\"", "\"f\"")).send().await?,
        422,
        "idempotency_conflict",
    )?;

    one.publish("s", "g").await?;
    one.publish("s", "g").await?;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let event: Value = serde_json::from_str(&stream.next_published().await?.data)?;
        seen.push(event["data"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(seen, ["a", "c", "d", "e", "g", "g"]);
    Ok(())
}

/// Neither a page that rebound its DNS name nor a proxy on this machine passes for a developer at the terminal.
#[tokio::test]
async fn without_a_setting_only_this_machine_may_publish() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    for (name, value) in
        [("host", "evil.example"), ("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")]
    {
        expect::problem(&client.event("s").header(name, value).body("x").send().await?, 401, "unauthorized")?;
        expect::problem(&client.events("s").header(name, value).send().await?, 401, "unauthorized")?;
    }
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_publishes_total", &[("result", "denied")]), Some(3.0));
    assert_eq!(metrics.value("weir_connections_rejected_total", &[("reason", "auth")]), Some(3.0));

    let open = Instance::start(WEIR, &["--anonymous", "publish"]).await?;
    let client = open.client();
    client.event("s").header("host", "weir.example").body("x").send().await?.event_id()?;
    expect::problem(&client.events("s").send().await?, 401, "unauthorized")
}

async fn batch(client: &Client, kind: &str, body: impl Into<bytes::Bytes>) -> anyhow::Result<Response> {
    let request = client.post("/v1/events").body(body);
    let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
    request.send().await
}

//! Long-polls: one answer, at once where there is something to tell, and always with the position to go on from.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Instance, Response, Signal, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Polls from a position, without waiting.
async fn poll(client: &Client, session: &str, from: &str) -> anyhow::Result<Value> {
    let answer = client.events(session).query("lastEventId", from).query("wait", "0").send().await?;
    ensure!(answer.status() == 200, "{answer:?}");
    answer.json()
}

/// A poll that waits, once the instance has it.
async fn waiting(
    weir: &Instance,
    query: &str,
) -> anyhow::Result<tokio::task::JoinHandle<anyhow::Result<Response>>> {
    let request = weir.client().get(&format!("/v1/sessions/s/events?wait=60{query}"));
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let task = tokio::spawn(request.send());
    eventually(DEADLINE, async || {
        let polls = weir.metrics().await?.value("weir_clients", &[("transport", "long-poll")]);
        ensure!(polls == Some(1.0), "{polls:?} long-polls");
        Ok(())
    })
    .await?;
    Ok(task)
}

/// The data of the events of an answer.
fn data(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(|event| event["data"].as_str()).collect()
}

#[tokio::test]
async fn what_is_there_is_answered_at_once_and_whole() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let first =
        client.event("s").query("type", "t").query("key", "k").body("a\r\n").send().await?.event_id()?;
    let second = client.publish("s", "b").await?;
    expect::has_read(&weir, 2).await?;
    let answer = client.events("s").query("lastEventId", "earliest").query("wait", "60").send().await?;
    assert_eq!(answer.head.header("content-type"), Some("application/json"));
    assert_eq!(answer.head.header("cache-control"), Some("no-store"));
    let mut answer = answer.json()?;
    for event in answer["events"].as_array_mut().into_iter().flatten() {
        assert!(event["ts"].take().as_u64().is_some_and(|ts| ts.abs_diff(first.ms) < 1000));
    }
    assert_eq!(
        answer,
        json!({
            "events": [
                {"id": first.to_string(), "session": "s", "type": "t", "key": "k", "data": "a\r\n", "ts": null},
                {"id": second.to_string(), "session": "s", "type": null, "key": null, "data": "b", "ts": null},
            ],
            "lastEventId": second.to_string(),
            "gap": null,
        })
    );
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_connections_total", &[("transport", "long-poll")]), Some(1.0));
    assert_eq!(metrics.value("weir_replayed_events_total", &[]), Some(2.0));
    Ok(())
}

#[tokio::test]
async fn it_waits_for_the_first_event() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    weir.client().publish("s", "before it asked").await?;
    expect::has_read(&weir, 1).await?;
    let poll = waiting(&weir, "").await?;
    weir.client().publish("another", "x").await?;
    let id = weir.client().publish("s", "first").await?;
    let answer = poll.await??.json()?;
    assert_eq!(data(&answer), ["first"]);
    assert_eq!((&answer["lastEventId"], &answer["gap"]), (&json!(id.to_string()), &Value::Null));
    eventually(DEADLINE, async || expect::balance(&weir).await).await?;
    Ok(())
}

#[tokio::test]
async fn after_the_wait_it_answers_without_events() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let head = client.publish("another", "x").await?;
    expect::has_read(&weir, 1).await?;
    let started = Instant::now();
    let answer = client.events("s").query("wait", "1").send().await?.json()?;
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(answer, json!({"events": [], "lastEventId": head.to_string(), "gap": null}));

    // The position goes on, also over events of others, so that the next answer begins where this one ended.
    let own = client.publish("s", "1").await?;
    let other = client.publish("another", "x").await?;
    expect::has_read(&weir, 3).await?;
    assert_eq!(data(&poll(&client, "s", &head.to_string()).await?), ["1"]);
    let answer = poll(&client, "s", &own.to_string()).await?;
    assert_eq!(answer, json!({"events": [], "lastEventId": other.to_string(), "gap": null}));
    Ok(())
}

#[tokio::test]
async fn filters_and_sessions_are_those_of_a_stream() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    for (session, kind, data) in [("a", "x", "1"), ("b", "y", "2"), ("a", "y", "3"), ("c", "y", "4")] {
        client.event(session).query("type", kind).body(data).send().await?.event_id()?;
    }
    expect::has_read(&weir, 4).await?;
    let target = "/v1/events?session=a&session=b&type=y&lastEventId=0&wait=0";
    assert_eq!(data(&client.get(target).send().await?.json()?), ["2", "3"]);
    expect::problem(&client.get("/v1/events?session=a&wait=soon").send().await?, 400, "invalid_parameter")
}

#[tokio::test]
async fn a_gap_stands_before_the_events_and_is_told_once() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--maxlen", "3"]).await?;
    let client = weir.client();
    let mut ids = Vec::new();
    for nth in 0..6 {
        ids.push(client.publish("s", nth.to_string()).await?);
        expect::has_read(&weir, nth + 1).await?;
    }
    let answer = poll(&client, "s", &ids[0].to_string()).await?;
    let (after, before) = (ids[0].to_string(), ids[2].next().to_string());
    let gap = json!({"reason": "trimmed", "session": "s", "missed": null, "after": after, "before": before});
    assert_eq!(answer["gap"], gap);
    assert_eq!(data(&answer), ["3", "4", "5"]);
    assert_eq!(answer["lastEventId"], ids[5].to_string());
    assert_eq!(poll(&client, "s", &ids[5].to_string()).await?["gap"], Value::Null);

    // Where nothing of the session is left, the position is the one from which on nothing is missing.
    let quiet = client.publish("quiet", "x").await?;
    expect::has_read(&weir, 7).await?;
    for nth in 8..12 {
        client.publish("s", "x").await?;
        expect::has_read(&weir, nth).await?;
    }
    let answer = poll(&client, "quiet", &quiet.prev().to_string()).await?;
    assert_eq!((&answer["gap"]["reason"], &answer["events"]), (&json!("trimmed"), &json!([])));
    let next = poll(&client, "quiet", answer["lastEventId"].as_str().unwrap_or_default()).await?;
    assert_eq!((&next["gap"], &next["events"]), (&Value::Null, &json!([])));
    Ok(())
}

#[tokio::test]
async fn a_position_that_is_none_is_a_gap() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let head = weir.client().publish("s", "x").await?;
    expect::has_read(&weir, 1).await?;
    let answer = poll(&weir.client(), "s", "garbage").await?;
    assert_eq!((&answer["gap"]["reason"], &answer["events"]), (&json!("unknown-id"), &json!([])));
    assert_eq!(answer["lastEventId"], head.to_string());
    Ok(())
}

#[tokio::test]
async fn an_answer_ends_before_a_second_gap() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let big = "x".repeat(11);
    for (id, data) in [("1-0", big.as_str()), ("2-0", "a"), ("3-0", &big), ("4-0", "b")] {
        redis.cli(&["XADD", "weir:events", id, "session", "s", "data", data]).await;
    }
    let weir = Instance::start(WEIR, &["--redis", &redis.url(), "--max-event-bytes", "10"]).await?;
    let gap = |after: &str, before: &str| json!({"reason": "oversize", "session": "s", "missed": 1, "after": after, "before": before});
    let first = poll(&weir.client(), "s", "earliest").await?;
    assert_eq!(first["gap"], gap("0-18446744073709551615", "1-1"));
    assert_eq!((data(&first), &first["lastEventId"]), (vec!["a"], &json!("2-0")));
    let second = poll(&weir.client(), "s", "2-0").await?;
    assert_eq!(second["gap"], gap("2-18446744073709551615", "3-1"));
    assert_eq!((data(&second), &second["lastEventId"]), (vec!["b"], &json!("4-0")));
    Ok(())
}

#[tokio::test]
async fn an_answer_is_bounded_by_events_and_by_bytes() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    let batch = async |session: &str, data: &str, count: usize| -> anyhow::Result<Vec<Value>> {
        let line = format!("{{\"session\":\"{session}\",\"data\":\"{data}\"}}\n");
        let request = client.post("/v1/events").header("content-type", "application/x-ndjson");
        let answer = request.body(line.repeat(count)).send().await?.json()?;
        Ok(answer["ids"].as_array().cloned().unwrap_or_default())
    };
    let ids = batch("many", "x", 1000).await?;
    let last = batch("many", "last", 1).await?;
    expect::has_read(&weir, 1001).await?;
    let answer = poll(&client, "many", "earliest").await?;
    assert_eq!((data(&answer).len(), &answer["lastEventId"]), (1000, &ids[999]));
    let rest = poll(&client, "many", answer["lastEventId"].as_str().unwrap_or_default()).await?;
    assert_eq!((data(&rest), &rest["lastEventId"]), (vec!["last"], &last[0]));

    let ids = batch("large", &"x".repeat(200 << 10), 10).await?;
    expect::has_read(&weir, 1011).await?;
    let answer = poll(&client, "large", "earliest").await?;
    // The one that reaches a mebibyte still goes in.
    assert_eq!((data(&answer).len(), &answer["lastEventId"]), (6, &ids[5]));
    assert_eq!(data(&poll(&client, "large", ids[5].as_str().unwrap_or_default()).await?).len(), 4);
    Ok(())
}

#[tokio::test]
async fn an_instance_that_goes_away_answers_at_once() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "1s", "--drain-window", "0s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let head = weir.client().publish("s", "x").await?;
    expect::has_read(&weir, 1).await?;
    let poll = waiting(&weir, "").await?;
    // Something that has to be drained keeps the listener open for its delay.
    let _stream = weir.client().subscribe("s").await?;
    let started = Instant::now();
    weir.signal(Signal::TERM)?;
    let answer = poll.await??.json()?;
    assert_eq!(answer, json!({"events": [], "lastEventId": head.to_string(), "gap": null}));
    // So is one that comes during the delay.
    let answer = weir.client().events("s").query("wait", "60").send().await?;
    assert_eq!((answer.status(), answer.json()?["events"].clone()), (200, json!([])));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    ensure!(weir.wait_exit(DEADLINE).await?.success(), "no clean end");
    Ok(())
}

/// What a stream is told softly, a long-poll is told by its status.
#[tokio::test]
async fn a_full_instance_refuses_by_status() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connections", "1"]).await?;
    let _stream = weir.client().subscribe("s").await?;
    let answer = weir.client().events("s").query("wait", "1").send().await?;
    expect::problem(&answer, 503, "limit")?;
    let after = answer.head.header("retry-after").and_then(|secs| secs.parse().ok());
    assert!(after.is_some_and(|secs: u32| (1..=5).contains(&secs)), "{answer:?}");
    Ok(())
}

/// A visible heartbeat is for streams; here it must not keep the answer back.
#[tokio::test]
async fn a_wait_ends_whatever_else_is_asked_for() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let request = weir.client().events("quiet").query("wait", "1").query("heartbeat", "event");
    let answer = request.send().await?.json()?;
    assert_eq!((data(&answer).len(), &answer["gap"]), (0, &Value::Null));
    Ok(())
}

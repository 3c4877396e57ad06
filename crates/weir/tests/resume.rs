//! Coming back: provably complete, or announced as a gap. Each row of the contract's table, over HTTP.
// sizes: the rows of one table of the contract, each with a test

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use weir_core::EventId;
use weir_testkit::redis::RedisServer;
use weir_testkit::sse::Event;
use weir_testkit::{Client, DEADLINE, End, Instance, SseStream, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A window of five events, and eight published to `s`: the ids of all of them.
async fn trimmed() -> anyhow::Result<(Instance, Vec<EventId>)> {
    let weir = Instance::start(WEIR, &["--maxlen", "5"]).await?;
    let mut ids = Vec::new();
    for nth in 0..8 {
        ids.push(weir.client().publish("s", nth.to_string()).await?);
        // The log is no longer than the window: what left it unread would be the reader's loss.
        expect::has_read(&weir, nth + 1).await?;
    }
    Ok((weir, ids))
}

async fn resume(client: &Client, session: &str, position: impl Into<String>) -> anyhow::Result<SseStream> {
    client.events(session).header("last-event-id", position).subscribe().await
}

/// `weir.connected` with its position.
async fn connected(stream: &mut SseStream, position: impl ToString) -> anyhow::Result<()> {
    control(stream, "weir.connected", position).await
}

/// A control event that carries a position.
async fn control(stream: &mut SseStream, name: &str, position: impl ToString) -> anyhow::Result<()> {
    let event = stream.next_event().await?;
    ensure!((event.event.as_str(), &event.id) == (name, &Some(position.to_string())), "{event:?}");
    Ok(())
}

/// A gap with exactly this text, and no id.
async fn gap(stream: &mut SseStream, want: Value) -> anyhow::Result<()> {
    let event = stream.next_event().await?;
    ensure!(event.event == "weir.gap" && event.id.is_none(), "no gap: {event:?}");
    let got: Value = serde_json::from_str(&event.data)?;
    ensure!(got == want, "{got} instead of {want}");
    Ok(())
}

/// The events with these ids and the data that counts them, at once and without anything between them.
async fn events(stream: &mut SseStream, ids: &[EventId], first: usize) -> anyhow::Result<()> {
    for (nth, id) in (first..).zip(&ids[first..]) {
        let Event { event, data, id: have, .. } = stream.next_event().await?;
        ensure!(
            (event.as_str(), have, &data) == ("message", Some(id.to_string()), &nth.to_string()),
            "{nth}: {event} {data}"
        );
    }
    Ok(())
}

async fn resumes(weir: &Instance) -> anyhow::Result<(Option<f64>, Option<f64>)> {
    let metrics = weir.metrics().await?;
    let of = |result| metrics.value("weir_resumes_total", &[("result", result)]);
    Ok((of("complete"), of("gap")))
}

#[tokio::test]
async fn without_a_position_the_stream_is_live_only() -> anyhow::Result<()> {
    let (weir, ids) = trimmed().await?;
    let mut head = ids[7];
    for target in ["/v1/sessions/s/events", "/v1/sessions/s/events?lastEventId="] {
        let mut stream = weir.client().get(target).subscribe().await?;
        connected(&mut stream, head).await?;
        head = weir.client().publish("s", "live").await?;
        assert_eq!(stream.next_event().await?.id, Some(head.to_string()));
    }
    assert_eq!(resumes(&weir).await?, (Some(0.0), Some(0.0)));
    Ok(())
}

#[tokio::test]
async fn from_the_earliest_all_that_is_held_comes_without_a_gap() -> anyhow::Result<()> {
    let (weir, ids) = trimmed().await?;
    for position in ["earliest", "0", "0-0"] {
        let mut stream = resume(&weir.client(), "s", position).await?;
        connected(&mut stream, "0-0").await?;
        events(&mut stream, &ids, 3).await?;
    }
    assert_eq!(resumes(&weir).await?, (Some(3.0), Some(0.0)));
    assert_eq!(weir.metrics().await?.value("weir_replayed_events_total", &[]), Some(15.0));
    Ok(())
}

/// As an empty log is told, and as weir's own clients say it.
#[tokio::test]
async fn who_was_there_when_the_log_was_empty_is_told_what_left() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--maxlen", "5"]).await?;
    let mut early = weir.client().events("s").subscribe().await?;
    connected(&mut early, "0-0").await?;
    let mut still = resume(&weir.client(), "s", "0-1").await?;
    connected(&mut still, "0-1").await?;
    let mut ids = Vec::new();
    for nth in 0..8 {
        ids.push(weir.client().publish("s", nth.to_string()).await?);
        expect::has_read(&weir, nth + 1).await?;
        if nth == 4 {
            let mut whole = resume(&weir.client(), "s", "0-1").await?;
            connected(&mut whole, "0-1").await?;
            events(&mut whole, &ids, 0).await?;
        }
    }
    events(&mut still, &ids, 0).await?;
    let mut late = resume(&weir.client(), "s", "0-1").await?;
    connected(&mut late, "0-1").await?;
    let before = ids[2].next().to_string();
    gap(
        &mut late,
        json!({"reason": "trimmed", "session": "s", "missed": null, "after": "0-1", "before": before}),
    )
    .await?;
    control(&mut late, "weir.ping", ids[2]).await?;
    events(&mut late, &ids, 3).await
}

#[tokio::test]
async fn after_an_id_that_nothing_was_lost_above_everything_follows() -> anyhow::Result<()> {
    let (weir, ids) = trimmed().await?;
    // At the edge: the newest event that left is the last that the client has.
    for nth in 2..8 {
        let mut stream = resume(&weir.client(), "s", ids[nth].to_string()).await?;
        connected(&mut stream, ids[nth]).await?;
        events(&mut stream, &ids, nth + 1).await?;
    }
    assert_eq!(resumes(&weir).await?, (Some(6.0), Some(0.0)));
    Ok(())
}

#[tokio::test]
async fn below_the_edge_a_gap_stands_before_what_is_held() -> anyhow::Result<()> {
    let (weir, ids) = trimmed().await?;
    let mut stream = resume(&weir.client(), "s", ids[1].to_string()).await?;
    connected(&mut stream, ids[1]).await?;
    let (after, before) = (ids[1].to_string(), ids[2].next().to_string());
    gap(
        &mut stream,
        json!({"reason": "trimmed", "session": "s", "missed": null, "after": after, "before": before}),
    )
    .await?;
    control(&mut stream, "weir.ping", ids[2]).await?;
    // A client that is cut off right here knows that position, and is not told the same loss again.
    let position = stream.last_event_id().to_owned();
    events(&mut stream, &ids, 3).await?;
    let mut again = resume(&weir.client(), "s", position).await?;
    connected(&mut again, ids[2]).await?;
    events(&mut again, &ids, 3).await?;

    assert_eq!(resumes(&weir).await?, (Some(1.0), Some(1.0)));
    let told = weir.metrics().await?.value("weir_gap_notices_total", &[("reason", "trimmed")]);
    assert_eq!(told, Some(1.0));
    Ok(())
}

#[tokio::test]
async fn a_time_is_a_position_too() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    for id in ["1000-5", "2000-0", "2000-1", "3000-0"] {
        redis.cli(&["XADD", "weir:events", id, "session", "s", "data", id]).await;
    }
    let weir = Instance::start(WEIR, &["--redis", &redis.url()]).await?;
    let mut stream = resume(&weir.client(), "s", "2000").await?;
    assert_eq!(stream.next_data(3).await?, ["2000-0", "2000-1", "3000-0"]);
    let mut stream = resume(&weir.client(), "s", "2001").await?;
    assert_eq!(stream.next_data(1).await?, ["3000-0"]);
    Ok(())
}

#[tokio::test]
async fn garbage_is_a_gap_and_never_an_error() -> anyhow::Result<()> {
    let (weir, ids) = trimmed().await?;
    let long = "9".repeat(8000);
    for garbage in ["abc", "1-", "-1", "1-2-3", "+1-0", "1.5", "18446744073709551616-0", "null", "ü", &long]
    {
        let mut stream = resume(&weir.client(), "s", garbage).await?;
        connected(&mut stream, ids[7]).await?;
        gap(
            &mut stream,
            json!({"reason": "unknown-id", "session": null, "missed": null, "after": null, "before": null}),
        )
        .await?;
        control(&mut stream, "weir.ping", ids[7]).await?;
    }
    // A parameter may hold any bytes, too.
    let mut stream = weir.client().get("/v1/sessions/s/events?lastEventId=%FF%00%0A").subscribe().await?;
    connected(&mut stream, ids[7]).await?;
    assert_eq!(stream.next_event().await?.event, "weir.gap");
    control(&mut stream, "weir.ping", ids[7]).await?;
    weir.client().publish("s", "live").await?;
    assert_eq!(stream.next_data(1).await?, ["live"]);
    Ok(())
}

#[tokio::test]
async fn the_header_wins_over_the_parameter() -> anyhow::Result<()> {
    let (weir, ids) = trimmed().await?;
    let parameter = weir.client().events("s").query("lastEventId", ids[4].to_string());
    events(&mut skip_connected(parameter.clone().subscribe().await?).await?, &ids, 5).await?;
    let header = parameter.header("last-event-id", ids[6].to_string());
    events(&mut skip_connected(header.subscribe().await?).await?, &ids, 7).await
}

async fn skip_connected(mut stream: SseStream) -> anyhow::Result<SseStream> {
    ensure!(stream.next_event().await?.event == "weir.connected", "not connected");
    Ok(stream)
}

#[tokio::test]
async fn a_quiet_session_stays_resumable_while_a_busy_one_floods_the_window() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--maxlen", "5"]).await?;
    let client = weir.client();
    let quiet = client.publish("quiet", "0").await?;
    let missed = client.publish("quiet", "left the window").await?;
    let last = client.publish("quiet", "left the window, too").await?;
    expect::has_read(&weir, 3).await?;
    for nth in 0..20 {
        client.publish("busy", "x").await?;
        expect::has_read(&weir, 4 + nth).await?;
    }
    let head = client.publish("busy", "x").await?;
    expect::has_read(&weir, 24).await?;
    let mut stream = resume(&client, "quiet", last.to_string()).await?;
    connected(&mut stream, last).await?;
    let live = client.publish("quiet", "live").await?;
    assert_eq!(stream.next_event().await?.id, Some(live.to_string()));

    // Whoever missed something of it is told, as is whoever listens to the busy one as well.
    let mut stream = resume(&client, "quiet", quiet.to_string()).await?;
    connected(&mut stream, quiet).await?;
    let (after, before) = (quiet.to_string(), last.next().to_string());
    gap(
        &mut stream,
        json!({"reason": "trimmed", "session": "quiet", "missed": null, "after": after, "before": before}),
    )
    .await?;
    assert_eq!(resumes(&weir).await?, (Some(1.0), Some(1.0)));

    let both =
        client.get("/v1/events?session=quiet&session=busy").header("last-event-id", missed.to_string());
    let mut stream = both.subscribe().await?;
    connected(&mut stream, missed).await?;
    let event = stream.next_event().await?;
    assert_eq!(
        (event.event.as_str(), &serde_json::from_str::<Value>(&event.data)?["session"]),
        ("weir.gap", &Value::Null)
    );
    assert!(stream.next_event().await?.id.is_some_and(|id| id.parse::<EventId>().is_ok_and(|id| id < head)));
    Ok(())
}

#[tokio::test]
async fn a_gap_is_healed_by_the_snapshot_and_a_complete_resume_needs_none() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--maxlen", "5"]).await?;
    let client = weir.client();
    let mut ids = Vec::new();
    for nth in 0..8 {
        let publish = client.event("s").query("snapshot", "60").body(nth.to_string());
        ids.push(publish.send().await?.event_id()?);
        expect::has_read(&weir, nth + 1).await?;
    }
    let resume = |nth: usize| {
        client.events("s").query("snapshot", "1").header("last-event-id", ids[nth].to_string()).subscribe()
    };
    let mut broken = resume(0).await?;
    connected(&mut broken, ids[0]).await?;
    assert_eq!(broken.next_event().await?.event, "weir.gap");
    assert_eq!(broken.next_event().await?.event, "weir.ping");
    let healed = broken.next_event().await?;
    assert_eq!((healed.data.as_str(), healed.id), ("7", Some(ids[7].to_string())));

    let mut complete = resume(5).await?;
    connected(&mut complete, ids[5]).await?;
    events(&mut complete, &ids, 6).await?;
    for stream in [&mut broken, &mut complete] {
        client.publish("s", "live").await?;
        assert_eq!(stream.next_data(1).await?, ["live"]);
    }
    Ok(())
}

#[tokio::test]
async fn any_instance_answers_a_resume() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", &url];
    let (one, two) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
    let mut stream = one.client().subscribe("s").await?;
    let mut ids = Vec::new();
    for nth in 0..10 {
        let to = [&one, &two][nth % 2];
        ids.push(to.client().publish("s", nth.to_string()).await?);
    }
    events(&mut stream, &ids[..5], 0).await?;
    let position = stream.last_event_id().to_owned();
    assert_eq!(position, ids[4].to_string());
    drop(stream);

    let mut stream = resume(&two.client(), "s", position).await?;
    connected(&mut stream, ids[4]).await?;
    events(&mut stream, &ids, 5).await?;
    // One that starts only now holds the same.
    let three = Instance::start(WEIR, &flags).await?;
    let mut stream = resume(&three.client(), "s", ids[1].to_string()).await?;
    connected(&mut stream, ids[1]).await?;
    events(&mut stream, &ids, 2).await
}

/// The client is ahead of the instance: it is held until the reader has passed its position.
#[tokio::test]
async fn ahead_of_the_reader_a_client_is_held() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = Instance::start(WEIR, &["--redis", &redis.url(), "--heartbeat", "300ms"]).await?;
    let mut stream = resume(&weir.client(), "s", "9999999999999-5").await?;
    connected(&mut stream, "9999999999999-5").await?;
    while stream.comments() < 2 {
        stream.next().await?;
    }
    for (id, data) in [("9999999999999-5", "the client has it"), ("9999999999999-6", "next")] {
        redis.cli(&["XADD", "weir:events", id, "session", "s", "data", data]).await;
    }
    let next = stream.next_event().await?;
    assert_eq!((next.data.as_str(), next.id.as_deref()), ("next", Some("9999999999999-6")));
    assert_eq!(resumes(&weir).await?, (Some(1.0), Some(0.0)));
    Ok(())
}

/// It takes the five seconds that a client is held.
#[tokio::test]
async fn ahead_of_the_log_for_too_long_is_a_gap() -> anyhow::Result<()> {
    let (weir, ids) = trimmed().await?;
    let mut stream = resume(&weir.client(), "s", "9999999999999-5").await?;
    connected(&mut stream, "9999999999999-5").await?;
    gap(
        &mut stream,
        json!({"reason": "unknown-id", "session": null, "missed": null, "after": "9999999999999-5", "before": null}),
    )
    .await?;
    control(&mut stream, "weir.ping", ids[7]).await?;
    weir.client().publish("s", "live").await?;
    assert_eq!(stream.next_data(1).await?, ["live"]);
    Ok(())
}

#[tokio::test]
async fn an_id_of_a_log_that_was_replaced_is_a_reset() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let flags = ["--redis", &redis.url(), "--read-block", "100ms"];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let old = client.publish("s", "old").await?;
    let mut live = resume(&client, "s", "earliest").await?;
    assert_eq!(live.next_data(1).await?, ["old"]);
    redis.cli(&["FLUSHALL"]).await;
    while live.next_event().await?.event != "weir.gap" {}
    client.publish("s", "new").await?;
    assert_eq!(live.next_data(1).await?, ["new"]);

    let mut stream = resume(&client, "s", old.to_string()).await?;
    connected(&mut stream, old).await?;
    gap(
        &mut stream,
        json!({"reason": "reset", "session": null, "missed": null, "after": old.to_string(), "before": null}),
    )
    .await?;
    assert_eq!(stream.next_event().await?.event, "weir.ping");
    client.publish("s", "live").await?;
    assert_eq!(stream.next_data(1).await?, ["live"]);
    Ok(())
}

/// Before the first window load nothing can be proved: the client is held, and after ten seconds refused.
#[tokio::test]
async fn before_the_window_is_loaded_a_client_is_held_and_then_refused() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await;
    redis.stop();
    let flags = ["--redis", &redis.url(), "--heartbeat", "500ms", "--retry", "1s"];
    let weir = Instance::builder(WEIR).flags(&flags).unready().start().await?;
    let client = weir.client();
    let mut stream = client.events("s").subscribe().await?;
    let patience = Duration::from_secs(15);
    let poll = client.events("s").query("wait", "30").deadline(patience).send();
    let (read, poll) = tokio::join!(stream.read_to_end(), poll);
    expect::problem(&poll?, 503, "starting")?;
    let (events, end) = read?;
    assert_eq!((events.len(), events[0].event.as_str(), end), (1, "weir.refused", End::Clean));
    let refused: Value = serde_json::from_str(&events[0].data)?;
    assert_eq!(refused["reason"], "starting");
    assert!(refused["reconnect"].as_u64().is_some_and(|ms| (800..=1200).contains(&ms)), "{refused}");
    assert!(stream.comments() > 5, "{} signs of life", stream.comments());
    eventually(DEADLINE, async || {
        let metrics = weir.metrics().await?;
        let refused = metrics.value("weir_connections_rejected_total", &[("reason", "starting")]);
        ensure!(refused == Some(2.0), "{refused:?}");
        Ok(())
    })
    .await?;
    // One that does not wait so long has no position to go on from, either.
    expect::problem(&client.events("s").query("wait", "0").send().await?, 503, "starting")
}

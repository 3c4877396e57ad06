//! Going away: every client is told, nothing that was queued is lost, and the deadline holds whatever happens.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use weir_testkit::redis::RedisServer;
use weir_testkit::sse::Event;
use weir_testkit::{DEADLINE, End, Instance, Signal, SseStream, Ticker, eventually, expect, files};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// `/readyz` says that it goes away.
async fn unready(weir: &Instance) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let answer = weir.admin_client().get("/readyz").send().await?;
        ensure!(answer.status() == 503, "still {}", answer.status());
        ensure!(answer.json()?["status"] == "draining", "{answer:?}");
        Ok(())
    })
    .await
}

/// The last event is the goodbye, its time is the `retry` before it, and the response ends as it should.
async fn ensure_goodbye(stream: &mut SseStream) -> anyhow::Result<Vec<Event>> {
    let (mut events, end) = stream.read_to_end().await?;
    ensure!(end == End::Clean, "{end:?} after {events:?}");
    let goodbye = events.pop().context("no goodbye")?;
    ensure!((goodbye.event.as_str(), &goodbye.id) == ("weir.shutdown", &None), "{goodbye:?}");
    let reconnect = serde_json::from_str::<Value>(&goodbye.data)?["reconnect"].as_u64();
    ensure!(
        reconnect.is_some() && reconnect == stream.retry(),
        "{reconnect:?} after retry {:?}",
        stream.retry()
    );
    Ok(events)
}

/// So many seconds have passed since then, and no more than what the machine took besides.
fn ensure_between(least: f64, most: f64, since: Instant, ticker: &Ticker) -> anyhow::Result<()> {
    let (took, lost) = (since.elapsed().as_secs_f64(), ticker.lost_since(since).as_secs_f64());
    ensure!((least..most + lost).contains(&took), "{took} s, of which {lost} s were not its own");
    Ok(())
}

fn ensure_clean(status: ExitStatus, weir: &Instance) -> anyhow::Result<()> {
    ensure!(status.code() == Some(0), "{status}: {}", weir.log().join("\n"));
    Ok(())
}

#[tokio::test]
async fn clients_are_told_after_their_last_event() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "3s", "--drain-window", "1s", "--shutdown-timeout", "10s", "--retry", "1s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(client.subscribe("s").await?);
    }
    client.publish("s", "before").await?;
    expect::has_read(&weir, 1).await?;
    let (ticker, signalled) = (Ticker::new(), Instant::now());
    weir.signal(Signal::TERM)?;
    unready(&weir).await?;
    assert_eq!(client.get("/readyz").send().await?.status(), 503);
    assert_eq!(client.get("/livez").send().await?.status(), 200);
    // Load balancers need a moment to notice, in which everything is served as ever.
    let mut late = client.subscribe("s").await?;
    client.publish("s", "during the delay").await?;
    let metrics = weir.metrics().await?;
    assert_eq!(
        (metrics.value("weir_draining", &[]), metrics.value("weir_ready", &[])),
        (Some(1.0), Some(0.0))
    );
    assert!(signalled.elapsed() < Duration::from_secs(3), "too slow a machine: {:?}", signalled.elapsed());

    let mut retries = Vec::new();
    for stream in &mut streams {
        let events = ensure_goodbye(stream).await?;
        let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
        assert_eq!(data, ["before", "during the delay"]);
        retries.extend(stream.retry());
        let retry = stream.retry().unwrap_or_default();
        let last = format!(
            "data: during the delay\n\nretry: {retry}\nevent: weir.shutdown\ndata: {{\"reconnect\":{retry}}}\n\n"
        );
        assert!(std::str::from_utf8(stream.transcript())?.ends_with(&last));
    }
    assert_eq!(ensure_goodbye(&mut late).await?.len(), 1);
    assert!(retries.iter().all(|ms| (800..=1200).contains(ms)), "{retries:?}");
    retries.dedup();
    assert!(retries.len() > 1, "everybody comes back at the same time: {retries:?}");
    let status = weir.wait_exit(DEADLINE).await?;
    ensure_between(3.0, 6.0, signalled, &ticker)?;
    ensure_clean(status, &weir)
}

#[tokio::test]
async fn clients_are_released_one_after_the_other() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "0s", "--drain-window", "2s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(weir.client().subscribe("s").await?);
    }
    let (ticker, signalled) = (Ticker::new(), Instant::now());
    weir.signal(Signal::TERM)?;
    let ends = streams.iter_mut().map(async |stream| {
        ensure_goodbye(stream).await?;
        anyhow::Ok(signalled.elapsed().as_secs_f64())
    });
    let [a, b, c, d] = ends.collect::<Vec<_>>().try_into().ok().context("four")?;
    let (a, b, c, d) = tokio::try_join!(a, b, c, d)?;
    let mut ends = [a, b, c, d];
    ends.sort_by(f64::total_cmp);
    // A quarter of the window lies between two of them.
    for (nth, end) in ends.iter().enumerate() {
        let due = nth as f64 * 0.5;
        let late = ticker.lost_since(signalled).as_secs_f64();
        assert!((due..due + 0.45 + late).contains(end), "{ends:?}, of which {late} s were not its own");
    }
    let status = weir.wait_exit(DEADLINE).await?;
    ensure_clean(status, &weir)
}

#[tokio::test]
async fn what_is_queued_leaves_before_the_goodbye() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "0s", "--drain-window", "0s", "--shutdown-timeout", "10s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let mut slow = weir.client().events("s").receive_buffer(4096).subscribe().await?;
    slow.next_event().await?;
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(4096));
    // As many as its queue holds: under no policy is one of them missing.
    let batch = weir.client().post("/v1/events").header("content-type", "application/x-ndjson");
    let ids = batch.body(line.repeat(100)).send().await?.json()?;
    eventually(DEADLINE, async || {
        let queued = weir.metrics().await?.value("weir_events_queued_total", &[]);
        ensure!(queued == Some(100.0), "{queued:?} queued");
        Ok(())
    })
    .await?;
    weir.signal(Signal::TERM)?;
    let events = ensure_goodbye(&mut slow).await?;
    let received: Vec<_> = events.into_iter().filter_map(|event| event.id.map(Value::from)).collect();
    assert_eq!(ids["ids"].as_array(), Some(&received));
    let status = weir.wait_exit(DEADLINE).await?;
    ensure_clean(status, &weir)
}

#[tokio::test]
async fn without_clients_it_ends_at_once() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    for signal in [Signal::TERM, Signal::INT] {
        // Delay and window are those of production: five and fifteen seconds.
        let mut weir = Instance::start(WEIR, &["--redis", &redis.url()]).await?;
        assert_eq!(redis.cli(&["XINFO", "GROUPS", "weir:events"]).await.matches("weir:").count(), 1);
        let (ticker, signalled) = (Ticker::new(), Instant::now());
        weir.signal(signal)?;
        let status = weir.wait_exit(DEADLINE).await?;
        ensure_between(0.0, 3.0, signalled, &ticker)?;
        ensure_clean(status, &weir)?;
        assert_eq!(redis.cli(&["XINFO", "GROUPS", "weir:events"]).await, "");
    }
    Ok(())
}

#[tokio::test]
async fn after_the_delay_new_subscribes_are_refused_softly() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "0s", "--drain-window", "4s", "--shutdown-timeout", "8s", "--retry", "1s"];
    for (refuse, status) in [("soft", 200), ("503", 503)] {
        let mut weir = Instance::start(WEIR, &[&flags[..], &["--refuse", refuse]].concat()).await?;
        let client = weir.client();
        let mut stays = Vec::new();
        for _ in 0..8 {
            stays.push(client.subscribe("s").await?);
        }
        weir.signal(Signal::TERM)?;
        unready(&weir).await?;
        // The delay is over at once, but not before the signal.
        let rejected = async || {
            let metrics = weir.metrics().await?;
            anyhow::Ok(metrics.value("weir_connections_rejected_total", &[("reason", "draining")]))
        };
        if status == 200 {
            let (stream, events) = eventually(DEADLINE, async || {
                let mut stream = client.events("s").subscribe().await?;
                ensure!(rejected().await? == Some(1.0), "not refused yet");
                let (events, end) = stream.read_to_end().await?;
                ensure!(end == End::Clean, "{end:?}");
                Ok((stream, events))
            })
            .await?;
            assert_eq!((events.len(), events[0].event.as_str()), (1, "weir.refused"));
            let refused: Value = serde_json::from_str(&events[0].data)?;
            assert_eq!(
                (refused["reason"].as_str(), refused["reconnect"].as_u64()),
                (Some("draining"), stream.retry())
            );
            assert!(stream.retry().is_some_and(|ms| (800..=1200).contains(&ms)), "{:?}", stream.retry());
        } else {
            eventually(DEADLINE, async || {
                let (_, head) = client.events("s").open().await?;
                ensure!(head.status == 503, "not refused yet: {head:?}");
                ensure!(head.header("retry-after").is_some(), "{head:?}");
                Ok(())
            })
            .await?;
        }
        // A long-poll has a status of its own, and publishing goes on to the end.
        expect::problem(&client.events("s").query("wait", "1").send().await?, 503, "draining")?;
        client.publish("s", "still").await?;
        let rejected =
            weir.metrics().await?.value("weir_connections_rejected_total", &[("reason", "draining")]);
        assert_eq!(rejected, Some(2.0));
        let last = stays.pop().context("a stream")?;
        drop(stays);
        let mut last = last;
        ensure_goodbye(&mut last).await?;
        let status = weir.wait_exit(DEADLINE).await?;
        ensure_clean(status, &weir)?;
    }
    Ok(())
}

/// Neither a client that does not read nor a Redis that stands still moves the deadline.
#[tokio::test]
async fn nothing_moves_the_deadline() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", &url, "--drain-delay", "0s", "--drain-window", "0s", "--shutdown-timeout", "2s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let mut stalled = weir.client().events("s").receive_buffer(4096).subscribe().await?;
    stalled.next_event().await?;
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(4096));
    let batch = weir.client().post("/v1/events").header("content-type", "application/x-ndjson");
    assert_eq!(batch.body(line.repeat(400)).send().await?.status(), 201);
    expect::has_read(&weir, 400).await?;
    let mut silent = weir_testkit::RawConn::open(weir.public()).await?;
    silent
        .write(b"POST /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n")
        .await?;
    redis.pause();

    let (ticker, signalled) = (Ticker::new(), Instant::now());
    weir.signal(Signal::TERM)?;
    let status = weir.wait_exit(DEADLINE).await?;
    let took = ensure_between(1.4, 3.0, signalled, &ticker);
    redis.resume();
    took?;
    assert!(
        weir.logged("stopped at the deadline: the clients left were cut")
            .is_some_and(|line| line["cut"] == 1)
    );
    ensure_clean(status, &weir)?;
    assert_eq!(stalled.read_to_end().await?.1, End::Cut);
    Ok(())
}

/// One of the crowd: the numbers it was told before the goodbye.
async fn listen(mut stream: SseStream) -> anyhow::Result<Vec<usize>> {
    let events = ensure_goodbye(&mut stream).await?;
    let published = events.iter().filter(|event| !event.event.starts_with("weir."));
    published.map(|event| event.data.parse().context("a number")).collect()
}

/// Connects a crowd to `s`, a batch at a time, so that no queue of the kernel overflows.
async fn crowd(weir: &Instance, count: usize) -> anyhow::Result<Vec<SseStream>> {
    let (client, mut streams) = (weir.client(), Vec::new());
    while streams.len() < count {
        let mut batch = JoinSet::new();
        for _ in 0..100.min(count - streams.len()) {
            batch.spawn(async move { client.subscribe("s").await });
        }
        while let Some(stream) = batch.join_next().await {
            streams.push(stream??);
        }
    }
    Ok(streams)
}

/// A crowd of whom one in a hundred never reads: the others are told, each after its last event, and all ends in time.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_never_read_take_nothing_from_the_others() -> anyhow::Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(12);
    files::raise_limit();
    let given = std::env::var_os("WEIR_TEST_CLIENTS").and_then(|given| given.to_str()?.parse().ok());
    let (count, timeout) = (given.unwrap_or(500_usize), format!("{}s", TIMEOUT.as_secs()));
    let flags = ["--drain-delay", "1s", "--drain-window", "4s", "--shutdown-timeout", &timeout];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let mut stalled = Vec::new();
    for _ in 0..count / 100 {
        let target = "/v1/events?session=s&session=large";
        stalled.push(client.get(target).receive_buffer(4096).subscribe().await?);
    }
    let line = format!("{{\"session\":\"large\",\"data\":\"{}\"}}\n", "x".repeat(4096));
    let batch = client.post("/v1/events").header("content-type", "application/x-ndjson");
    assert_eq!(batch.body(line.repeat(400)).send().await?.status(), 201);
    let readers = crowd(&weir, count - stalled.len()).await?;
    let mut listening = JoinSet::new();
    for stream in readers {
        listening.spawn(listen(stream));
    }
    let mut published = 0;
    while published < 10 {
        client.publish("s", published.to_string()).await?;
        published += 1;
    }
    weir.signal(Signal::TERM)?;
    let signalled = Instant::now();
    unready(&weir).await?;
    // A publisher goes on for as long as it is let.
    let mut publisher = JoinSet::new();
    publisher.spawn(async move {
        while client.publish("s", published.to_string()).await.is_ok() {
            published += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    while let Some(told) = listening.join_next().await {
        let told = told??;
        ensure!(told.len() >= 10 && told.iter().copied().eq(0..told.len()), "{told:?}");
    }
    let all_told = signalled.elapsed();
    let status = weir.wait_exit(TIMEOUT + DEADLINE).await?;
    let took = signalled.elapsed();
    println!(
        "{count} clients, {} stalled: all others told after {all_told:?}, gone after {took:?}",
        stalled.len()
    );
    assert!(took < TIMEOUT, "{took:?}");
    let cut = weir.logged("stopped at the deadline: the clients left were cut").context("none was cut")?;
    assert_eq!(cut["cut"].as_u64(), Some(stalled.len() as u64), "{cut}");
    ensure_clean(status, &weir)
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> anyhow::Result<()> {
    let mut weir = Instance::start(WEIR, &["--drain-delay", "20s"]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    weir.signal(Signal::TERM)?;
    unready(&weir).await?;
    let (ticker, again) = (Ticker::new(), Instant::now());
    weir.signal(Signal::TERM)?;
    let status = weir.wait_exit(DEADLINE).await?;
    ensure_between(0.0, 2.0, again, &ticker)?;
    assert_eq!(status.code(), Some(1), "{}", weir.log().join("\n"));
    assert_eq!(stream.read_to_end().await?.1, End::Cut);
    Ok(())
}

/// What a client missed while its instance went away is there on another one.
#[tokio::test]
async fn a_client_goes_on_elsewhere_without_a_gap() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", &url, "--drain-delay", "0s", "--drain-window", "0s"];
    let (mut one, two) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
    let mut stream = one.client().subscribe("s").await?;
    two.client().publish("s", "1").await?;
    assert_eq!(stream.next_data(1).await?, ["1"]);
    one.signal(Signal::TERM)?;
    two.client().publish("s", "2").await?;
    let events = ensure_goodbye(&mut stream).await?;
    let status = one.wait_exit(DEADLINE).await?;
    ensure_clean(status, &one)?;
    two.client().publish("s", "3").await?;

    let mut got: Vec<_> = events.into_iter().map(|event| event.data).collect();
    let from = stream.last_event_id().to_owned();
    let mut stream = two.client().events("s").header("last-event-id", from).subscribe().await?;
    got.extend(stream.next_data(2 - got.len()).await?);
    assert_eq!(got, ["2", "3"]);
    // Only the group of the one that is left is there.
    assert_eq!(redis.cli(&["XINFO", "GROUPS", "weir:events"]).await.matches("weir:").count(), 1);
    Ok(())
}

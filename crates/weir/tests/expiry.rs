//! A stream lasts no longer than its token, however slowly it is read.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::http2::{Http2, fields, kind, request};
use weir_testkit::token::{claims, now_secs};
use weir_testkit::{DEADLINE, End, Instance, Secret, Signal, SseStream, Ticker, expect, stall};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How much later than `exp` a stream may end.
const LATE: Duration = Duration::from_secs(1);

/// Long enough for what comes before the end, on a busy machine too, and short enough to be waited for.
const SHORT: u64 = 8;

static TICKER: LazyLock<Ticker> = LazyLock::new(Ticker::new);

/// An instance, and what makes its tokens.
async fn start(flags: &[&str]) -> anyhow::Result<(Instance, Secret)> {
    LazyLock::force(&TICKER);
    let secret = Secret::new();
    Ok((Instance::start(WEIR, &[&["--jwt-secret-file", secret.flag()], flags].concat()).await?, secret))
}

/// A token for all that ends soon, and its `exp`.
fn token(secret: &Secret) -> (String, u64) {
    let mut claims = claims("ann", &["*"], &["*"]);
    let exp = now_secs() + SHORT;
    claims["exp"] = json!(exp);
    (secret.sign(&claims), exp)
}

/// How long `exp` is over; nothing where it is not.
fn over_since(exp: u64) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(Duration::from_secs(exp))
}

fn ensure_in_time(exp: u64) -> anyhow::Result<()> {
    let late = over_since(exp).context("it ended before its token did")?;
    ensure_late_by(late, LATE)
}

/// It is late by so much at most, and by what the machine took.
fn ensure_late_by(late: Duration, most: Duration) -> anyhow::Result<()> {
    let lost = Instant::now().checked_sub(late).map_or(Duration::ZERO, |end| TICKER.lost_since(end));
    ensure!(late <= most + lost, "it ended {late:?} after its token, of which {lost:?} were not its own");
    Ok(())
}

async fn subscribe(weir: &Instance, token: &str) -> anyhow::Result<SseStream> {
    let mut stream = weir.client().events("s").bearer(token).subscribe().await?;
    ensure!(stream.next_event().await?.event == "weir.connected");
    Ok(stream)
}

/// A client that does not read.
async fn stalled(weir: &Instance, secret: &Secret, token: &str) -> anyhow::Result<SseStream> {
    let publisher = secret.token("publisher", &[], &["*"]);
    let client = weir.client();
    stall(weir, client.events("s").bearer(token), client.post("/v1/events").bearer(&publisher)).await
}

/// Waits for the end of all clients, and says how many ended for this reason.
async fn ended(weir: &Instance, reason: &str) -> anyhow::Result<Option<f64>> {
    expect::clients(weir, 0).await?;
    Ok(weir.metrics().await?.value("weir_disconnections_total", &[("reason", reason)]))
}

#[tokio::test]
async fn who_reads_is_told_ahead_and_at_the_end() -> anyhow::Result<()> {
    let (weir, secret) = start(&[]).await?;
    let (short, exp) = token(&secret);
    let lasting = secret.token("bob", &["*"], &["*"]);
    let mut other = subscribe(&weir, &lasting).await?;
    let mut stream = subscribe(&weir, &short).await?;
    weir.client().event("s").bearer(&lasting).body("before").send().await?.event_id()?;
    assert_eq!(stream.next_data(1).await?, ["before"]);
    let warning = stream.next_event().await?;
    assert_eq!((warning.event.as_str(), &warning.id), ("weir.expiring", &None));
    assert!(over_since(exp).is_none(), "it is told when it is too late");
    let left = serde_json::from_str::<Value>(&warning.data)?["in"].as_u64().context("a time")?;
    assert!((1..=SHORT * 500).contains(&left), "half of the rest of a short token: {left} ms");

    let (mut events, end) = stream.read_to_end().await?;
    ensure_in_time(exp)?;
    let last = events.pop().context("no last word")?;
    assert_eq!((last.event.as_str(), last.data.as_str()), ("weir.expired", "{\"reason\":\"expired\"}"));
    assert_eq!((events.len(), end), (0, End::Clean));
    // It comes back with the same token, as a browser does, and learns that it is of no more use.
    let again = weir.client().events("s").bearer(&short).send().await?;
    expect::problem(&again, 401, "token_expired")?;
    // Nobody else is concerned.
    weir.client().event("s").bearer(&lasting).body("after").send().await?.event_id()?;
    assert_eq!(other.next_data(2).await?, ["before", "after"]);
    drop(other);
    assert_eq!(ended(&weir, "expired").await?, Some(1.0));
    Ok(())
}

#[tokio::test]
async fn who_does_not_read_is_cut_in_time() -> anyhow::Result<()> {
    let (weir, secret) = start(&[]).await?;
    let (short, exp) = token(&secret);
    let mut stalled = stalled(&weir, &secret, &short).await?;
    assert!(over_since(exp).is_none(), "too slow a machine");
    assert_eq!(ended(&weir, "expired").await?, Some(1.0));
    ensure_in_time(exp)?;
    let metrics = weir.metrics().await?;
    assert!(metrics.value("weir_events_discarded_total", &[("reason", "expired")]) > Some(0.0));
    expect::balance(&weir).await?;
    let (events, end) = stalled.read_to_end().await?;
    assert!(end == End::Cut && events.iter().all(|event| event.event != "weir.expired"), "{end:?}");
    Ok(())
}

/// A goodbye that drags on, because nobody reads it, does not outlast the token.
#[tokio::test]
async fn a_drain_gives_no_token_a_longer_life() -> anyhow::Result<()> {
    let (mut weir, secret) = start(&["--drain-delay", "0s", "--drain-window", "0s"]).await?;
    let (short, exp) = token(&secret);
    let _stalled = stalled(&weir, &secret, &short).await?;
    weir.signal(Signal::TERM)?;
    weir.wait_exit(DEADLINE * 2).await?;
    let late = over_since(exp).context("it ended before its token did")?;
    // The process itself has a little to do after the last client.
    ensure_late_by(late, LATE + Duration::from_secs(1))
}

#[tokio::test]
async fn a_long_poll_is_answered_when_its_token_ends() -> anyhow::Result<()> {
    let (weir, secret) = start(&[]).await?;
    let (short, exp) = token(&secret);
    let answer = weir.client().events("s").query("wait", "30").bearer(&short).send().await?;
    ensure_in_time(exp)?;
    assert_eq!((answer.status(), answer.json()?["events"].clone()), (200, json!([])));
    assert_eq!(ended(&weir, "expired").await?, Some(1.0));
    Ok(())
}

/// On HTTP/2 who reads gets a clean end of the stream, on a connection that stays; of who does not, the connection is cut.
#[tokio::test]
async fn on_http2() -> anyhow::Result<()> {
    let (weir, secret) = start(&[]).await?;
    let (short, exp) = token(&secret);
    let authorization = format!("Bearer {short}");
    let subscribe = |stream| {
        let more = [("authorization", authorization.as_str())];
        request(stream, &fields("GET", "/v1/sessions/s/events", &more), true)
    };
    let mut reads = Http2::open(weir.public(), &[]).await?;
    reads.send(&subscribe(1)).await?;
    // This one takes nothing beyond the head of the answer.
    let mut stalls = Http2::open(weir.public(), &[(4, 0)]).await?;
    stalls.send(&subscribe(1)).await?;
    expect::clients(&weir, 2).await?;
    let publisher = secret.token("publisher", &[], &["*"]);
    weir.client().event("s").bearer(&publisher).body("x").send().await?.event_id()?;

    let mut said = Vec::new();
    loop {
        let frame = reads.next(DEADLINE).await?;
        let frame = frame.map_err(|closed| anyhow::anyhow!("closed ({closed:?}) without an end"))?;
        reads.acknowledge(&frame).await?;
        if frame.stream == 1 {
            ensure!(frame.kind != kind::RST_STREAM, "not clean: {frame:?}");
            if frame.kind == kind::DATA {
                said.extend_from_slice(&frame.payload);
                if frame.flags & weir_testkit::http2::flag::END_STREAM != 0 {
                    break;
                }
            }
        }
    }
    ensure_in_time(exp)?;
    let said = String::from_utf8(said)?;
    let end = "event: weir.expired\ndata: {\"reason\":\"expired\"}\n\n";
    assert!(said.contains("event: weir.expiring") && said.ends_with(end), "{said}");
    reads.send(&weir_testkit::http2::get(3, "/livez")).await?;
    assert_eq!(reads.status(3, DEADLINE).await?, 200);
    stalls.ended(DEADLINE).await?;
    ensure_in_time(exp)?;
    assert_eq!(ended(&weir, "expired").await?, Some(2.0));
    Ok(())
}

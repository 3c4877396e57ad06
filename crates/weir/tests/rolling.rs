//! Deployments and crashes behind real load balancers: three instances on one Redis, clients that come back as browsers
//! do, publishers that try again. Whatever happens to an instance, each client gets every event once and in order.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::time::Instant;
use weir_testkit::balancer::Kind;
use weir_testkit::{DEADLINE, End, eventually};

#[path = "rolling/fleet.rs"]
mod fleet;
#[path = "rolling/traffic.rs"]
mod traffic;

use fleet::{DRAIN_WINDOW, Fleet};
use traffic::{Audience, publish_during};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Clients of a roll; `WEIR_TEST_CLIENTS` asks for another number.
const CLIENTS: usize = 300;

/// Clients that are rotated.
const ROTATING: usize = 90;

const SESSIONS: usize = 20;

/// Every instance in turn is replaced under load.
async fn roll(kind: Kind) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(kind, &[]).await?;
    let client = fleet.client();
    let audience = Audience::connect(client, (traffic::clients(CLIENTS), SESSIONS)).await?;
    let (released, published) = publish_during(client, SESSIONS, async {
        let mut released = Vec::new();
        for nth in 0..3 {
            let before = (fleet.clients().await?[nth], Instant::now());
            fleet.take_down(nth).await?;
            released.push(ensure_spread(&audience, before).await?);
            fleet.bring_up(nth).await?;
        }
        Ok(released)
    })
    .await?;
    audience.has_all(&published).await?;
    report(kind, &audience, &published);
    // Everybody who was told to go came back once, and nobody for another reason.
    let (told, refused) = (released.iter().sum::<usize>(), audience.count(|history| history.refused));
    assert_eq!(audience.count(|history| history.shutdowns.len()), told);
    assert_eq!(audience.count(|history| history.cuts + history.broken), 0);
    let connected = || audience.count(|history| history.connected.len());
    // Who had everything when it was told may still be on its way back.
    eventually(DEADLINE, async || {
        ensure!(connected() >= audience.len() + told, "{} connected, {told} told", connected());
        Ok(())
    })
    .await?;
    assert_eq!(connected(), audience.len() + told, "{refused} refused");
    ensure_published_once(&fleet, &published).await
}

/// An instance is gone without a word, and comes back.
async fn crash(kind: Kind) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(kind, &[]).await?;
    let client = fleet.client();
    let audience = Audience::connect(client, (traffic::clients(CLIENTS), SESSIONS)).await?;
    let (victims, published) = publish_during(client, SESSIONS, async {
        // The load that is killed into has to be there first.
        eventually(DEADLINE, async || {
            let quiet = audience.count(|history| usize::from(history.events.is_empty()));
            ensure!(quiet == 0, "{quiet} clients have got nothing");
            Ok(())
        })
        .await?;
        let victims = fleet.clients().await?[1];
        fleet.kill(1).await?;
        eventually(DEADLINE * 2, async || {
            let others = fleet.clients().await?;
            ensure!(others.iter().sum::<f64>() == audience.len() as f64, "{others:?}");
            Ok(())
        })
        .await?;
        fleet.bring_up(1).await?;
        Ok(victims)
    })
    .await?;
    audience.has_all(&published).await?;
    report(kind, &audience, &published);
    ensure!(victims > 0.0, "nobody was on the instance that was killed");
    assert_eq!(audience.count(|history| history.cuts) as f64, victims);
    ensure_published_once(&fleet, &published).await
}

/// Every client of an instance was told to go, over the window and not at once: a quarter of it sees a quarter of them,
/// and never most. Says how many.
async fn ensure_spread(audience: &Audience, (clients, since): (f64, Instant)) -> anyhow::Result<usize> {
    // The last goodbye may still be on its way through the balancer.
    let mut told = eventually(DEADLINE, async || {
        let mut told = audience.collect(|history| history.shutdowns.clone());
        told.retain(|at| *at >= since);
        ensure!(told.len() as f64 >= clients, "{} of {clients} clients were told", told.len());
        Ok(told)
    })
    .await?;
    ensure!(told.len() >= 20, "too few to say anything: {}", told.len());
    told.sort();
    let span = told[told.len() - 1] - told[0];
    ensure!(span >= DRAIN_WINDOW / 2, "all within {span:?}");
    let within =
        |from: Instant| told.iter().filter(|at| (from..from + DRAIN_WINDOW / 4).contains(at)).count();
    let most = told.iter().map(|at| within(*at)).max().context("some were told")?;
    ensure!(most * 10 <= told.len() * 6, "{most} of {} at once", told.len());
    Ok(told.len())
}

/// The log holds each publish once, whoever tried again, and those by which the fleet was found.
async fn ensure_published_once(fleet: &Fleet, published: &[usize]) -> anyhow::Result<()> {
    let log = fleet.redis.cli(&["XRANGE", "weir:events", "-", "+"]).await;
    let of_sessions = log.lines().filter(|line| line.starts_with("session ")).count();
    assert_eq!(of_sessions, published.iter().sum::<usize>());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "figures for who runs it by hand with many clients")]
fn report(kind: Kind, audience: &Audience, published: &[usize]) {
    let sum = |of: fn(&weir_testkit::event_source::History) -> usize| audience.count(of);
    println!(
        "{kind}: {} clients, {} published, {} received, {} connected, {} told to go, {} cut, {} refused, {} broken",
        audience.len(),
        published.iter().sum::<usize>(),
        sum(|history| history.events.len()),
        sum(|history| history.connected.len()),
        sum(|history| history.shutdowns.len()),
        sum(|history| history.cuts),
        sum(|history| history.refused),
        sum(|history| history.broken),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_rolls() -> anyhow::Result<()> {
    roll(Kind::Nginx).await
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_rolls() -> anyhow::Result<()> {
    roll(Kind::HaProxy).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_survives_a_crash() -> anyhow::Result<()> {
    crash(Kind::Nginx).await
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_survives_a_crash() -> anyhow::Result<()> {
    crash(Kind::HaProxy).await
}

/// An instance that comes back is empty, because nobody has a reason to leave the others; with a greatest age they have.
async fn rotate(kind: Kind) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(kind, &["--max-connection-age", "4s"]).await?;
    fleet.take_down(2).await?;
    let client = fleet.client();
    let audience = Audience::connect(client, (ROTATING, SESSIONS)).await?;
    let ((), published) = publish_during(client, SESSIONS, async {
        fleet.bring_up(2).await?;
        eventually(DEADLINE * 3, async || {
            let clients = fleet.clients().await?;
            // A share is a third, and some are on their way.
            ensure!(clients.iter().all(|share| *share >= ROTATING as f64 / 5.0), "{clients:?}");
            let stayed = audience.count(|history| usize::from(history.shutdowns.is_empty()));
            ensure!(stayed == 0, "{stayed} were never rotated");
            Ok(())
        })
        .await
    })
    .await?;
    audience.has_all(&published).await?;
    report(kind, &audience, &published);
    assert_eq!(audience.count(|history| history.cuts + history.broken), 0);
    for nth in 0..3 {
        let metrics = fleet.instance(nth)?.metrics().await?;
        let ended = |reason| metrics.value("weir_disconnections_total", &[("reason", reason)]);
        assert!(nth == 2 || ended("max-age") > Some(0.0), "instance {nth}");
        assert_eq!((ended("client"), ended("shutdown")), (Some(0.0), Some(0.0)), "instance {nth}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greatest_age_evens_out_the_load_behind_nginx() -> anyhow::Result<()> {
    rotate(Kind::Nginx).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greatest_age_evens_out_the_load_behind_haproxy() -> anyhow::Result<()> {
    rotate(Kind::HaProxy).await
}

/// With nobody behind it a balancer answers as an instance that is full would: softly to a browser, else with a status.
async fn alone(kind: Kind) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(kind, &[]).await?;
    let client = fleet.client();
    // A session's name may hold whatever the balancer takes for a path, and what is published comes at once.
    let mut stream = client.subscribe("a/b events").await?;
    client.publish("a/b events", "1").await?;
    assert_eq!(stream.next_data(1).await?, ["1"]);
    assert_eq!(client.get("/v1/sessions/%00/events").send().await?.status(), 400);
    for nth in 0..3 {
        fleet.kill(nth).await?;
    }
    assert_eq!(stream.read_to_end().await?.1, End::Cut);
    for target in ["/v1/sessions/a%2Fb%20events/events", "/v1/events?session=a&session=b"] {
        let mut stream = client.get(target).subscribe().await?;
        let (events, end) = stream.read_to_end().await?;
        let [refused] = &events[..] else { anyhow::bail!("{events:?}") };
        assert_eq!((refused.event.as_str(), &refused.id, end), ("weir.refused", &None, End::Clean));
        let data: Value = serde_json::from_str(&refused.data)?;
        assert_eq!(
            (data["reason"].as_str(), data["reconnect"].as_u64()),
            (Some("unavailable"), stream.retry())
        );
        assert!(stream.retry().is_some_and(|ms| (4000..=6000).contains(&ms)), "{:?}", stream.retry());
        let cors = |name| stream.head.header(name);
        assert_eq!(
            (cors("access-control-allow-origin"), cors("vary")),
            (None, Some("Origin")),
            "{:?}",
            stream.head
        );
        assert_eq!(cors("cache-control"), Some("no-cache, no-transform"), "{:?}", stream.head);
    }
    // A page of any origin is told, too: the balancer does not know whom weir lists.
    let page = client.events("a").header("origin", "https://app.example.com").subscribe().await?;
    let cors = |name| page.head.header(name);
    assert_eq!(cors("access-control-allow-origin"), Some("https://app.example.com"), "{:?}", page.head);
    assert_eq!(cors("access-control-allow-credentials"), Some("true"), "{:?}", page.head);
    for answer in [
        client.event("a").body("x").send().await?,
        client.events("a").query("wait", "1").send().await?,
        client.get("/v1/sessions/a/snapshot").send().await?,
    ] {
        assert!(matches!(answer.status(), 502 | 503), "{answer:?}");
    }
    fleet.bring_up(0).await
}

#[tokio::test]
async fn nginx_alone_tells_browsers_to_come_back() -> anyhow::Result<()> {
    alone(Kind::Nginx).await
}

#[tokio::test]
async fn haproxy_alone_tells_browsers_to_come_back() -> anyhow::Result<()> {
    alone(Kind::HaProxy).await
}

/// A balancer that takes in for its clients what they do not read would hide from weir who is slow, without bound.
async fn pass_on_slowness(kind: Kind) -> anyhow::Result<()> {
    let fleet = Fleet::start(kind, &["--stall-timeout", "2s"]).await?;
    let client = fleet.client();
    let mut stalled = client.events("s").receive_buffer(4096).subscribe().await?;
    stalled.next_event().await?;
    // Far more than the buffers of four sockets take.
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(64 * 1024));
    for _ in 0..6 {
        let batch = client.post("/v1/events").header("content-type", "application/x-ndjson");
        assert_eq!(batch.body(line.repeat(60)).send().await?.status(), 201);
    }
    eventually(DEADLINE * 2, async || {
        let mut ended = 0.0;
        for nth in 0..3 {
            let metrics = fleet.instance(nth)?.metrics().await?;
            ended += metrics.sum("weir_disconnections_total", &[("reason", "stalled")]);
        }
        ensure!(ended == 1.0, "{ended} clients are known to be stalled");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nginx_does_not_hide_who_is_slow() -> anyhow::Result<()> {
    pass_on_slowness(Kind::Nginx).await
}

#[tokio::test]
async fn haproxy_does_not_hide_who_is_slow() -> anyhow::Result<()> {
    pass_on_slowness(Kind::HaProxy).await
}

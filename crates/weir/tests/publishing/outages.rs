//! weir is away, Redis is away, answers get lost: the application does not notice, and what it published arrives once.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_client::Counts;
use weir_testkit::chaos::{Close, Flow, Way};
use weir_testkit::loopback::own_address;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Proxy, Secret, Signal, eventually, expect};

use crate::publishers::{Application, InRust, WebHook};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What the server side of an application may do, and its users.
fn token(secret: &Secret) -> String {
    secret.token("application", &["user/*"], &["user/*"])
}

async fn counts(application: &impl Application, want: Counts) -> anyhow::Result<()> {
    eventually(DEADLINE * 2, async || {
        let counts = application.counts().await?;
        ensure!(counts == want, "{counts:?} instead of {want:?}");
        Ok(())
    })
    .await
}

/// What a session holds in the order in which it was published.
async fn held(weir: &Instance, token: &str, session: &str) -> anyhow::Result<Vec<u64>> {
    let poll = weir.client().events(session).query("lastEventId", "earliest").query("wait", "0");
    let answer = poll.bearer(token).send().await?.json()?;
    let events = answer["events"].as_array().with_context(|| answer.to_string())?;
    events
        .iter()
        .map(|event| {
            ensure!(event["type"] == "guild.joined", "{event}");
            let data: Value = serde_json::from_str(event["data"].as_str().context("data")?)?;
            data["n"].as_u64().context("a number")
        })
        .collect()
}

/// The order proves that nobody waits: each call is answered before weir is there at all, or while it says nothing.
async fn nothing_is_lost_but_what_overflows(
    weir_at: std::net::SocketAddr,
    secret: &Secret,
    application: &impl Application,
    proxy: &Proxy,
) -> anyhow::Result<Vec<u32>> {
    let token = token(secret);
    let mut lost = Vec::new();
    for n in 0..15 {
        let offer = application.happens("user/7", n).await?;
        ensure!(offer == if n < 10 { "queued" } else { "full" }, "{n}: {offer}");
        if n >= 10 {
            lost.push(n);
        }
    }
    let away = application.counts().await?;
    ensure!(away == Counts { overflowed: 5, waiting: 10, ..Counts::default() }, "{away:?}");

    let flags = ["--jwt-secret-file", secret.flag()];
    let weir = Instance::builder(WEIR).listen(weir_at).flags(&flags).start().await?;
    counts(application, Counts { delivered: 10, overflowed: 5, ..Counts::default() }).await?;
    expect::has_read(&weir, 10).await?;
    ensure!(held(&weir, &token, "user/7").await? == Vec::from_iter(0..10), "not once and in order");

    // What is on its way arrives, and its answer does not.
    proxy.set(Way::ToClient, Flow::Swallow);
    application.happens("user/7", 10).await?;
    expect::has_read(&weir, 11).await?;
    // And now nothing arrives, and nothing is refused. The answer may still be on its way, and must not be held to pass later.
    proxy.set(Way::ToServer, Flow::Hold { after: 0 });
    application.happens("user/7", 11).await?;
    let silent = application.counts().await?;
    ensure!(silent.waiting == 2, "{silent:?}");
    let connections = proxy.accepted();
    proxy.close_all(Close::Reset);
    // Who connects anew has lost the connection on which the answer was.
    eventually(DEADLINE, async || {
        ensure!(proxy.accepted() > connections, "it does not try again");
        Ok(())
    })
    .await?;
    proxy.heal();
    counts(application, Counts { delivered: 12, overflowed: 5, ..Counts::default() }).await?;
    expect::has_read(&weir, 12).await?;
    ensure!(held(&weir, &token, "user/7").await? == Vec::from_iter(0..12), "not once and in order");
    let duplicates = weir.metrics().await?.value("weir_publishes_total", &[("result", "duplicate")]);
    ensure!(duplicates == Some(1.0), "the answer was not lost: {duplicates:?}");

    // What this token may not publish is refused and takes nothing with it.
    application.happens("other", 0).await?;
    application.happens("user/7", 12).await?;
    counts(application, Counts { delivered: 13, refused: 1, overflowed: 5, waiting: 0 }).await?;
    expect::has_read(&weir, 13).await?;
    ensure!(held(&weir, &token, "user/7").await?.len() == 13);
    Ok(lost)
}

#[tokio::test]
async fn a_web_hook_does_not_notice_that_weir_is_away() -> anyhow::Result<()> {
    let (at, secret) = (own_address()?, Secret::new());
    let proxy = Proxy::start(at).await?;
    let hook = WebHook::start(proxy.addr(), &token(&secret), 10).await?;
    let lost = nothing_is_lost_but_what_overflows(at, &secret, &hook, &proxy).await?;
    let mut told: Vec<Value> = lost.into_iter().map(Value::from).collect();
    told.push(json!("forbidden"));
    ensure!(hook.told().await? == told, "{told:?}");
    Ok(())
}

#[tokio::test]
async fn nor_does_an_application_in_rust() -> anyhow::Result<()> {
    let (at, secret) = (own_address()?, Secret::new());
    let proxy = Proxy::start(at).await?;
    let application = InRust::start(proxy.addr(), &token(&secret), 10)?;
    nothing_is_lost_but_what_overflows(at, &secret, &application, &proxy).await?;
    Ok(())
}

/// In the middle of whatever it was doing, again and again: keys outlive it with the events.
#[tokio::test]
async fn what_is_published_while_weir_is_killed_arrives_once() -> anyhow::Result<()> {
    let (at, secret, data) = (own_address()?, Secret::new(), tempfile::tempdir()?);
    let token = token(&secret);
    let data = data.path().to_str().context("a path in UTF-8")?;
    let flags = ["--jwt-secret-file", secret.flag(), "--data-dir", data];
    let start = async || Instance::builder(WEIR).listen(at).flags(&flags).start().await;
    let mut weir = start().await?;
    let hook = WebHook::start(at, &token, 1000).await?;
    let application = InRust::start(at, &token, 1000)?;
    let mut delivered = 0;
    for n in 0..400 {
        ensure!(hook.happens("user/1", n).await? == "queued");
        ensure!(application.happens("user/2", n).await? == "queued");
        if n % 100 == 50 {
            // Something is on its way by then, and is not waited for.
            eventually(DEADLINE * 2, async || {
                let now = application.counts().await?.delivered;
                ensure!(now > delivered, "{now} delivered");
                delivered = now;
                Ok(())
            })
            .await?;
            weir.signal(Signal::KILL)?;
            weir.wait_exit(DEADLINE).await?;
            weir = start().await?;
        }
    }
    counts(&hook, Counts { delivered: 400, ..Counts::default() }).await?;
    counts(&application, Counts { delivered: 400, ..Counts::default() }).await?;
    // A publish is answered before its event is in the window.
    eventually(DEADLINE, async || {
        let entries = weir.metrics().await?.value("weir_window_events", &[]);
        ensure!(entries == Some(800.0), "{entries:?} in the window");
        Ok(())
    })
    .await?;
    for session in ["user/1", "user/2"] {
        ensure!(held(&weir, &token, session).await? == Vec::from_iter(0..400), "{session}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_published_while_redis_is_away_arrives_once() -> anyhow::Result<()> {
    let mut redis = RedisServer::start_persistent().await;
    let secret = Secret::new();
    let token = token(&secret);
    let url = redis.url();
    let weir = Instance::start(WEIR, &["--redis", &url, "--jwt-secret-file", secret.flag()]).await?;
    let hook = WebHook::start(weir.public(), &token, 100).await?;
    let application = InRust::start(weir.public(), &token, 100)?;
    for n in 0..5 {
        hook.happens("user/1", n).await?;
        application.happens("user/2", n).await?;
    }
    let all = |delivered| Counts { delivered, ..Counts::default() };
    counts(&hook, all(5)).await?;
    counts(&application, all(5)).await?;

    redis.stop();
    for n in 5..20 {
        ensure!(hook.happens("user/1", n).await? == "queued");
        ensure!(application.happens("user/2", n).await? == "queued");
    }
    eventually(DEADLINE * 2, async || {
        let tried = weir.metrics().await?.value("weir_publishes_total", &[("result", "unavailable")]);
        ensure!(tried >= Some(2.0), "{tried:?} tries");
        Ok(())
    })
    .await?;
    redis.restart().await;
    counts(&hook, all(20)).await?;
    counts(&application, all(20)).await?;
    ensure!(redis.cli(&["XLEN", "weir:events"]).await == "40");
    expect::has_read(&weir, 40).await?;
    for session in ["user/1", "user/2"] {
        ensure!(held(&weir, &token, session).await? == Vec::from_iter(0..20), "{session}");
    }
    Ok(())
}

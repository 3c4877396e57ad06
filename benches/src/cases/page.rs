//! How soon an event is in a page: through nginx and two instances, beside a page that asks every two seconds.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::browser::{self, Browser, Tab};
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, Instance};

use crate::cases::Bench;
use crate::clock::{MS_NS, wall_ns};
use crate::process::{pin, roam};
use crate::report::{Case, Figure, Goal, Round, greatest};
use crate::sightings::Sightings;
use crate::webpage;

/// Events per second.
const RATE: u32 = 20;

const EVENTS: u32 = 600;

/// The names of what a page can listen by, in tables; the page calls them as [`webpage::BY`] does.
const SERVERS: [&str; webpage::BY.len()] = ["weir", "weir, native EventSource", "asked every 2 s"];

const P50: &str = "p50 ms";
const P99: &str = "p99 ms";
const WRONG: &str = "missing, doubled or out of order";

/// Publishes to a page in Chromium that listens in three ways at once.
///
/// # Errors
/// Something of it is not installed or does not start, or the page does not get what it is sent.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    // All of it shares the cores, as it would on a small machine of one's own.
    roam(bench.cores)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.extend(runtime.block_on(round(bench))?);
    }
    pin(bench.cores.generator)?;
    let what = format!(
        "{EVENTS} events, {RATE} a second, are published through nginx, configured as `deploy/nginx` has it, to two instances on one Redis, each by a \
         connection of its own. A page in Chromium listens to them through the same nginx: by the client of weir, by the browser's own `EventSource`, and by asking every 2 s. \
         The time runs from before the publisher connects until the page's function is called with the event. Other than what is said above, nothing is bound to a core here: publisher, \
         nginx, both instances, Redis and Chromium share them all."
    );
    let mut case = Case { name: "page", what, rounds, goals: Vec::new() };
    let worst = |server: &str, name: &str| greatest(case.values(server, name).into_iter());
    case.goals = vec![
        Goal {
            what: "p50 by the client, ms, in the worst round",
            measured: worst(SERVERS[0], P50),
            at_most: 20.0,
        },
        Goal {
            what: "p99 by the client, ms, in the worst round",
            measured: worst(SERVERS[0], P99),
            at_most: 100.0,
        },
        Goal {
            what: "p50 by `EventSource`, ms, in the worst round",
            measured: worst(SERVERS[1], P50),
            at_most: 20.0,
        },
        Goal {
            what: "p99 by `EventSource`, ms, in the worst round",
            measured: worst(SERVERS[1], P99),
            at_most: 100.0,
        },
        Goal {
            what: "events missing, doubled or out of order",
            measured: case.sum(&SERVERS, &[WRONG]),
            at_most: 0.0,
        },
    ];
    Ok(case)
}

async fn round(bench: &Bench) -> anyhow::Result<Vec<Round>> {
    let redis = RedisServer::start().await;
    let pages = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let origin = format!("http://{}", pages.local_addr()?);
    let weir = bench.binaries.weir.to_str().context("a path in UTF-8")?;
    let url = redis.url();
    let flags = ["--redis", &url, "--anonymous", "all", "--cors-origin", &origin];
    let behind = ["--refuse", "503", "--trusted-proxy", "127.0.0.1"];
    let start = async || Instance::builder(weir).flags(&flags).flags(&behind).start().await;
    let (one, other) = (start().await?, start().await?);
    let nginx = Balancer::start(Kind::Nginx, &[one.public(), other.public()]).await?;
    let mut served = JoinSet::new();
    served.spawn(webpage::serve(pages, nginx.address()));
    let browser = Browser::start(browser::Kind::Chromium).await?;
    let tab = browser.open(&origin).await?;
    // The page is loaded before its script has asked for the first time.
    tab.until("return window.isLive?.()").await.with_context(|| nginx.tail())?;
    let late_ns = publish(nginx.address()).await?;
    let seen = seen(&tab).await?;
    let clock = seen["clock"].as_f64().context("how far the page's clock is off")?;
    let figures = |by: &str| -> anyhow::Result<Vec<Figure>> {
        let seen = Sightings::of(&seen[by], EVENTS)?;
        Ok(vec![
            Figure::new(P50, seen.quantile(0.5)),
            Figure::new(P99, seen.quantile(0.99)),
            Figure::new("max ms", seen.quantile(1.0)),
            Figure::new(WRONG, f64::from(seen.wrong)),
            Figure::new("publisher late, max ms", late_ns as f64 / MS_NS as f64),
            Figure::new("the page's clock off, ms", clock),
        ])
    };
    let servers = SERVERS.into_iter().zip(webpage::BY);
    servers.map(|(server, by)| Ok(Round { server, figures: figures(by)? })).collect()
}

/// Publishes as a clock says, however slow the answers are, and gives the longest that an event was late.
async fn publish(to: SocketAddr) -> anyhow::Result<u64> {
    let (client, begin) = (Client::new(to), Instant::now());
    let mut calls = JoinSet::new();
    for nth in 0..EVENTS {
        let due = begin + Duration::from_secs(1) * nth / RATE;
        sleep_until(due).await;
        let late = due.elapsed();
        let event = format!("{nth} {}", wall_ns() as f64 / MS_NS as f64);
        calls.spawn(async move { client.publish(webpage::SESSION, event).await.map(|_| late) });
    }
    let lates = calls.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(u64::try_from(lates.into_iter().max().unwrap_or_default().as_nanos())?)
}

/// What the page saw, once it has looked for the last time.
async fn seen(tab: &Tab) -> anyhow::Result<Value> {
    let all = webpage::BY.map(|by| format!("seen.{by}.length >= {EVENTS}")).join(" && ");
    // Whether something is missing is told by the figures.
    let _ = tab.until(&format!("return {all}")).await;
    let complaints = tab.complaints().await?;
    anyhow::ensure!(complaints.is_empty(), "the page complains: {complaints:?}");
    tab.run("return told()").await
}

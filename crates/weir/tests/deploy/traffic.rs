//! What clients and producers of a cluster do while somebody looks at its dashboards: the usual, and what goes wrong.

use std::f64::consts::TAU;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use weir_testkit::client::Request;
use weir_testkit::{Next, SseStream};

use crate::cluster::{Cluster, Places};

/// How many clients read each of the sessions.
const ROOMS: usize = 12;
const READERS: usize = 12;

/// The tide of what is published: from none to twice the average and back.
const TIDE: Duration = Duration::from_secs(80);

/// Events per second at the average.
const EVENTS: f64 = 30.0;

/// One event of those that are too much for who reads slowly.
const HEAVY: usize = 8 * 1024;

/// Ends when it is dropped.
pub(crate) struct Traffic {
    tasks: JoinSet<()>,
    places: Places,
}

impl Traffic {
    /// The usual: readers that come and go, producers, durable streams with followers, now and then a mistake.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let mut traffic = Self { tasks: JoinSet::new(), places: cluster.places() };
        let places = &traffic.places;
        for nth in 0..ROOMS * READERS {
            traffic.tasks.spawn(reader(places.clone(), format!("room-{}", nth % ROOMS)));
        }
        for nth in 0..6 {
            traffic.tasks.spawn(follower(places.clone(), nth % 3));
            traffic.tasks.spawn(poller(places.clone()));
        }
        traffic.tasks.spawn(producer(places.clone()));
        traffic.tasks.spawn(appender(places.clone()));
        traffic.tasks.spawn(mistakes(places.clone()));
        traffic
    }

    /// For so long more is sent to some clients than they take, and more than the window holds: events are lost.
    pub(crate) async fn overload(&self, length: Duration) {
        let mut slow = JoinSet::new();
        for nth in 0..6 {
            let overflow = if nth % 2 == 0 { "drop-oldest" } else { "catch-up" };
            slow.spawn(slow_reader(self.places.clone(), overflow));
        }
        slow.spawn(firehose(self.places.clone()));
        sleep(length).await;
    }
}

/// It stays for some while, goes, and comes back with the id that it saw last.
async fn reader(places: Places, session: String) {
    let mut last = String::new();
    sleep(random(3_000)).await;
    loop {
        let mut request = places.any().events(&session);
        if !last.is_empty() {
            request = request.header("last-event-id", last.as_str());
        }
        if let Ok(mut stream) = request.subscribe().await {
            // Whoever reads half of the time is told of a gap sooner or later, and comes back all the same.
            let _ = timeout(Duration::from_secs(15) + random(60_000), read(&mut stream)).await;
            stream.last_event_id().clone_into(&mut last);
        }
        sleep(random(1_500)).await;
    }
}

async fn read(stream: &mut SseStream) {
    while !matches!(stream.next().await, Ok(Next::End(_)) | Err(_)) {}
}

async fn slow_reader(places: Places, overflow: &str) {
    loop {
        let request = places.any().events("firehose").query("overflow", overflow).receive_buffer(4096);
        if let Ok(mut stream) = request.subscribe().await {
            while !matches!(stream.next().await, Ok(Next::End(_)) | Err(_)) {
                sleep(Duration::from_millis(150)).await;
            }
        }
        sleep(random(500)).await;
    }
}

async fn poller(places: Places) {
    loop {
        let _ = places.any().events("room-0").query("wait", "5").send().await;
        sleep(random(500)).await;
    }
}

async fn producer(places: Places) {
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let tide = (began.elapsed().as_secs_f64() / TIDE.as_secs_f64() * TAU).sin();
        let count = EVENTS * 0.2 * (1.0 + tide) + fastrand::f64() * 2.0;
        for _ in 0..count as u32 {
            let kind = ["order.updated", "chat.message", "presence"][fastrand::usize(0..3)];
            let room = format!("room-{}", fastrand::usize(0..ROOMS));
            let request = places.any().event(&room).query("type", kind);
            let _ = request.body(r#"{"status":"shipped"}"#).deadline(Duration::from_secs(2)).send().await;
        }
    }
}

/// Batches of large events, until who asked for them has enough.
async fn firehose(places: Places) {
    let event = json!({"session": "firehose", "data": "x".repeat(HEAVY)}).to_string() + "\n";
    loop {
        let _ = publish(places.any().post("/v1/events").body(event.repeat(40))).await;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn publish(batch: Request) -> anyhow::Result<()> {
    let answer = batch.header("content-type", "application/x-ndjson").send().await?;
    ensure!(answer.status() == 201, "{answer:?}");
    Ok(())
}

async fn appender(places: Places) {
    for nth in 0..3 {
        let created = places.any().request("PUT", &stream(nth)).header("content-type", "text/plain");
        let _ = created.send().await;
    }
    loop {
        let append = places.any().post(&stream(fastrand::usize(0..3))).header("content-type", "text/plain");
        let _ = append.body("another line of what an agent did\n").send().await;
        sleep(random(300)).await;
    }
}

async fn follower(places: Places, nth: usize) {
    loop {
        sleep(random(1_000)).await;
        let _ = places.any().get(&stream(nth)).query("offset", "-1").send().await;
        let live = places.any().get(&stream(nth)).query("offset", "now").query("live", "sse");
        let Ok(mut stream) = live.follow().await else { continue };
        let _ = timeout(Duration::from_secs(30) + random(30_000), read(&mut stream)).await;
    }
}

fn stream(nth: usize) -> String {
    format!("/v1/stream/agents/{nth}")
}

/// What a client or a producer may do wrong, now and then.
async fn mistakes(places: Places) {
    loop {
        let any = places.any();
        let _ = any.event("room-1").query("type", "weir.reserved").body("no").send().await;
        let _ = any.event("room-1").header("idempotency-key", "the same").body("once").send().await;
        let _ = any.get("/nothing/here").send().await;
        let long_ago = any.events("room-2").header("last-event-id", "1-0").query("wait", "1");
        let _ = long_ago.send().await;
        sleep(Duration::from_secs(10) + random(20_000)).await;
    }
}

fn random(up_to_ms: u64) -> Duration {
    Duration::from_millis(fastrand::u64(0..=up_to_ms))
}

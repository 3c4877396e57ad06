//! Who publishes: an application by HTTP, another by plain `XADD`, and one that appends to durable streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use weir_testkit::Client;
use weir_testkit::redis::Caller;

use crate::tally::{Tally, count};

/// The key of the stream, as weir and this producer agree on it.
const STREAM: &str = "weir:events";

/// What people listen to; see [`session`].
pub(crate) const SESSIONS: u32 = 20;

/// The busy session: half of all events, and larger ones.
pub(crate) const BUSY: &str = "prices";

/// The types of events that have a series of their own.
pub(crate) const TYPES: [&str; 3] = ["order.created", "order.paid", "order.shipped"];

/// The durable streams.
pub(crate) const STREAMS: u32 = 3;

/// Bytes of an event of the busy session.
const LARGE: usize = 1024;

/// How long a publish may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all publishers have.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) balancer: SocketAddr,
    pub(crate) redis: Caller,
    pub(crate) tally: Arc<Tally>,
}

/// The name of a session by its number.
pub(crate) fn session(number: u32) -> String {
    format!("shop-{number:02}")
}

/// The path of a durable stream by its number.
pub(crate) fn stream(number: u32) -> String {
    format!("/v1/stream/audit/{number}")
}

impl Publisher {
    /// Publishes so many events a second by HTTP, through the balancer.
    pub(crate) async fn by_http(self, rate: u32) {
        let (client, mut rng) = (Client::new(self.balancer), fastrand::Rng::new());
        let mut tick = every(rate);
        for order in 0u64.. {
            tick.tick().await;
            let (name, kind) = (session(rng.u32(..SESSIONS)), TYPES[rng.usize(..TYPES.len())]);
            let request =
                client.event(&name).query("type", kind).query("key", format!("order-{}", order % 50));
            let data = format!(r#"{{"order":{order},"cents":{}}}"#, rng.u32(100..100_000));
            let answer = request.deadline(PATIENCE).body(data).send().await;
            self.note(answer.is_ok_and(|answer| answer.status() == 201));
        }
    }

    /// Adds so many entries a second as a program does that knows nothing of weir.
    pub(crate) async fn by_xadd(self, rate: u32) {
        let mut tick = every(rate);
        for price in 0u64.. {
            tick.tick().await;
            let data = format!("{price} {}", "·".repeat(LARGE / '·'.len_utf8()));
            let add = ["XADD", STREAM, "MAXLEN", "~", "20000", "*", "session", BUSY, "data", &data];
            let answer = self.redis.command(&add.map(str::as_bytes)).await;
            self.note(matches!(answer, Ok(Ok(_))));
        }
    }

    /// Appends once a second to each durable stream, and makes those that are not there.
    pub(crate) async fn on_streams(self) {
        let client = Client::new(self.balancer);
        let mut tick = every(1);
        for entry in 0u64.. {
            tick.tick().await;
            for path in (0..STREAMS).map(stream) {
                let send = |method| {
                    let request = client.request(method, &path).deadline(PATIENCE);
                    let request = request.header("content-type", "application/json");
                    if method == "POST" { request.body(format!("[{{\"entry\":{entry}}}]")) } else { request }
                };
                let status = send("POST").send().await.map_or(0, |answer| answer.status());
                if status == 404 {
                    let _ = send("PUT").send().await;
                }
                self.note(status == 204);
            }
        }
    }

    fn note(&self, taken: bool) {
        count(if taken { &self.tally.published } else { &self.tally.refused });
    }
}

/// A rate that is not caught up with: who was held up goes on at the same pace.
fn every(rate: u32) -> tokio::time::Interval {
    let mut tick = interval(Duration::from_secs(1) / rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

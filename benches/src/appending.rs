//! Appends to durable streams as fast as it is answered, on one thread.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;

use crate::clock::{SECOND_NS, now_ns};
use crate::poller::Poller;
use crate::publisher::append::{Appender, Kind};

/// How long an answer may take. After it the server counts as hung.
const PATIENCE_NS: u64 = 10 * SECOND_NS;

/// Bytes of an append.
pub const BYTES: usize = 100;

/// What is appended.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections, each of which appends to a stream of its own, one call after the other.
    pub connections: u64,
    /// How.
    pub kind: Kind,
    /// For how long.
    pub seconds: f64,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// Appends that were answered, all of them well.
    pub appends: u64,
    /// From the first call to the last answer.
    pub seconds: f64,
    /// Of the answers, in ns.
    pub latency: Histogram<u64>,
}

/// One connection, and when the call without an answer was sent.
#[derive(Debug)]
struct Caller {
    appender: Appender,
    sent_ns: u64,
    answered: u64,
}

/// Appends by the plan until it is over and everything was answered. Streams are named after `run`, so that no two runs share one.
///
/// # Errors
/// An append was refused or not answered.
pub fn run(server: SocketAddr, run: &str, plan: Plan) -> anyhow::Result<Outcome> {
    let body = body();
    let poller = Poller::new()?;
    let mut callers = Vec::new();
    for token in 0..plan.connections {
        let appender = Appender::connect(server, format!("/v1/stream/bench/{run}/{token}"), plan.kind)?;
        poller.add(appender.socket(), token)?;
        callers.push(Caller { appender, sent_ns: 0, answered: 0 });
    }
    let mut ready = Vec::new();
    let mut created = 0;
    let give_up_ns = now_ns() + PATIENCE_NS;
    while created < callers.len() {
        ensure!(now_ns() < give_up_ns, "streams are not created");
        poller.wait(Duration::from_millis(100), &mut ready)?;
        for token in ready.drain(..) {
            created += usize::from(callers[usize::try_from(token)?].answers()?);
        }
    }
    let start_ns = now_ns();
    let end_ns = start_ns + (plan.seconds * SECOND_NS as f64) as u64;
    let mut latency = Histogram::new_with_bounds(1_000, PATIENCE_NS, 3)?;
    for caller in &mut callers {
        caller.call(&body)?;
    }
    let mut open = callers.len();
    while open > 0 {
        ensure!(now_ns() < end_ns + PATIENCE_NS, "{open} appends were not answered");
        poller.wait(Duration::from_millis(100), &mut ready)?;
        for token in ready.drain(..) {
            let caller = &mut callers[usize::try_from(token)?];
            if !caller.answers()? {
                continue;
            }
            let now = now_ns();
            latency.saturating_record(now.saturating_sub(caller.sent_ns));
            if now < end_ns { caller.call(&body)? } else { open -= 1 }
        }
    }
    let seconds = (now_ns() - start_ns) as f64 / SECOND_NS as f64;
    Ok(Outcome { appends: latency.len(), seconds, latency })
}

impl Caller {
    fn call(&mut self, body: &[u8]) -> anyhow::Result<()> {
        self.sent_ns = now_ns();
        self.appender.append(body).context("append")
    }

    /// Whether the call that was made has its answer.
    fn answers(&mut self) -> anyhow::Result<bool> {
        let answers = self.appender.collect()?;
        if let Some(why) = &answers.first_refusal {
            bail!("refused: {why}");
        }
        let one = answers.accepted > self.answered;
        self.answered = answers.accepted;
        self.appender.flush()?;
        Ok(one)
    }
}

/// One value of JSON.
fn body() -> Vec<u8> {
    let around = r#"{"pad":""}"#;
    format!(r#"{{"pad":"{}"}}"#, "x".repeat(BYTES - around.len())).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_has_the_size_it_is_said_to_have() {
        assert_eq!(body().len(), BYTES);
    }
}

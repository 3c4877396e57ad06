//! Publishes, and writes down what it was told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};
use weir_core::EventId;

use super::{Ledger, session_name};
use crate::checker::record::payload;
use crate::checker::{Outcome, Session, Value};
use crate::client::{Client, Response};
use crate::redis::RedisServer;

/// Pause before a publish is repeated.
const AGAIN: Duration = Duration::from_millis(100);

/// Publishes into a ledger.
#[derive(Clone, Debug)]
pub struct Producer {
    ledger: Arc<Ledger>,
    patience: Duration,
}

impl Producer {
    /// A producer that waits so long for each answer.
    pub fn new(ledger: &Arc<Ledger>, patience: Duration) -> Self {
        Self { ledger: Arc::clone(ledger), patience }
    }

    /// Publishes once.
    pub async fn publish(&self, to: SocketAddr, session: Session, key: Option<u32>) -> (Value, Outcome) {
        let value = self.ledger.begin(session, key);
        let outcome = self.send(to, (session, key, value), None).await;
        self.ledger.finish(value, outcome, 1);
        (value, outcome)
    }

    /// Publishes with an `Idempotency-Key`, again and again until the answer is certain or `limit` has passed. `places` is
    /// asked before each try.
    pub async fn publish_surely(
        &self,
        places: impl FnMut() -> SocketAddr,
        (session, key): (Session, Option<u32>),
        limit: Duration,
    ) -> (Value, Outcome) {
        let value = self.ledger.begin(session, key);
        (value, self.send_surely(places, (session, key, value), limit).await)
    }

    /// Publishes an event and has its arrivals counted.
    ///
    /// # Errors
    /// It is not acknowledged `within` so long.
    pub async fn probe(
        &self,
        places: impl FnMut() -> SocketAddr,
        session: Session,
        within: Duration,
    ) -> anyhow::Result<Value> {
        let value = self.ledger.begin(session, None);
        self.ledger.await_arrivals(value);
        let outcome = self.send_surely(places, (session, None, value), within).await;
        ensure!(
            matches!(outcome, Outcome::Acknowledged(_)),
            "nothing can be published: {outcome:?} after {within:?}"
        );
        Ok(value)
    }

    /// Publishes an event that every client of its session has to get `within` so long.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn mark(
        &self,
        places: impl FnMut() -> SocketAddr,
        session: Session,
        within: Duration,
    ) -> anyhow::Result<Value> {
        let value = self.probe(places, session, within).await?;
        self.ledger.mark(value, within);
        Ok(value)
    }

    async fn send_surely(
        &self,
        mut places: impl FnMut() -> SocketAddr,
        event: (Session, Option<u32>, Value),
        limit: Duration,
    ) -> Outcome {
        let (end, resets) = (Instant::now() + limit, self.ledger.resets());
        let mut last = Outcome::Refused;
        let outcome = loop {
            let outcome = self.send(places(), event, Some(format!("value-{}", event.2))).await;
            if matches!(outcome, Outcome::Acknowledged(_)) {
                break outcome;
            }
            // What is refused now may have been taken before.
            if outcome == Outcome::Unknown {
                last = outcome;
            }
            if Instant::now() >= end {
                break last;
            }
            sleep(AGAIN).await;
        };
        // A log that is emptied forgets keys, too.
        let copies = 1 + self.ledger.resets() - resets;
        self.ledger.finish(event.2, outcome, copies);
        outcome
    }

    /// Adds an entry as any producer does that knows nothing of weir.
    pub async fn add(
        &self,
        redis: &RedisServer,
        stream: &str,
        (session, key): (Session, Option<u32>),
    ) -> (Value, Outcome) {
        let value = self.ledger.begin(session, key);
        let (name, data, about) =
            (session_name(session), payload(value), key.unwrap_or_default().to_string());
        let mut command: Vec<&[u8]> = vec![b"XADD", stream.as_bytes(), b"*", b"session", name.as_bytes()];
        command.extend([b"data" as &[u8], data.as_bytes()]);
        if key.is_some() {
            command.extend([b"key" as &[u8], about.as_bytes()]);
        }
        let outcome = match redis.try_command(&command).await {
            Ok(Ok(id)) => id.parse().map_or(Outcome::Unknown, Outcome::Acknowledged),
            Ok(Err(_)) => Outcome::Refused,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        self.ledger.finish(value, outcome, 1);
        (value, outcome)
    }

    async fn send(
        &self,
        to: SocketAddr,
        (session, key, value): (Session, Option<u32>, Value),
        idempotency: Option<String>,
    ) -> Outcome {
        let mut request =
            Client::new(to).event(&session_name(session)).deadline(self.patience).body(payload(value));
        if let Some(key) = key {
            request = request.query("key", key.to_string());
        }
        if let Some(idempotency) = idempotency {
            request = request.header("idempotency-key", idempotency);
        }
        match request.send().await {
            Ok(answer) => outcome(&answer).unwrap_or(Outcome::Unknown),
            Err(_) => Outcome::Unknown,
        }
    }
}

fn outcome(answer: &Response) -> anyhow::Result<Outcome> {
    if answer.status() == 201 {
        let id: EventId = answer.event_id()?;
        return Ok(Outcome::Acknowledged(id));
    }
    match answer.problem_code().context("neither published nor a problem")?.as_str() {
        "outcome_unknown" => Ok(Outcome::Unknown),
        _ => Ok(Outcome::Refused),
    }
}

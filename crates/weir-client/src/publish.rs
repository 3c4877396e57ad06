//! Publish now, and learn the outcome.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::idempotency::IdempotencyKey;
use crate::problem::{self, Problem};
use crate::transport::Transport;

/// Longest wait for the answer to a publish; then its outcome is unknown.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Most bytes read of an answer: the ids of the largest batch fit many times.
const MAX_ANSWER: usize = 1024 * 1024;

/// One event to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPublish {
    /// The text.
    pub data: String,
    /// What kind it is: its SSE event name.
    pub kind: Option<String>,
    /// What it is about.
    pub key: Option<String>,
    /// Keep it also as the session's snapshot for so many seconds.
    pub snapshot: Option<u32>,
}

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEvent {
    /// Whom it is addressed to.
    pub session: String,
    /// The event.
    pub event: NewPublish,
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No connection was made: nothing is published.
    #[error("cannot reach {url}: {cause}")]
    Unreachable {
        /// The server.
        url: String,
        /// Why not.
        cause: Transport,
    },
    /// The request left, the answer did not come.
    #[error("{url} did not answer, so it may or may not be published: {cause}")]
    OutcomeUnknown {
        /// The server.
        url: String,
        /// What happened.
        cause: Transport,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(Problem),
    /// The server said yes in a way no weir does.
    #[error("{url} answered HTTP {status} without an event id: is it a weir?")]
    NotWeir {
        /// The server.
        url: String,
        /// Its status.
        status: u16,
    },
}

impl PublishError {
    /// Whether the server turned down the event itself: nothing is published, and no repeat will do. Everything else is
    /// about the way there, such as a token or an address, or about now.
    pub fn is_about_the_event(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.is_about_the_request(),
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } | Self::NotWeir { .. } => false,
        }
    }

    /// Whether the same publish may succeed later, though nobody does anything about it. Repeated with the same
    /// idempotency key it is published once.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } => true,
            Self::Refused(problem) => problem.is_temporary(),
            Self::NotWeir { .. } => false,
        }
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem.retry_after,
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } | Self::NotWeir { .. } => None,
        }
    }
}

impl Client {
    /// Publishes one event and returns its id.
    ///
    /// # Errors
    /// [`PublishError`]. It is not tried again: see [`Publisher`](crate::Publisher) for that.
    pub async fn publish(&self, session: &str, event: &NewPublish) -> Result<String, PublishError> {
        self.publish_as(session, event, None).await
    }

    /// Publishes one event under a key, so that it may be asked for again: a repeat returns the id of the first.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish_once(
        &self,
        session: &str,
        event: &NewPublish,
        key: &IdempotencyKey,
    ) -> Result<String, PublishError> {
        self.publish_as(session, event, Some(key)).await
    }

    /// Publishes all events or none, in order, and returns their ids in that order.
    ///
    /// # Errors
    /// [`PublishError`]. A server takes at most 1,000 events and 4 MiB at once.
    pub async fn publish_batch(&self, events: &[BatchEvent]) -> Result<Vec<String>, PublishError> {
        self.publish_lines(events.iter(), None).await
    }

    /// Publishes all events or none, perhaps under a key.
    pub(crate) async fn publish_lines<'a>(
        &self,
        events: impl ExactSizeIterator<Item = &'a BatchEvent>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<String>, PublishError> {
        let count = events.len();
        let lines = events.map(|event| Line::new(&event.session, &event.event));
        self.send_lines(lines, count, key).await
    }

    async fn publish_as(
        &self,
        session: &str,
        event: &NewPublish,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Result<String, PublishError> {
        if matches!(session, "." | "..") {
            // A URL cannot hold these as a path segment, encoded or not.
            let line = std::iter::once(Line::new(session, event));
            return Ok(self.send_lines(line, 1, idempotency_key).await?.remove(0));
        }
        let snapshot = event.snapshot.map(|seconds| seconds.to_string());
        let params = [
            ("type", event.kind.as_deref()),
            ("key", event.key.as_deref()),
            ("snapshot", snapshot.as_deref()),
        ];
        let request = self
            .request_with(Method::POST, &["v1", "sessions", session, "events"], &params)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(event.data.clone());
        let answer: One = self.send(request, idempotency_key).await?;
        Ok(answer.id)
    }

    async fn send_lines<'a>(
        &self,
        lines: impl Iterator<Item = Line<'a>>,
        count: usize,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Result<Vec<String>, PublishError> {
        let mut body = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut body, &line).expect("strings and numbers always serialise");
            body.push(b'\n');
        }
        let request = self
            .request(Method::POST, &["v1", "events"])
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(body);
        let answer: Many = self.send(request, idempotency_key).await?;
        if answer.ids.len() != count {
            return Err(PublishError::NotWeir { url: self.url().to_owned(), status: 201 });
        }
        Ok(answer.ids)
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        mut request: RequestBuilder,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Result<T, PublishError> {
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key.header());
        }
        let response = request.timeout(ANSWER_TIMEOUT).send().await.map_err(|e| self.no_answer(e.into()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(PublishError::Refused(Problem::read(response).await));
        }
        let not_weir = || PublishError::NotWeir { url: self.url().to_owned(), status: status.as_u16() };
        if status != StatusCode::CREATED {
            return Err(not_weir());
        }
        let body = problem::read_body(response, MAX_ANSWER).await.ok_or_else(not_weir)?;
        serde_json::from_slice(&body).map_err(|_| not_weir())
    }

    fn no_answer(&self, cause: Transport) -> PublishError {
        let url = self.url().to_owned();
        if cause.is_unsent() {
            PublishError::Unreachable { url, cause }
        } else {
            PublishError::OutcomeUnknown { url, cause }
        }
    }
}

/// One line of a batch on the wire.
#[derive(Serialize)]
struct Line<'a> {
    session: &'a str,
    data: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<u32>,
}

impl<'a> Line<'a> {
    fn new(session: &'a str, event: &'a NewPublish) -> Self {
        let NewPublish { data, kind, key, snapshot } = event;
        Self { session, data, kind: kind.as_deref(), key: key.as_deref(), snapshot: *snapshot }
    }
}

#[derive(Deserialize)]
struct One {
    id: String,
}

#[derive(Deserialize)]
struct Many {
    ids: Vec<String>,
}

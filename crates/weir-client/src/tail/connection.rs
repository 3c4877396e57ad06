//! One connection, from the request to its end.

use std::future::Future;
use std::time::Duration;

use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use reqwest::{Method, Response};
use tokio::time::{Instant, timeout, timeout_at};

use super::TailRequest;
use crate::client::Client;
use crate::problem::{Problem, header};
use crate::sse::{Parser, Said};
use crate::transport::Transport;

/// Longest wait for the head of the answer; a server sends it at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The heartbeat to expect until the server has told its own.
const USUAL_HEARTBEAT: Duration = Duration::from_secs(15);

/// After so many heartbeats without a byte the connection is taken for dead: a machine that lost its power sends no
/// end of the stream.
const SILENT_HEARTBEATS: f64 = 2.5;

/// What a heartbeat may be. Outside of it the server's figure is a mistake that would make every connection look dead, or
/// none ever.
const PLAUSIBLE_HEARTBEAT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(3600);

/// Most bytes kept of one event. It bounds what a broken or hostile server can make this client hold, and is far above
/// what a weir takes by default.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// An open stream.
pub(super) struct Connection {
    response: Response,
    parser: Parser,
    silence: Duration,
    deadline: Instant,
}

/// Why there is no stream.
pub(super) enum Unopened {
    /// The server answered otherwise.
    Refused(Problem),
    /// There was no answer, or none that a weir gives.
    Failed(String),
}

/// What a read brought.
pub(super) enum Chunk {
    /// Bytes, and what they completed.
    Said(Vec<Said>),
    /// The end, and how it came.
    End(String),
}

/// Opens a stream that begins after `position`.
pub(super) fn open(
    client: &Client,
    request: &TailRequest,
    position: Option<&str>,
) -> impl Future<Output = Result<Connection, Unopened>> + Send + use<> {
    let sessions = request.sessions.iter().map(|s| ("session", Some(s.as_str())));
    let types = request.types.iter().map(|t| ("type", Some(t.as_str())));
    let keys = request.keys.iter().map(|k| ("key", Some(k.as_str())));
    let params: Vec<_> = sessions.chain(types).chain(keys).chain([("format", Some("json"))]).collect();
    let mut http = client
        .request_with(Method::GET, &["v1", "events"], &params)
        .header(ACCEPT, "text/event-stream")
        .header(CACHE_CONTROL, "no-cache");
    if let Some(position) = position {
        http = http.header("last-event-id", position);
    }
    let url = client.url().to_owned();
    async move {
        let response = match timeout(HEAD_TIMEOUT, http.send()).await {
            Ok(sent) => {
                sent.map_err(|e| Unopened::Failed(format!("cannot reach {url}: {}", Transport::from(e))))?
            }
            Err(_) => return Err(Unopened::Failed(format!("{url} did not answer within {HEAD_TIMEOUT:?}"))),
        };
        Connection::of(response).await
    }
}

impl Connection {
    async fn of(response: Response) -> Result<Self, Unopened> {
        if !response.status().is_success() {
            let read = timeout(HEAD_TIMEOUT, Problem::read(response)).await;
            return Err(
                read.map_or_else(|_| Unopened::Failed("the answer broke off".to_owned()), Unopened::Refused)
            );
        }
        let kind = header(&response, CONTENT_TYPE).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(Unopened::Failed(format!(
                "the answer is {kind:?} and no event stream: is it a weir?"
            )));
        }
        let silence = USUAL_HEARTBEAT.mul_f64(SILENT_HEARTBEATS);
        Ok(Self {
            response,
            parser: Parser::new(MAX_EVENT_BYTES),
            silence,
            deadline: Instant::now() + silence,
        })
    }

    /// The server told how often it says something at least.
    pub(super) fn expect_heartbeat(&mut self, heartbeat: Duration) {
        if !PLAUSIBLE_HEARTBEAT.contains(&heartbeat) {
            return;
        }
        self.silence = heartbeat.mul_f64(SILENT_HEARTBEATS);
        self.deadline = Instant::now() + self.silence;
    }

    /// Reads what comes next. Cancel safe.
    pub(super) async fn read(&mut self) -> Chunk {
        let chunk = match timeout_at(self.deadline, self.response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Chunk::End("the server ended the stream".to_owned()),
            Ok(Err(error)) => return Chunk::End(format!("the stream broke off: {}", Transport::from(error))),
            Err(_) => return Chunk::End(format!("nothing came for {:.1?}", self.silence)),
        };
        self.deadline = Instant::now() + self.silence;
        let mut said = Vec::new();
        self.parser.push(&chunk, |s| said.push(s));
        Chunk::Said(said)
    }
}

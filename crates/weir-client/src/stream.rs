//! A stream as it comes, for whoever looks at what lies on the way.

use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::ACCEPT_ENCODING;

use crate::client::Client;
use crate::transport::Transport;

/// Longest wait for the head of an answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Most of what came that is kept to be looked through.
const KEPT: usize = 64 * 1024;

/// A subscription, byte by byte.
#[derive(Debug)]
pub struct RawStream {
    response: reqwest::Response,
    seen: Vec<u8>,
    before: Vec<u8>,
}

/// What came of waiting for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It came after so long.
    After(Duration),
    /// It did not come in time.
    Late,
    /// The stream ended after so long.
    Ended(Duration),
}

impl Client {
    /// Subscribes to a session with heartbeats that can be seen, as a browser would that takes compressed answers.
    ///
    /// `None` where the head of the answer does not come in time.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn raw_stream(&self, session: &str) -> Result<Option<RawStream>, Transport> {
        let request = self.request_with(
            Method::GET,
            &["v1", "sessions", session, "events"],
            &[("heartbeat", Some("event"))],
        );
        let answer = request.header(ACCEPT_ENCODING, "gzip").send();
        match tokio::time::timeout(HEAD_TIMEOUT, answer).await {
            Ok(response) => Ok(Some(RawStream { response: response?, seen: Vec::new(), before: Vec::new() })),
            Err(_) => Ok(None),
        }
    }
}

impl RawStream {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header of the answer; what is no text is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// What came before the text that was last waited for.
    pub fn before(&self) -> String {
        String::from_utf8_lossy(&self.before).into_owned()
    }

    /// Waits until a text comes, at most so long. What comes behind it is for the next wait.
    pub async fn wait(&mut self, text: &str, patience: Duration) -> Came {
        let started = Instant::now();
        loop {
            if let Some(found) = self.seen.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.before = self.seen.drain(..found + text.len()).take(found).collect();
                return Came::After(started.elapsed());
            }
            let left = patience.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.seen.extend_from_slice(&chunk),
                Ok(Ok(None) | Err(_)) => return Came::Ended(started.elapsed()),
                Err(_) => return Came::Late,
            }
            let surplus = self.seen.len().saturating_sub(KEPT);
            self.seen.drain(..surplus);
        }
    }
}

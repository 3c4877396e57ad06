//! A small HTTP/1.1 client that hides nothing: one connection per request, the head as it came, the end as it was.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use weir_core::EventId;

use crate::body::{Body, End};
use crate::deadline::{DEADLINE, within};
use crate::head::Head;
use crate::raw::RawConn;
use crate::stream::SseStream;
use crate::trust::Trust;

/// What stays as it is in a path segment or a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where requests go.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    addr: SocketAddr,
    trust: Option<Trust>,
}

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Request {
    to: Client,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    deadline: Duration,
    receive_buffer: Option<u32>,
    from: Option<Ipv4Addr>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// The body, without its framing.
    pub body: Bytes,
    /// How it ended.
    pub end: End,
}

impl Client {
    /// A client of the server at `addr`. Nothing is sent yet.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, trust: None }
    }

    /// A client of the server at `addr` that speaks TLS.
    pub fn secure(addr: SocketAddr, trust: Trust) -> Self {
        Self { addr, trust: Some(trust) }
    }

    /// A request of any method for `target`, a path with its query, which is sent as it is.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request {
            to: *self,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            deadline: DEADLINE,
            receive_buffer: None,
            from: None,
        }
    }

    /// `GET target`.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// `POST target`.
    pub fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    /// `GET` of one session's events, to go on with [`Request::subscribe`].
    pub fn events(&self, session: &str) -> Request {
        self.get(&events_path(session))
    }

    /// `POST` of one event of `session`, to go on with [`Request::query`] and [`Request::body`].
    pub fn event(&self, session: &str) -> Request {
        self.post(&events_path(session))
    }

    /// A request of any method for a session's snapshot.
    pub fn snapshot(&self, method: &str, session: &str) -> Request {
        self.request(method, &format!("/v1/sessions/{}/snapshot", utf8_percent_encode(session, ENCODED)))
    }

    /// Opens the stream of one session and waits for its `weir.connected`, after which nothing published is missed.
    ///
    /// # Errors
    /// The answer is no stream, or begins otherwise.
    pub async fn subscribe(&self, session: &str) -> anyhow::Result<SseStream> {
        let mut stream = self.events(session).subscribe().await?;
        let first = stream.next_event().await?;
        ensure!(first.event == "weir.connected", "the stream begins with {first:?}");
        Ok(stream)
    }

    /// Publishes `data` to `session`.
    ///
    /// # Errors
    /// Any answer but 201 with an id.
    pub async fn publish(&self, session: &str, data: impl Into<Bytes>) -> anyhow::Result<EventId> {
        self.event(session).body(data).send().await?.event_id()
    }
}

fn events_path(session: &str) -> String {
    format!("/v1/sessions/{}/events", utf8_percent_encode(session, ENCODED))
}

impl Request {
    /// Adds a header. Without one named `host` the address is sent.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Shows a token in `Authorization`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds a parameter, encoded.
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let value = value.into();
        self.target.push(separator);
        self.target.extend(utf8_percent_encode(name, ENCODED));
        self.target.push('=');
        self.target.extend(utf8_percent_encode(&value, ENCODED));
        self
    }

    /// Adds a body, and with it its length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// How long each wait for this request may take; [`DEADLINE`] without.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// Sends it from this address of this machine.
    pub fn from(mut self, from: Ipv4Addr) -> Self {
        self.from = Some(from);
        self
    }

    /// Gives the connection a receive buffer of about `bytes`, so that a server notices early that nobody reads.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// No connection, no whole answer within the deadline, or a broken one.
    pub async fn send(self) -> anyhow::Result<Response> {
        within(self.deadline, self.name(), async {
            let (conn, head) = self.open().await?;
            read_to_end(conn, head, &self.method).await
        })
        .await
    }

    /// Sends it and takes the answer as a stream of events.
    ///
    /// # Errors
    /// As [`Self::send`], and any answer but 200 with `text/event-stream`; the error shows it.
    pub async fn subscribe(self) -> anyhow::Result<SseStream> {
        within(self.deadline, self.name(), async {
            let (conn, head) = self.open().await?;
            if head.status == 200 && head.header("content-type") == Some("text/event-stream") {
                return self.stream(conn, head);
            }
            let answer = read_to_end(conn, head, &self.method).await?;
            anyhow::bail!("not a stream of events: {:?} {:?}", answer.head, answer.body)
        })
        .await
    }

    /// Follows a durable stream, and takes the answer as its events.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub async fn follow(self) -> anyhow::Result<SseStream> {
        within(self.deadline, self.name(), async {
            let (conn, head) = self.open().await?;
            if head.status == 200 && head.header("content-type") == Some("text/event-stream") {
                let body = Body::of(&self.method, &head)?;
                return SseStream::durable(self.name(), head, body, (conn, self.deadline));
            }
            let answer = read_to_end(conn, head, &self.method).await?;
            anyhow::bail!("not a stream of events: {:?} {:?}", answer.head, answer.body)
        })
        .await
    }

    /// What follows this head as a stream of events.
    pub(crate) fn stream(&self, conn: RawConn, head: Head) -> anyhow::Result<SseStream> {
        let body = Body::of(&self.method, &head)?;
        SseStream::new(self.name(), head, body, (conn, self.deadline))
    }

    /// Sends it and reads the head alone.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn open(&self) -> anyhow::Result<(RawConn, Head)> {
        let mut conn = match (self.receive_buffer, self.from) {
            (Some(bytes), _) => RawConn::open_narrow(self.to.addr, bytes).await?,
            (None, Some(from)) => RawConn::open_from(from, self.to.addr).await?,
            (None, None) => RawConn::open(self.to.addr).await?,
        };
        if let Some(trust) = self.to.trust {
            conn = conn.secure(trust).await?;
        }
        conn.write(&self.encode()).await?;
        loop {
            let head = conn.read_head(self.deadline).await?;
            if head.status >= 200 {
                return Ok((conn, head));
            }
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let given = |name: &str| self.headers.iter().any(|(have, _)| have.eq_ignore_ascii_case(name));
        if !given("host") {
            head.push_str(&format!("host: {}\r\n", self.to.addr));
        }
        if !given("content-length") && (!self.body.is_empty() || self.method != "GET") {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

async fn read_to_end(mut conn: RawConn, head: Head, method: &str) -> anyhow::Result<Response> {
    let mut body = Body::of(method, &head)?;
    let mut out = Vec::new();
    let end = loop {
        body.decode(&mut conn.unread, &mut out)?;
        if body.is_complete() {
            break End::Clean;
        }
        if conn.fill().await?.is_some() {
            break End::Cut;
        }
    };
    Ok(Response { head, body: out.into(), end })
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The body as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self) -> anyhow::Result<&str> {
        std::str::from_utf8(&self.body).context("the body is not UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none; the error shows it.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {self:?}"))
    }

    /// The `code` of a problem.
    ///
    /// # Errors
    /// It is no problem of RFC 9457 with a code.
    pub fn problem_code(&self) -> anyhow::Result<String> {
        let kind = self.head.header("content-type");
        ensure!(kind == Some("application/problem+json"), "not a problem: {self:?}");
        let json = self.json()?;
        let code = json["code"].as_str().with_context(|| format!("no code in {json}"))?;
        Ok(code.to_owned())
    }

    /// The id of an event that was published.
    ///
    /// # Errors
    /// Any answer but 201 with an id.
    pub fn event_id(&self) -> anyhow::Result<EventId> {
        ensure!(self.status() == 201, "not published: {self:?}");
        let json = self.json()?;
        let id = json["id"].as_str().with_context(|| format!("no id in {json}"))?;
        id.parse().with_context(|| format!("id {id:?}"))
    }
}

#[cfg(test)]
mod tests;

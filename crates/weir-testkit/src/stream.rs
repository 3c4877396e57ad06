//! An open subscription, read event by event under a deadline.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::{Body, End};
use crate::head::Head;
use crate::raw::{Closed, RawConn};
use crate::sse::{Event, Item, Parser};

/// How much of a stream is kept to compare bytes with.
const TRANSCRIPT_BYTES: usize = 64 * 1024;

/// A stream of events from a server that must be clean: whatever a strict parser objects to is an error.
#[derive(Debug)]
pub struct SseStream {
    /// Status and headers of the answer.
    pub head: Head,
    name: String,
    conn: RawConn,
    body: Body,
    parser: Option<Parser>,
    ready: VecDeque<Item>,
    end: Option<End>,
    retry: Option<u64>,
    last_event_id: String,
    events: usize,
    comments: usize,
    transcript: Vec<u8>,
    deadline: Duration,
}

/// What comes next on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Something was said.
    Item(Item),
    /// Nothing more will come.
    End(End),
}

impl SseStream {
    /// A stream of which some may have come together with its head.
    pub(crate) fn new(
        name: String,
        head: Head,
        body: Body,
        (conn, deadline): (RawConn, Duration),
    ) -> anyhow::Result<Self> {
        let mut stream = Self::with(Parser::strict(), (name, head), body, (conn, deadline));
        stream.take(None)?;
        Ok(stream)
    }

    /// That of somebody who follows a durable stream.
    pub(crate) fn durable(
        name: String,
        head: Head,
        body: Body,
        (conn, deadline): (RawConn, Duration),
    ) -> anyhow::Result<Self> {
        let mut stream = Self::with(Parser::tight(), (name, head), body, (conn, deadline));
        stream.take(None)?;
        Ok(stream)
    }

    fn with(
        parser: Parser,
        (name, head): (String, Head),
        body: Body,
        (conn, deadline): (RawConn, Duration),
    ) -> Self {
        Self {
            head,
            name,
            conn,
            body,
            parser: Some(parser),
            ready: VecDeque::new(),
            end: None,
            retry: None,
            last_event_id: String::new(),
            events: 0,
            comments: 0,
            transcript: Vec::new(),
            deadline,
        }
    }

    /// The next event, control events included; comments and `retry` lines are passed over and remembered.
    ///
    /// # Errors
    /// The stream ends, is not clean, or brings no event within the deadline, whatever else it says.
    pub async fn next_event(&mut self) -> anyhow::Result<Event> {
        let until = Instant::now() + self.deadline;
        self.next_event_until(until).await
    }

    async fn next_event_until(&mut self, until: Instant) -> anyhow::Result<Event> {
        loop {
            let Ok(next) = timeout_at(until, self.next()).await else {
                bail!("{}: no event within {:?}", self.so_far(), self.deadline)
            };
            match next? {
                Next::Item(Item::Event(event)) => return Ok(event),
                Next::Item(Item::Comment(_) | Item::Retry(_)) => {}
                Next::Item(item @ (Item::Silent { .. } | Item::Violation(_))) => {
                    bail!("{}: not clean: {item:?}", self.so_far())
                }
                Next::End(end) => bail!("{}: ended ({end:?}) before the event", self.so_far()),
            }
        }
    }

    /// The next event that somebody published. Control events are passed over, but for a gap.
    ///
    /// # Errors
    /// As [`Self::next_event`], and a gap.
    pub async fn next_published(&mut self) -> anyhow::Result<Event> {
        let until = Instant::now() + self.deadline;
        loop {
            let event = self.next_event_until(until).await?;
            ensure!(event.event != "weir.gap", "{}: a gap: {}", self.so_far(), event.data);
            if !event.event.starts_with("weir.") {
                return Ok(event);
            }
        }
    }

    /// The data of the next `count` events that somebody published.
    ///
    /// # Errors
    /// As [`Self::next_published`].
    pub async fn next_data(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut data = Vec::with_capacity(count);
        while data.len() < count {
            data.push(self.next_published().await?.data);
        }
        Ok(data)
    }

    /// All events up to the end, and how the stream ended. The deadline holds for each event.
    ///
    /// # Errors
    /// The stream is not clean, or neither goes on nor ends within the deadline.
    pub async fn read_to_end(&mut self) -> anyhow::Result<(Vec<Event>, End)> {
        let mut events = Vec::new();
        loop {
            match self.next().await? {
                Next::Item(Item::Event(event)) => events.push(event),
                Next::Item(Item::Comment(_) | Item::Retry(_)) => {}
                Next::Item(item @ (Item::Silent { .. } | Item::Violation(_))) => {
                    bail!("{}: not clean: {item:?}", self.so_far())
                }
                Next::End(end) => return Ok((events, end)),
            }
        }
    }

    /// The next thing the stream says, whatever it is.
    ///
    /// # Errors
    /// It says nothing within the deadline, or breaks its framing.
    pub async fn next(&mut self) -> anyhow::Result<Next> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                self.note(&item);
                return Ok(Next::Item(item));
            }
            if let Some(end) = self.end {
                return Ok(Next::End(end));
            }
            match timeout(self.deadline, self.conn.fill()).await {
                Ok(closed) => self.take(closed?)?,
                Err(_) => bail!("{}: nothing within {:?}", self.so_far(), self.deadline),
            }
        }
    }

    /// The last `retry`, in ms.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// What a client would resume with after the events returned so far.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Comments so far.
    pub fn comments(&self) -> usize {
        self.comments
    }

    /// The first 64 KiB of the stream as received so far, without the framing of HTTP.
    pub fn transcript(&self) -> &[u8] {
        &self.transcript
    }

    /// The connection itself, for a client that misbehaves from here on. What was received is lost.
    pub fn into_raw(self) -> RawConn {
        self.conn
    }

    fn take(&mut self, closed: Option<Closed>) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        let decoded = self.body.decode(&mut self.conn.unread, &mut bytes);
        decoded.with_context(|| self.so_far())?;
        let room = TRANSCRIPT_BYTES.saturating_sub(self.transcript.len());
        self.transcript.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if let Some(parser) = &mut self.parser {
            self.ready.extend(parser.push(&bytes));
        }
        if self.body.is_complete() {
            self.finish(End::Clean);
        } else if closed.is_some() {
            self.finish(End::Cut);
        }
        Ok(())
    }

    /// A cut may fall anywhere, a clean end only between two blocks.
    fn finish(&mut self, end: End) {
        self.end = Some(end);
        let rest = self.parser.take().map_or(Ok(()), Parser::finish);
        if let (End::Clean, Err(violation)) = (end, rest) {
            self.ready.push_back(Item::Violation(violation));
        }
    }

    fn note(&mut self, item: &Item) {
        match item {
            Item::Event(event) => {
                self.events += 1;
                self.last_event_id.clone_from(&event.last_event_id);
            }
            Item::Silent { id: Some(id) } => self.last_event_id.clone_from(id),
            Item::Comment(_) => self.comments += 1,
            Item::Retry(ms) => self.retry = Some(*ms),
            Item::Silent { id: None } | Item::Violation(_) => {}
        }
    }

    fn so_far(&self) -> String {
        format!("{} (after {} events, last id {:?})", self.name, self.events, self.last_event_id)
    }
}

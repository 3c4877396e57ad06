//! One client that comes, listens, leaves, comes back for what it missed, and stays a little before it goes for good.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use socket2::SockRef;

use crate::audience::open;
use crate::clock::now_ns;
use crate::heard::Heard;
use crate::scan::Found;
use crate::stamp::Stamp;

/// How long anything may take; what has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Streams that a visitor leaves open behind it, the oldest of which goes when another comes.
const LINGERING: usize = 8;

/// Events that a client gets while it listens, and again as many that it misses.
const EACH: u64 = 2;

/// Events that are published during a visit: those heard, those missed, and one after the return.
pub const EVENTS: u64 = 2 * EACH + 1;

/// The server says that it cannot reach its log at the moment. That is no loss: whoever published knows.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server cannot reach its log")]
pub struct Unavailable;

/// A client that visits again and again, a session of its own each time.
#[derive(Debug)]
pub struct Visitor {
    server: SocketAddr,
    /// Which of the loopback addresses it comes from; see [`open`].
    source: usize,
    publisher: BufReader<TcpStream>,
    visits: u64,
    lingering: VecDeque<Listener>,
}

impl Visitor {
    /// It has not visited yet.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn new(server: SocketAddr, source: usize) -> anyhow::Result<Self> {
        let publisher = BufReader::new(patient(open(server, source)?)?);
        Ok(Self { server, source, publisher, visits: 0, lingering: VecDeque::new() })
    }

    /// Visits a session that nobody has heard of. By turns it goes politely or hangs up, and comes back to a stream or to a
    /// long-poll.
    ///
    /// # Errors
    /// An event was lost, doubled, out of order or of another session, a loss was announced, or the server broke the protocol.
    pub fn visit(&mut self, session: u32) -> anyhow::Result<()> {
        let turn = self.visits;
        self.visits += 1;
        let mut listener = self.listen(session, None)?;
        let heard = self.publish(session, 0..EACH)?;
        listener.expect(0..EACH).context("while it listened")?;
        if turn.is_multiple_of(2) {
            listener.hang_up()?;
        }
        drop(listener);
        self.publish(session, EACH..2 * EACH)?;
        if turn % 4 < 2 {
            self.resume(session, &heard).context("a stream after its return")
        } else {
            self.poll(session, &heard).context("a long-poll after its return")
        }
    }

    fn resume(&mut self, session: u32, position: &str) -> anyhow::Result<()> {
        let mut listener = self.listen(session, Some(position))?;
        listener.expect(EACH..2 * EACH)?;
        self.publish(session, 2 * EACH..EVENTS)?;
        listener.expect(2 * EACH..EVENTS)?;
        self.lingering.push_back(listener);
        if self.lingering.len() > LINGERING {
            self.lingering.pop_front();
        }
        Ok(())
    }

    fn poll(&mut self, session: u32, position: &str) -> anyhow::Result<()> {
        let position = self.poll_for(session, position, EACH..2 * EACH)?;
        self.publish(session, 2 * EACH..EVENTS)?;
        self.poll_for(session, &position, 2 * EACH..EVENTS).map(drop)
    }

    /// Polls until these have come, and says the position after the last. One answer need not hold all: a publish is answered
    /// when the log has it, and a poll as soon as there is something.
    fn poll_for(&self, session: u32, position: &str, expected: Range<u64>) -> anyhow::Result<String> {
        let (mut position, mut next) = (position.to_owned(), expected.start);
        while next < expected.end {
            let mut answer = self.poll_once(session, &position)?;
            ensure!(answer["gap"].is_null(), "a gap: {answer}");
            let events = answer["events"].as_array().context("no events")?;
            ensure!(!events.is_empty(), "nothing came while it waited for number {next}");
            for event in events {
                let stamp = event["data"].as_str().and_then(|data| Stamp::parse(data.as_bytes()));
                ensure!(
                    stamp.is_some_and(|stamp| (stamp.session, stamp.number) == (session, next)),
                    "not number {next}: {answer}"
                );
                next += 1;
            }
            let Value::String(after) = answer["lastEventId"].take() else { bail!("no position: {answer}") };
            position = after;
        }
        ensure!(next == expected.end, "more than {expected:?} came");
        Ok(position)
    }

    fn poll_once(&self, session: u32, position: &str) -> anyhow::Result<Value> {
        let mut socket = patient(open(self.server, self.source)?)?;
        let server = self.server;
        write!(
            socket,
            "GET /v1/sessions/s{session}/events?wait=5 HTTP/1.1\r\nHost: {server}\r\nLast-Event-ID: {position}\r\n\r\n"
        )?;
        answer(&mut BufReader::new(socket), "200")
    }

    fn listen(&self, session: u32, position: Option<&str>) -> anyhow::Result<Listener> {
        let mut socket = patient(open(self.server, self.source)?)?;
        write!(socket, "GET /v1/sessions/s{session}/events HTTP/1.1\r\nHost: {}\r\n", self.server)?;
        if let Some(position) = position {
            write!(socket, "Last-Event-ID: {position}\r\n")?;
        }
        socket.write_all(b"\r\n")?;
        Ok(Listener { stream: Heard::begin(socket)?, session })
    }

    /// Publishes these, and says the position after the last.
    fn publish(&mut self, session: u32, numbers: Range<u64>) -> anyhow::Result<String> {
        let mut id = Value::Null;
        for number in numbers {
            let mut body = Vec::new();
            Stamp { session, number, sent_ns: now_ns() }.put(&mut body);
            let head = format!(
                "POST /v1/sessions/s{session}/events?snapshot=1 HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
                self.server,
                body.len()
            );
            self.publisher.get_mut().write_all(&[head.as_bytes(), &body].concat())?;
            id = answer(&mut self.publisher, "201").context("publish")?["id"].take();
        }
        Ok(id.as_str().context("an answer without id")?.to_owned())
    }
}

/// An open stream.
#[derive(Debug)]
struct Listener {
    stream: Heard<TcpStream>,
    session: u32,
}

impl Listener {
    /// These come next, and nothing else.
    fn expect(&mut self, numbers: Range<u64>) -> anyhow::Result<()> {
        for number in numbers {
            let found = self.stream.hear().with_context(|| format!("wait for number {number}"))?;
            ensure!(
                matches!(found, Found::Stamp(stamp) if (stamp.session, stamp.number) == (self.session, number)),
                "not number {number} of session {}: {found:?}",
                self.session
            );
        }
        Ok(())
    }

    /// As a client does that is killed: the server gets a reset and no farewell.
    fn hang_up(&self) -> anyhow::Result<()> {
        Ok(SockRef::from(&self.stream.wire).set_linger(Some(Duration::ZERO))?)
    }
}

fn patient(socket: TcpStream) -> anyhow::Result<TcpStream> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The body of one answer, which must have this status.
pub fn answer(input: &mut impl BufRead, status: &str) -> anyhow::Result<Value> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        ensure!(input.read_line(&mut head).context("read an answer")? > 0, "closed before the answer");
        let line = head[start..].trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let refused = || format!("{head}{}", String::from_utf8_lossy(&body));
    let answered = head.split_whitespace().nth(1);
    if answered == Some("503") {
        return Err(Unavailable).with_context(refused);
    }
    ensure!(answered == Some(status), "not {status}: {}", refused());
    serde_json::from_slice(&body).with_context(refused)
}

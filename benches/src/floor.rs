//! What the kernel alone costs: a server that writes each event to every socket with one `send()` and does nothing
//! else. It knows one session, keeps nothing, and has no idea of a slow client.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::{MS_NS, now_ns};
use crate::poller::Poller;

const LISTENER: u64 = u64::MAX;

/// How often the flag that stops the server is looked at.
const STOP_CHECK: Duration = Duration::from_millis(50);

const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";

/// How the floor speaks: as weir does, or as a peer that speaks otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// In chunks, the stream opened by `weir.connected`.
    Weir,
    /// In chunks, the stream opened by its head, as hyper, axum and Fastify do.
    Chunked,
    /// The same with the id after the data, as Hono does.
    IdLast,
    /// Without chunks and with a comment first, as nchan does.
    Plain,
}

impl Voice {
    fn head(self) -> &'static [u8] {
        match self {
            Self::Weir => {
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                Transfer-Encoding: chunked\r\n\r\n35\r\nevent: weir.connected\nid: 0-0\ndata: {\"heartbeat\":0}\n\n\r\n"
            }
            Self::Chunked | Self::IdLast => {
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            }
            Self::Plain => {
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: keep-alive\r\n\r\n: hi\n\n"
            }
        }
    }

    fn event(self, id: &str, data: &[u8]) -> Vec<u8> {
        let frame = match self {
            Self::IdLast => [b"data: ", data, b"\nid: ", id.as_bytes(), b"\n\n"].concat(),
            Self::Weir | Self::Chunked | Self::Plain => {
                [b"id: ", id.as_bytes(), b"\ndata: ", data, b"\n\n"].concat()
            }
        };
        match self {
            Self::Plain => frame,
            Self::Weir | Self::Chunked | Self::IdLast => {
                [format!("{:x}\r\n", frame.len()).as_bytes(), &frame, b"\r\n"].concat()
            }
        }
    }
}

/// What the floor does wrong on purpose, so that the generator can be held against it. Each `every` counts events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Leaves an event out.
    Drop {
        /// One in so many.
        every: u64,
    },
    /// Sends an event twice.
    Double {
        /// One in so many.
        every: u64,
    },
    /// Sends an event after the one that follows it.
    Swap {
        /// One in so many.
        every: u64,
    },
}

/// Serves until `stop` is set.
///
/// # Errors
/// The listener fails.
pub fn serve(listener: &TcpListener, (voice, fault): (Voice, Fault), stop: &AtomicBool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let poller = Poller::new()?;
    poller.add(listener, LISTENER)?;
    let mut floor = Floor {
        poller,
        inputs: HashMap::new(),
        next: 0,
        subscribers: Vec::new(),
        sender: Sender { voice, fault, count: 0, held: None },
    };
    let mut ready = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        floor.poller.wait(STOP_CHECK, &mut ready)?;
        for token in ready.drain(..) {
            match token {
                LISTENER => floor.accept(listener)?,
                token => floor.input(token)?,
            }
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Floor {
    poller: Poller,
    inputs: HashMap<u64, Input>,
    next: u64,
    subscribers: Vec<TcpStream>,
    sender: Sender,
}

/// A connection that may still say something.
#[derive(Debug)]
struct Input {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.poller.add(&stream, self.next)?;
            self.inputs.insert(self.next, Input { stream, bytes: Vec::new() });
            self.next += 1;
        }
    }

    fn input(&mut self, token: u64) -> io::Result<()> {
        let Some(mut input) = self.inputs.remove(&token) else { return Ok(()) };
        let mut buffer = [0; 16 * 1024];
        let count = input.stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        input.bytes.extend_from_slice(&buffer[..count]);
        while let Some(request) = Request::take(&mut input.bytes) {
            match request {
                Request::Subscribe => {
                    self.poller.remove(&input.stream)?;
                    send(&input.stream, self.sender.voice.head())?;
                    self.subscribers.push(input.stream);
                    return Ok(());
                }
                Request::Publish(body) => {
                    self.sender.publish(&body, &mut self.subscribers);
                    send(&input.stream, CREATED)?;
                }
            }
        }
        self.inputs.insert(token, input);
        Ok(())
    }
}

enum Request {
    Subscribe,
    Publish(Vec<u8>),
}

impl Request {
    /// Takes one whole request from what was read, if there is one.
    fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        if bytes.starts_with(b"GET ") {
            bytes.drain(..head + 4);
            return Some(Self::Subscribe);
        }
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())?;
        if bytes.len() < head + 4 + length {
            return None;
        }
        let body = bytes[head + 4..head + 4 + length].to_vec();
        bytes.drain(..head + 4 + length);
        Some(Self::Publish(body))
    }
}

/// Writes events, and does wrong what it was told to do wrong.
#[derive(Debug)]
struct Sender {
    voice: Voice,
    fault: Fault,
    count: u64,
    held: Option<Vec<u8>>,
}

impl Sender {
    fn publish(&mut self, body: &[u8], subscribers: &mut Vec<TcpStream>) {
        let event = self.event(body);
        let faulty = |every: u64| self.count.is_multiple_of(every);
        match self.fault {
            Fault::Drop { every } if faulty(every) => {}
            Fault::Double { every } if faulty(every) => {
                broadcast(&event, subscribers);
                broadcast(&event, subscribers);
            }
            Fault::Swap { every } if faulty(every) => self.held = Some(event),
            Fault::None | Fault::Drop { .. } | Fault::Double { .. } | Fault::Swap { .. } => {
                broadcast(&event, subscribers);
                if let Some(held) = self.held.take() {
                    broadcast(&held, subscribers);
                }
            }
        }
    }

    fn event(&mut self, data: &[u8]) -> Vec<u8> {
        self.count += 1;
        self.voice.event(&format!("{}-{}", now_ns() / MS_NS, self.count), data)
    }
}

/// A subscriber that does not take an event whole is let go: the generator then sees its stream end.
fn broadcast(event: &[u8], subscribers: &mut Vec<TcpStream>) {
    subscribers.retain(|subscriber| send(subscriber, event).is_ok());
}

fn send(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    match stream.write(bytes)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

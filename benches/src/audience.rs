//! The subscribers: tens of thousands of connections on one thread.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::clock::{SECOND_NS, now_ns};
use crate::poller::Poller;
use crate::receive::{Received, Receiver};
use crate::scan::{Broken, Control, Found, Scanner};
use crate::sequence::{Arrival, Sequence};

/// Connections opened before waiting for their answers, so that the server's accept queue never overflows.
const CONNECT_BATCH: usize = 200;

/// Connections per source address, well below the number of ports that an address has.
pub(crate) const PER_SOURCE: usize = 10_000;

/// How long a server may take to answer a batch of subscribes.
const CONNECT_TIMEOUT_NS: u64 = 20 * SECOND_NS;

/// Longest latency that can be told, in ns; longer ones count as this.
const LATENCY_MAX_NS: u64 = 60 * SECOND_NS;

/// How many connect, and to how many sessions.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections.
    pub connections: usize,
    /// Sessions; connection `i` listens to session `i % sessions`.
    pub sessions: u32,
}

/// How a server says that a stream is open, so that no event is published before somebody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// By `weir.connected`.
    Connected,
    /// By the head of its response.
    Head,
}

/// What arrived so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Events, duplicates left out.
    pub delivered: u64,
    /// Events that came again.
    pub duplicates: u64,
    /// Events that came after a later one.
    pub reordered: u64,
    /// Events of a session that the connection did not ask for.
    pub foreign: u64,
    /// Losses that were announced.
    pub gaps: u64,
    /// Connections that ended.
    pub ended: u64,
}

impl Arrivals {
    /// What [`Arrivals::wrong`] counts, as figures call it.
    pub const WRONG: &str = "doubled, reordered, foreign, announced as lost or ended";

    /// What must not happen to anybody who listens.
    pub fn wrong(&self) -> u64 {
        let Self { delivered: _, duplicates, reordered, foreign, gaps, ended } = self;
        duplicates + reordered + foreign + gaps + ended
    }
}

/// All subscribers of a measurement.
#[derive(Debug)]
pub struct Audience {
    subscribers: Vec<Subscriber>,
    sessions: u32,
    tally: Tally,
    receiver: Receiver,
}

#[derive(Debug)]
struct Subscriber {
    stream: TcpStream,
    scanner: Scanner,
    session: u32,
    sequence: Sequence,
}

/// What all subscribers count into.
#[derive(Debug)]
struct Tally {
    opening: Opening,
    arrivals: Arrivals,
    connected: usize,
    refused: usize,
    latency: Histogram<u64>,
    read_late: Histogram<u64>,
    last_ns: u64,
}

impl Audience {
    /// Connects all to a weir and waits until each stream is open. Their tokens are `0..connections`.
    ///
    /// # Errors
    /// The server refuses one, or does not answer in time.
    pub fn connect(poller: &Poller, server: SocketAddr, plan: Plan) -> anyhow::Result<Self> {
        Self::connect_to(poller, (server, Opening::Connected), plan)
    }

    /// [`connect`](Self::connect) to any server.
    ///
    /// # Errors
    /// The server refuses one, or does not answer in time.
    pub fn connect_to(
        poller: &Poller,
        (server, opening): (SocketAddr, Opening),
        plan: Plan,
    ) -> anyhow::Result<Self> {
        let mut this = Self {
            subscribers: Vec::with_capacity(plan.connections),
            sessions: plan.sessions,
            tally: Tally::new(opening)?,
            receiver: Receiver::new(),
        };
        for index in 0..plan.connections {
            this.subscribe(poller, server, index).with_context(|| format!("connection {index}"))?;
            if (index + 1) % CONNECT_BATCH == 0 || index + 1 == plan.connections {
                this.await_open(poller)?;
            }
        }
        Ok(this)
    }

    /// Reads what one of the sockets has.
    ///
    /// # Errors
    /// The server broke the protocol.
    pub fn read(&mut self, poller: &Poller, token: u64) -> anyhow::Result<()> {
        let index = usize::try_from(token).context("a token is an index")?;
        let subscriber = self.subscribers.get_mut(index).context("a token of another")?;
        match self.receiver.read(&subscriber.stream) {
            Ok(Received { bytes: [], .. }) => subscriber.close(poller, &mut self.tally),
            Ok(received) => Ok(subscriber.take(received, &mut self.tally)?),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                subscriber.close(poller, &mut self.tally)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What arrived so far.
    pub fn arrivals(&self) -> Arrivals {
        self.tally.arrivals
    }

    /// From when an event was sent to when it was there for the subscriber, in ns.
    pub fn latency(&self) -> &Histogram<u64> {
        &self.tally.latency
    }

    /// The latency so far, which counts from nothing again.
    ///
    /// # Errors
    /// There is no memory for another histogram.
    pub fn take_latency(&mut self) -> anyhow::Result<Histogram<u64>> {
        Ok(std::mem::replace(&mut self.tally.latency, histogram()?))
    }

    /// From when an event was there to when it was read, in ns: what the generator adds, and does not count.
    pub fn read_late(&self) -> &Histogram<u64> {
        &self.tally.read_late
    }

    /// When the last event came, by [`now_ns`].
    pub fn last_ns(&self) -> u64 {
        self.tally.last_ns
    }

    /// How many connections listen to a session.
    pub fn listeners(&self, session: u32) -> u64 {
        self.subscribers.iter().filter(|subscriber| subscriber.session == session).count() as u64
    }

    /// How many events never came, of `published` that were published round robin over the sessions.
    pub fn missing(&self, published: u64) -> u64 {
        let sessions = u64::from(self.sessions);
        let of = |session: u32| published / sessions + u64::from(u64::from(session) < published % sessions);
        self.subscribers.iter().map(|subscriber| subscriber.sequence.missing(of(subscriber.session))).sum()
    }

    fn subscribe(&mut self, poller: &Poller, server: SocketAddr, index: usize) -> anyhow::Result<()> {
        let number = u32::try_from(index).context("connections are counted in 32 bits")?;
        let session = number % self.sessions;
        let mut stream = open(server, index / PER_SOURCE)?;
        // In one piece, so that no server answers before it has all of it.
        let request = format!(
            "GET /v1/sessions/s{session}/events HTTP/1.1\r\nHost: {server}\r\nAccept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        Receiver::watch(&stream)?;
        stream.set_nonblocking(true)?;
        poller.add(&stream, u64::from(number))?;
        let (scanner, sequence) = (Scanner::default(), Sequence::default());
        self.subscribers.push(Subscriber { stream, scanner, session, sequence });
        Ok(())
    }

    fn await_open(&mut self, poller: &Poller) -> anyhow::Result<()> {
        let deadline = now_ns() + CONNECT_TIMEOUT_NS;
        let mut ready = Vec::new();
        while self.tally.connected < self.subscribers.len() {
            poller.wait(Duration::from_millis(100), &mut ready)?;
            for token in ready.drain(..) {
                self.read(poller, token)?;
            }
            let Tally { connected, refused, arrivals, .. } = &self.tally;
            if *refused > 0 || arrivals.ended > 0 || now_ns() > deadline {
                let wanted = self.subscribers.len();
                bail!("{connected} of {wanted} streams opened, {refused} refused, {} ended", arrivals.ended);
            }
        }
        Ok(())
    }
}

impl Subscriber {
    fn take(&mut self, received: Received<'_>, tally: &mut Tally) -> Result<(), Broken> {
        let Received { bytes, at_ns, read_ns } = received;
        let Self { scanner, session, sequence, .. } = self;
        scanner.feed(bytes, &mut |found| match found {
            Found::Stamp(stamp) if stamp.session == *session => {
                tally.arrived(sequence.record(stamp.number), at_ns.saturating_sub(stamp.sent_ns), read_ns);
                tally.read_late.saturating_record(read_ns - at_ns);
            }
            Found::Stamp(_) => tally.arrivals.foreign += 1,
            Found::Open => tally.opened(Opening::Head),
            Found::Control(Control::Connected) => tally.opened(Opening::Connected),
            Found::Control(Control::Refused) => tally.refused += 1,
            Found::Control(Control::Gap) => tally.arrivals.gaps += 1,
            Found::Control(Control::Other) | Found::End => {}
        })
    }

    /// A socket stays readable at its end, so it must not be waited for any longer.
    fn close(&self, poller: &Poller, tally: &mut Tally) -> anyhow::Result<()> {
        tally.arrivals.ended += 1;
        Ok(poller.remove(&self.stream)?)
    }
}

impl Tally {
    fn new(opening: Opening) -> anyhow::Result<Self> {
        Ok(Self {
            opening,
            arrivals: Arrivals::default(),
            connected: 0,
            refused: 0,
            latency: histogram()?,
            read_late: histogram()?,
            last_ns: 0,
        })
    }

    fn opened(&mut self, by: Opening) {
        self.connected += usize::from(by == self.opening);
    }

    fn arrived(&mut self, how: Arrival, latency_ns: u64, now: u64) {
        self.last_ns = now;
        match how {
            Arrival::Duplicate => {
                self.arrivals.duplicates += 1;
                return;
            }
            Arrival::Reordered => self.arrivals.reordered += 1,
            Arrival::Forward => {}
        }
        self.arrivals.delivered += 1;
        self.latency.saturating_record(latency_ns);
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, LATENCY_MAX_NS, 3)?)
}

/// Connects from a loopback address of its own for each `PER_SOURCE` connections, because ports are short.
pub(crate) fn open(server: SocketAddr, source: usize) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if let (SocketAddr::V4(_), 1..) = (server, source) {
        let last = u8::try_from(source + 1).context("too many connections for the loopback network")?;
        // The port is chosen by the whole connection, when that is made. Chosen now, it would have to be one that no closed
        // connection of the address has had for a minute, which can take milliseconds to find.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    }
    socket.connect(&server.into())?;
    Ok(socket.into())
}

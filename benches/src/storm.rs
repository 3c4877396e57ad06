//! Clients that come at once, or come back with the position that each had, while others listen on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use hdrhistogram::Histogram;

use crate::audience::{Audience, PER_SOURCE, open};
use crate::clock::{SECOND_NS, now_ns};
use crate::commands::Commands;
use crate::load::{Beside, OTHERS};
use crate::poller::Poller;
use crate::publisher::{Answers, Publisher};
use crate::scan::{Broken, Control, Found, Scanner};
use crate::sequence::{Arrival, Sequence};
use crate::stamp::Stamp;

/// Clients that come back between two looks at those who stayed, so that the generator itself keeps nobody waiting.
const STEP: usize = 8;

/// Most clients without an answer at a time, well within the server's accept queue: beyond it the kernel lets them try
/// again after a second, which would measure the kernel.
const UNANSWERED: usize = 2_000;

/// Room for what one read takes from a socket.
const READ_BYTES: usize = 64 * 1024;

/// How long what they miss may take to be published.
const PUBLISH_TIMEOUT_NS: u64 = 20 * SECOND_NS;

/// Who comes back, and to what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients.
    pub clients: usize,
    /// The first session that they listen to.
    pub first_session: u32,
    /// Sessions; client `i` listens to the one after `i % sessions` others.
    pub sessions: u32,
    /// Events of each session since the position that all of them have. None of those who come for the first time.
    pub events: u64,
    /// When they come back, in ns after the beginning.
    pub after_ns: u64,
}

impl Plan {
    /// Publishes what they miss, and waits until it is in the log.
    ///
    /// # Errors
    /// A publish is refused, or the connection is lost.
    pub fn publish(self, publisher: &mut dyn Publisher) -> anyhow::Result<()> {
        for number in 0..self.events {
            for session in self.first_session..self.first_session + self.sessions {
                publisher.publish(Stamp { session, number, sent_ns: now_ns() });
            }
        }
        let poller = Poller::new()?;
        poller.add(publisher.socket(), 0)?;
        let (all, deadline) = (self.events * u64::from(self.sessions), now_ns() + PUBLISH_TIMEOUT_NS);
        while publisher.answers().accepted < all {
            publisher.flush()?;
            poller.wait(Duration::from_millis(1), &mut Vec::new())?;
            publisher.collect()?;
            let Answers { accepted, refused, first_refusal } = publisher.answers();
            ensure!(
                refused == 0 && now_ns() < deadline,
                "{accepted} of {all} are published: {first_refusal:?}"
            );
        }
        Ok(())
    }
}

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub struct Servers {
    /// weir.
    pub weir: SocketAddr,
    /// The Redis behind it, if there is one.
    pub redis: Option<SocketAddr>,
}

/// A time, and what was seen in it.
#[derive(Clone, Debug)]
pub struct Phase {
    /// How long it was, in ns.
    pub length_ns: u64,
    /// Latency of those who stayed, in ns.
    pub latency: Histogram<u64>,
    /// What Redis was asked.
    pub commands: Commands,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The time before.
    pub calm: Phase,
    /// From the first client that came back to the last that had all.
    pub rough: Phase,
    /// Events that came twice, out of order or from another session, or were announced as lost, and refusals.
    pub wrong: u64,
    /// Events that never came.
    pub missing: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Storm {
    plan: Plan,
    servers: Servers,
    position: Option<String>,
    /// The first of their addresses.
    source: usize,
    guests: Vec<Guest>,
    tally: Tally,
    buffer: Vec<u8>,
    marks: Vec<Mark>,
    latencies: Vec<Histogram<u64>>,
}

/// The beginning or the end of a phase. Redis is asked on a thread of its own: while the generator waited for its answer, it would
/// publish late.
#[derive(Debug)]
struct Mark {
    at_ns: u64,
    asked: JoinHandle<anyhow::Result<Commands>>,
}

impl Mark {
    fn now(redis: Option<SocketAddr>) -> Self {
        let asked = thread::spawn(move || redis.map_or_else(|| Ok(Commands::default()), Commands::of));
        Self { at_ns: now_ns(), asked }
    }

    fn answer(self) -> anyhow::Result<(u64, Commands)> {
        let commands = self.asked.join().map_err(|_| anyhow!("who asked Redis panicked"))?;
        Ok((self.at_ns, commands?))
    }
}

#[derive(Debug)]
struct Guest {
    stream: TcpStream,
    scanner: Scanner,
    session: u32,
    sequence: Sequence,
    arrived: u64,
}

/// What all guests count into.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answered: usize,
    replayed: usize,
    wrong: u64,
}

impl Storm {
    /// Nobody has come yet; all will, from `position` if they come back.
    ///
    /// # Errors
    /// The clock is beyond belief.
    pub fn new(plan: Plan, servers: Servers, position: Option<String>) -> anyhow::Result<Self> {
        Ok(Self {
            plan,
            servers,
            position,
            source: fresh_source()?,
            guests: Vec::with_capacity(plan.clients),
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
            marks: vec![Mark::now(servers.redis)],
            latencies: Vec::new(),
        })
    }

    /// How it went.
    ///
    /// # Errors
    /// It is not over.
    pub fn outcome(self) -> anyhow::Result<Outcome> {
        let Plan { clients, events, .. } = self.plan;
        let (came, Tally { answered, replayed, wrong }) = (self.guests.len(), self.tally);
        let phases = <[Histogram<u64>; 2]>::try_from(self.latencies).map_err(|_| {
            anyhow!("of {clients} clients {came} came, {answered} were answered and {replayed} got what they had missed")
        })?;
        let missing = self.guests.iter().map(|guest| guest.sequence.missing(events)).sum();
        let marks = self.marks.into_iter().map(Mark::answer).collect::<anyhow::Result<Vec<_>>>()?;
        let phase = |(latency, ends): (_, &[(u64, Commands)])| Phase {
            length_ns: ends[1].0 - ends[0].0,
            latency,
            commands: ends[1].1.since(&ends[0].1),
        };
        let mut phases = phases.into_iter().zip(marks.windows(2)).map(phase);
        let (calm, rough) = phases.next().zip(phases.next()).context("two phases have three marks")?;
        Ok(Outcome { calm, rough, wrong, missing })
    }

    /// Whether all have come and have all.
    pub fn is_over(&self) -> bool {
        self.latencies.len() > 1
    }

    fn end_phase(&mut self, audience: &mut Audience) -> anyhow::Result<()> {
        self.marks.push(Mark::now(self.servers.redis));
        self.latencies.push(audience.take_latency()?);
        Ok(())
    }

    fn come_back(&mut self, poller: &Poller) -> anyhow::Result<()> {
        let index = self.guests.len();
        let session = self.plan.first_session + u32::try_from(index)? % self.plan.sessions;
        let Servers { weir, .. } = self.servers;
        let mut stream = open(weir, self.source + index / PER_SOURCE)?;
        let position =
            self.position.as_ref().map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!("GET /v1/sessions/s{session}/events HTTP/1.1\r\nHost: {weir}\r\n{position}\r\n");
        stream.write_all(head.as_bytes())?;
        stream.set_nonblocking(true)?;
        poller.add(&stream, OTHERS + index as u64)?;
        let (scanner, sequence) = (Scanner::default(), Sequence::default());
        self.guests.push(Guest { stream, scanner, session, sequence, arrived: 0 });
        Ok(())
    }
}

/// Addresses that nobody has used for a minute. The kernel keeps a closed connection for so long, and to look for a free port
/// among thousands of them would be what is measured. Each storm has four addresses.
fn fresh_source() -> anyhow::Result<usize> {
    Ok(1 + 4 * usize::try_from(now_ns() / SECOND_NS % 60)?)
}

impl Beside for Storm {
    fn step(&mut self, poller: &Poller, audience: &mut Audience) -> anyhow::Result<bool> {
        match self.latencies.len() {
            0 if now_ns() < self.marks[0].at_ns + self.plan.after_ns => Ok(false),
            0 => self.end_phase(audience).map(|()| true),
            1 if self.tally.replayed == self.plan.clients => self.end_phase(audience).map(|()| false),
            1 => {
                let room = UNANSWERED.saturating_sub(self.guests.len() - self.tally.answered);
                for _ in 0..STEP.min(room).min(self.plan.clients - self.guests.len()) {
                    self.come_back(poller)?;
                }
                Ok(room > 0 && self.guests.len() < self.plan.clients)
            }
            _ => Ok(false),
        }
    }

    fn read(&mut self, token: u64) -> anyhow::Result<()> {
        let index = usize::try_from(token - OTHERS).context("a token is an index")?;
        let guest = self.guests.get_mut(index).context("a token of another")?;
        match guest.stream.read(&mut self.buffer) {
            Ok(0) => bail!("weir ended a stream"),
            Ok(count) => Ok(guest.take(&self.buffer[..count], self.plan.events, &mut self.tally)?),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Guest {
    fn take(&mut self, bytes: &[u8], events: u64, tally: &mut Tally) -> Result<(), Broken> {
        let Self { scanner, session, sequence, arrived, .. } = self;
        scanner.feed(bytes, &mut |found| match found {
            Found::Stamp(stamp) if stamp.session == *session => {
                tally.wrong += u64::from(sequence.record(stamp.number) != Arrival::Forward);
                *arrived += 1;
                tally.replayed += usize::from(*arrived == events);
            }
            Found::Control(Control::Connected) => {
                tally.answered += 1;
                tally.replayed += usize::from(events == 0);
            }
            Found::Stamp(_) | Found::Control(Control::Gap | Control::Refused) => tally.wrong += 1,
            Found::Control(Control::Other) | Found::Open | Found::End => {}
        })
    }
}

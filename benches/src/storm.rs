//! Clients that come back at once, each with the position it had, while others listen on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
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
    /// Events of each session since the position that all of them have.
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
    /// The Redis behind it.
    pub redis: SocketAddr,
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
    position: String,
    /// The first of their addresses.
    source: usize,
    guests: Vec<Guest>,
    tally: Tally,
    buffer: Vec<u8>,
    since: (u64, Commands),
    phases: Vec<Phase>,
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
    /// Nobody has come back yet; all will, from `position`.
    ///
    /// # Errors
    /// Redis does not answer.
    pub fn new(plan: Plan, servers: Servers, position: String) -> anyhow::Result<Self> {
        Ok(Self {
            plan,
            servers,
            position,
            source: fresh_source()?,
            guests: Vec::with_capacity(plan.clients),
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
            since: (now_ns(), Commands::of(servers.redis)?),
            phases: Vec::new(),
        })
    }

    /// How it went.
    ///
    /// # Errors
    /// It is not over.
    pub fn outcome(self) -> anyhow::Result<Outcome> {
        let Plan { clients, events, .. } = self.plan;
        let (came, Tally { answered, replayed, wrong }) = (self.guests.len(), self.tally);
        let [calm, rough] = <[Phase; 2]>::try_from(self.phases).map_err(|_| {
            anyhow!("of {clients} clients {came} came, {answered} were answered and {replayed} got what they had missed")
        })?;
        let missing = self.guests.iter().map(|guest| guest.sequence.missing(events)).sum();
        Ok(Outcome { calm, rough, wrong, missing })
    }

    fn end_phase(&mut self, audience: &mut Audience) -> anyhow::Result<()> {
        let next = (now_ns(), Commands::of(self.servers.redis)?);
        let (start_ns, before) = std::mem::replace(&mut self.since, next);
        let commands = self.since.1.since(&before);
        let latency = audience.take_latency()?;
        self.phases.push(Phase { length_ns: self.since.0 - start_ns, latency, commands });
        Ok(())
    }

    fn come_back(&mut self, poller: &Poller) -> anyhow::Result<()> {
        let index = self.guests.len();
        let session = self.plan.first_session + u32::try_from(index)? % self.plan.sessions;
        let Servers { weir, .. } = self.servers;
        let mut stream = open(weir, self.source + index / PER_SOURCE)?;
        let position = &self.position;
        let head = format!(
            "GET /v1/sessions/s{session}/events HTTP/1.1\r\nHost: {weir}\r\nLast-Event-ID: {position}\r\n\r\n"
        );
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
        match self.phases.len() {
            0 if now_ns() < self.since.0 + self.plan.after_ns => Ok(false),
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
            Found::Control(Control::Connected) => tally.answered += 1,
            Found::Stamp(_) | Found::Control(Control::Gap | Control::Refused) => tally.wrong += 1,
            Found::Control(Control::Other) | Found::Open | Found::End => {}
        })
    }
}

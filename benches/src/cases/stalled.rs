//! A few clients that do not read among many that do: what they cost the others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use socket2::{Domain, Socket, Type};

use crate::audience::{Arrivals, Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections, descriptors};
use crate::publisher::HttpPublisher;
use crate::report::{Case, Figure, Goal, Round};

const SUBSCRIBERS: usize = 1_000;

/// Rounds of one server for each round of the bench. Many short ones in alternation tell more than few long ones: what disturbs a
/// machine comes in bursts, and the middle of many ratios does not see those few rounds that one fell into.
const REPEATS: usize = 4;

const RATE: u64 = 50;

/// Events of a round: more than a client's queue holds, so that it overflows in each.
const EVENTS: u64 = 125;

/// Longer than a round, so that they are there all the time.
const STALL_TIMEOUT: &str = "60s";

/// Receive buffer of one that does not read. The kernel takes no less.
const NARROW: usize = 4096;

/// An event that no buffer between weir and such a client can hold.
const BLOCKING_BYTES: usize = 250_000;

/// How long the server may take for anything before the measurement, and to let go of who has left.
const PATIENCE: Duration = Duration::from_secs(10);

const WITHOUT: &str = "without";
const FEW: &str = "with 1 %";
const MANY: &str = "with 10 %";

/// How many stalled clients there are beside the others.
const STALLED: [(&str, usize); 3] = [(WITHOUT, 0), (FEW, SUBSCRIBERS / 100), (MANY, SUBSCRIBERS / 10)];

const P99: &str = "p99 ms";
const MISSING: &str = "missing";

/// Runs weir without stalled clients, with a few and with many, in turn, all on one instance: two processes differ by where their
/// memory lies.
///
/// # Errors
/// The server does not start, breaks the protocol, or lets a stalled client go.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(2 * SUBSCRIBERS as u64)?;
    let args = ["--stall-timeout", STALL_TIMEOUT].map(str::to_owned);
    let weir = Running::weir(&bench.binaries, bench.cores, &args)?;
    let mut rounds = Vec::new();
    for _ in 0..REPEATS * bench.rounds {
        for (name, stalled) in STALLED {
            rounds.push(measure(&weir, name, stalled)?);
        }
    }
    let what = format!(
        "{SUBSCRIBERS} subscribers of one session, {EVENTS} events published over HTTP, {RATE}/s, without and with {} and {} more that \
         stopped reading before the first; one weir with its embedded log.",
        STALLED[1].1, STALLED[2].1
    );
    let mut case = Case { name: "stalled", what, rounds, goals: Vec::new() };
    case.goals = goals(&case);
    Ok(case)
}

fn measure(weir: &Running, name: &'static str, stalled: usize) -> anyhow::Result<Round> {
    let alone = descriptors(weir.pid())?;
    let round = among(weir, name, stalled)?;
    // Those who have left are gone before the next come.
    let deadline = Instant::now() + PATIENCE;
    while descriptors(weir.pid())? > alone {
        ensure!(Instant::now() < deadline, "weir does not let go of clients that have left");
        thread::sleep(PATIENCE / 1_000);
    }
    Ok(round)
}

fn among(weir: &Running, name: &'static str, stalled: usize) -> anyhow::Result<Round> {
    let poller = Poller::new()?;
    let plan = Plan { connections: SUBSCRIBERS, sessions: 1 };
    let mut audience = Audience::connect(&poller, weir.address, plan)?;
    let mut dead = Stalled::connect(weir.address, stalled)?;
    let mut publisher = HttpPublisher::connect(weir.address)?;
    let before = Cpu::of(weir.pid())?;
    let schedule = Schedule { rate: RATE, total: EVENTS, sessions: 1 };
    let outcome = load::run(&poller, &mut audience, &mut publisher, schedule)?;
    let cpu = Cpu::of(weir.pid())?.since(before);
    dead.ensure_stalled()?;
    Ok(Round { server: name, figures: figures(&outcome, cpu) })
}

/// Clients that listen to the same session and read nothing.
#[derive(Debug)]
struct Stalled(Vec<TcpStream>);

impl Stalled {
    /// They listen to a second session, too, on which one event stops each of them.
    fn connect(server: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let this = Self((0..count).map(|_| subscribe(server)).collect::<anyhow::Result<_>>()?);
        if count > 0 {
            publish_blocking(server)?;
        }
        Ok(this)
    }

    /// What has come is less than that one event, and nobody was let go.
    fn ensure_stalled(&mut self) -> anyhow::Result<()> {
        for stream in &mut self.0 {
            stream.set_nonblocking(true)?;
            let mut held = vec![0; BLOCKING_BYTES];
            let count = stream.read(&mut held).context("a stalled client was let go")?;
            ensure!(count > 0, "a stalled client was let go");
            ensure!(count < BLOCKING_BYTES / 2, "a client that was to be stalled has {count} bytes");
        }
        Ok(())
    }
}

fn subscribe(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_recv_buffer_size(NARROW)?;
    socket.connect(&server.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /v1/events?session=s0&session=blocking HTTP/1.1\r\nHost: {server}\r\n\r\n")?;
    read_until(&mut stream, "weir.connected")?;
    Ok(stream)
}

fn publish_blocking(server: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /v1/sessions/blocking/events HTTP/1.1\r\nHost: {server}\r\nContent-Length: {BLOCKING_BYTES}\r\n\r\n"
    )?;
    stream.write_all(&vec![b'x'; BLOCKING_BYTES])?;
    read_until(&mut stream, "HTTP/1.1 201 ")
}

fn read_until(stream: &mut TcpStream, what: &str) -> anyhow::Result<()> {
    let (mut said, mut part) = (Vec::new(), [0; 512]);
    while !said.windows(what.len()).any(|window| window == what.as_bytes()) {
        let count = stream.read(&mut part).with_context(|| format!("wait for {what}"))?;
        ensure!(count > 0, "closed before {what}: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&part[..count]);
    }
    Ok(())
}

fn figures(outcome: &Outcome, cpu: Cpu) -> Vec<Figure> {
    let Outcome { arrivals, latency, .. } = outcome;
    let per_delivery = |ns: u64| ns as f64 / 1_000.0 / arrivals.delivered as f64;
    vec![
        Figure::new("CPU µs/delivery", per_delivery(cpu.used_ns)),
        Figure::new("waited for its core, µs/delivery", per_delivery(cpu.waited_ns)),
        Figure::new("delivered", arrivals.delivered as f64),
        Figure::new(MISSING, outcome.missing as f64),
        Figure::new(Arrivals::WRONG, arrivals.wrong() as f64),
        Figure::new("p50 ms", latency.p50),
        Figure::new(P99, latency.p99),
        Figure::new("p99.9 ms", latency.p999),
        Figure::new("max ms", latency.max),
        Figure::new("publisher late ms", outcome.late_ms),
        Figure::new("read late p99 ms", outcome.read_late_ms),
    ]
}

fn goals(case: &Case) -> Vec<Goal> {
    let ratio = |with| case.ratio(with, WITHOUT, P99);
    vec![
        Goal {
            what: "p99 latency with 1 % stalled, times that without of the same round",
            measured: ratio(FEW),
            at_most: 1.2,
        },
        Goal {
            what: "p99 latency with 10 % stalled, times that without of the same round",
            measured: ratio(MANY),
            at_most: 1.2,
        },
        Goal {
            what: "deliveries that others lost, got twice or out of order",
            measured: case.sum(&STALLED.map(|(name, _)| name), &[MISSING, Arrivals::WRONG]),
            at_most: 0.0,
        },
    ]
}

//! Many subscribers of one session over HTTP/2: what a delivery and a stream cost beside HTTP/1.1.

use crate::audience::{Arrivals, Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::load::{self, Schedule};
use crate::multiplex::{Multiplex, Shape};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections, pss_kib};
use crate::publisher::HttpPublisher;
use crate::report::{Case, Figure, Goal, Round};

const SUBSCRIBERS: usize = 1_000;
const RATE: u64 = 50;
const SECONDS: u64 = 5;

const SCHEDULE: Schedule = Schedule { rate: RATE, total: RATE * SECONDS, sessions: 1 };

const CPU: &str = "CPU µs/delivery";
const MISSING: &str = "missing";

const HTTP1: &str = "HTTP/1.1, 1,000 connections";

/// The same number of streams, multiplexed and each on a connection of its own.
const SHAPES: [(&str, Shape); 2] = [
    ("HTTP/2, 100 × 10", Shape { connections: SUBSCRIBERS / 10, streams: 10 }),
    ("HTTP/2, 1,000 × 1", Shape { connections: SUBSCRIBERS, streams: 1 }),
];

/// Runs weir with HTTP/1.1 and with both shapes of HTTP/2, in turn.
///
/// # Errors
/// The server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(SUBSCRIBERS as u64)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.push(single(bench)?);
        for (name, shape) in SHAPES {
            rounds.push(multiplexed(bench, name, shape)?);
        }
    }
    let what = format!(
        "{SUBSCRIBERS} subscribers of one session, {RATE} events/s published over HTTP/1.1 for {SECONDS} s: each on a connection of its \
         own over HTTP/1.1, ten on each connection over cleartext HTTP/2, and each on its own over that; weir with its embedded log."
    );
    let mut case = Case { name: "http2", what, rounds, goals: Vec::new() };
    case.goals = goals(&case);
    Ok(case)
}

fn single(bench: &Bench) -> anyhow::Result<Round> {
    let weir = Running::weir(&bench.binaries, bench.cores, &[])?;
    let poller = Poller::new()?;
    let empty = pss_kib(weir.pid())?;
    let plan = Plan { connections: SUBSCRIBERS, sessions: 1 };
    let mut audience = Audience::connect(&poller, weir.address, plan)?;
    let mut publisher = HttpPublisher::connect(weir.address)?;
    let (before, fresh) = (Cpu::of(weir.pid())?, pss_kib(weir.pid())?);
    let outcome = load::run(&poller, &mut audience, &mut publisher, SCHEDULE)?;
    let cpu = Cpu::of(weir.pid())?.since(before);
    let memory = (fresh.saturating_sub(empty), pss_kib(weir.pid())?.saturating_sub(empty));
    Ok(Round { server: HTTP1, figures: figures(outcome.arrivals, outcome.missing, cpu, memory) })
}

fn multiplexed(bench: &Bench, name: &'static str, shape: Shape) -> anyhow::Result<Round> {
    let weir = Running::weir(&bench.binaries, bench.cores, &[])?;
    let empty = pss_kib(weir.pid())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let streams = Multiplex::open(weir.address, shape).await?;
        let (before, fresh) = (Cpu::of(weir.pid())?, pss_kib(weir.pid())?);
        let (arrivals, missing) = streams.run(SCHEDULE).await?;
        let cpu = Cpu::of(weir.pid())?.since(before);
        let memory = (fresh.saturating_sub(empty), pss_kib(weir.pid())?.saturating_sub(empty));
        Ok(Round { server: name, figures: figures(arrivals, missing, cpu, memory) })
    })
}

fn figures(arrivals: Arrivals, missing: u64, cpu: Cpu, (fresh, after): (u64, u64)) -> Vec<Figure> {
    let per_delivery = |ns: u64| ns as f64 / 1_000.0 / arrivals.delivered as f64;
    let per_stream = |pss: u64| pss as f64 / SUBSCRIBERS as f64;
    vec![
        Figure::new(CPU, per_delivery(cpu.used_ns)),
        Figure::new("waited for its core, µs/delivery", per_delivery(cpu.waited_ns)),
        Figure::new("delivered", arrivals.delivered as f64),
        Figure::new(MISSING, missing as f64),
        Figure::new(Arrivals::WRONG, arrivals.wrong() as f64),
        Figure::new("PSS KiB/stream when all are connected", per_stream(fresh)),
        Figure::new("PSS KiB/stream at the end", per_stream(after)),
    ]
}

fn goals(case: &Case) -> Vec<Goal> {
    let ratio = |name| case.ratio(name, HTTP1, CPU);
    vec![
        Goal {
            what: "CPU per delivery with ten streams on a connection, times that of HTTP/1.1",
            measured: ratio(SHAPES[0].0),
            at_most: 1.0,
        },
        Goal {
            what: "CPU per delivery with one stream on a connection, times that of HTTP/1.1",
            measured: ratio(SHAPES[1].0),
            at_most: 2.0,
        },
        Goal {
            what: "deliveries over HTTP/2 that were lost, doubled or out of order",
            measured: case.sum(&SHAPES.map(|(name, _)| name), &[MISSING, Arrivals::WRONG]),
            at_most: 0.0,
        },
    ]
}

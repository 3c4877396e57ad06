//! Many subscribers of one session: what weir adds to the kernel's price of a delivery.

use crate::audience::{Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections};
use crate::publisher::HttpPublisher;
use crate::report::{Case, Figure, Goal, Round, median};

const SUBSCRIBERS: usize = 1_000;
const RATE: u64 = 50;
const SECONDS: u64 = 8;

const CPU: &str = "CPU µs/delivery";
const MISSING: &str = "missing";
const WRONG: &str = "doubled, reordered or foreign";

/// Runs the floor and weir in turn.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(SUBSCRIBERS as u64)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.push(measure("floor", &Running::floor(&bench.binaries, bench.cores)?)?);
        rounds.push(measure("weir", &Running::weir(&bench.binaries, bench.cores, &[])?)?);
    }
    let what = format!(
        "{SUBSCRIBERS} subscribers of one session, {RATE} events/s published over HTTP for {SECONDS} s; weir with its \
         embedded log."
    );
    let mut case = Case { name: "fanout", what, rounds, goals: Vec::new() };
    case.goals = goals(&case);
    Ok(case)
}

fn measure(name: &'static str, server: &Running) -> anyhow::Result<Round> {
    let poller = Poller::new()?;
    let plan = Plan { connections: SUBSCRIBERS, sessions: 1 };
    let mut audience = Audience::connect(&poller, server.address, plan)?;
    let mut publisher = HttpPublisher::connect(server.address)?;
    let before = Cpu::of(server.pid())?;
    let schedule = Schedule { rate: RATE, total: RATE * SECONDS, sessions: 1 };
    let outcome = load::run(&poller, &mut audience, &mut publisher, schedule)?;
    let cpu = Cpu::of(server.pid())?.since(before);
    Ok(Round { server: name, figures: figures(&outcome, cpu) })
}

fn figures(outcome: &Outcome, cpu: Cpu) -> Vec<Figure> {
    let Outcome { arrivals, latency, .. } = outcome;
    let per_delivery = |ns: u64| ns as f64 / 1_000.0 / arrivals.delivered as f64;
    vec![
        Figure::new(CPU, per_delivery(cpu.used_ns)),
        Figure::new("waited for its core, µs/delivery", per_delivery(cpu.waited_ns)),
        Figure::new("delivered", arrivals.delivered as f64),
        Figure::new(MISSING, outcome.missing as f64),
        Figure::new(WRONG, (arrivals.duplicates + arrivals.reordered + arrivals.foreign) as f64),
        Figure::new("p50 ms", latency.p50),
        Figure::new("p99 ms", latency.p99),
        Figure::new("p99.9 ms", latency.p999),
        Figure::new("max ms", latency.max),
        Figure::new("publisher late ms", outcome.late_ms),
    ]
}

fn goals(case: &Case) -> Vec<Goal> {
    let ratios =
        case.values("weir", CPU).into_iter().zip(case.values("floor", CPU)).map(|(weir, floor)| weir / floor);
    let lost: f64 = [MISSING, WRONG].into_iter().flat_map(|name| case.values("weir", name)).sum();
    vec![
        Goal {
            what: "CPU per delivery, times the floor's of the same round",
            measured: median(ratios.collect()),
            at_most: 1.5,
        },
        Goal { what: "deliveries that weir lost, doubled or put out of order", measured: lost, at_most: 0.0 },
    ]
}

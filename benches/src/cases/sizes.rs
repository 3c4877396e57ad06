//! Large events and tiny ones: what a delivery and what a byte costs.

use crate::audience::{Arrivals, Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections, pss_kib};
use crate::publisher::HttpPublisher;
use crate::report::{Case, Figure, Goal, Round};
use crate::stamp::Size;

const SECONDS: u64 = 4;

const KIB: f64 = 1_024.0;
const MIB: f64 = KIB * KIB;

const CPU: &str = "CPU µs/delivery";
const MISSING: &str = "missing";

/// What is published, and to how many.
#[derive(Clone, Copy, Debug)]
struct Load {
    floor: &'static str,
    weir: &'static str,
    goal: &'static str,
    size: Size,
    subscribers: usize,
    rate: u64,
}

/// A quarter of a GiB per second of large ones, and 50,000 deliveries per second of tiny ones.
const LOADS: [Load; 4] = [
    Load {
        floor: "floor, 64 KiB to 200",
        weir: "weir, 64 KiB to 200",
        goal: "CPU per delivery of 64 KiB to 200, times the floor's of the same round",
        size: Size::Large,
        subscribers: 200,
        rate: 20,
    },
    Load {
        floor: "floor, 64 KiB to 1,000",
        weir: "weir, 64 KiB to 1,000",
        goal: "CPU per delivery of 64 KiB to 1,000, times the floor's of the same round",
        size: Size::Large,
        subscribers: 1_000,
        rate: 4,
    },
    Load {
        floor: "floor, 32 B to 200",
        weir: "weir, 32 B to 200",
        goal: "CPU per delivery of 32 B to 200, times the floor's of the same round",
        size: Size::Tiny,
        subscribers: 200,
        rate: 250,
    },
    Load {
        floor: "floor, 32 B to 1,000",
        weir: "weir, 32 B to 1,000",
        goal: "CPU per delivery of 32 B to 1,000, times the floor's of the same round",
        size: Size::Tiny,
        subscribers: 1_000,
        rate: 50,
    },
];

/// Runs the floor and weir in turn with each load.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(1_000)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        for load in LOADS {
            rounds.push(measure(load.floor, &Running::floor(&bench.binaries, bench.cores)?, load)?);
            rounds.push(measure(load.weir, &Running::weir(&bench.binaries, bench.cores, &[])?, load)?);
        }
    }
    let what = format!(
        "Events of one session published over HTTP for {SECONDS} s: 64 KiB, 20/s to 200 subscribers and 4/s to 1,000; 32 B, 250/s \
         to 200 and 50/s to 1,000; weir with its embedded log. The floor lets go of a subscriber that does not take an event whole."
    );
    let mut case = Case { name: "sizes", what, rounds, goals: Vec::new() };
    case.goals = goals(&case);
    Ok(case)
}

fn measure(name: &'static str, server: &Running, load: Load) -> anyhow::Result<Round> {
    let poller = Poller::new()?;
    let plan = Plan { connections: load.subscribers, sessions: 1 };
    let mut audience = Audience::connect(&poller, server.address, plan)?;
    let mut publisher = HttpPublisher::connect(server.address)?.of_size(load.size);
    let before = (Cpu::of(server.pid())?, pss_kib(server.pid())?);
    let schedule = Schedule { rate: load.rate, total: load.rate * SECONDS, sessions: 1 };
    let outcome = load::run(&poller, &mut audience, &mut publisher, schedule)?;
    let cpu = Cpu::of(server.pid())?.since(before.0);
    let pss = (before.1, pss_kib(server.pid())?);
    Ok(Round { server: name, figures: figures(&outcome, cpu, pss, load.size) })
}

fn figures(outcome: &Outcome, cpu: Cpu, pss: (u64, u64), size: Size) -> Vec<Figure> {
    let Outcome { arrivals, latency, .. } = outcome;
    let delivered = arrivals.delivered as f64;
    let per_delivery = |ns: u64| ns as f64 / 1_000.0 / delivered;
    let mib = delivered * size.bytes().map_or(f64::NAN, |bytes| bytes as f64) / MIB;
    vec![
        Figure::new(CPU, per_delivery(cpu.used_ns)),
        Figure::new("CPU ms/MiB", cpu.used_ns as f64 / 1_000_000.0 / mib),
        Figure::new("waited for its core, µs/delivery", per_delivery(cpu.waited_ns)),
        Figure::new("delivered", delivered),
        Figure::new(MISSING, outcome.missing as f64),
        Figure::new(Arrivals::WRONG, arrivals.wrong() as f64),
        Figure::new("p50 ms", latency.p50),
        Figure::new("p99 ms", latency.p99),
        Figure::new("PSS MiB before", pss.0 as f64 / KIB),
        Figure::new("PSS MiB after", pss.1 as f64 / KIB),
        Figure::new("publisher late ms", outcome.late_ms),
    ]
}

fn goals(case: &Case) -> Vec<Goal> {
    let ratio = |load: &Load| case.ratio(load.weir, load.floor, CPU);
    let goal = |load: &Load| Goal { what: load.goal, measured: ratio(load), at_most: 1.5 };
    let lost = Goal {
        what: "deliveries that weir lost, doubled or put out of order",
        measured: case.sum(&LOADS.map(|load| load.weir), &[MISSING, Arrivals::WRONG]),
        at_most: 0.0,
    };
    LOADS.iter().map(goal).chain([lost]).collect()
}

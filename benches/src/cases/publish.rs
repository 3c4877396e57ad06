//! Publishing over HTTP: how soon it is answered, and how much one instance takes.

use std::path::Path;

use crate::cases::Bench;
use crate::child::Running;
use crate::posting::{self, Outcome, Pace, Plan};
use crate::process::{Cpu, allow_connections};
use crate::report::{Case, Figure, Round};

/// Calls per second where their latency is measured.
const RATE: u64 = 2_000;

/// Batches per second where theirs is.
const BATCHES: u64 = 100;

/// Events of a batch.
const BATCH: u64 = 100;

const SECONDS: f64 = 3.0;

/// Calls made before anything is measured: connections, allocator and branch predictors are those of a running server.
const WARM_UP: Plan = Plan { connections: 4, events: 1, pace: Pace::Closed, seconds: 0.3 };

/// What is published, and what it is called with each server.
struct Load {
    names: [&'static str; 3],
    plan: Plan,
}

macro_rules! load {
    ($what:literal, $connections:literal, $events:expr, $pace:expr) => {
        Load {
            names: [
                concat!("floor: ", $what),
                concat!("weir, embedded: ", $what),
                concat!("weir, redis: ", $what),
            ],
            plan: Plan { connections: $connections, events: $events, pace: $pace, seconds: SECONDS },
        }
    };
}

const LOADS: [Load; 7] = [
    load!("2,000/s on 1 connection", 1, 1, Pace::Open(RATE)),
    load!("2,000/s on 16", 16, 1, Pace::Open(RATE)),
    load!("as fast as answered on 1", 1, 1, Pace::Closed),
    load!("as fast as answered on 16", 16, 1, Pace::Closed),
    load!("100 batches/s on 1", 1, BATCH, Pace::Open(BATCHES)),
    load!("batches as fast as answered on 1", 1, BATCH, Pace::Closed),
    load!("batches as fast as answered on 16", 16, BATCH, Pace::Closed),
];

/// Runs the floor, weir with its embedded log, and weir with a private Redis in turn.
///
/// # Errors
/// A server does not start, or refuses a publish.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(16)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.extend(with_floor(bench)?);
        rounds.extend(with_embedded(bench)?);
        rounds.extend(with_redis(bench, &bench.scratch)?);
    }
    let what = format!(
        "Nobody subscribes. Single events, {RATE}/s and as fast as they are answered, on 1 and 16 connections; the same with \
         batches of {BATCH} events as lines of JSON, {BATCHES}/s. Latency is from a call to its answer. The floor answers without keeping anything."
    );
    Ok(Case { name: "publish", what, rounds, goals: Vec::new() })
}

fn with_floor(bench: &Bench) -> anyhow::Result<Vec<Round>> {
    let floor = Running::floor(&bench.binaries, bench.cores)?;
    measure(&floor, None, 0)
}

fn with_embedded(bench: &Bench) -> anyhow::Result<Vec<Round>> {
    let weir = Running::weir(&bench.binaries, bench.cores, &[])?;
    measure(&weir, None, 1)
}

fn with_redis(bench: &Bench, scratch: &Path) -> anyhow::Result<Vec<Round>> {
    let redis = Running::redis(bench.cores, scratch)?;
    let url = format!("redis://{}", redis.address);
    let weir = Running::weir(&bench.binaries, bench.cores, &["--redis".to_owned(), url])?;
    measure(&weir, Some(&redis), 2)
}

fn measure(server: &Running, redis: Option<&Running>, name: usize) -> anyhow::Result<Vec<Round>> {
    posting::run(server.address, WARM_UP)?;
    let cpu = || -> anyhow::Result<_> {
        Ok((Cpu::of(server.pid())?, redis.map(|redis| Cpu::of(redis.pid())).transpose()?.unwrap_or_default()))
    };
    let measured = LOADS.iter().map(|load| {
        let before = cpu()?;
        let outcome = posting::run(server.address, load.plan)?;
        let after = cpu()?;
        let cpu = (after.0.since(before.0), after.1.since(before.1));
        Ok(Round { server: load.names[name], figures: figures(load.plan, &outcome, cpu) })
    });
    measured.collect()
}

fn figures(plan: Plan, outcome: &Outcome, (server, redis): (Cpu, Cpu)) -> Vec<Figure> {
    let events = (outcome.calls * plan.events) as f64;
    let per_event = |ns: u64| ns as f64 / 1_000.0 / events;
    let quantile = |q: f64| outcome.latency.value_at_quantile(q) as f64 / 1_000.0;
    vec![
        Figure::new("p50 µs", quantile(0.5)),
        Figure::new("p99 µs", quantile(0.99)),
        Figure::new("p99.9 µs", quantile(0.999)),
        Figure::new("max µs", quantile(1.0)),
        Figure::new("events/s", events / outcome.seconds),
        Figure::new("CPU µs/event", per_event(server.used_ns)),
        Figure::new("waited for its core, µs/event", per_event(server.waited_ns)),
        Figure::new("Redis CPU µs/event", per_event(redis.used_ns)),
        Figure::new("publisher late µs", outcome.late_ns as f64 / 1_000.0),
    ]
}

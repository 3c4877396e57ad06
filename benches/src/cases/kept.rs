//! What it costs that a publish is synced to the disk before it is answered.

use crate::cases::Bench;
use crate::child::Running;
use crate::posting::{self, Outcome, Pace, Plan};
use crate::report::{Case, Figure, Round};

/// Calls per second where their latency is measured: what a disk that syncs in a few ms keeps up with on one connection.
const RATE: u64 = 100;

/// Events of a batch.
const BATCH: u64 = 100;

const SECONDS: f64 = 3.0;

const WARM_UP: Plan = Plan { connections: 4, events: 1, pace: Pace::Closed, seconds: 0.3 };

/// What is published, and what it is called in memory and with a directory.
struct Load {
    names: [&'static str; 2],
    plan: Plan,
}

macro_rules! load {
    ($what:literal, $connections:literal, $events:expr, $pace:expr) => {
        Load {
            names: [concat!("in memory: ", $what), concat!("--data-dir: ", $what)],
            plan: Plan { connections: $connections, events: $events, pace: $pace, seconds: SECONDS },
        }
    };
}

const LOADS: [Load; 5] = [
    load!("100/s on 1 connection", 1, 1, Pace::Open(RATE)),
    load!("as fast as answered on 1", 1, 1, Pace::Closed),
    load!("as fast as answered on 16", 16, 1, Pace::Closed),
    load!("as fast as answered on 128", 128, 1, Pace::Closed),
    load!("batches as fast as answered on 1", 1, BATCH, Pace::Closed),
];

/// Runs weir with its log in memory, and with one in a directory, in turn.
///
/// # Errors
/// A server does not start, or refuses a publish.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    crate::process::allow_connections(128)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.extend(measure(bench, &[], 0)?);
        let dir = tempfile::tempdir_in(&bench.scratch)?;
        rounds.extend(measure(bench, &["--data-dir".to_owned(), dir.path().display().to_string()], 1)?);
    }
    let what = format!(
        "Nobody subscribes. One instance without Redis: with its log in memory alone, and with --data-dir, where a publish is \
         answered when it is synced. Single events, {RATE}/s and as fast as they are answered, and batches of {BATCH}. Latency is \
         from a call to its answer. The directory is below {}.",
        bench.scratch.display()
    );
    Ok(Case { name: "kept", what, rounds, goals: Vec::new() })
}

fn measure(bench: &Bench, flags: &[String], name: usize) -> anyhow::Result<Vec<Round>> {
    let weir = Running::weir(&bench.binaries, bench.cores, flags)?;
    posting::run(weir.address, WARM_UP)?;
    let measured = LOADS.iter().map(|load| {
        let outcome = posting::run(weir.address, load.plan)?;
        Ok(Round { server: load.names[name], figures: figures(load.plan, &outcome) })
    });
    measured.collect()
}

fn figures(plan: Plan, outcome: &Outcome) -> Vec<Figure> {
    let quantile = |q: f64| outcome.latency.value_at_quantile(q) as f64 / 1_000.0;
    vec![
        Figure::new("p50 µs", quantile(0.5)),
        Figure::new("p99 µs", quantile(0.99)),
        Figure::new("max µs", quantile(1.0)),
        Figure::new("events/s", (outcome.calls * plan.events) as f64 / outcome.seconds),
    ]
}

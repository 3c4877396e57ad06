//! A high rate of entries from Redis to many sessions: nothing is lost, and it is fast.

use crate::audience::{Arrivals, Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections};
use crate::publisher::RedisPublisher;
use crate::report::{Case, Figure, Goal, Round, median};

const SESSIONS: u32 = 2_000;
const SECONDS: u64 = 10;

/// The rates, each with what weir is called at it. The window holds ten seconds of them, as in every case of a high rate.
const STAGES: [(u64, &str); 2] = [(20_000, CALM), (80_000, FAST)];
const CALM: &str = "weir, 20,000/s";
const FAST: &str = "weir, 80,000/s";

const STREAM: &str = "weir:events";

const MISSING: &str = "missing";
const P99: &str = "p99 ms";
const TOOK: &str = "seconds";

/// Runs weir on a private Redis.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(u64::from(SESSIONS))?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        for stage in STAGES {
            rounds.push(measure(bench, stage)?);
        }
    }
    let what = format!(
        "Entries by XADD for {SECONDS} s to {SESSIONS} sessions with one subscriber each, `--maxlen` ten seconds of them."
    );
    let mut case = Case { name: "redis", what, rounds, goals: Vec::new() };
    let lost = |server| case.sum(&[server], &[MISSING, Arrivals::WRONG]);
    let p99 = median(case.values(CALM, P99));
    let (rate, _) = STAGES[1];
    let short = rate as f64 - (rate * SECONDS) as f64 / median(case.values(FAST, TOOK));
    case.goals = vec![
        Goal { what: "lost, doubled or out of order at 20,000/s", measured: lost(CALM), at_most: 0.0 },
        Goal { what: "p99 latency at 20,000/s, ms", measured: p99, at_most: 20.0 },
        Goal { what: "lost, doubled or out of order at 80,000/s", measured: lost(FAST), at_most: 0.0 },
        Goal {
            what: "deliveries behind the schedule at 80,000/s, entries/s",
            measured: short,
            at_most: 0.02 * rate as f64,
        },
    ];
    Ok(case)
}

fn measure(bench: &Bench, (rate, server): (u64, &'static str)) -> anyhow::Result<Round> {
    let maxlen = 10 * rate;
    let redis = Running::redis(bench.cores, &bench.scratch)?;
    let url = format!("redis://{}", redis.address);
    let args = ["--redis", &url, "--stream", STREAM, "--maxlen", &maxlen.to_string()].map(str::to_owned);
    let weir = Running::weir(&bench.binaries, bench.cores, &args)?;
    let poller = Poller::new()?;
    let plan = Plan { connections: SESSIONS as usize, sessions: SESSIONS };
    let mut audience = Audience::connect(&poller, weir.address, plan)?;
    let mut publisher = RedisPublisher::connect(redis.address, STREAM, maxlen)?;
    let before = (Cpu::of(weir.pid())?, Cpu::of(redis.pid())?);
    let schedule = Schedule { rate, total: rate * SECONDS, sessions: SESSIONS };
    let outcome = load::run(&poller, &mut audience, &mut publisher, schedule)?;
    let cpu = (Cpu::of(weir.pid())?.since(before.0), Cpu::of(redis.pid())?.since(before.1));
    Ok(Round { server, figures: figures(&outcome, cpu) })
}

fn figures(outcome: &Outcome, (weir, redis): (Cpu, Cpu)) -> Vec<Figure> {
    let Outcome { arrivals, latency, published, .. } = outcome;
    let per_entry = |ns: u64| ns as f64 / 1_000.0 / *published as f64;
    vec![
        Figure::new("CPU µs/entry", per_entry(weir.used_ns)),
        Figure::new("waited for its core, µs/entry", per_entry(weir.waited_ns)),
        Figure::new("Redis CPU µs/entry", per_entry(redis.used_ns)),
        Figure::new("delivered", arrivals.delivered as f64),
        Figure::new(MISSING, outcome.missing as f64),
        Figure::new(Arrivals::WRONG, arrivals.wrong() as f64),
        Figure::new("p50 ms", latency.p50),
        Figure::new(P99, latency.p99),
        Figure::new("p99.9 ms", latency.p999),
        Figure::new("max ms", latency.max),
        Figure::new("publisher late ms", outcome.late_ms),
        Figure::new(TOOK, outcome.seconds),
    ]
}

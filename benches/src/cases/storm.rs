//! Ten thousand clients come back at once and are replayed what they missed: what those who stayed notice of it, and
//! what it costs Redis.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audience::{Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::clock::{MS_NS, SECOND_NS};
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::allow_connections;
use crate::publisher::RedisPublisher;
use crate::report::{Case, Figure, Goal, Round, median};
use crate::storm::{self, Servers, Storm};

/// Clients that come back.
const RETURNING: usize = 10_000;

/// Sessions that they listen to.
const MISSED_SESSIONS: u32 = 1_000;

/// Events of each of these that they missed.
const MISSED: u64 = 10;

/// Clients that stay, each with a session of its own.
const STAYING: u32 = 1_000;

/// Events per second to those who stay.
const RATE: u64 = 2_000;

/// How long events are published to those who stay; the others come back in the middle.
const SECONDS: u64 = 10;

const MAXLEN: u64 = 200_000;

const STREAM: &str = "weir:events";

const FAULTS: &str = "missing, doubled, reordered or foreign";
const COMMANDS: &str = "Redis commands beyond the usual";
const BEFORE: &str = "p99 ms before";
const DURING: &str = "p99 ms during";

/// Runs weir on a private Redis.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(RETURNING as u64 + u64::from(STAYING))?;
    let rounds = (0..bench.rounds).map(|_| measure(bench)).collect::<anyhow::Result<_>>()?;
    let what = format!(
        "{RETURNING} clients of {MISSED_SESSIONS} sessions come back with `Last-Event-ID` and are replayed {MISSED} events \
         each, while {STAYING} others listen to {RATE} events/s; during it: from the first who comes to the last who has \
         all."
    );
    let mut case = Case { name: "storm", what, rounds, goals: Vec::new() };
    let sum = |name| case.values("weir", name).into_iter().sum();
    let ratios = case.values("weir", DURING).into_iter().zip(case.values("weir", BEFORE));
    let ratio = median(ratios.map(|(during, before)| during / before).collect());
    case.goals = vec![
        Goal { what: "events lost, doubled or put out of order", measured: sum(FAULTS), at_most: 0.0 },
        Goal { what: "Redis commands for it", measured: sum(COMMANDS), at_most: 0.0 },
        Goal { what: "p99 of those who stayed, times that before", measured: ratio, at_most: 2.0 },
    ];
    Ok(case)
}

fn measure(bench: &Bench) -> anyhow::Result<Round> {
    let redis = Running::redis(bench.cores, &bench.scratch)?;
    let url = format!("redis://{}", redis.address);
    let args = ["--redis", &url, "--stream", STREAM, "--maxlen", &MAXLEN.to_string()].map(str::to_owned);
    let weir = Running::weir(&bench.binaries, bench.cores, &args)?;
    let poller = Poller::new()?;
    let plan = storm::Plan {
        clients: RETURNING,
        first_session: STAYING,
        sessions: MISSED_SESSIONS,
        events: MISSED,
        after_ns: SECONDS / 2 * SECOND_NS,
    };
    // What came before the log began is nobody's to know, so it begins before the position that all come back with.
    let first = storm::Plan { sessions: 1, events: 1, first_session: STAYING + MISSED_SESSIONS, ..plan };
    first.publish(&mut RedisPublisher::connect(redis.address, STREAM, MAXLEN)?)?;
    thread::sleep(Duration::from_millis(2));
    let position = format!("{}-0", SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis());
    plan.publish(&mut RedisPublisher::connect(redis.address, STREAM, MAXLEN)?)?;
    let stay = Plan { connections: STAYING as usize, sessions: STAYING };
    let mut audience = Audience::connect(&poller, weir.address, stay)?;
    let mut publisher = RedisPublisher::connect(redis.address, STREAM, MAXLEN)?;
    let mut storm = Storm::new(plan, Servers { weir: weir.address, redis: redis.address }, position)?;
    let schedule = Schedule { rate: RATE, total: RATE * SECONDS, sessions: STAYING };
    let stayed = load::run_beside(&poller, &mut audience, &mut publisher, (schedule, &mut storm))?;
    Ok(Round { server: "weir", figures: figures(&stayed, &storm.outcome()?) })
}

fn figures(stayed: &Outcome, storm: &storm::Outcome) -> Vec<Figure> {
    let storm::Outcome { calm, rough, wrong, missing } = storm;
    let Outcome { arrivals, .. } = stayed;
    let faults =
        wrong + missing + stayed.missing + arrivals.duplicates + arrivals.reordered + arrivals.foreign;
    let quantile = |phase: &storm::Phase, q: f64| phase.latency.value_at_quantile(q) as f64 / MS_NS as f64;
    vec![
        Figure::new("seconds until all were replayed", rough.length_ns as f64 / SECOND_NS as f64),
        Figure::new("replayed", RETURNING as f64 * MISSED as f64),
        Figure::new(FAULTS, (faults + arrivals.gaps) as f64),
        Figure::new(COMMANDS, rough.commands.beyond(&calm.commands) as f64),
        Figure::new("p50 ms before", quantile(calm, 0.5)),
        Figure::new("p50 ms during", quantile(rough, 0.5)),
        Figure::new(BEFORE, quantile(calm, 0.99)),
        Figure::new(DURING, quantile(rough, 0.99)),
        Figure::new("max ms during", quantile(rough, 1.0)),
        Figure::new("publisher late ms", stayed.late_ms),
        Figure::new("read late p99 ms", stayed.read_late_ms),
    ]
}

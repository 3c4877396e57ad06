//! Ten thousand clients come at once, or come back and are replayed what they missed: what those who stayed notice of it,
//! and what it costs Redis.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audience::{Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::clock::{MS_NS, SECOND_NS};
use crate::commands::Commands;
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{allow_connections, connects_retried};
use crate::publisher::RedisPublisher;
use crate::report::{Case, Figure, Goal, Round, median};
use crate::storm::{self, Servers, Storm};

/// Clients that come.
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

/// What those who come back missed, and ten seconds of the rate: the window is full all the time, and still holds what they
/// missed when the last of them is served.
const MAXLEN: u64 = MISSED * MISSED_SESSIONS as u64 + RATE * SECONDS;

const STREAM: &str = "weir:events";

const FAULTS: &str = "missing, doubled, reordered, foreign, announced as lost or ended";
const COMMANDS: &str = "unusual Redis commands";
const REPLAYED: &str = "seconds until all had all";

/// What the upkeep of an instance calls in some of its rounds, which come every two seconds or so. Neither reads an event.
const UPKEEP: [&str; 2] = ["xtrim", "zremrangebyscore"];

/// Clients come for the first time.
const CONNECT: &str = "weir, connect";

/// Clients come back.
const RESUME: &str = "weir, resume";

const BEFORE: &str = "p99 ms before";
const DURING: &str = "p99 ms during";

/// Runs weir on a private Redis.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(RETURNING as u64 + u64::from(STAYING))?;
    let (mut rounds, mut unusual) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        rounds.push(measure(bench, CONNECT, &mut unusual)?);
        rounds.push(measure(bench, RESUME, &mut unusual)?);
    }
    let what = format!(
        "{RETURNING} clients of {MISSED_SESSIONS} sessions come at once, the first time or back with `Last-Event-ID` to be replayed \
         {MISSED} events each, while {STAYING} others listen to {RATE} events/s; during it: from the first who comes to the last \
         who has all. *Unusual* is a Redis command that was not called before it: {}.",
        if unusual.is_empty() { "none".to_owned() } else { unusual.join(", ") }
    );
    let mut case = Case { name: "storm", what, rounds, goals: Vec::new() };
    case.goals = goals(&case);
    Ok(case)
}

fn goals(case: &Case) -> Vec<Goal> {
    let sum = |name| case.sum(&[CONNECT, RESUME], &[name]);
    let ratio = |server| {
        let ratios = case.values(server, DURING).into_iter().zip(case.values(server, BEFORE));
        median(ratios.map(|(during, before)| during / before).collect())
    };
    vec![
        Goal { what: "events lost, doubled or put out of order", measured: sum(FAULTS), at_most: 0.0 },
        Goal { what: "Redis commands for it", measured: sum(COMMANDS), at_most: 0.0 },
        Goal {
            what: "seconds until all were replayed",
            measured: median(case.values(RESUME, REPLAYED)),
            at_most: 2.0,
        },
        Goal {
            what: "p99 of those who stayed, times that before: connect",
            measured: ratio(CONNECT),
            at_most: 2.0,
        },
        Goal {
            what: "p99 of those who stayed, times that before: resume",
            measured: ratio(RESUME),
            at_most: 2.0,
        },
    ]
}

fn measure(bench: &Bench, server: &'static str, unusual: &mut Vec<String>) -> anyhow::Result<Round> {
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
    // What came before the log began is nobody's to know, so it is full before the position that all come back with.
    let filling = MAXLEN / u64::from(MISSED_SESSIONS);
    let first = storm::Plan { events: filling, first_session: STAYING + MISSED_SESSIONS, ..plan };
    first.publish(&mut RedisPublisher::connect(redis.address, STREAM, MAXLEN)?)?;
    thread::sleep(Duration::from_millis(2));
    let position = format!("{}-0", SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis());
    plan.publish(&mut RedisPublisher::connect(redis.address, STREAM, MAXLEN)?)?;
    let stay = Plan { connections: STAYING as usize, sessions: STAYING };
    let mut audience = Audience::connect(&poller, weir.address, stay)?;
    let mut publisher = RedisPublisher::connect(redis.address, STREAM, MAXLEN)?;
    let retried = connects_retried()?;
    let servers = Servers { weir: weir.address, redis: Some(redis.address) };
    let mut storm = if server == RESUME {
        Storm::new(plan, servers, Some(position))?
    } else {
        Storm::new(storm::Plan { events: 0, ..plan }, servers, None)?
    };
    let schedule = Schedule { rate: RATE, total: RATE * SECONDS, sessions: STAYING };
    let stayed = load::run_beside(&poller, &mut audience, &mut publisher, (schedule, &mut storm))?;
    let storm = storm.outcome()?;
    let beyond = storm.rough.commands.beyond(&storm.calm.commands);
    unusual.extend((beyond.total() > 0).then(|| beyond.to_string()));
    let mut figures = figures(&stayed, &storm);
    figures.push(Figure::new("SYNs sent again", (connects_retried()? - retried) as f64));
    Ok(Round { server, figures })
}

fn figures(stayed: &Outcome, storm: &storm::Outcome) -> Vec<Figure> {
    let storm::Outcome { calm, rough, wrong, missing } = storm;
    let beyond = rough.commands.beyond(&calm.commands);
    let upkeep: u64 = UPKEEP.iter().map(|name| rough.commands.calls(name)).sum();
    let unusual = UPKEEP.into_iter().fold(beyond, Commands::without);
    let faults = wrong + missing + stayed.missing + stayed.arrivals.wrong();
    let quantile = |phase: &storm::Phase, q: f64| phase.latency.value_at_quantile(q) as f64 / MS_NS as f64;
    vec![
        Figure::new(REPLAYED, rough.length_ns as f64 / SECOND_NS as f64),
        Figure::new(FAULTS, faults as f64),
        Figure::new(COMMANDS, unusual.total() as f64),
        Figure::new("calls of upkeep", upkeep as f64),
        Figure::new("p50 ms before", quantile(calm, 0.5)),
        Figure::new("p50 ms during", quantile(rough, 0.5)),
        Figure::new(BEFORE, quantile(calm, 0.99)),
        Figure::new(DURING, quantile(rough, 0.99)),
        Figure::new("max ms during", quantile(rough, 1.0)),
        Figure::new("publisher late ms", stayed.late_ms),
        Figure::new("read late p99 ms", stayed.read_late_ms),
    ]
}

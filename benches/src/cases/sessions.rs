//! Many sessions with one subscriber each: how long an event takes from the publisher to the one who listens.

use anyhow::Context;

use crate::audience::Plan;
use crate::cases::Bench;
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections};
use crate::publisher::HttpPool;
use crate::report::{Case, Figure, Goal, Round, median, number};
use crate::server::{Server, Settings};

const SESSIONS: u32 = 2_000;

/// Publishes per second over all sessions.
const RATE: u64 = 2_000;
const SECONDS: u64 = 5;

/// Connections that the publishes come on.
const PUBLISHERS: usize = 32;

/// Ten seconds of the rate.
const MAXLEN: u64 = 10 * RATE;

/// Those in memory, then those behind Redis.
const SERVERS: [Server; 8] = [
    Server::Weir,
    Server::Nchan,
    Server::Axum,
    Server::Hono,
    Server::WeirRedis,
    Server::AxumRedis,
    Server::NchanRedis,
    Server::FastifyRedis,
];

const P50: &str = "p50 µs";
const P99: &str = "p99 µs";
const FAULTS: &str = "missing, doubled, reordered, foreign, announced as lost or ended";

/// Runs weir and its peers in turn.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(u64::from(SESSIONS) + PUBLISHERS as u64)?;
    let mut rounds = Vec::new();
    for server in (0..bench.rounds).flat_map(|_| SERVERS) {
        rounds.push(measure(bench, server).context(server.name())?);
    }
    let what = format!(
        "{} sessions with one subscriber each, {} publishes/s over HTTP on {PUBLISHERS} kept connections for \
         {SECONDS} s; latency from the publish to when its event was there. Those `+ Redis` have a Redis of their own each.",
        number(f64::from(SESSIONS)),
        number(RATE as f64)
    );
    let mut case = Case { name: "sessions", what, rounds, goals: Vec::new() };
    case.goals = goals(&case);
    Ok(case)
}

fn measure(bench: &Bench, server: Server) -> anyhow::Result<Round> {
    let started = server.start(bench, Settings { maxlen: MAXLEN, ..Settings::default() })?;
    let (process, poller) = (&started.process, Poller::new()?);
    let plan = Plan { connections: SESSIONS as usize, sessions: SESSIONS };
    let mut audience = started.audience(&poller, plan)?;
    let mut publisher = HttpPool::connect(process.address, PUBLISHERS)?;
    let redis = || started.redis.as_ref().map_or(Ok(Cpu::default()), |redis| Cpu::of(redis.pid()));
    let before = (Cpu::of(process.pid())?, redis()?);
    let schedule = Schedule { rate: RATE, total: RATE * SECONDS, sessions: SESSIONS };
    let outcome = load::run(&poller, &mut audience, &mut publisher, schedule)?;
    let cpu = (Cpu::of(process.pid())?.since(before.0), redis()?.since(before.1));
    Ok(Round { server: server.name(), figures: figures(&outcome, cpu) })
}

fn figures(outcome: &Outcome, (server, redis): (Cpu, Cpu)) -> Vec<Figure> {
    let Outcome { arrivals, latency, missing, published, .. } = outcome;
    let per_publish = |ns: u64| ns as f64 / 1_000.0 / *published as f64;
    let faults = missing + arrivals.wrong();
    vec![
        Figure::new("CPU µs/publish and its delivery", per_publish(server.used_ns)),
        Figure::new(P50, latency.p50 * 1_000.0),
        Figure::new(P99, latency.p99 * 1_000.0),
        Figure::new("p99.9 µs", latency.p999 * 1_000.0),
        Figure::new("max µs", latency.max * 1_000.0),
        Figure::new("delivered", arrivals.delivered as f64),
        Figure::new(FAULTS, faults as f64),
        Figure::new("Redis CPU µs/publish", per_publish(redis.used_ns)),
        Figure::new("waited for its core, µs/publish", per_publish(server.waited_ns)),
        Figure::new("publisher late µs", outcome.late_ms * 1_000.0),
        Figure::new("read late p99 µs", outcome.read_late_ms * 1_000.0),
    ]
}

fn goals(case: &Case) -> Vec<Goal> {
    let ratio =
        |what, server, peer, name, at_most| Goal { what, measured: case.ratio(server, peer, name), at_most };
    let p50 = |what, server, at_most| Goal { what, measured: median(case.values(server, P50)), at_most };
    let faults = case.sum(&["weir", "weir + Redis"], &[FAULTS]);
    vec![
        ratio("p50 on Redis, times that of axum on Redis", "weir + Redis", "axum + Redis", P50, 0.8),
        ratio("p99 on Redis, times that of axum on Redis", "weir + Redis", "axum + Redis", P99, 0.8),
        p50("p50 on Redis, µs", "weir + Redis", 150.0),
        ratio("p50 with the embedded log, times that of nchan in memory", "weir", "nchan", P50, 1.0),
        ratio("p99 with the embedded log, times that of nchan in memory", "weir", "nchan", P99, 1.0),
        p50("p50 with the embedded log, µs", "weir", 70.0),
        Goal { what: "events that weir lost, doubled or put out of order", measured: faults, at_most: 0.0 },
    ]
}

//! Durable streams: how many appends a server takes, and how soon one is with who follows live.

use std::process::Command;

use anyhow::ensure;
use tempfile::TempDir;

use crate::appending;
use crate::cases::Bench;
use crate::child::Running;
use crate::process::{Cpu, allow_connections};
use crate::publisher::append::Kind;
use crate::report::{Case, Figure, Goal, Round, greatest};
use crate::tailing;

const SECONDS: f64 = 2.0;

/// Appends made before anything is measured.
const WARM_UP: appending::Plan = appending::Plan { connections: 4, kind: Kind::Plain, seconds: 0.5 };

const TAIL: tailing::Plan = tailing::Plan { rate: 200, seconds: 5 };

const APPENDS: &str = "appends/s";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Memory,
    Disk,
    Redis,
    Reference,
}

const ALL: [Who; 4] = [Who::Memory, Who::Redis, Who::Disk, Who::Reference];

/// What is appended, and what it is called with each server, in the order of [`ALL`].
struct Load {
    names: [&'static str; ALL.len()],
    connections: u64,
    kind: Kind,
}

macro_rules! load {
    ($what:literal, $connections:literal, $kind:expr) => {
        Load {
            names: [
                concat!("weir, in memory: ", $what),
                concat!("weir, Redis: ", $what),
                concat!("weir, --data-dir: ", $what),
                concat!("reference, in memory: ", $what),
            ],
            connections: $connections,
            kind: $kind,
        }
    };
}

const LOADS: [Load; 6] = [
    load!("1 connection", 1, Kind::Plain),
    load!("16 connections", 16, Kind::Plain),
    load!("64 connections", 64, Kind::Plain),
    load!("1 producer", 1, Kind::Producer),
    load!("16 producers", 16, Kind::Producer),
    load!("64 producers", 64, Kind::Producer),
];

/// A server and what it needs.
#[derive(Debug)]
struct Started {
    server: Running,
    redis: Option<Running>,
    _directory: TempDir,
}

/// Appends as fast as they are answered.
///
/// # Errors
/// A server does not start, or refuses an append.
pub fn appends(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(64)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        for (nth, who) in ALL.into_iter().enumerate() {
            let started = who.start(bench)?;
            appending::run(started.server.address, "warm-up", WARM_UP)?;
            for (run, load) in LOADS.iter().enumerate() {
                rounds.push(Round { server: load.names[nth], figures: measure(&started, run, load)? });
            }
        }
    }
    let what = format!(
        "Each connection appends values of JSON of {} bytes to a stream of its own, the next when the last was answered; with and \
         without the headers of an idempotent producer. With --data-dir an answer means that it was synced to disk; the reference keeps everything in memory.",
        appending::BYTES
    );
    let mut case = Case { name: "appends", what, rounds, goals: Vec::new() };
    case.goals = vec![
        Goal {
            what: "appends/s of the reference, times weir's in memory",
            measured: worst(&case, 0),
            at_most: 1.0,
        },
        Goal {
            what: "appends/s of the reference, times weir's on Redis",
            measured: worst(&case, 1),
            at_most: 1.0,
        },
    ];
    Ok(case)
}

/// The reference's as a multiple of weir's, where it is the greatest of all loads.
fn worst(case: &Case, weir: usize) -> f64 {
    let reference = ALL.len() - 1;
    greatest(LOADS.iter().map(|load| case.ratio(load.names[reference], load.names[weir], APPENDS)))
}

fn measure(started: &Started, run: usize, load: &Load) -> anyhow::Result<Vec<Figure>> {
    let cpu = || -> anyhow::Result<(Cpu, Cpu)> {
        let redis = started.redis.as_ref().map(|redis| Cpu::of(redis.pid())).transpose()?;
        Ok((Cpu::of(started.server.pid())?, redis.unwrap_or_default()))
    };
    let plan = appending::Plan { connections: load.connections, kind: load.kind, seconds: SECONDS };
    let before = cpu()?;
    let outcome = appending::run(started.server.address, &format!("run-{run}"), plan)?;
    let after = cpu()?;
    let each = |ns: u64| ns as f64 / 1_000.0 / outcome.appends as f64;
    let quantile = |q: f64| outcome.latency.value_at_quantile(q) as f64 / 1_000.0;
    let server = after.0.since(before.0);
    Ok(vec![
        Figure::new(APPENDS, outcome.appends as f64 / outcome.seconds),
        Figure::new("p50 µs", quantile(0.5)),
        Figure::new("p99 µs", quantile(0.99)),
        Figure::new("CPU µs/append", each(server.used_ns)),
        Figure::new("waited for its core, µs/append", each(server.waited_ns)),
        Figure::new("Redis CPU µs/append", each(after.1.since(before.1).used_ns)),
    ])
}

/// From an append to a live tail.
///
/// # Errors
/// A server does not start, or something appended does not arrive.
pub fn tails(bench: &Bench) -> anyhow::Result<Case> {
    let mut rounds = Vec::new();
    for round in 0..bench.rounds {
        let run = format!("round-{round}");
        let one = Who::Redis.start(bench)?;
        let redis = one.redis.as_ref().map_or_else(String::new, |redis| format!("redis://{}", redis.address));
        ensure!(!redis.is_empty(), "weir on Redis has one");
        let other = Running::weir(&bench.binaries, bench.cores, &["--redis".to_owned(), redis])?;
        let across = tailing::run((one.server.address, other.address), &run, TAIL)?;
        rounds.push(Round { server: "weir, Redis: on another instance", figures: quantiles(&across) });
        drop((other, one));
        for (who, server) in [
            (Who::Memory, "weir, in memory: on the same instance"),
            (Who::Disk, "weir, --data-dir: on the same instance"),
            (Who::Reference, "reference, in memory: on the same instance"),
        ] {
            let started = who.start(bench)?;
            let at = started.server.address;
            rounds.push(Round { server, figures: quantiles(&tailing::run((at, at), &run, TAIL)?) });
        }
    }
    let what = format!(
        "{} appends/s to one stream for {} s, and one who follows it by SSE: on another instance through Redis, or on the same. Latency is \
         from the append to when the follower's kernel has it.",
        TAIL.rate, TAIL.seconds
    );
    let mut case = Case { name: "tails", what, rounds, goals: Vec::new() };
    let across = |name: &str| greatest(case.values("weir, Redis: on another instance", name).into_iter());
    case.goals = vec![
        Goal { what: "p50 to another instance in ms", measured: across("p50 ms"), at_most: 5.0 },
        Goal { what: "p99 to another instance in ms", measured: across("p99 ms"), at_most: 30.0 },
    ];
    Ok(case)
}

fn quantiles(latency: &hdrhistogram::Histogram<u64>) -> Vec<Figure> {
    let ms = |q: f64| latency.value_at_quantile(q) as f64 / 1_000_000.0;
    [("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999), ("max ms", 1.0)]
        .map(|(name, q)| Figure::new(name, ms(q)))
        .into()
}

impl Who {
    fn start(self, bench: &Bench) -> anyhow::Result<Started> {
        let directory = tempfile::tempdir_in(&bench.scratch)?;
        let path = directory.path().display().to_string();
        let redis = match self {
            Self::Redis => Some(Running::redis(bench.cores, directory.path())?),
            Self::Memory | Self::Disk | Self::Reference => None,
        };
        let weir = |args: &[String]| Running::weir(&bench.binaries, bench.cores, args);
        let server = match (self, &redis) {
            (Self::Redis, Some(redis)) => {
                weir(&["--redis".to_owned(), format!("redis://{}", redis.address)])?
            }
            (Self::Memory | Self::Redis, _) => weir(&[])?,
            (Self::Disk, _) => weir(&["--data-dir".to_owned(), path])?,
            (Self::Reference, _) => reference(bench)?,
        };
        Ok(Started { server, redis, _directory: directory })
    }
}

/// The reference server, which runs on Node.js.
fn reference(bench: &Bench) -> anyhow::Result<Running> {
    let path = bench.binaries.peers.join("node/durable.js");
    ensure!(path.exists(), "{} is missing: `make bench` installs it", path.display());
    let mut command = Command::new("node");
    command.arg(path).env("NODE_ENV", "production");
    Running::server(command, bench.cores)
}

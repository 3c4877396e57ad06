//! Clients that come and go for a long time: what they leave behind in the server.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::json;

use crate::audience::{Audience, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::clock::now_ns;
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections, descriptors, pss_kib};
use crate::report::{Case, Figure, Goal, Round};
use crate::stamp::Stamp;
use crate::steady::{Sample, growth_per_second, growth_percent};
use crate::visit::{EVENTS, Unavailable, Visitor, answer};

/// Who visit at a time. Each leaves some streams open behind it.
const VISITORS: u32 = 16;

/// Visits per second in all, so few that an hour of it does not disturb other work on the machine.
const RATE: u32 = 60;

/// Sessions that are published to before the first visit: more than the 65,536 of which weir remembers what it evicted, so that
/// every memory with a bound is full before it is watched.
const EARLIER: u32 = 70_000;

/// Events in one publish of these.
const BATCH: u32 = 1_000;

/// Bounds the window and the snapshots, each; small, so that both are full before they are watched.
const WINDOW_BYTES: &str = "4MiB";

/// Rows of the table: the series in short.
const ROWS: u64 = 30;

/// How long the server may take until it has closed what clients left.
const SETTLE: Duration = Duration::from_secs(20);

const STREAM: &str = "weir:events";

const PSS: &str = "PSS KiB";

/// Runs weir on a private Redis for `churn_seconds` of the bench.
///
/// # Errors
/// A server does not start, or ends.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(1_000)?;
    let redis = Running::redis(bench.cores, &bench.scratch)?;
    let url = format!("redis://{}", redis.address);
    let args = ["--redis", &url, "--stream", STREAM, "--window-bytes", WINDOW_BYTES].map(str::to_owned);
    let weir = Running::weir(&bench.binaries, bench.cores, &args)?;
    // A subscribe is held until the log is there, a publish is refused.
    Audience::connect(&Poller::new()?, weir.address, Plan { connections: 1, sessions: 1 })?;
    fill(weir.address).context("publish to earlier sessions")?;
    let alone = settle(&weir, 0)?;
    let seconds = bench.churn_seconds;
    let visits = Visits::default();
    let samples = thread::scope(|scope| {
        for index in 0..VISITORS {
            let visits = &visits;
            scope.spawn(move || visits.keep_visiting(weir.address, index));
        }
        let samples = watch(&weir, seconds, &visits);
        visits.stop.store(true, Ordering::Relaxed);
        samples
    })?;
    let left = settle(&weir, alone)?.saturating_sub(alone);
    let what = what(seconds, &visits, &samples)?;
    let mut case = Case { name: "churn", what, rounds: rows(&samples), goals: Vec::new() };
    case.goals = goals(&samples, &visits, left);
    Ok(case)
}

/// What the visitors count into.
#[derive(Debug, Default)]
struct Visits {
    stop: AtomicBool,
    done: AtomicU64,
    wrong: AtomicU64,
    /// Broken off because the server could not reach Redis, and said so.
    unavailable: AtomicU64,
    first_fault: Mutex<Option<anyhow::Error>>,
}

impl Visits {
    fn keep_visiting(&self, server: SocketAddr, index: u32) {
        let mut visitor = None;
        let (start, pause) = (Instant::now(), Duration::from_secs(1) * VISITORS / RATE);
        let mut session = index;
        for turn in 1.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            if let Err(fault) = visit(&mut visitor, (server, index), session) {
                let unavailable = fault.downcast_ref::<Unavailable>().is_some();
                let count = if unavailable { &self.unavailable } else { &self.wrong };
                count.fetch_add(1, Ordering::Relaxed);
                if !unavailable {
                    self.first_fault.lock().expect("no visitor panics").get_or_insert(fault);
                }
                // Its connections may be at fault, too.
                visitor = None;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
            session += VISITORS;
            thread::sleep((start + pause * turn).saturating_duration_since(Instant::now()));
        }
    }
}

fn visit(
    visitor: &mut Option<Visitor>,
    (server, index): (SocketAddr, u32),
    session: u32,
) -> anyhow::Result<()> {
    // An address each, so that ports of closed connections are free again before they are needed.
    let visitor = match visitor {
        Some(visitor) => visitor,
        None => visitor.insert(Visitor::new(server, 1 + index as usize)?),
    };
    visitor.visit(session)
}

/// One look at the server.
#[derive(Clone, Copy, Debug)]
struct Look {
    second: f64,
    pss_kib: u64,
    descriptors: usize,
    visits: u64,
    cpu_ns: u64,
}

/// Looks at the server once a second.
fn watch(weir: &Running, seconds: u64, visits: &Visits) -> anyhow::Result<Vec<Look>> {
    let start = Instant::now();
    let mut looks = Vec::new();
    for second in 0..=seconds {
        thread::sleep((start + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        looks.push(Look {
            second: start.elapsed().as_secs_f64(),
            pss_kib: pss_kib(weir.pid())?,
            descriptors: descriptors(weir.pid())?,
            visits: visits.done.load(Ordering::Relaxed),
            cpu_ns: Cpu::of(weir.pid())?.used_ns,
        });
    }
    Ok(looks)
}

/// One event to each of many sessions that are not heard of again.
fn fill(server: SocketAddr) -> anyhow::Result<()> {
    let mut publisher = BufReader::new(TcpStream::connect(server)?);
    publisher.get_mut().set_read_timeout(Some(SETTLE))?;
    for first in (0..EARLIER).step_by(BATCH as usize) {
        let body: String = (first..first + BATCH).map(earlier).collect();
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        publisher.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        answer(&mut publisher, "201")?;
    }
    Ok(())
}

/// As long as an event of a visit, so that those need no more room in the window.
fn earlier(session: u32) -> String {
    let mut data = Vec::new();
    Stamp { session, number: 0, sent_ns: now_ns() }.put(&mut data);
    let data = String::from_utf8_lossy(&data);
    format!("{}\n", json!({ "session": format!("w{session}"), "data": data, "snapshot": 1 }))
}

/// The descriptors of the server once they are no more than `expected`, or once they stay the same.
fn settle(weir: &Running, expected: usize) -> anyhow::Result<usize> {
    let (mut last, mut since) = (descriptors(weir.pid())?, Instant::now());
    while last > expected && since.elapsed() < SETTLE / 10 {
        thread::sleep(SETTLE / 200);
        let now = descriptors(weir.pid())?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

fn what(seconds: u64, visits: &Visits, looks: &[Look]) -> anyhow::Result<String> {
    let done = visits.done.load(Ordering::Relaxed);
    let fault = visits.first_fault.lock().map_err(|_| anyhow!("a visitor panicked"))?;
    let fault =
        fault.as_ref().map_or_else(String::new, |fault| format!(" The first that went wrong: {fault:#}."));
    let unavailable = visits.unavailable.load(Ordering::Relaxed);
    let bytes = growth_per_second(&memory(looks)) * 1_024.0 * seconds as f64 / done as f64;
    Ok(format!(
        "{done} visits in {seconds} s, each to a session of its own: connect, hear, leave or hang up, miss, come back to a stream or \
         to two long-polls, hear; {EVENTS} events of each session over HTTP; weir with Redis. Every bounded memory is filled \
         before. One row per {} s. By the slope of the second half, {bytes:.0} bytes stay behind per visit. {unavailable} \
         visits were broken off because weir could not reach Redis and said so.{fault}",
        seconds.div_ceil(ROWS)
    ))
}

fn rows(looks: &[Look]) -> Vec<Round> {
    let seconds = looks.len() as u64 - 1;
    let step = usize::try_from(seconds.div_ceil(ROWS)).expect("small").max(1);
    let row = |pair: (&Look, &Look)| Round {
        server: "weir",
        figures: vec![
            Figure::new("second", pair.1.second),
            Figure::new("visits", pair.1.visits as f64),
            Figure::new(PSS, pair.1.pss_kib as f64),
            Figure::new("open descriptors", pair.1.descriptors as f64),
            Figure::new(
                "CPU µs/visit",
                (pair.1.cpu_ns - pair.0.cpu_ns) as f64 / 1_000.0 / (pair.1.visits - pair.0.visits) as f64,
            ),
        ],
    };
    let ends = looks.iter().step_by(step);
    ends.clone().zip(ends.skip(1)).map(row).collect()
}

fn memory(looks: &[Look]) -> Vec<Sample> {
    looks.iter().map(|look| Sample { second: look.second, value: look.pss_kib as f64 }).collect()
}

fn goals(looks: &[Look], visits: &Visits, left: usize) -> Vec<Goal> {
    let wrong = visits.wrong.load(Ordering::Relaxed) as f64;
    vec![
        Goal {
            what: "growth of memory from the beginning of the second half to its end, %",
            measured: growth_percent(&memory(looks)),
            at_most: 2.0,
        },
        Goal { what: "descriptors left open when all have gone", measured: left as f64, at_most: 0.0 },
        Goal { what: "visits that lost, doubled or mistook something", measured: wrong, at_most: 0.0 },
    ]
}

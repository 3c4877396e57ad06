//! Ten thousand clients come at once: what each costs, and how soon all are there.

use std::time::Duration;

use crate::audience::{self, Audience};
use crate::cases::Bench;
use crate::child::Running;
use crate::clock::SECOND_NS;
use crate::load::Beside;
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections, connects_retried, pss_kib};
use crate::report::{Case, Figure, Goal, Round, median};
use crate::storm::{Plan, Servers, Storm};

const CLIENTS: usize = 10_000;

/// Sessions that they listen to.
const SESSIONS: u32 = 1_000;

const CPU: &str = "CPU µs/connect";
const SECONDS: &str = "seconds until all are connected";

/// Runs the floor and weir in turn.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(CLIENTS as u64)?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.push(measure("floor", &Running::floor(&bench.binaries, bench.cores)?)?);
        rounds.push(measure("weir", &Running::weir(&bench.binaries, bench.cores, &[])?)?);
    }
    let what = format!(
        "{CLIENTS} clients subscribe at once, at most 2,000 of them unanswered at a time; weir with its embedded log. Connected is who \
         has read `weir.connected`. The generator opens the connections on its core and is busy with it all the time, so the \
         rate is the least of what a server can do."
    );
    let mut case = Case { name: "connect", what, rounds, goals: Vec::new() };
    let (ratio, seconds) = (case.ratio("weir", "floor", CPU), median(case.values("weir", SECONDS)));
    case.goals = vec![
        Goal { what: "CPU per connect, times the floor's of the same round", measured: ratio, at_most: 3.0 },
        Goal { what: SECONDS, measured: seconds, at_most: 2.0 },
    ];
    Ok(case)
}

fn measure(name: &'static str, server: &Running) -> anyhow::Result<Round> {
    let poller = Poller::new()?;
    let mut nobody =
        Audience::connect(&poller, server.address, audience::Plan { connections: 0, sessions: 1 })?;
    let plan = Plan { clients: CLIENTS, first_session: 0, sessions: SESSIONS, events: 0, after_ns: 0 };
    let before = (Cpu::of(server.pid())?, pss_kib(server.pid())?);
    let retried = connects_retried()?;
    let mut storm = Storm::new(plan, Servers { weir: server.address, redis: None }, None)?;
    let mut ready = Vec::new();
    while !storm.is_over() {
        let more = storm.step(&poller, &mut nobody)?;
        poller.wait(if more { Duration::ZERO } else { Duration::from_millis(1) }, &mut ready)?;
        ready.drain(..).try_for_each(|token| storm.read(token))?;
    }
    let cpu = Cpu::of(server.pid())?.since(before.0);
    let pss = pss_kib(server.pid())?.saturating_sub(before.1);
    let seconds = storm.outcome()?.rough.length_ns as f64 / SECOND_NS as f64;
    let each = |ns: u64| ns as f64 / 1_000.0 / CLIENTS as f64;
    Ok(Round {
        server: name,
        figures: vec![
            Figure::new(SECONDS, seconds),
            Figure::new("connects/s", CLIENTS as f64 / seconds),
            Figure::new(CPU, each(cpu.used_ns)),
            Figure::new("waited for its core, µs/connect", each(cpu.waited_ns)),
            Figure::new("SYNs sent again", (connects_retried()? - retried) as f64),
            Figure::new("PSS KiB/connection", pss as f64 / CLIENTS as f64),
        ],
    })
}

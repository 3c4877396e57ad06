//! Connections that nothing happens on: what each of them keeps in memory.

use std::time::Duration;

use anyhow::Context;

use crate::audience::{Audience, Plan};
use crate::cases::Bench;
use crate::clock::{SECOND_NS, now_ns};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections, pss_kib};
use crate::report::{Case, Figure, Goal, Round, median, number};
use crate::server::{Server, Settings};

const CONNECTIONS: usize = 15_000;

/// Short, so that every connection has written a few times when it is measured: the first write may allocate for good.
const HEARTBEAT_SECONDS: u64 = 3;

/// Three rounds of heartbeats.
const IDLE_SECONDS: u64 = 9;

const PER_CONNECTION: &str = "PSS KiB/connection";

/// Those in memory, and one on Redis.
const SERVERS: [Server; 6] =
    [Server::Weir, Server::BareHyper, Server::Nchan, Server::Axum, Server::Hono, Server::FastifyRedis];

/// Runs each once: memory does not vary as time does.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(CONNECTIONS as u64)?;
    let measured = |server: Server| measure(bench, server).context(server.name());
    let rounds = SERVERS.into_iter().map(measured).collect::<anyhow::Result<_>>()?;
    let what = format!(
        "{} idle subscribers of as many sessions; memory after {IDLE_SECONDS} s with a heartbeat every \
         {HEARTBEAT_SECONDS} s, less what the server had before the first.",
        number(CONNECTIONS as f64)
    );
    let mut case = Case { name: "idle", what, rounds, goals: Vec::new() };
    let pss = |server| median(case.values(server, PER_CONNECTION));
    case.goals = vec![
        Goal {
            what: "PSS KiB/connection beyond that of bare hyper in the same run",
            measured: pss("weir") - pss("bare hyper"),
            at_most: 1.0,
        },
        Goal { what: PER_CONNECTION, measured: pss("weir"), at_most: 11.0 },
        Goal {
            what: "PSS per connection, times that of nchan in the same run",
            measured: pss("weir") / pss("nchan"),
            at_most: 1.0,
        },
    ];
    Ok(case)
}

fn measure(bench: &Bench, server: Server) -> anyhow::Result<Round> {
    let settings = Settings { heartbeat_seconds: HEARTBEAT_SECONDS, ..Settings::default() };
    let started = server.start(bench, settings)?;
    let (pid, poller) = (started.process.pid(), Poller::new()?);
    let sessions = u32::try_from(CONNECTIONS)?;
    let empty = pss_kib(pid)?;
    let start = now_ns();
    let mut audience = started.audience(&poller, Plan { connections: CONNECTIONS, sessions })?;
    let connected = now_ns();
    let fresh = pss_kib(pid)?;
    let before = Cpu::of(pid)?;
    listen(&poller, &mut audience)?;
    let cpu = Cpu::of(pid)?.since(before);
    let idle = pss_kib(pid)?;
    anyhow::ensure!(audience.arrivals().ended == 0, "{} connections ended", audience.arrivals().ended);
    let per_connection = |pss: u64| pss.saturating_sub(empty) as f64 / CONNECTIONS as f64;
    Ok(Round {
        server: server.name(),
        figures: vec![
            Figure::new(PER_CONNECTION, per_connection(idle.max(fresh))),
            Figure::new("right after connecting", per_connection(fresh)),
            Figure::new("PSS KiB without connections", empty as f64),
            Figure::new("connects/s", CONNECTIONS as f64 * SECOND_NS as f64 / (connected - start) as f64),
            Figure::new("CPU % while idle", cpu.used_ns as f64 / (IDLE_SECONDS * SECOND_NS) as f64 * 100.0),
        ],
    })
}

/// Reads heartbeats for a while.
fn listen(poller: &Poller, audience: &mut Audience) -> anyhow::Result<()> {
    let deadline = now_ns() + IDLE_SECONDS * SECOND_NS;
    let mut ready = Vec::new();
    while now_ns() < deadline {
        poller.wait(Duration::from_millis(100), &mut ready)?;
        for token in ready.drain(..) {
            audience.read(poller, token)?;
        }
    }
    Ok(())
}

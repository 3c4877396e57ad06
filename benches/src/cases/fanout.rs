//! Many subscribers of one session: what each server adds to the kernel's price of a delivery.

use anyhow::Context;

use crate::audience::{Arrivals, Plan};
use crate::cases::Bench;
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::process::{Cpu, allow_connections};
use crate::publisher::HttpPublisher;
use crate::report::{Case, Figure, Goal, Round, number};
use crate::server::{Server, Settings};

/// Everybody.
const SERVERS: [Server; 10] = [
    Server::Floor,
    Server::Weir,
    Server::BareHyper,
    Server::Nchan,
    Server::Axum,
    Server::Hono,
    Server::WeirRedis,
    Server::NchanRedis,
    Server::AxumRedis,
    Server::FastifyRedis,
];

/// What is asked of them.
const LOAD: Load = Load { subscribers: 1_000, rate: 50, seconds: 4 };

pub(super) const CPU: &str = "CPU µs/delivery";
const MISSING: &str = "missing";

/// How much goes to how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Connections that listen to the one session.
    pub(super) subscribers: usize,
    /// Events per second.
    pub(super) rate: u64,
    /// For how long.
    pub(super) seconds: u64,
}

/// Runs weir, its peers and the floor in turn.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    let mut case = LOAD.compete(bench, "fanout", &SERVERS)?;
    case.what += " Those `+ Redis` have a Redis of their own each.";
    Ok(case)
}

impl Load {
    /// [`Load::compare`] with what weir may cost beside the floor and nchan, which are among the servers.
    pub(super) fn compete(
        self,
        bench: &Bench,
        name: &'static str,
        servers: &[Server],
    ) -> anyhow::Result<Case> {
        let mut case = self.compare(bench, name, servers)?;
        let goal = |what, peer, at_most| Goal { what, measured: case.ratio("weir", peer, CPU), at_most };
        let goals = [
            goal("CPU per delivery, times the floor's of the same round", "floor", 1.25),
            goal("CPU per delivery, times nchan's of the same round", "nchan", 0.8),
        ];
        case.goals.splice(0..0, goals);
        Ok(case)
    }

    /// Runs these servers in turn, round by round. That weir loses nothing, on Redis neither, is the first goal.
    pub(super) fn compare(
        self,
        bench: &Bench,
        name: &'static str,
        servers: &[Server],
    ) -> anyhow::Result<Case> {
        let Self { subscribers, rate, seconds } = self;
        allow_connections(subscribers as u64)?;
        let mut rounds = Vec::new();
        for server in (0..bench.rounds).flat_map(|_| servers) {
            rounds.push(self.measure(bench, *server).context(server.name())?);
        }
        let what = format!(
            "{} subscribers of one session, {rate} events/s published over HTTP on one connection for {seconds} s. \
             `weir` is that with its embedded log.",
            number(subscribers as f64)
        );
        let mut case = Case { name, what, rounds, goals: Vec::new() };
        let ours: Vec<_> =
            servers.iter().map(|server| server.name()).filter(|name| name.starts_with("weir")).collect();
        let faults = case.sum(&ours, &[MISSING, Arrivals::WRONG]);
        let what = "deliveries that weir lost, doubled or put out of order";
        case.goals.push(Goal { what, measured: faults, at_most: 0.0 });
        Ok(case)
    }

    fn measure(self, bench: &Bench, server: Server) -> anyhow::Result<Round> {
        let Self { subscribers, rate, seconds } = self;
        let started = server.start(bench, Settings::default())?;
        let (process, poller) = (&started.process, Poller::new()?);
        let mut audience = started.audience(&poller, Plan { connections: subscribers, sessions: 1 })?;
        let mut publisher = HttpPublisher::connect(process.address)?;
        let before = Cpu::of(process.pid())?;
        let schedule = Schedule { rate, total: rate * seconds, sessions: 1 };
        let outcome = load::run(&poller, &mut audience, &mut publisher, schedule)?;
        let cpu = Cpu::of(process.pid())?.since(before);
        Ok(Round { server: server.name(), figures: figures(&outcome, cpu) })
    }
}

fn figures(outcome: &Outcome, cpu: Cpu) -> Vec<Figure> {
    let Outcome { arrivals, latency, .. } = outcome;
    let per_delivery = |ns: u64| ns as f64 / 1_000.0 / arrivals.delivered as f64;
    vec![
        Figure::new(CPU, per_delivery(cpu.used_ns)),
        Figure::new("p50 ms", latency.p50),
        Figure::new("p99 ms", latency.p99),
        Figure::new("p99.9 ms", latency.p999),
        Figure::new("max ms", latency.max),
        Figure::new("delivered", arrivals.delivered as f64),
        Figure::new(MISSING, outcome.missing as f64),
        Figure::new(Arrivals::WRONG, arrivals.wrong() as f64),
        Figure::new("waited for its core, µs/delivery", per_delivery(cpu.waited_ns)),
        Figure::new("publisher late ms", outcome.late_ms),
        Figure::new("read late p99 ms", outcome.read_late_ms),
    ]
}

//! The same subscribers without and with TLS: what it costs to come, to be there, and to get an event.

use crate::cases::Bench;
use crate::child::Running;
use crate::process::{Cpu, allow_connections, pss_kib};
use crate::report::{Case, Figure, Goal, Round};
use crate::secure::{Certificate, Listeners, Publisher};

const CLIENTS: u32 = 1_000;

/// Those who come before anything is measured, so that what the first of all costs counts for nobody.
const WARM: u32 = 50;

const EVENTS: u32 = 100;

const PLAIN: &str = "weir";
const TLS: &str = "weir by TLS";

const CONNECT: &str = "CPU µs/connect";
const DELIVERY: &str = "CPU µs/delivery";

/// Runs weir without and with TLS in turn.
///
/// # Errors
/// The server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    allow_connections(u64::from(CLIENTS + WARM))?;
    let certificate = Certificate::new()?;
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.push(measure(bench, PLAIN, None)?);
        rounds.push(measure(bench, TLS, Some(&certificate))?);
    }
    let what = format!(
        "{CLIENTS} subscribers of one session over HTTP/1.1 come one after the other, and then get {EVENTS} events, one after the other, \
         each published when everybody has the one before; weir with its embedded log, without and with TLS 1.3: a key on \
         P-256, and no session is resumed. A run fails where an event is lost. Coming is the TCP connection, the handshake and the subscribe."
    );
    let mut case = Case { name: "tls", what, rounds, goals: Vec::new() };
    let measured = case.ratio(TLS, PLAIN, DELIVERY);
    case.goals = vec![Goal {
        what: "CPU per delivery by TLS, times that without in the same round",
        measured,
        at_most: 2.0,
    }];
    Ok(case)
}

fn measure(bench: &Bench, server: &'static str, certificate: Option<&Certificate>) -> anyhow::Result<Round> {
    let flags = certificate.map(Certificate::flags).unwrap_or_default();
    let weir = Running::weir_that_listens(&bench.binaries, bench.cores, &flags)?;
    let mut listeners = Listeners::default();
    for _ in 0..WARM {
        listeners.add(weir.address, certificate)?;
    }
    let (before, empty) = (Cpu::of(weir.pid())?, pss_kib(weir.pid())?);
    for _ in 0..CLIENTS {
        listeners.add(weir.address, certificate)?;
    }
    let (there, full) = (Cpu::of(weir.pid())?, pss_kib(weir.pid())?);
    // The first event brings the handshake of who publishes it.
    let mut publisher = Publisher::open(weir.address, certificate)?;
    listeners.get(publisher.publish()?)?;
    let begun = Cpu::of(weir.pid())?;
    for _ in 0..EVENTS {
        listeners.get(publisher.publish()?)?;
    }
    let (after, used) = (Cpu::of(weir.pid())?, pss_kib(weir.pid())?);
    let deliveries = f64::from((CLIENTS + WARM) * EVENTS);
    let each = |cpu: Cpu, of: f64| cpu.used_ns as f64 / 1_000.0 / of;
    let memory = |now: u64| now.saturating_sub(empty) as f64 / f64::from(CLIENTS);
    Ok(Round {
        server,
        figures: vec![
            Figure::new(CONNECT, each(there.since(before), f64::from(CLIENTS))),
            Figure::new(DELIVERY, each(after.since(begun), deliveries)),
            Figure::new("PSS KiB/connection", memory(full)),
            Figure::new("the same after the events", memory(used)),
            Figure::new("delivered", deliveries),
        ],
    })
}

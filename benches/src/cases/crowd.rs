//! Ten times as many subscribers as in `fanout`, with as many deliveries per second: what it costs that they are many.

use super::fanout::{CPU, Load};
use crate::cases::Bench;
use crate::report::{Case, Goal};
use crate::server::Server;

const SERVERS: [Server; 4] = [Server::Floor, Server::Weir, Server::BareHyper, Server::Nchan];

const LOAD: Load = Load { subscribers: 10_000, rate: 5, seconds: 4 };

/// Runs weir, its fastest peers and the floor in turn.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    let mut case = LOAD.compare(bench, "crowd", &SERVERS)?;
    let goal = |what, peer, at_most| Goal { what, measured: case.ratio("weir", peer, CPU), at_most };
    let goals = [
        goal("CPU per delivery, times the floor's of the same round", "floor", 1.25),
        goal("CPU per delivery, times nchan's of the same round", "nchan", 0.8),
    ];
    case.goals.splice(0..0, goals);
    Ok(case)
}

//! Events that come faster than a server can write each of them alone to everybody: who puts several into one write is below
//! the floor, which never does.

use super::fanout::{CPU, Load};
use crate::cases::Bench;
use crate::report::{Case, Goal};
use crate::server::Server;

const SERVERS: [Server; 4] = [Server::Floor, Server::Weir, Server::BareHyper, Server::Nchan];

/// About as many as the floor can just write.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn at_200(bench: &Bench) -> anyhow::Result<Case> {
    run(bench, "coalesce-200", 200)
}

/// More than the floor can write.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn at_400(bench: &Bench) -> anyhow::Result<Case> {
    run(bench, "coalesce-400", 400)
}

fn run(bench: &Bench, name: &'static str, rate: u64) -> anyhow::Result<Case> {
    let mut case = Load { subscribers: 1_000, rate, seconds: 3 }.compare(bench, name, &SERVERS)?;
    let measured = case.ratio("weir", "floor", CPU);
    case.goals.insert(
        0,
        Goal { what: "CPU per delivery, times the floor's of the same round", measured, at_most: 1.0 },
    );
    Ok(case)
}

//! Ten times as many subscribers as in `fanout`, with as many deliveries per second: what it costs that they are many.

use super::fanout::Load;
use crate::cases::Bench;
use crate::report::Case;
use crate::server::Server;

const SERVERS: [Server; 4] = [Server::Floor, Server::Weir, Server::BareHyper, Server::Nchan];

const LOAD: Load = Load { subscribers: 10_000, rate: 5, seconds: 4 };

/// Runs weir, its fastest peers and the floor in turn.
///
/// # Errors
/// A server does not start, or breaks the protocol.
pub fn run(bench: &Bench) -> anyhow::Result<Case> {
    LOAD.compete(bench, "crowd", &SERVERS)
}

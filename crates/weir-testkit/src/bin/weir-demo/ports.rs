//! Where everything listens: at addresses that are easy to remember, as far as they are free.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

/// The public address of the load balancer.
pub(crate) const PUBLIC: u16 = 8080;
/// An instance's public listener is this and its number, its admin listener [`ADMIN`] and its number.
pub(crate) const INSTANCE: u16 = 8080;
pub(crate) const ADMIN: u16 = 8090;
pub(crate) const PROMETHEUS: u16 = 9090;
pub(crate) const ALERTMANAGER: u16 = 9093;
/// Not that of a Redis that may run here already.
pub(crate) const REDIS: u16 = 6390;

/// This port of the loopback, or another where it is taken.
pub(crate) fn at(nice: u16) -> anyhow::Result<SocketAddr> {
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr();
    free(nice).or_else(|_| free(0)).context("the loopback has no free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_left_alone() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(at(port).unwrap().port(), port);
        drop(taken);
        assert_eq!(at(port).unwrap().port(), port);
    }
}

//! Addresses that stay one test's own while nothing listens on them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

/// A free port of a loopback address that belongs to this process alone. Connections leave from 127.0.0.1 and other
/// servers listen there, so a server that ends finds its port free when it comes back.
///
/// # Errors
/// The loopback has no such address, as outside Linux.
pub fn own_address() -> anyhow::Result<SocketAddr> {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // Process ids have 22 bits at most; 127.64.0.0 and above is nobody's by habit.
    let ip = Ipv4Addr::new(127, 64 | (high & 0x3f), middle, low);
    let listener = TcpListener::bind((ip, 0)).with_context(|| format!("listen on {ip}"))?;
    listener.local_addr().context("a bound socket has an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_off_the_beaten_track() {
        let address = own_address().unwrap();
        let SocketAddr::V4(v4) = address else { panic!("{address}") };
        assert!(v4.ip().is_loopback() && v4.ip().octets()[1] >= 64, "{address}");
        assert!(TcpListener::bind(address).is_ok(), "it is free");
    }
}

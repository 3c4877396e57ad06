//! A TCP proxy that does to a connection what networks do: delay, throttle, stall, cut, reset, swallow.
//!
//! It stands between any two parties, such as an instance and Redis, or a client and an instance, and is told at run time
//! what to do in each direction. It also is an address that outlives the server behind it, as a load balancer's does.

mod pump;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// Relays connections to one server at a time. Everything it runs ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _accept: JoinSet<()>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever connected to the server.
    ToServer,
    /// From the server to whoever connected.
    ToClient,
}

/// What happens to bytes on their way. Counts begin anew for each connection, and when the flow is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    Pass,
    /// Each piece passes so much later, and the next one after it.
    Delay(Duration),
    /// So many pass in a second.
    Throttle(u64),
    /// After so many they are kept, and pass when the flow changes. From the first one on it is a black hole: what is
    /// sent neither arrives nor is refused, and a new connection is made and says nothing.
    Hold {
        /// How many still pass.
        after: u64,
    },
    /// They are read and thrown away: a request that passes, with an answer that does not. When the flow changes, the
    /// connection is reset, because what would follow makes no sense.
    Swallow,
    /// After so many, chosen from the range by the proxy's seed, the connection ends.
    End {
        /// How many still pass.
        after: RangeInclusive<u64>,
        /// How it ends.
        how: Close,
    },
}

/// How the proxy ends a connection, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// In good order (FIN), though in the middle of anything.
    Fin,
    /// As a crashed peer's kernel does (RST).
    Reset,
}

/// What the proxy and its connections have in common.
#[derive(Debug)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    rng: Mutex<fastrand::Rng>,
    flows: [watch::Sender<Flow>; 2],
    closing: broadcast::Sender<Close>,
    accepted: AtomicUsize,
    passed: [AtomicU64; 2],
}

impl Proxy {
    /// Listens on a free port of the loopback and relays to `server`.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        Self::start_seeded(server, 0).await
    }

    /// [`Self::start`] with the seed of what it chooses.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start_seeded(server: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let flow = || watch::Sender::new(Flow::Pass);
        let shared = Arc::new(Shared {
            target: Mutex::new(Some(server)),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            flows: [flow(), flow()],
            closing: broadcast::Sender::new(1),
            accepted: AtomicUsize::new(0),
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, _accept: tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where connections go from now on; `None` refuses them: they are reset as soon as they are made. Those that are
    /// open stay.
    pub fn point_at(&self, server: Option<SocketAddr>) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// What happens from now on to the bytes that go this way, on connections that are open and on new ones.
    pub fn set(&self, way: Way, flow: Flow) {
        self.shared.flows[way as usize].send_replace(flow);
    }

    /// [`Self::set`] for both ways.
    pub fn set_both(&self, flow: &Flow) {
        self.set(Way::ToServer, flow.clone());
        self.set(Way::ToClient, flow.clone());
    }

    /// Nothing passes and nothing is refused, on open connections and on new ones.
    pub fn black_hole(&self) {
        self.set_both(&Flow::Hold { after: 0 });
    }

    /// Everything passes again, and what was held goes on its way.
    pub fn heal(&self) {
        self.set_both(&Flow::Pass);
    }

    /// Ends all open connections.
    pub fn close_all(&self, how: Close) {
        // There may be none.
        let _ = self.shared.closing.send(how);
    }

    /// Connections made to it so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Bytes that passed this way so far, on all connections.
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.passed[way as usize].load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let server = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
        match server {
            Some(server) => drop(connections.spawn(pump::relay(client, server, Arc::clone(&shared)))),
            None => pump::reset(client),
        }
    }
}

#[cfg(test)]
mod tests;

//! An address that outlives the server behind it, as a load balancer's does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Relays connections to one server at a time. Everything it runs ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    target: Target,
    _accept: JoinSet<()>,
}

type Target = Arc<Mutex<Option<SocketAddr>>>;

impl Relay {
    /// Listens on a free port of the loopback and relays to `server`.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let target = Arc::new(Mutex::new(Some(server)));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&target)));
        Ok(Self { addr, target, _accept: tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where connections go from now on; `None` closes them as soon as they come. Those that are open stay.
    pub fn point_at(&self, server: Option<SocketAddr>) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }
}

async fn accept(listener: TcpListener, target: Target) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let server = *target.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = server {
            connections.spawn(relay(client, server));
        }
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    // However it ends, both sides see their connection close.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

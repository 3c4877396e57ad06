//! Publishing by `POST` on many connections, as many publishers do: a publish does not wait for the answer to the one
//! before it, which is another's.

use std::io;
use std::net::{SocketAddr, TcpStream};

use super::{Answers, HttpPublisher, Publisher};
use crate::stamp::Stamp;

/// Connections of which each has its sessions, so that the order within a session is kept.
#[derive(Debug)]
pub struct HttpPool {
    connections: Vec<HttpPublisher>,
}

impl HttpPool {
    /// Connects so many times.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(server: SocketAddr, connections: usize) -> io::Result<Self> {
        assert!(connections > 0, "somebody publishes");
        let connections =
            (0..connections).map(|_| HttpPublisher::connect(server)).collect::<io::Result<_>>()?;
        Ok(Self { connections })
    }
}

impl Publisher for HttpPool {
    fn publish(&mut self, stamp: Stamp) {
        let nth = stamp.session as usize % self.connections.len();
        self.connections[nth].publish(stamp);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connections.iter_mut().try_for_each(HttpPublisher::flush)
    }

    fn collect(&mut self) -> io::Result<()> {
        self.connections.iter_mut().try_for_each(HttpPublisher::collect)
    }

    fn socket(&self) -> &TcpStream {
        self.connections[0].socket()
    }

    fn sockets(&self) -> Vec<&TcpStream> {
        self.connections.iter().map(HttpPublisher::socket).collect()
    }

    fn collect_from(&mut self, socket: usize) -> io::Result<()> {
        self.connections[socket].collect()
    }

    fn answers(&self) -> Answers {
        self.connections.iter().map(HttpPublisher::answers).fold(Answers::default(), |sum, one| Answers {
            accepted: sum.accepted + one.accepted,
            refused: sum.refused + one.refused,
            first_refusal: sum.first_refusal.or(one.first_refusal),
        })
    }
}

//! Publishes by HTTP or straight into Redis, without ever waiting for an answer before the next event.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::stamp::Stamp;

pub mod append;
pub mod http;
pub mod pool;
pub mod redis;

pub use http::HttpPublisher;
pub use pool::HttpPool;
pub use redis::RedisPublisher;

/// Where events go in.
pub trait Publisher {
    /// Queues one event. [`Publisher::flush`] sends it.
    fn publish(&mut self, stamp: Stamp);

    /// Sends what is queued, as far as the sockets take it.
    ///
    /// # Errors
    /// The connection is lost.
    fn flush(&mut self) -> io::Result<()>;

    /// Reads answers, as far as there are any.
    ///
    /// # Errors
    /// The connection is lost or the answer cannot be read.
    fn collect(&mut self) -> io::Result<()>;

    /// What to wait for.
    fn socket(&self) -> &TcpStream;

    /// All that is to be waited for, where it is more than one.
    fn sockets(&self) -> Vec<&TcpStream> {
        vec![self.socket()]
    }

    /// Reads the answers on one of the [`sockets`](Self::sockets).
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    fn collect_from(&mut self, _socket: usize) -> io::Result<()> {
        self.collect()
    }

    /// How the publishes ended so far.
    fn answers(&self) -> Answers;
}

/// How publishes ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Accepted.
    pub accepted: u64,
    /// Refused.
    pub refused: u64,
    /// The first refusal, for people.
    pub first_refusal: Option<String>,
}

impl Answers {
    fn refuse(&mut self, why: &[u8]) {
        self.refused += 1;
        self.first_refusal.get_or_insert_with(|| String::from_utf8_lossy(why).into_owned());
    }
}

/// A connection that is written and read without waiting. One connection keeps the order of what is published.
#[derive(Debug)]
struct Pipe {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Pipe {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, out: Vec::new(), input: Vec::new() })
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

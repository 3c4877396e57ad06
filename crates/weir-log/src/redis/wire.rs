//! The connection that entries come over.
//!
//! It is written and read by the reader itself, without a client library in between: requests that belong together leave
//! in one write, and a reply is decoded where it arrived, once. Like a [`Link`](super::link::Link) it is made once, and
//! after the first fault other than a refusal it is over.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use fred::error::{Error, ErrorKind};
use fred::types::Resp3Frame;
use fred::types::config::{Config, Server, ServerConfig, TlsConnector};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::link::{CONNECT_PATIENCE, PATIENCE, Terms};
use super::resp::{self, Scan, Walk, put_head, put_word};
use weir_metrics::{Metrics, Operation};

/// Room that a read has at least. A reply is seldom larger while entries come one after the other.
const READ_BYTES: usize = 64 << 10;

/// Room that is kept between replies. It bounds what a single large one leaves behind.
const KEPT_BYTES: usize = 4 << 20;

trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// A connection. It closes when it is dropped.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    terms: Terms,
    metrics: Arc<Metrics>,
    over: CancellationToken,
    /// Requests that have not been sent.
    output: Vec<u8>,
    input: BytesMut,
    /// Bytes of `input` that belong to the reply that was given last.
    given: usize,
    scan: Scan,
    /// Replies that are to come.
    awaited: usize,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("terms", &self.terms)
            .field("awaited", &self.awaited)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects, and says who comes. It ends when `over` is cancelled.
    pub(super) async fn open(
        config: &Config,
        terms: Terms,
        metrics: Arc<Metrics>,
        over: CancellationToken,
    ) -> Result<Self, Error> {
        let late = |_| Error::new(ErrorKind::Timeout, "Request timed out.");
        let socket = timeout(CONNECT_PATIENCE, connect(config)).await.map_err(late)??;
        let (output, input) = (Vec::new(), BytesMut::with_capacity(READ_BYTES));
        let scan = Scan::default();
        let mut wire = Self { socket, terms, metrics, over, output, input, given: 0, scan, awaited: 0 };
        timeout(CONNECT_PATIENCE, wire.greet(config)).await.map_err(late)??;
        Ok(wire)
    }

    /// The greeting is taken also by a server whose disk is full, which refuses a ping.
    async fn greet(&mut self, config: &Config) -> Result<(), Error> {
        match (&config.username, &config.password) {
            (_, None) => self.ask(&["HELLO", "2"]),
            (user, Some(password)) => {
                self.ask(&["HELLO", "2", "AUTH", user.as_deref().unwrap_or("default"), password]);
            }
        }
        let clustered = self.terms == Terms::Owner;
        if let Some(database) = config.database.filter(|_| !clustered) {
            self.ask(&["SELECT", &database.to_string()]);
        }
        let deadline = Instant::now() + CONNECT_PATIENCE;
        self.send(deadline).await.map_err(unwelcome)?;
        while self.awaited > 0 {
            self.reply(deadline).await.map_err(unwelcome)?;
        }
        Ok(())
    }

    /// Puts a request beside those that leave next.
    pub(super) fn ask(&mut self, words: &[&str]) {
        self.ask_with(words, (0, &[]));
    }

    /// Puts a request whose last words, `more` of them, stand in `rest` as such.
    pub(super) fn ask_with(&mut self, words: &[&str], (more, rest): (usize, &[u8])) {
        put_head(&mut self.output, words.len() + more);
        for word in words {
            put_word(&mut self.output, word.as_bytes());
        }
        self.output.extend_from_slice(rest);
        self.awaited += 1;
    }

    /// Puts a script without arguments.
    pub(super) fn ask_script(&mut self, script: &str, keys: &[&str]) {
        self.ask_script_with(script, keys, &[]);
    }

    fn ask_script_with(&mut self, script: &str, keys: &[&str], args: &[&str]) {
        let count = keys.len().to_string();
        self.ask(&[&["EVAL", script, &*count], keys, args].concat());
    }

    /// Sends everything that was asked, in one write where the socket takes it.
    pub(super) async fn send(&mut self, deadline: Instant) -> Result<(), Fault> {
        let Self { socket, over, output, .. } = self;
        let written = async {
            socket.write_all(output).await?;
            socket.flush().await
        };
        within(deadline, over, written).await?;
        output.clear();
        Ok(())
    }

    /// The next reply, in the order of the requests.
    pub(super) async fn reply(&mut self, deadline: Instant) -> Result<&[u8], Fault> {
        self.forget();
        let end = loop {
            if let Some(end) = self.scan.end(&self.input)? {
                break end;
            }
            let Self { socket, over, input, .. } = &mut *self;
            input.reserve(READ_BYTES);
            if within(deadline, over, socket.read_buf(input)).await? == 0 {
                return Err(Fault::Broken("unexpected end of the connection".to_owned()));
            }
        };
        self.given = end;
        self.awaited = self.awaited.saturating_sub(1);
        let reply = &self.input[..end];
        match resp::error(reply) {
            Some(why) => Err(Fault::Refused(why)),
            None => Ok(reply),
        }
    }

    /// Makes room where the reply stood that was given last.
    fn forget(&mut self) {
        let given = std::mem::take(&mut self.given);
        if given < self.input.len() {
            self.input.advance(given);
        } else if self.input.capacity() > KEPT_BYTES {
            self.input = BytesMut::with_capacity(READ_BYTES);
        } else {
            self.input.clear();
        }
    }

    /// Sends a command that does not block and waits for its answer, at most [`PATIENCE`].
    pub(super) async fn call(&mut self, operation: Operation, words: &[&str]) -> Result<&[u8], Fault> {
        self.ask(words);
        self.answer(operation).await
    }

    /// Runs a script.
    pub(super) async fn run(
        &mut self,
        operation: Operation,
        script: &str,
        (keys, args): (&[&str], &[&str]),
    ) -> Result<Resp3Frame, Fault> {
        self.ask_script_with(script, keys, args);
        Walk::new(self.answer(operation).await?).frame()
    }

    /// The answer to the first that was asked, of those that do not block.
    pub(super) async fn answer(&mut self, operation: Operation) -> Result<&[u8], Fault> {
        let start = Instant::now();
        self.send(start + PATIENCE).await?;
        let metrics = Arc::clone(&self.metrics);
        let answer = self.reply(start + PATIENCE).await;
        metrics.redis().command(operation, start.elapsed());
        answer
    }

    /// What a refusal means. A key that moves to another node of a cluster ends a blocked read as one that is deleted does;
    /// the node itself still tells the two apart.
    pub(super) async fn explain(&mut self, fault: Fault, stream: &str) -> Fault {
        if self.terms != Terms::Owner || !fault.stream_is_gone() {
            return fault;
        }
        let deadline = Instant::now() + PATIENCE;
        self.ask(&["EXISTS", stream]);
        if let Err(fault) = self.send(deadline).await {
            return fault;
        }
        // What was asked before comes first.
        loop {
            match self.reply(deadline).await.map(|_| ()) {
                Err(moved) if self.awaited == 0 => return moved,
                Ok(()) if self.awaited == 0 => return fault,
                Ok(()) | Err(Fault::Refused(_)) => {}
                Err(broken) => return broken,
            }
        }
    }
}

/// A fault of the greeting, as the client library has those of its own.
fn unwelcome(fault: Fault) -> Error {
    match fault {
        Fault::Late => Error::new(ErrorKind::Timeout, "Request timed out."),
        Fault::Refused(why) => Error::new(ErrorKind::Unknown, why),
        Fault::Away(why) | Fault::Broken(why) => Error::new(ErrorKind::IO, why),
        // What speaks another protocol speaks TLS most of the time.
        Fault::Garbled(why) => {
            Error::new(ErrorKind::Protocol, format!("unexpected end of the greeting: {why}"))
        }
    }
}

/// Ends a wait for the network when it takes too long, or when the connection is over.
async fn within<T>(
    deadline: Instant,
    over: &CancellationToken,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Fault> {
    tokio::select! {
        biased;
        done = timeout_at(deadline, work) => match done {
            Ok(done) => done.map_err(|error| Fault::after_sending(&error.into())),
            Err(_) => Err(Fault::Late),
        },
        () = over.cancelled() => Err(Fault::Broken("the connection ended".to_owned())),
    }
}

async fn connect(config: &Config) -> Result<Box<dyn Socket>, Error> {
    match &config.server {
        ServerConfig::Unix { path } => Ok(Box::new(UnixStream::connect(path).await?)),
        ServerConfig::Centralized { server } => connect_to(config, server).await,
        ServerConfig::Clustered { .. } | ServerConfig::Sentinel { .. } => {
            Err(Error::new(ErrorKind::Config, "nobody said which server"))
        }
    }
}

async fn connect_to(config: &Config, server: &Server) -> Result<Box<dyn Socket>, Error> {
    let tcp = TcpStream::connect((&*server.host, server.port)).await?;
    tcp.set_nodelay(true)?;
    let Some(tls) = &config.tls else { return Ok(Box::new(tcp)) };
    let TlsConnector::Rustls(connector) = &tls.connector;
    let name = server.tls_server_name.as_ref().unwrap_or(&server.host);
    let name = ServerName::try_from(name.to_string())
        .map_err(|error| Error::new(ErrorKind::Tls, error.to_string()))?;
    Ok(Box::new(connector.connect(name, tcp).await?))
}

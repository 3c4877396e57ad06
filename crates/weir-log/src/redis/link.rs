//! One connection to Redis, as a value: it is made once, and when it ends it is over.
//!
//! The client is told never to reconnect and never to send a command again by itself: an append that is sent twice adds a
//! second entry, and a Sentinel or node that is asked again may be another one. Whoever needs a new connection makes one,
//! and thereby knows that it is new. Entries come over a [`Wire`]; of reading, only the doctor's probe comes over a link.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::config::{Config, ConnectionConfig, Options, Server, ServerConfig, TcpConfig};
use fred::types::{Builder, ConnectHandle, CustomCommand, Resp3Frame, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::access::password_in;
use super::advice;
use super::fault::Fault;
use super::scripts::Script;
use super::wire::Wire;
use weir_metrics::{Metrics, Operation};

/// How long making a connection may take, and then its greeting. It bounds what a black hole costs an attempt.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long Redis may take to answer a command that does not block. Publishers wait so long for a Redis that hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Most commands that wait for their answer on one connection. It bounds memory where publishers outrun Redis; more are
/// refused at once. The client's own bound is not used: after it refused once, it no longer knows when to flush.
const MOST_WAITING: usize = 1 << 14;

/// Between two looks at a connection in the making, because the client's signal of success can be missed.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Makes connections to one server.
pub(super) struct Dialer {
    config: Config,
    password_file: Option<PathBuf>,
    stream: String,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
}

/// On what terms a connection is held: after which refusals another server is the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    /// There is no other.
    Fixed,
    /// It is the master.
    Master,
    /// It has the slot of the stream.
    Owner,
}

/// A connection. It closes when the last handle is dropped.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    slot: u16,
    terms: Terms,
    metrics: Arc<Metrics>,
    room: Semaphore,
    /// Nothing more is sent over it.
    ended: CancellationToken,
    /// Nothing more is answered over it either: the parent of `ended`.
    gone: CancellationToken,
    _close: DropGuard,
}

impl fmt::Debug for Dialer {
    /// Without the configuration, because it holds passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Dialer {
    pub(super) fn new(
        (config, password_file): (Config, Option<PathBuf>),
        stream: &str,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
    ) -> Self {
        Self { config, password_file, stream: stream.to_owned(), metrics, tasks }
    }

    /// Connects to the server, or to the one of the URL. The connection ends when `over` is cancelled.
    pub(super) async fn dial(
        &self,
        server: Option<&Server>,
        terms: Terms,
        over: CancellationToken,
    ) -> Result<Arc<Link>, Fault> {
        self.open(self.config_of(server).await, terms, over).await
    }

    /// As [`Self::dial`], for the connection that entries come over.
    pub(super) async fn dial_wire(
        &self,
        server: Option<&Server>,
        terms: Terms,
        over: CancellationToken,
    ) -> Result<Wire, Fault> {
        let config = self.config_of(server).await;
        let opened = Wire::open(&config, terms, Arc::clone(&self.metrics), over).await;
        opened.map_err(|error| Fault::Away(advice::no_connection(&error, config.tls.is_some())))
    }

    async fn config_of(&self, server: Option<&Server>) -> Config {
        let mut config = self.config.clone();
        if let Some(file) = &self.password_file
            && let Some(password) = password_in(file).await
        {
            config.password = Some(password);
        }
        if let Some(server) = server {
            config.server = ServerConfig::Centralized { server: server.clone() };
        }
        config
    }

    /// Connects to the server as the user of `config`.
    pub(super) async fn dial_as(
        &self,
        config: &Config,
        server: &Server,
        terms: Terms,
        over: CancellationToken,
    ) -> Result<Arc<Link>, Fault> {
        let mut config = config.clone();
        config.server = ServerConfig::Centralized { server: server.clone() };
        self.open(config, terms, over).await
    }

    async fn open(&self, config: Config, terms: Terms, over: CancellationToken) -> Result<Arc<Link>, Fault> {
        let tls = config.tls.is_some();
        let away = |error: &fred::error::Error| Fault::Away(advice::no_connection(error, tls));
        let client = builder(config).build().map_err(|error| away(&error))?;
        let mut driver = Driver(client.connect());
        tokio::select! {
            ended = &mut driver.0 => {
                return Err(match ended {
                    Ok(Err(error)) => away(&error),
                    Ok(Ok(())) | Err(_) => Fault::Away("the connection ended at once".to_owned()),
                });
            }
            () = connected(&client) => {}
        }
        let (gone, close) = (CancellationToken::new(), CancellationToken::new());
        let ended = gone.child_token();
        self.tasks.spawn(drive(driver, [close.clone(), over], [ended.clone(), gone.clone()]));
        let slot = fred::util::redis_keyslot(self.stream.as_bytes());
        let metrics = Arc::clone(&self.metrics);
        let room = Semaphore::new(MOST_WAITING);
        Ok(Arc::new(Link { client, slot, terms, metrics, room, ended, gone, _close: close.drop_guard() }))
    }
}

fn builder(config: Config) -> Builder {
    let mut builder = Builder::from_config(config);
    builder.set_connection_config(ConnectionConfig {
        connection_timeout: CONNECT_PATIENCE,
        internal_command_timeout: CONNECT_PATIENCE,
        max_command_attempts: 1,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        reconnect_errors: Vec::new(),
        ..ConnectionConfig::default()
    });
    builder
}

/// The task of the client that owns the socket; dropping it closes the socket.
struct Driver(ConnectHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connected(client: &Client) {
    while !client.is_connected() {
        // An error here also ends the driver, which is what the caller looks at.
        let _ = timeout(LOOK_AGAIN, client.wait_for_connect()).await;
    }
}

async fn drive(
    mut driver: Driver,
    [close, over]: [CancellationToken; 2],
    [ended, gone]: [CancellationToken; 2],
) {
    // A refusal said that this is the wrong server: it refuses as well what was sent before that was known, and who waits for
    // it is to hear that nothing was done, and not that nobody knows.
    let refused = async {
        ended.cancelled().await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        result = &mut driver.0 => tracing::debug!(?result, "connection to redis ended"),
        () = close.cancelled() => {}
        () = over.cancelled() => {}
        () = refused => {}
    }
    gone.cancel();
}

impl Terms {
    fn are_broken_by(self, refusal: &str) -> bool {
        match refusal.split(' ').next().unwrap_or_default() {
            "LOADING" | "MASTERDOWN" => true,
            "READONLY" => self == Self::Master,
            "MOVED" | "CLUSTERDOWN" => self == Self::Owner,
            _ => false,
        }
    }
}

impl Link {
    /// Sends a command that does not block and waits for its answer, at most [`PATIENCE`].
    pub(super) async fn call(
        &self,
        operation: Operation,
        command: &'static str,
        args: Vec<Value>,
    ) -> Result<Resp3Frame, Fault> {
        let start = Instant::now();
        let answer = self.send(CustomCommand::new_static(command, self.slot, false), args, PATIENCE).await;
        self.metrics.redis().command(operation, start.elapsed());
        answer
    }

    /// Sends a command that may block for as long as `patience` says.
    pub(super) async fn wait_for(
        &self,
        command: &'static str,
        args: Vec<Value>,
        patience: Duration,
    ) -> Result<Resp3Frame, Fault> {
        self.send(CustomCommand::new_static(command, self.slot, true), args, patience).await
    }

    /// Sends a command that is no part of reading or publishing.
    pub(super) async fn ask(
        &self,
        command: &'static str,
        args: Vec<Value>,
        patience: Duration,
    ) -> Result<Resp3Frame, Fault> {
        self.send(CustomCommand::new_static(command, self.slot, false), args, patience).await
    }

    /// The slot of the stream.
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }

    /// Runs a script.
    pub(super) async fn run(
        &self,
        operation: Operation,
        script: &'static str,
        keys: &[&str],
        args: Vec<Value>,
    ) -> Result<Resp3Frame, Fault> {
        self.call(operation, "EVAL", invocation(Value::from_static_str(script), keys, args)).await
    }

    /// Runs a script that Redis may know already. It tells before it does anything where it does not, as after a restart, or
    /// where the user may not call it so; then the text is sent, by which Redis comes to know it.
    pub(super) async fn run_known(
        &self,
        operation: Operation,
        script: &Script,
        keys: &[&str],
        args: Vec<Value>,
    ) -> Result<Resp3Frame, Fault> {
        let known = invocation(text(script.digest()), keys, args.clone());
        match self.call(operation, "EVALSHA", known).await {
            Err(Fault::Refused(why)) if why.starts_with("NOSCRIPT") || why.contains("evalsha") => {
                self.run(operation, script.text, keys, args).await
            }
            answer => answer,
        }
    }

    /// Runs a script that is no part of reading or publishing.
    pub(super) async fn run_aside(
        &self,
        script: &'static str,
        keys: &[&str],
        args: Vec<Value>,
    ) -> Result<Resp3Frame, Fault> {
        self.ask("EVAL", invocation(Value::from_static_str(script), keys, args), PATIENCE).await
    }

    /// Whether it can still be used.
    pub(super) fn is_open(&self) -> bool {
        !self.ended.is_cancelled()
    }

    /// Comes true when it can no longer be used.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    async fn send(
        &self,
        command: CustomCommand,
        args: Vec<Value>,
        patience: Duration,
    ) -> Result<Resp3Frame, Fault> {
        if !self.is_open() {
            return Err(Fault::Away("the connection ended".to_owned()));
        }
        let _room = self.room.try_acquire().map_err(|_| Fault::Away("too many commands wait".to_owned()))?;
        let client = self.client(patience);
        // The client does not tell commands that it will never send, so its end is watched beside it.
        tokio::select! {
            biased;
            answer = client.custom_raw(command, args) => self.accept(answer),
            () = self.gone.cancelled() => Err(Fault::Broken("the connection ended".to_owned())),
        }
    }

    /// After a refusal that says that another server is the right one, or that this one cannot serve at all, nothing more is
    /// sent, so that the next connection is made where it belongs.
    fn accept(&self, answer: Result<Resp3Frame, fred::error::Error>) -> Result<Resp3Frame, Fault> {
        let frame = answer.map_err(|error| Fault::after_sending(&error))?;
        let Some(text) = super::frame::error(&frame) else { return Ok(frame) };
        if self.terms.are_broken_by(&text) {
            self.ended.cancel();
        }
        Err(Fault::Refused(text))
    }

    fn client(&self, patience: Duration) -> WithOptions<Client> {
        let once =
            Options { timeout: Some(patience), max_attempts: Some(1), fail_fast: true, ..Options::default() };
        self.client.with_options(&once)
    }
}

fn invocation(script: Value, keys: &[&str], args: Vec<Value>) -> Vec<Value> {
    let mut all = Vec::with_capacity(2 + keys.len() + args.len());
    all.push(script);
    all.push(Value::Integer(i64::try_from(keys.len()).unwrap_or(i64::MAX)));
    all.extend(keys.iter().map(|key| text(key)));
    all.extend(args);
    all
}

/// A text argument.
pub(super) fn text(text: &str) -> Value {
    Value::from(text)
}

//! A private redis-server for one test, or several that belong together.

mod caller;
mod cluster;
mod options;
mod sentinel;
mod wire;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use crate::certificates::{Authority, Pair};
use crate::leash;
pub use caller::Caller;
pub use cluster::RedisCluster;
pub use options::{Options, Software};
pub use sentinel::Sentinels;
use wire::Door;

/// How long the server may take to answer. It bounds a test against a server that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Below all that the system gives to whoever asks for any, so that nobody gets one of a server that is stopped for a while.
const PORTS: Range<u16> = 10_000..32_000;

/// How often a port that somebody else took in the meantime is replaced by another.
const PORT_TRIES: usize = 8;

/// A redis-server of its own on a free port of the loopback. A restart empties it, unless it is
/// [persistent](Self::start_persistent). It dies with this value.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    process: Option<Child>,
    dir: TempDir,
    options: Options,
    /// Beside the port, in the order of the options.
    ports: Vec<u16>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// Where `redis-server` is not installed or does not come up.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts one that writes every change to disk before it answers, so that a restart loses nothing.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_persistent() -> Self {
        Self::start_with(Options::default().set("appendonly", &["yes"]).set("appendfsync", &["always"])).await
    }

    /// Starts a server that is not the usual one.
    ///
    /// # Panics
    /// Where its program is not installed or does not come up.
    pub async fn start_with(options: Options) -> Self {
        for attempt in 0..PORT_TRIES {
            let dir = tempfile::tempdir().expect("a temporary directory can be made");
            let ports = options.ports.iter().map(|_| free_port()).collect();
            let port = options.port.filter(|_| attempt == 0).unwrap_or_else(free_port);
            let mut server = Self { port, process: None, dir, options: options.clone(), ports };
            if server.up().await {
                return server;
            }
        }
        panic!("{} did not come up on any of {PORT_TRIES} ports", options.software.program());
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of [`Options::tls`].
    ///
    /// # Panics
    /// Where it has none.
    pub fn tls_port(&self) -> u16 {
        self.port_of("tls-port")
    }

    fn port_of(&self, setting: &str) -> u16 {
        let place = self.options.ports.iter().position(|name| *name == setting);
        self.ports[place.expect("the server has such a port")]
    }

    /// Runs one command and gives its reply as text: an array one element a line, nil as `(nil)`.
    ///
    /// # Panics
    /// On an error reply.
    pub async fn cli(&self, args: &[&str]) -> String {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        self.command(&args).await
    }

    /// [`Self::cli`] with arguments of any bytes.
    ///
    /// # Panics
    /// On an error reply.
    pub async fn command(&self, args: &[&[u8]]) -> String {
        self.try_command(args)
            .await
            .expect("redis answers")
            .unwrap_or_else(|error| panic!("redis refuses: {error}"))
    }

    /// [`Self::cli`] whose error reply is looked at.
    ///
    /// # Errors
    /// What the server replied.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn try_cli(&self, args: &[&str]) -> Result<String, String> {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        self.try_command(&args).await.expect("redis answers")
    }

    /// Waits until a replica has everything that was written so far. `WAIT` knows only what its own connection wrote.
    ///
    /// # Panics
    /// Where none has in time.
    pub async fn replicated(&self) {
        let mut want = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = self.cli(&["INFO", "replication"]).await;
            let offset = |name: &str| -> Option<u64> {
                info.split(name).nth(1)?.split([',', '\r', '\n']).next()?.parse().ok()
            };
            let want = *want.get_or_insert(offset("master_repl_offset:"));
            if offset(",offset=").is_some() && offset(",offset=") >= want {
                return;
            }
            assert!(Instant::now() < deadline, "no replica came up: {info}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the process where it stands (`SIGSTOP`): sockets stay open, nothing answers.
    ///
    /// # Panics
    /// Where the server is not running.
    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).expect("an own child can be stopped");
    }

    /// Lets a paused process go on (`SIGCONT`).
    ///
    /// # Panics
    /// Where the server is not running.
    pub fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).expect("an own child can be continued");
    }

    /// Kills the process (`SIGKILL`). The port stays this server's by agreement: [`Self::restart`] takes it again.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("an own child can be killed");
            process.wait().expect("an own child can be waited for");
        }
    }

    /// Kills the process if it runs, and starts another one on the same port, empty unless it is persistent.
    ///
    /// # Panics
    /// Where it does not come up.
    pub async fn restart(&mut self) {
        self.stop();
        assert!(self.up().await, "redis-server did not come up again on port {}", self.port);
    }

    /// Whether it came up; `false` where the process ended by itself, as on a port that is taken.
    async fn up(&mut self) -> bool {
        self.process = Some(self.spawn());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if matches!(self.try_command(&[b"PING"]).await, Ok(Ok(_))) {
                return self.running();
            }
            if !self.running() {
                return false;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer on port {}", self.port);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn spawn(&self) -> Child {
        let program = self.options.software.program();
        let mut command = leash::command(program);
        match &self.options.sentinel {
            None => self.configure(&mut command),
            Some(lines) => command.arg(self.sentinel_file(lines)).arg("--sentinel"),
        };
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                panic!(
                    "{program} is not installed: `make test` installs it, or run `apt-get install {program}`"
                )
            }
            Err(error) => panic!("{program} cannot be started: {error}"),
        }
    }

    fn configure<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let port = if self.options.socket.is_some() { 0 } else { self.port };
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--logfile", "redis.log"])
            // A replica gets its copy at once.
            .args(["--repl-diskless-sync-delay", "0", "--dir"])
            .arg(self.dir.path())
            .args(&self.options.args);
        for (name, port) in self.options.ports.iter().zip(&self.ports) {
            command.args([&format!("--{name}"), &port.to_string()]);
        }
        command
    }

    fn running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().expect("the server runs"))
    }

    /// Runs one command on a connection of its own; the inner error is the server's.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn try_command(&self, args: &[&[u8]]) -> io::Result<Result<String, String>> {
        self.caller(PATIENCE).command(args).await
    }

    /// Somebody who has commands run here, also across restarts, and gives up on an answer after `patience`.
    pub fn caller(&self, patience: Duration) -> Caller {
        let door = match &self.options.socket {
            Some(path) => Door::Socket(path.clone()),
            None => Door::Port(self.port),
        };
        Caller::new(door, self.options.login.clone(), patience)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let mut tries = (0..1000).map(|_| fastrand::u16(PORTS));
    tries
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("the loopback has a free port")
}

#[cfg(test)]
mod tests;

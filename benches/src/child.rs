//! The processes under test. Each is started by a measurement and ended with it.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{Cores, pin};

/// How long a process may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a server that starts is asked whether it is there.
const START_POLL: Duration = Duration::from_millis(20);

/// Servers may stand where only root has them in the path.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// Lines of a server's log that are shown when it does not start.
const LOG_TAIL: usize = 20;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// weir.
    pub weir: PathBuf,
    /// The floor.
    pub floor: PathBuf,
    /// The peers in Rust, built, and below it those for Node.js, installed.
    pub peers: PathBuf,
}

/// A running process, killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The process that does the work, where that is not the one that was started.
    worker: Option<Pid>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where operators ask, if it says so.
    pub admin: Option<SocketAddr>,
}

impl Running {
    /// Starts weir with these arguments of `serve` beside the addresses, on the server's core.
    ///
    /// # Errors
    /// It does not come up.
    pub fn weir(binaries: &Binaries, cores: Cores, args: &[String]) -> anyhow::Result<Self> {
        let start = || {
            let mut this = Self::weir_that_listens(binaries, cores, args)?;
            // It listens before it has reached its Redis.
            await_answer("weir", &mut this.child, || is_ready(this.address).unwrap_or(false))?;
            anyhow::Ok(this)
        };
        start().with_context(|| format!("start {}", binaries.weir.display()))
    }

    /// The same, but it may not be ready yet: by TLS it is not asked.
    ///
    /// # Errors
    /// It does not come up.
    pub fn weir_that_listens(binaries: &Binaries, cores: Cores, args: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(&binaries.weir);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        command.args(args);
        // The variable that names the binary is none of weir's own.
        command.env_remove("WEIR_BIN");
        Self::server(command, cores)
    }

    /// Starts the floor on the server's core.
    ///
    /// # Errors
    /// It does not come up.
    pub fn floor(binaries: &Binaries, cores: Cores) -> anyhow::Result<Self> {
        Self::server(Command::new(&binaries.floor), cores)
            .with_context(|| format!("start {}", binaries.floor.display()))
    }

    /// Starts a private Redis, which keeps nothing, beside the generator.
    ///
    /// # Errors
    /// It is not installed, or does not come up.
    pub fn redis(cores: Cores, directory: &Path) -> anyhow::Result<Self> {
        twice(|| Self::redis_once(cores, directory))
    }

    fn redis_once(cores: Cores, directory: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--loglevel",
            "warning",
            "--port",
        ]);
        command.arg(address.port().to_string()).arg("--dir").arg(directory);
        pin(cores.generator)?;
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("start redis-server")?;
        let mut this = Self { child, worker: None, address, admin: None };
        await_answer("redis-server", &mut this.child, || pong(address).unwrap_or(false))?;
        Ok(this)
    }

    /// Starts nginx on the server's core with this configuration, in which `@directory@` and `@address@` stand for a directory
    /// of its own and for where it is to listen.
    ///
    /// # Errors
    /// It is not installed, has no nchan, or does not come up.
    pub fn nginx(cores: Cores, directory: &Path, config: &str) -> anyhow::Result<Self> {
        twice(|| Self::nginx_once(cores, directory, config))
    }

    fn nginx_once(cores: Cores, directory: &Path, config: &str) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = config.replace("@address@", &address.to_string());
        let path = directory.join("nginx.conf");
        fs::write(&path, config.replace("@directory@", &directory.display().to_string()))?;
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-c"]).arg(&path).env("PATH", SYSTEM_PATH);
        let child = on_core(cores, &mut command).context("start nginx")?;
        let mut this = Self { child, worker: None, address, admin: None };
        // It listens before it has a worker, and that before it is connected to its Redis.
        await_answer("nginx with nchan", &mut this.child, || takes_events(address).unwrap_or(false))
            .with_context(|| this.last_words())?;
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", this.child.id()))?;
        let worker = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        this.worker = Some(worker.and_then(Pid::from_raw).context("nginx has no worker")?);
        Ok(this)
    }

    /// Starts a server that says in its log where it listens, on the server's core.
    ///
    /// # Errors
    /// It does not come up.
    pub fn server(mut command: Command, cores: Cores) -> anyhow::Result<Self> {
        let mut child = on_core(cores, &mut command)?;
        let log = child.stderr.take().context("the log is piped")?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut this = Self { child, worker: None, address: nowhere, admin: None };
        (this.address, this.admin) = Log::follow(log).addresses()?;
        Ok(this)
    }

    /// The id of the process that does the work.
    pub fn pid(&self) -> u32 {
        self.worker.map_or(self.child.id(), |pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// What a process wrote that did not come up.
    fn last_words(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        let _ = self.child.stderr.take().map(|mut log| log.read_to_string(&mut text));
        text.trim().to_owned()
    }
}

/// A child inherits the core of the thread that starts it.
fn on_core(cores: Cores, command: &mut Command) -> anyhow::Result<Child> {
    pin(cores.server)?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    pin(cores.generator)?;
    Ok(child?)
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has noticed by then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A worker outlives a master that was killed.
        let _ = self.worker.map(|worker| kill_process(worker, Signal::KILL));
    }
}

/// The log of a server, read to its end so that the server never waits for its reader.
struct Log {
    lines: Receiver<String>,
}

impl Log {
    fn follow(log: ChildStderr) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || drain(log, &sender));
        Self { lines }
    }

    /// The public address and that for operators, from the line that says that the server listens.
    fn addresses(&self) -> anyhow::Result<(SocketAddr, Option<SocketAddr>)> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut tail = VecDeque::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(address) = listening(&line, "public") {
                return Ok((address, listening(&line, "admin")));
            }
            tail.push_back(line);
            tail.truncate(LOG_TAIL);
        }
        bail!("it does not say that it listens; its log: {}", Vec::from(tail).join("\n"))
    }
}

/// Once nobody waits for the address any longer, lines are thrown away.
fn drain(log: ChildStderr, sender: &Sender<String>) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let _ = sender.send(line);
    }
}

/// The address of this name in `{"message":"listening","public":…}`, whichever way the logger nests and writes it.
fn listening(line: &str, name: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    if fields.get("message")?.as_str()? != "listening" {
        return None;
    }
    let address = fields.get(name)?.to_string();
    address.split(['"', '[', ']', ',', '/', '\\', ' ']).find_map(|word| word.parse().ok())
}

/// A port that was free when it was chosen may be taken by another before the server listens on it.
fn twice<T>(start: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    start().or_else(|_| start())
}

fn await_answer(who: &str, child: &mut Child, answers: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        let answered = answers();
        // One who answers in its place, on the port that both chose, is another.
        if let Some(status) = child.try_wait()? {
            bail!("{who} has ended: {status}");
        }
        if answered {
            return Ok(());
        }
        thread::sleep(START_POLL);
    }
    bail!("{who} does not answer")
}

/// Whether an event for a session of nobody is taken.
fn takes_events(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_TIMEOUT))?;
    write!(
        stream,
        "POST /v1/sessions/nobody/events HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1\r\n\r\n-"
    )?;
    let mut answer = [0; 11];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 20")
}

/// Whether weir has read its log.
fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}

fn pong(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_TIMEOUT))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_however_it_is_written() {
        let expected = "127.0.0.1:4321".parse().ok();
        for line in [
            r#"{"message":"listening","public":"127.0.0.1:4321","admin":"127.0.0.1:1"}"#,
            r#"{"fields":{"message":"listening","public":"[127.0.0.1:4321]","admin":"127.0.0.1:1"}}"#,
            r#"{"fields":{"message":"listening","public":["http://127.0.0.1:4321/"]}}"#,
            r#"{"fields":{"message":"listening","public":"[\"127.0.0.1:4321\", \"127.0.0.1:2\"]"}}"#,
        ] {
            assert_eq!(listening(line, "public"), expected, "{line}");
        }
        assert_eq!(listening(r#"{"message":"other","public":"127.0.0.1:4321"}"#, "public"), None);
    }
}

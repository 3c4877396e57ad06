//! A running `weir serve`, the real binary, on ports of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, kill_process};

use crate::client::Client;
use crate::deadline::{DEADLINE, eventually};
use crate::metrics::Metrics;

pub use rustix::process::Signal;

mod log;
use log::InstanceLog;

/// An instance, killed when it is dropped.
#[derive(Debug)]
pub struct Instance {
    // Declared before the log, so that the pipe that its thread reads is closed by the time it is joined.
    process: Process,
    log: InstanceLog,
    public: SocketAddr,
    admin: SocketAddr,
}

/// How to start one.
#[derive(Debug)]
pub struct Builder {
    command: Command,
    readiness: Readiness,
}

/// What starting waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// Both listeners accept.
    Listening,
    /// `/readyz` answers 200.
    Ready,
}

impl Instance {
    /// Starts `binary serve` (`env!("CARGO_BIN_EXE_weir")` in a test of the crate `weir`) with `flags` and waits until
    /// it is ready.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(binary: &str, flags: &[&str]) -> anyhow::Result<Self> {
        Self::builder(binary).flags(flags).start().await
    }

    /// For a start that needs more than flags.
    pub fn builder(binary: &str) -> Builder {
        let mut command = Command::new(binary);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        // The environment of whoever runs the tests must not configure what they test.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Builder { command, readiness: Readiness::Ready }
    }

    /// Where the public listener is.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A client of the public listener.
    pub fn client(&self) -> Client {
        Client::new(self.public)
    }

    /// A client of the admin listener.
    pub fn admin_client(&self) -> Client {
        Client::new(self.admin)
    }

    /// All series as they are now.
    ///
    /// # Errors
    /// No answer, or one that is no metrics.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let answer = self.admin_client().get("/metrics").send().await?;
        ensure!(answer.status() == 200, "no metrics: {answer:?}");
        Metrics::parse(answer.text()?)
    }

    /// The lines it logged so far, the newest of them where they are many.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The id of its process, for tools that look at it from outside.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It is gone already.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("process id")?;
        kill_process(pid, signal).with_context(|| format!("send {signal:?}"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub async fn wait_exit(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let exited = eventually(limit, async || self.process.0.try_wait()?.context("it still runs")).await;
        exited.with_context(|| self.log.tail())
    }
}

impl Builder {
    /// Adds flags of `serve`.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.command.args(flags);
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Does not wait until it is ready, only until it listens.
    pub fn unready(mut self) -> Self {
        self.readiness = Readiness::Listening;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// It ends at once, or does not listen or become ready within [`DEADLINE`]; the error shows the end of its log.
    pub async fn start(mut self) -> anyhow::Result<Instance> {
        let mut child = self.command.spawn().with_context(|| format!("start {:?}", self.command))?;
        let log = InstanceLog::drain(child.stderr.take().context("stderr is piped")?);
        let mut process = Process(child);
        let (public, admin) = listening(&mut process, &log).await.with_context(|| log.tail())?;
        let instance = Instance { process, log, public, admin };
        if self.readiness == Readiness::Ready {
            ready(&instance).await.with_context(|| instance.log.tail())?;
        }
        Ok(instance)
    }
}

async fn listening(process: &mut Process, log: &InstanceLog) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let line = eventually(DEADLINE, async || {
        if let Some(line) = log.message("listening") {
            return Ok(Some(line));
        }
        match process.0.try_wait()? {
            // What it logged last may not be read yet: the log says itself when it is all here.
            Some(_) if log.is_complete() => Ok(log.message("listening")),
            _ => bail!("it does not say that it listens"),
        }
    });
    let line = line.await?.context("it ended before it listened")?;
    let addr = |name: &str| -> anyhow::Result<SocketAddr> {
        let text = line[name].as_str().with_context(|| format!("no field {name} in {line}"))?;
        text.parse().with_context(|| format!("address {text:?}"))
    };
    Ok((addr("public")?, addr("admin")?))
}

async fn ready(instance: &Instance) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let answer = instance.admin_client().get("/readyz").send().await?;
        ensure!(answer.status() == 200, "not ready: {:?}", answer.body);
        Ok(())
    })
    .await
}

/// A child that does not outlive the test.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail in a way that matters: the process is gone already, or is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! A running `weir serve`, the real binary, on ports of its own.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::client::Client;
use crate::deadline::{DEADLINE, eventually};
use crate::leash;
use crate::metrics::Metrics;
use crate::program::{Output, Program, Signal, without_settings};
use crate::trust::Trust;

/// A free port of the loopback, chosen by the kernel.
const ANY_PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// An instance, killed when it is dropped.
#[derive(Debug)]
pub struct Instance {
    program: Program,
    public: SocketAddr,
    admin: SocketAddr,
    agent: Option<SocketAddr>,
}

/// How to start one.
#[derive(Debug)]
pub struct Builder {
    command: Command,
    readiness: Readiness,
    listen: SocketAddr,
    admin_listen: SocketAddr,
    flags: Vec<String>,
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
        let mut command = leash::command(binary);
        without_settings(&mut command);
        command.stdout(Stdio::null());
        Builder {
            command,
            readiness: Readiness::Ready,
            listen: ANY_PORT,
            admin_listen: ANY_PORT,
            flags: Vec::new(),
        }
    }

    /// Where the public listener is.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where the listener of `--agent-listen` is, where it was given.
    pub fn agent(&self) -> Option<SocketAddr> {
        self.agent
    }

    /// A client of the public listener.
    pub fn client(&self) -> Client {
        Client::new(self.public)
    }

    /// A client of the public listener by TLS.
    pub fn secure_client(&self, trust: Trust) -> Client {
        Client::secure(self.public, trust)
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
        self.program.lines()
    }

    /// The fields of the first line that it logged with this message.
    pub fn logged(&self, text: &str) -> Option<Value> {
        message(&self.program.lines(), text)
    }

    /// The id of its process, for tools that look at it from outside.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It is gone already.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.program.signal(signal)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub async fn wait_exit(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.program.wait_exit(limit).await
    }
}

impl Builder {
    /// Adds flags of `serve`.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// Where its public listener is to be; on a free port of the loopback without. See
    /// [`own_address`](crate::loopback::own_address) for one that can be started there again.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Where its admin listener is to be, likewise.
    pub fn admin_listen(mut self, address: SocketAddr) -> Self {
        self.admin_listen = address;
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
        self.command.args([
            "serve",
            "--listen",
            &self.listen.to_string(),
            "--admin-listen",
            &self.admin_listen.to_string(),
        ]);
        self.command.args(["--log-format", "json"]).args(self.flags);
        let mut program = Program::start(self.command, Output::Stderr)?;
        let [public, admin, agent] = listening(&mut program).await.with_context(|| program.tail())?;
        let (public, admin) = (public.context("no public listener")?, admin.context("no admin listener")?);
        let instance = Instance { program, public, admin, agent };
        if self.readiness == Readiness::Ready {
            ready(&instance).await.with_context(|| instance.program.tail())?;
        }
        Ok(instance)
    }
}

/// The first public address, that of operators, and that of the agent.
async fn listening(program: &mut Program) -> anyhow::Result<[Option<SocketAddr>; 3]> {
    let line =
        eventually(DEADLINE, async || match (message(&program.lines(), "listening"), program.try_exit()?) {
            (Some(line), _) => Ok(Some(line)),
            (None, Some(_)) => Ok(None),
            (None, None) => bail!("it does not say that it listens"),
        });
    let line = line.await?.context("it ended before it listened")?;
    let addr = |name: &str| -> anyhow::Result<Option<SocketAddr>> {
        let Some(text) = line[name].as_str() else { return Ok(None) };
        // Several listeners of one kind stand beside each other.
        let first = text.split(',').next().unwrap_or(text);
        first.parse().map(Some).with_context(|| format!("address {text:?}"))
    };
    Ok([addr("public")?, addr("admin")?, addr("agent")?])
}

async fn ready(instance: &Instance) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let answer = instance.admin_client().get("/readyz").send().await?;
        ensure!(answer.status() == 200, "not ready: {:?}", answer.body);
        Ok(())
    })
    .await
}

/// The fields of the first line with this message.
fn message(lines: &[String], message: &str) -> Option<Value> {
    lines.iter().filter_map(|line| fields(line)).find(|fields| fields["message"] == message)
}

/// The fields of a log line, whether the formatter nests them or not.
fn fields(line: &str) -> Option<Value> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    match line.get_mut("fields") {
        Some(nested) => Some(nested.take()),
        None => Some(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_nested_and_flat() {
        let lines = [
            "starting up".to_owned(),
            r#"{"level":"INFO","fields":{"message":"listening","public":"127.0.0.1:1"}}"#.to_owned(),
            r#"{"level":"INFO","message":"ready","after_ms":5}"#.to_owned(),
        ];
        assert_eq!(message(&lines, "listening").unwrap()["public"], "127.0.0.1:1");
        assert_eq!(message(&lines, "ready").unwrap()["after_ms"], 5);
        assert_eq!(message(&lines, "gone"), None);
    }
}

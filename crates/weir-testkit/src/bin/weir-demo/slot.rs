//! The place of one instance: what runs there keeps its addresses.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use weir_testkit::{Client, Instance, Signal};

use crate::ports;

/// How long an instance may take to release its clients: its `--shutdown-timeout` and some more.
const ENDED: Duration = Duration::from_secs(30);

/// An instance, or where it was.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    state: State,
}

enum State {
    Runs(Instance),
    Frozen(Instance),
    Draining(Instance),
    /// Why.
    Gone(&'static str),
}

impl Slot {
    /// A place for the instance of this number.
    pub(crate) fn new(number: u16) -> anyhow::Result<Self> {
        Ok(Self {
            name: format!("weir-{number}"),
            public: ports::at(ports::INSTANCE + number)?,
            admin: ports::at(ports::ADMIN + number)?,
            state: State::Gone("not started"),
        })
    }

    /// Has it run, whatever was done to it.
    pub(crate) async fn start(&mut self, weir: &str, flags: &[&str]) -> anyhow::Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Gone("it did not start")) {
            State::Runs(instance) => State::Runs(instance),
            State::Frozen(instance) => {
                instance.signal(Signal::CONT)?;
                State::Runs(instance)
            }
            State::Draining(instance) => {
                call(&instance, "/undrain").await?;
                State::Runs(instance)
            }
            State::Gone(_) => {
                let builder = Instance::builder(weir).listen(self.public).admin_listen(self.admin);
                State::Runs(builder.flags(&["--instance", &self.name]).flags(flags).unready().start().await?)
            }
        };
        Ok(())
    }

    /// It ends without a word.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.instance()?.signal(Signal::KILL)?;
        self.state = State::Gone("killed");
        Ok(())
    }

    /// It ends as it does in a deploy.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        ensure!(!matches!(self.state, State::Frozen(_)), "{} is frozen, and hears nothing", self.name);
        let instance = self.instance()?;
        instance.signal(Signal::TERM)?;
        instance.wait_exit(ENDED).await?;
        self.state = State::Gone("stopped");
        Ok(())
    }

    /// It stands still.
    pub(crate) fn freeze(&mut self) -> anyhow::Result<()> {
        self.instance()?.signal(Signal::STOP)?;
        self.turn(State::Frozen);
        Ok(())
    }

    /// It releases its clients, and takes none.
    pub(crate) async fn drain(&mut self) -> anyhow::Result<()> {
        ensure!(!matches!(self.state, State::Frozen(_)), "{} is frozen, and hears nothing", self.name);
        call(self.instance()?, "/drain").await?;
        self.turn(State::Draining);
        Ok(())
    }

    /// What it logged last, as long as it is there.
    pub(crate) fn log(&mut self, lines: usize) -> anyhow::Result<String> {
        let log = self.instance()?.log();
        Ok(log[log.len().saturating_sub(lines)..].join("\n"))
    }

    /// Notices that it ended by itself, and says so once.
    pub(crate) async fn has_ended(&mut self) -> Option<String> {
        let (name, instance) = (self.name.clone(), self.instance().ok()?);
        let status = instance.wait_exit(Duration::ZERO).await.ok()?;
        let log = self.log(5).unwrap_or_default();
        self.state = State::Gone("it ended by itself");
        Some(format!("{name} ended by itself: {status}\n{log}"))
    }

    fn instance(&mut self) -> anyhow::Result<&mut Instance> {
        match &mut self.state {
            State::Runs(instance) | State::Frozen(instance) | State::Draining(instance) => Ok(instance),
            State::Gone(why) => Err(anyhow::anyhow!("{} is not there: {why}", self.name)),
        }
    }

    fn turn(&mut self, into: impl FnOnce(Instance) -> State) {
        self.state = match std::mem::replace(&mut self.state, State::Gone("")) {
            State::Runs(instance) | State::Frozen(instance) | State::Draining(instance) => into(instance),
            gone @ State::Gone(_) => gone,
        };
    }
}

/// A call that only who is on this machine may make.
async fn call(instance: &Instance, path: &str) -> anyhow::Result<()> {
    let answer = Client::new(instance.admin()).post(path).header("weir-admin", "1").send().await?;
    ensure!(answer.status() == 200, "{path}: {}", answer.text()?);
    Ok(())
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} ", self.name)?;
        match &self.state {
            State::Runs(instance) => write!(f, "runs (process {})", instance.pid()),
            State::Frozen(instance) => write!(f, "frozen (process {})", instance.pid()),
            State::Draining(instance) => write!(f, "draining (process {})", instance.pid()),
            State::Gone(why) => write!(f, "not there: {why}"),
        }
    }
}

//! A real load balancer in front of instances, configured as `deploy/` ships it.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::deadline::{DEADLINE, eventually};
use crate::files;
use crate::instance::Instance;
use crate::leash;
use crate::loopback;
use crate::program::{Output, Program};
use crate::tools::tool;

mod caddy;
mod draft;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use draft::Draft;

/// Most connections that a balancer is told to take. Each needs two files.
const MOST_CONNECTIONS: u64 = 50_000;

/// Files that a balancer needs beside its connections.
const SPARE_FILES: u64 = 200;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Notices by failed requests that an instance is away.
    Nginx,
    /// Asks `/readyz` every second.
    HaProxy,
    /// The same.
    Envoy,
    /// The same, and notices by failed requests.
    Caddy,
    /// Asks `/readyz` every second.
    Traefik,
}

/// A running balancer, killed when it is dropped. Its upstreams keep their addresses across their restarts.
#[derive(Debug)]
pub struct Balancer {
    program: Program,
    address: SocketAddr,
    dir: TempDir,
}

/// What a configuration is filled with.
#[derive(Debug)]
struct Facts<'a> {
    listen: SocketAddr,
    connections: u64,
    dir: &'a Path,
}

/// Whose configuration it is.
#[derive(Debug)]
enum Configuration<'a> {
    Shipped(Shipped<'a>),
    /// The test's own.
    Own(&'a str),
}

/// The configuration of `deploy/`, for these instances.
#[derive(Debug)]
pub struct Shipped<'a> {
    kind: Kind,
    listen: Option<SocketAddr>,
    instances: &'a [SocketAddr],
    variants: Vec<&'a str>,
    changes: Vec<(String, String)>,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.binary())
    }
}

impl Kind {
    fn binary(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
        }
    }

    /// As what `deploy/` has it: some tell the form by the ending.
    fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::HaProxy => "haproxy.cfg",
            Self::Envoy => "envoy.yaml",
            Self::Caddy => "Caddyfile",
            Self::Traefik => "weir.yaml",
        }
    }

    /// What `deploy/` has for it.
    fn shipped(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("../../../deploy/nginx/nginx.conf"),
            Self::HaProxy => include_str!("../../../deploy/haproxy/haproxy.cfg"),
            Self::Envoy => include_str!("../../../deploy/envoy/envoy.yaml"),
            Self::Caddy => include_str!("../../../deploy/caddy/Caddyfile"),
            Self::Traefik => include_str!("../../../deploy/traefik/weir.yaml"),
        }
    }
}

impl Balancer {
    /// Starts one in front of the instances with these public addresses, which may come and go, and waits until it
    /// accepts connections.
    ///
    /// # Errors
    /// It is not installed, refuses its configuration, or does not listen within [`DEADLINE`].
    pub async fn start(kind: Kind, instances: &[SocketAddr]) -> anyhow::Result<Self> {
        Self::shipped(kind, instances).start().await
    }

    /// [`Self::start`] at an address that the caller knows to be free.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at(kind: Kind, address: SocketAddr, instances: &[SocketAddr]) -> anyhow::Result<Self> {
        Self::shipped(kind, instances).listen(address).start().await
    }

    /// For one that differs a little from what [`Self::start`] starts.
    pub fn shipped(kind: Kind, instances: &[SocketAddr]) -> Shipped<'_> {
        Shipped { kind, listen: None, instances, variants: Vec::new(), changes: Vec::new() }
    }

    /// Starts one with a configuration of the test's own, filled in where it says `@LISTEN@` and the like.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn with(kind: Kind, configuration: &str) -> anyhow::Result<Self> {
        Self::configured(kind, loopback::own_address()?, Configuration::Own(configuration)).await
    }

    async fn configured(
        kind: Kind,
        address: SocketAddr,
        configuration: Configuration<'_>,
    ) -> anyhow::Result<Self> {
        let connections = (files::raise_limit().saturating_sub(SPARE_FILES) / 2).min(MOST_CONNECTIONS);
        let dir = tempfile::tempdir().context("make a temporary directory")?;
        let facts = Facts { listen: address, connections, dir: dir.path() };
        let file = dir.path().join(kind.file());
        fs::write(&file, written(configuration, &facts)?).context("write the configuration")?;
        let mut command = leash::command(tool(kind.binary())?);
        match kind {
            Kind::Nginx => nginx::start(&facts, &file, &mut command),
            Kind::HaProxy => haproxy::start(&file, &mut command),
            Kind::Envoy => envoy::start(&file, &mut command),
            Kind::Caddy => caddy::start(&facts, &file, &mut command),
            Kind::Traefik => traefik::start(&facts, &file, &mut command)?,
        }
        command.stdout(Stdio::null());
        let mut program = Program::start(command, Output::Stderr)?;
        let listening = eventually(DEADLINE, async || match program.try_exit()? {
            Some(status) => Ok(Err(status)),
            None => Ok(TcpStream::connect(address).await.map(Ok)?),
        });
        if let Err(status) = listening.await.with_context(|| program.tail())? {
            bail!("{kind} ended with {status}: {}", program.tail());
        }
        Ok(Self { program, address, dir })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// A client of the instances behind it.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// What HAProxy answers to a command of its runtime API.
    ///
    /// # Errors
    /// It is another balancer, or does not answer.
    pub async fn ask(&self, command: &str) -> anyhow::Result<String> {
        haproxy::ask(self.dir.path(), command).await
    }

    /// Waits until it sends something to this instance, by publishing through it.
    ///
    /// # Errors
    /// It does not within [`DEADLINE`], or a publish is refused to the end.
    pub async fn notices(&self, weir: &Instance) -> anyhow::Result<()> {
        let noticed = eventually(DEADLINE, async || {
            let answer = self.client().event("for the balancer").body("x").send().await?;
            ensure!(answer.status() == 201, "{answer:?}");
            let taken = weir.metrics().await?.sum("weir_publishes_total", &[]);
            ensure!(taken > 0.0, "the balancer sends nothing to the instance");
            Ok(())
        });
        noticed.await.with_context(|| self.tail())
    }

    /// The lines it logged so far, the newest of them where they are many.
    pub fn log(&self) -> Vec<String> {
        self.program.lines()
    }

    /// What it logged last, for an error.
    pub fn tail(&self) -> String {
        self.program.tail()
    }
}

impl<'a> Shipped<'a> {
    /// At an address that the caller knows to be free.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// With the lines that stand behind `#name ` for whoever wants them.
    pub fn variant(mut self, name: &'a str) -> Self {
        self.variants.push(name);
        self
    }

    /// Says something else wherever it says this, once addresses and paths are filled in.
    pub fn change(mut self, said: impl Into<String>, says: impl Into<String>) -> Self {
        self.changes.push((said.into(), says.into()));
        self
    }

    /// As [`Balancer::start`].
    ///
    /// # Errors
    /// As there, and where the configuration has not what is to be changed.
    pub async fn start(self) -> anyhow::Result<Balancer> {
        let address = self.listen.map_or_else(loopback::own_address, Ok)?;
        Balancer::configured(self.kind, address, Configuration::Shipped(self)).await
    }

    fn fill(self, facts: &Facts<'_>) -> anyhow::Result<String> {
        let mut draft = Draft(self.kind.shipped().to_owned());
        self.variants.iter().try_for_each(|name| draft.variant(name))?;
        draft.instances(self.instances)?;
        match self.kind {
            Kind::Nginx => nginx::fill(&mut draft, facts)?,
            Kind::HaProxy => haproxy::fill(&mut draft, facts)?,
            Kind::Envoy => envoy::fill(&mut draft, facts)?,
            Kind::Caddy => caddy::fill(&mut draft, facts)?,
            Kind::Traefik => {}
        }
        self.changes.iter().try_for_each(|(said, says)| draft.change(said, says))?;
        Ok(draft.0)
    }
}

/// The whole text.
fn written(configuration: Configuration<'_>, facts: &Facts<'_>) -> anyhow::Result<String> {
    match configuration {
        Configuration::Shipped(shipped) => shipped.fill(facts),
        Configuration::Own(text) => Ok(text
            .replace("@LISTEN@", &facts.listen.to_string())
            .replace("@CONNECTIONS@", &facts.connections.to_string())
            .replace("@FILES@", &(2 * facts.connections).to_string())
            .replace("@LOCAL@", &nginx::local(facts))),
    }
}

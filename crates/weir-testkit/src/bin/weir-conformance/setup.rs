//! What runs: instances, and what they need.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use weir_testkit::balancer::{Balancer, Kind as BalancerKind};
use weir_testkit::loopback::own_address;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, eventually};

use crate::killer::{Killer, Place};
use crate::suite::LONG_POLL_MS;

const BALANCER: &str = include_str!("haproxy.cfg");

/// Instances behind the balancer.
const INSTANCES: usize = 3;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Redis,
    Three,
    Killed,
}

/// Everything of one run, ended with it.
#[derive(Debug)]
pub(crate) struct Setup {
    kind: Kind,
    address: SocketAddr,
    killer: Arc<Killer>,
    _balancer: Option<Balancer>,
    _redis: Option<RedisServer>,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Embedded, Self::Redis, Self::Three, Self::Killed];

    fn is_behind_a_balancer(self) -> bool {
        match self {
            Self::Embedded | Self::Redis => false,
            Self::Three | Self::Killed => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "one instance, embedded log",
            Self::Redis => "one instance on Redis",
            Self::Three => "three instances on Redis behind HAProxy",
            Self::Killed => "the same, one killed and started again every few seconds",
        })
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "embedded" => Self::Embedded,
            "redis" => Self::Redis,
            "three" => Self::Three,
            "killed" => Self::Killed,
            other => bail!("unknown set-up {other}"),
        })
    }
}

impl Setup {
    pub(crate) async fn start(kind: Kind, weir: &str) -> anyhow::Result<Self> {
        let redis = match kind {
            Kind::Embedded => None,
            Kind::Redis | Kind::Three | Kind::Killed => Some(RedisServer::start().await),
        };
        let mut flags = vec!["--long-poll-timeout".to_owned(), format!("{LONG_POLL_MS}ms")];
        flags.extend(redis.iter().flat_map(|redis| ["--redis".to_owned(), redis.url()]));
        let count = if kind.is_behind_a_balancer() { INSTANCES } else { 1 };
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(Place::start(weir, own_address()?, &flags).await?);
        }
        let addresses: Vec<SocketAddr> = places.iter().map(Place::address).collect();
        let balancer = if kind.is_behind_a_balancer() { Some(balance(&addresses).await?) } else { None };
        let address = balancer.as_ref().map_or(addresses[0], Balancer::address);
        Ok(Self { kind, address, killer: Arc::new(Killer::of(places)), _balancer: balancer, _redis: redis })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Who ends instances of it meanwhile, if anybody does.
    pub(crate) fn killer(&self) -> Option<Arc<Killer>> {
        (self.kind == Kind::Killed).then(|| Arc::clone(&self.killer))
    }
}

/// Starts a balancer, and waits until it knows every instance to be there.
async fn balance(instances: &[SocketAddr]) -> anyhow::Result<Balancer> {
    let lines: Vec<_> = instances
        .iter()
        .enumerate()
        .map(|(nth, address)| format!("server weir{nth} {address} check"))
        .collect();
    let balancer =
        Balancer::with(BalancerKind::HaProxy, &BALANCER.replace("@INSTANCES@", &lines.join("\n    ")))
            .await?;
    eventually(DEADLINE, async || {
        let answer = balancer.client().get("/readyz").send().await?;
        ensure!(answer.status() == 200, "{answer:?}");
        Ok(())
    })
    .await
    .context("the balancer finds no instance")?;
    Ok(balancer)
}

/// Starts one instance that has a place of its own.
pub(crate) async fn launch(weir: &str, address: SocketAddr, flags: &[String]) -> anyhow::Result<Instance> {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Instance::builder(weir).listen(address).flags(&flags).start().await
}

//! Three instances on one Redis behind a balancer, as they would be deployed, at addresses that outlive them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::loopback::own_address;
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Instance, Signal};

use crate::WEIR;

/// Longer than it takes the balancers to notice, as it has to be.
pub(crate) const DRAIN_DELAY: Duration = Duration::from_secs(2);
pub(crate) const DRAIN_WINDOW: Duration = Duration::from_secs(4);
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Fleet {
    pub(crate) redis: RedisServer,
    pub(crate) balancer: Balancer,
    instances: Vec<Option<Instance>>,
    addresses: Vec<SocketAddr>,
    flags: Vec<String>,
}

impl Fleet {
    pub(crate) async fn start(kind: Kind, flags: &[&str]) -> anyhow::Result<Self> {
        let redis = RedisServer::start().await;
        let addresses = (0..3).map(|_| own_address()).collect::<anyhow::Result<Vec<_>>>()?;
        let balancer = Balancer::start(kind, &addresses).await?;
        let (url, seconds) = (redis.url(), |time: Duration| format!("{}s", time.as_secs()));
        let (delay, window, timeout) =
            (seconds(DRAIN_DELAY), seconds(DRAIN_WINDOW), seconds(SHUTDOWN_TIMEOUT));
        let ours = [
            ["--redis", &url],
            ["--anonymous", "all"],
            ["--refuse", "503"],
            ["--retry", "500ms"],
            ["--heartbeat", "2s"],
            ["--maxlen", "100000"],
            ["--drain-delay", &delay],
            ["--drain-window", &window],
            ["--shutdown-timeout", &timeout],
        ];
        let flags = ours.as_flattened().iter().chain(flags).map(|&flag| flag.to_owned()).collect();
        let instances = (0..addresses.len()).map(|_| None).collect();
        let mut fleet = Self { redis, balancer, instances, addresses, flags };
        for nth in 0..fleet.addresses.len() {
            fleet.bring_up(nth).await?;
        }
        Ok(fleet)
    }

    /// Through the balancer.
    pub(crate) fn client(&self) -> Client {
        self.balancer.client()
    }

    pub(crate) fn instance(&self, nth: usize) -> anyhow::Result<&Instance> {
        self.instances[nth].as_ref().with_context(|| format!("instance {nth} is down"))
    }

    /// Starts an instance at its address and waits until the balancer gives it requests.
    pub(crate) async fn bring_up(&mut self, nth: usize) -> anyhow::Result<()> {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        let weir = Instance::builder(WEIR).listen(self.addresses[nth]).flags(&flags).start().await?;
        self.balancer.notices(&weir).await.with_context(|| format!("instance {nth}"))?;
        self.instances[nth] = Some(weir);
        Ok(())
    }

    /// Ends an instance as a deployment does, and waits until it is gone.
    pub(crate) async fn take_down(&mut self, nth: usize) -> anyhow::Result<()> {
        let mut weir = self.instances[nth].take().with_context(|| format!("instance {nth} is down"))?;
        weir.signal(Signal::TERM)?;
        let status = weir.wait_exit(SHUTDOWN_TIMEOUT + DEADLINE).await?;
        ensure!(status.code() == Some(0), "{status}: {}", weir.log().join("\n"));
        Ok(())
    }

    /// Ends an instance as a machine does that loses power.
    pub(crate) async fn kill(&mut self, nth: usize) -> anyhow::Result<()> {
        let mut weir = self.instances[nth].take().with_context(|| format!("instance {nth} is down"))?;
        weir.signal(Signal::KILL)?;
        weir.wait_exit(DEADLINE).await?;
        Ok(())
    }

    /// Streams on each instance.
    pub(crate) async fn clients(&self) -> anyhow::Result<Vec<f64>> {
        let mut clients = Vec::new();
        for weir in self.instances.iter().flatten() {
            clients.push(weir.metrics().await?.sum("weir_clients", &[("transport", "sse")]));
        }
        Ok(clients)
    }
}

//! Two instances on one Redis behind a balancer, at addresses that outlive them.

use std::net::SocketAddr;

use anyhow::Context as _;
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::loopback::own_address;
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Instance, Signal};

use crate::WEIR;

pub(crate) struct Fleet {
    pub(crate) redis: RedisServer,
    pub(crate) balancer: Balancer,
    instances: Vec<Option<Instance>>,
    addresses: Vec<SocketAddr>,
    flags: Vec<String>,
}

impl Fleet {
    pub(crate) async fn start(kind: Kind, flags: &[&str]) -> anyhow::Result<Self> {
        let redis = RedisServer::start_persistent().await;
        let addresses = vec![own_address()?, own_address()?];
        let balancer = Balancer::start(kind, &addresses).await?;
        let url = redis.url();
        let ours = [
            "--redis",
            &url,
            "--anonymous",
            "all",
            "--refuse",
            "503",
            "--retry",
            "500ms",
            "--heartbeat",
            "2s",
        ];
        // Longer than HAProxy takes to notice, as it has to be.
        let drain = ["--drain-delay", "2s", "--drain-window", "1s"];
        let flags = ours.iter().chain(&drain).chain(flags).map(|&flag| flag.to_owned()).collect();
        let mut fleet = Self { redis, balancer, instances: vec![None, None], addresses, flags };
        for nth in 0..2 {
            fleet.bring_up(nth).await?;
        }
        Ok(fleet)
    }

    /// Through the balancer.
    pub(crate) fn client(&self) -> Client {
        self.balancer.client()
    }

    /// Through the balancer, for a page.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.balancer.address())
    }

    /// The instance with the most streams, which has some.
    pub(crate) async fn busiest(&self) -> anyhow::Result<usize> {
        let mut streams = Vec::new();
        for (nth, weir) in self.instances.iter().enumerate() {
            let Some(weir) = weir else { continue };
            streams.push((weir.metrics().await?.sum("weir_clients", &[("transport", "sse")]), nth));
        }
        let most = streams.into_iter().max_by(|one, other| one.0.total_cmp(&other.0));
        let (count, nth) = most.context("no instance is up")?;
        anyhow::ensure!(count > 0.0, "nobody is connected");
        Ok(nth)
    }

    /// Starts an instance at its address and waits until the balancer gives it requests.
    pub(crate) async fn bring_up(&mut self, nth: usize) -> anyhow::Result<()> {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        let weir = Instance::builder(WEIR).listen(self.addresses[nth]).flags(&flags).start().await?;
        self.balancer.notices(&weir).await.with_context(|| format!("instance {nth}"))?;
        self.instances[nth] = Some(weir);
        Ok(())
    }

    /// Tells an instance to end as a deployment does.
    pub(crate) fn drain(&self, nth: usize) -> anyhow::Result<()> {
        self.instances[nth].as_ref().context("it is down")?.signal(Signal::TERM)
    }

    /// Waits until it is gone.
    pub(crate) async fn gone(&mut self, nth: usize) -> anyhow::Result<()> {
        let mut weir = self.instances[nth].take().context("it is down")?;
        weir.wait_exit(DEADLINE * 2).await.map(drop)
    }

    /// Ends an instance as a machine does that loses power.
    pub(crate) async fn kill(&mut self, nth: usize) -> anyhow::Result<()> {
        self.instances[nth].as_ref().context("it is down")?.signal(Signal::KILL)?;
        self.gone(nth).await
    }
}

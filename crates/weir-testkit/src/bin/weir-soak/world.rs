//! What runs: Redis, three instances, and proxies on both sides of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::sync::{Mutex, RwLock};
use weir_testkit::chaos::Proxy;
use weir_testkit::redis::RedisServer;
use weir_testkit::workload::{Ledger, PROXIED, Places, Producer};
use weir_testkit::{Instance, eventually};

/// The key of the stream.
pub(crate) const STREAM: &str = "weir:events";

/// How long anything may take to be well again.
pub(crate) const HEALED: Duration = Duration::from_secs(90);

/// Everything that a fault can hit.
pub(crate) struct World {
    weir: String,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) places: Places,
    pub(crate) producer: Producer,
    pub(crate) redis: Arc<RwLock<RedisServer>>,
    pub(crate) slots: Vec<Slot>,
    /// When processes ended, perhaps without a chance to tidy up: what they leave in Redis takes its time to go.
    pub(crate) crashes: Mutex<Vec<Instant>>,
    pub(crate) fds_at_rest: usize,
}

/// A place for an instance.
pub(crate) struct Slot {
    number: u16,
    pub(crate) instance: Mutex<Instance>,
    /// Between the instance and Redis.
    pub(crate) to_redis: Proxy,
    /// Between some of the clients and the instance.
    pub(crate) to_clients: Proxy,
    /// Memory of this very process when it was first well, in KiB.
    pub(crate) first_rss: Mutex<Option<u64>>,
}

impl World {
    pub(crate) async fn start(weir: &str, seed: u64) -> anyhow::Result<Self> {
        let redis = RedisServer::start_persistent().await;
        let at = SocketAddr::from(([127, 0, 0, 1], redis.port()));
        let ledger = Arc::new(Ledger::default());
        let places = Places::default();
        let mut slots = Vec::new();
        for number in 1..=3 {
            let to_redis = Proxy::start_seeded(at, seed ^ u64::from(number)).await?;
            let instance = launch(weir, number, &to_redis).await?;
            let to_clients = Proxy::start_seeded(instance.public(), seed ^ u64::from(number) << 8).await?;
            announce(&places, number, &instance, &to_clients);
            let (instance, first_rss) = (Mutex::new(instance), Mutex::new(None));
            slots.push(Slot { number, instance, to_redis, to_clients, first_rss });
        }
        let fds_at_rest = fds(slots[0].instance.lock().await.pid())?;
        Ok(Self {
            weir: weir.to_owned(),
            producer: Producer::new(&ledger, Duration::from_secs(5)),
            ledger,
            places,
            redis: Arc::new(RwLock::new(redis)),
            slots,
            crashes: Mutex::new(Vec::new()),
            fds_at_rest,
        })
    }

    /// Puts a new instance in the place of one that is gone.
    pub(crate) async fn replace(&self, slot: &Slot, gone: &mut Instance) -> anyhow::Result<()> {
        // Redis may be away at the same time; an instance that waits for it is well.
        *gone = launch(&self.weir, slot.number, &slot.to_redis).await?;
        *slot.first_rss.lock().await = None;
        slot.to_clients.point_at(Some(gone.public()));
        announce(&self.places, slot.number, gone, &slot.to_clients);
        Ok(())
    }

    /// Takes every lasting fault away, and waits until every instance says that it is ready.
    pub(crate) async fn heal(&self) -> anyhow::Result<()> {
        for slot in &self.slots {
            slot.to_redis.heal();
            slot.to_redis.point_at(Some(SocketAddr::from(([127, 0, 0, 1], self.redis.read().await.port()))));
            slot.to_clients.heal();
            slot.to_clients.point_at(Some(slot.instance.lock().await.public()));
        }
        self.redis_command(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await?;
        for slot in &self.slots {
            let instance = slot.instance.lock().await;
            let well = eventually(HEALED, async || {
                let answer = instance.admin_client().get("/readyz").send().await?;
                ensure!(answer.status() == 200, "not ready: {answer:?}");
                ensure!(
                    !String::from_utf8_lossy(&answer.body).contains("degraded"),
                    "still degraded: {answer:?}"
                );
                Ok(())
            });
            well.await.with_context(|| format!("instance {}: {}", slot.number, instance.log().join("\n")))?;
        }
        Ok(())
    }

    /// Remembers how large each instance was when it was first well.
    pub(crate) async fn sample(&self) -> anyhow::Result<()> {
        for slot in &self.slots {
            let rss = rss(slot.instance.lock().await.pid())?;
            slot.first_rss.lock().await.get_or_insert(rss);
        }
        Ok(())
    }

    /// A command that Redis must answer.
    pub(crate) async fn redis_command(&self, args: &[&str]) -> anyhow::Result<String> {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let answer = self.redis.read().await.try_command(&args).await?;
        answer.map_err(|error| anyhow::anyhow!("redis refuses: {error}"))
    }
}

async fn launch(weir: &str, number: u16, to_redis: &Proxy) -> anyhow::Result<Instance> {
    let (url, name) = (format!("redis://{}", to_redis.addr()), format!("soak-{number}"));
    let flags = [
        ["--redis", &url],
        ["--instance", &name],
        ["--maxlen", "2000"],
        ["--read-block", "1s"],
        ["--heartbeat", "1s"],
        ["--retry", "200ms"],
        ["--queue-events", "50"],
        ["--stall-timeout", "10s"],
        ["--max-event-bytes", "4096"],
        ["--drain-delay", "200ms"],
        ["--drain-window", "500ms"],
        ["--shutdown-timeout", "5s"],
    ];
    Instance::builder(weir).flags(flags.as_flattened()).unready().start().await
}

/// Half of the clients come through the proxy.
fn announce(places: &Places, number: u16, instance: &Instance, to_clients: &Proxy) {
    places.set(number, instance.public());
    places.set(PROXIED + number, to_clients.addr());
}

/// Open files of a process.
pub(crate) fn fds(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Memory of a process, in KiB.
pub(crate) fn rss(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

//! Three instances on one Redis with a Prometheus that scrapes them, and what may happen to them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tempfile::TempDir;
use weir_testkit::prometheus::Prometheus;
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, Instance, Signal};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A stream that is soon full, so that clients can be late for it, and times that let a drain fit into a test.
const FLAGS: &[&str] = &[
    "--anonymous=all",
    "--maxlen=3000",
    "--window-bytes=4MiB",
    "--read-block=1s",
    "--heartbeat=2s",
    "--retry=1s",
    "--stall-timeout=10s",
    "--max-connections=400",
    "--metric-types=order.updated,chat.message",
    "--drain-delay=1s",
    "--drain-window=4s",
    "--shutdown-timeout=8s",
];

/// Longer than a drain with the flags above.
const DRAIN: Duration = Duration::from_secs(15);

pub(crate) struct Cluster {
    pub(crate) redis: RedisServer,
    pub(crate) prometheus: Prometheus,
    instances: Vec<Instance>,
    places: Places,
    folder: TempDir,
}

/// Where clients find the instances that take them. An instance comes back elsewhere.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Vec<SocketAddr>>>);

impl Places {
    /// One of them.
    pub(crate) fn any(&self) -> Client {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Client::new(*fastrand::choice(places.iter()).expect("there are instances"))
    }

    fn set(&self, places: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }
}

impl Cluster {
    /// `rules` are files by absolute path.
    pub(crate) async fn start(rules: &[PathBuf]) -> anyhow::Result<Self> {
        // One that forgot its entries would be another fault than one that is away.
        let redis = RedisServer::start_persistent().await;
        let folder = tempfile::tempdir().context("a temporary directory")?;
        let (one, two, three) =
            tokio::try_join!(start(&redis, 1), start(&redis, 2), start(&redis, 3)).context("instances")?;
        let instances = vec![one, two, three];
        let targets = folder.path().join("targets.json");
        write_targets(&targets, &instances)?;
        // Discovered from a file, since an instance that was restarted is scraped elsewhere under the name that it had.
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "weir", "file_sd_configs": [{"files": [targets]}]}],
        });
        let prometheus = Prometheus::start(&configuration.to_string()).await?;
        let cluster = Self { redis, prometheus, instances, places: Places::default(), folder };
        cluster.places.set(cluster.instances.iter().map(Instance::public).collect());
        Ok(cluster)
    }

    pub(crate) fn places(&self) -> Places {
        self.places.clone()
    }

    /// An instance is told to end, lets its clients go, and comes back.
    pub(crate) async fn restart(&mut self, nth: usize) -> anyhow::Result<()> {
        self.without(nth);
        self.instances[nth].signal(Signal::TERM)?;
        self.instances[nth].wait_exit(DRAIN).await?;
        self.bring_back(nth).await
    }

    /// An instance is gone from one moment to the next.
    pub(crate) async fn kill(&mut self, nth: usize) -> anyhow::Result<()> {
        self.without(nth);
        self.instances[nth].signal(Signal::KILL)?;
        self.instances[nth].wait_exit(DRAIN).await?;
        Ok(())
    }

    pub(crate) async fn bring_back(&mut self, nth: usize) -> anyhow::Result<()> {
        self.instances[nth] = start(&self.redis, nth + 1).await?;
        write_targets(&self.folder.path().join("targets.json"), &self.instances)?;
        self.places.set(self.instances.iter().map(Instance::public).collect());
        Ok(())
    }

    /// Clients go elsewhere from now on, as a load balancer sends them.
    fn without(&self, nth: usize) {
        let others = self.instances.iter().enumerate().filter(|(other, _)| *other != nth);
        self.places.set(others.map(|(_, instance)| instance.public()).collect());
    }
}

async fn start(redis: &RedisServer, number: usize) -> anyhow::Result<Instance> {
    let (url, name) = (redis.url(), format!("weir-{number}"));
    let own = ["--redis", &url, "--instance", &name];
    Instance::start(WEIR, &[&own[..], FLAGS].concat()).await
}

fn write_targets(file: &Path, instances: &[Instance]) -> anyhow::Result<()> {
    let target = |(nth, instance): (usize, &Instance)| {
        let name = format!("weir-{}", nth + 1);
        json!({"targets": [instance.admin().to_string()], "labels": {"instance": name}})
    };
    let targets: Vec<_> = instances.iter().enumerate().map(target).collect();
    // At once, so that nobody reads half of it.
    let draft = file.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(&targets)?)?;
    fs::rename(draft, file).context("targets for Prometheus")
}

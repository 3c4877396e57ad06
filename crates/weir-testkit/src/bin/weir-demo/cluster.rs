//! What runs: Redis, three instances, a load balancer, Prometheus, Alertmanager; and what can be done to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::redis::{Options, RedisServer};
use weir_testkit::{Client, eventually};

use crate::monitoring::Monitoring;
use crate::order::{INSTANCES, Part};
use crate::ports;
use crate::publishers::{Publisher, TYPES};
use crate::slot::Slot;
use crate::slow::Slow;
use crate::tally::Tally;

/// How long an instance may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// How long whoever writes to Redis waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// All processes; they end with this.
pub(crate) struct Cluster {
    weir: String,
    flags: Vec<String>,
    pub(crate) balancer: Balancer,
    pub(crate) monitoring: Monitoring,
    pub(crate) slots: Vec<Slot>,
    redis: RedisServer,
    redis_is: &'static str,
    slow: Option<Slow>,
}

impl Cluster {
    /// Starts all of it, and waits until every instance is ready.
    pub(crate) async fn start(weir: &str, rules: &Path) -> anyhow::Result<Self> {
        // A killed Redis comes back with what it had, as one that is run in earnest does.
        let options = Options::default().set("appendonly", &["yes"]).port(ports::at(ports::REDIS)?.port());
        let redis = RedisServer::start_with(options).await;
        let flags = flags(&redis.url());
        let mut slots = Vec::new();
        for number in 1..=INSTANCES {
            let mut slot = Slot::new(u16::try_from(number)?)?;
            slot.start(weir, &strs(&flags)).await.with_context(|| slot.name.clone())?;
            slots.push(slot);
        }
        for slot in &slots {
            is_ready(slot).await?;
        }
        let public: Vec<SocketAddr> = slots.iter().map(|slot| slot.public).collect();
        let admin: Vec<(&str, SocketAddr)> = slots.iter().map(|slot| (&*slot.name, slot.admin)).collect();
        let balancer = Balancer::start_at(Kind::HaProxy, ports::at(ports::PUBLIC)?, &public).await?;
        let monitoring = Monitoring::start(&admin, rules).await?;
        let weir = weir.to_owned();
        Ok(Self { weir, flags, balancer, monitoring, slots, redis, redis_is: "runs", slow: None })
    }

    /// Where everything is, for programs.
    pub(crate) fn facts(&self) -> Value {
        let url = |address: SocketAddr| format!("http://{address}");
        let instances = self
            .slots
            .iter()
            .map(|slot| json!({"name": slot.name, "public": url(slot.public), "admin": url(slot.admin)}));
        json!({
            "public": url(self.balancer.address()),
            "instances": instances.collect::<Vec<_>>(),
            "redis": self.redis.url(),
            "prometheus": url(self.monitoring.prometheus()),
            "alertmanager": url(self.monitoring.alertmanager()),
        })
    }

    pub(crate) fn public(&self) -> Arc<[SocketAddr]> {
        self.slots.iter().map(|slot| slot.public).collect()
    }

    /// Who loads it.
    pub(crate) fn publisher(&self, tally: &Arc<Tally>) -> Publisher {
        let redis = self.redis.caller(PATIENCE);
        Publisher { balancer: self.balancer.address(), redis, tally: Arc::clone(tally) }
    }

    pub(crate) fn kill(&mut self, part: Part) -> anyhow::Result<String> {
        match part {
            Part::Instance(number) => self.slot(number).kill()?,
            Part::Redis => self.end_redis()?,
        }
        Ok(format!("{part} is killed; start it again with: start {}", word(part)))
    }

    pub(crate) async fn stop(&mut self, part: Part) -> anyhow::Result<String> {
        match part {
            Part::Instance(number) => self.slot(number).stop().await?,
            Part::Redis => self.end_redis()?,
        }
        Ok(format!("{part} is stopped; start it again with: start {}", word(part)))
    }

    pub(crate) fn freeze(&mut self, part: Part) -> anyhow::Result<String> {
        match part {
            Part::Instance(number) => self.slot(number).freeze()?,
            Part::Redis => {
                ensure!(self.redis_is == "runs", "redis is {}", self.redis_is);
                self.redis.pause();
                self.redis_is = "frozen";
            }
        }
        Ok(format!("{part} stands still; let it go on with: start {}", word(part)))
    }

    pub(crate) async fn run_again(&mut self, part: Part) -> anyhow::Result<String> {
        match part {
            Part::Instance(number) => self.launch(number).await?,
            Part::Redis if self.redis_is == "frozen" => self.redis.resume(),
            Part::Redis if self.redis_is == "runs" => {}
            Part::Redis => self.redis.restart().await,
        }
        if part == Part::Redis {
            self.redis_is = "runs";
        }
        Ok(format!("{part} runs"))
    }

    pub(crate) async fn drain(&mut self, number: usize) -> anyhow::Result<String> {
        self.slot(number).drain().await?;
        Ok(format!("weir-{number} releases its clients; let it take clients again with: start {number}"))
    }

    /// One after the other, each as soon as the one before is ready.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<String> {
        for number in 1..=INSTANCES {
            self.slot(number).stop().await?;
            self.launch(number).await?;
        }
        Ok("all instances were replaced".to_owned())
    }

    pub(crate) fn stall(&mut self) -> String {
        self.slow = Some(Slow::start(self.balancer.address(), self.public()));
        "a slow client has come: it loses events from the next seconds on; it goes with: unstall".to_owned()
    }

    pub(crate) fn unstall(&mut self) -> String {
        self.slow = None;
        "the slow client has gone".to_owned()
    }

    pub(crate) fn log(&mut self, number: usize) -> anyhow::Result<String> {
        self.slot(number).log(20)
    }

    /// What runs and what does not.
    pub(crate) fn parts(&self) -> String {
        let slots: Vec<String> = self.slots.iter().map(ToString::to_string).collect();
        format!("{}\nredis    {}", slots.join("\n"), self.redis_is)
    }

    /// What ended without being told to.
    pub(crate) async fn casualties(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for slot in &mut self.slots {
            ended.extend(slot.has_ended().await);
        }
        ended
    }

    async fn launch(&mut self, number: usize) -> anyhow::Result<()> {
        let slot = &mut self.slots[number - 1];
        slot.start(&self.weir, &strs(&self.flags)).await?;
        // Without Redis it is not ready, and is started all the same.
        if self.redis_is == "runs" { is_ready(slot).await } else { Ok(()) }
    }

    fn end_redis(&mut self) -> anyhow::Result<()> {
        ensure!(self.redis_is != "not there", "redis is not there");
        self.redis.stop();
        self.redis_is = "not there";
        Ok(())
    }

    fn slot(&mut self, number: usize) -> &mut Slot {
        &mut self.slots[number - 1]
    }
}

/// What the orders call it.
fn word(part: Part) -> String {
    match part {
        Part::Instance(number) => number.to_string(),
        Part::Redis => part.to_string(),
    }
}

/// Flags of every instance.
fn flags(redis: &str) -> Vec<String> {
    let types = TYPES.join(",");
    let flags = [
        ["--redis", redis],
        // As the configuration of the balancer says; who may call is no matter on this machine alone.
        ["--refuse", "503"],
        ["--trusted-proxy", "127.0.0.1/32"],
        ["--anonymous", "all"],
        ["--metric-types", &types],
        // Some minutes of this load, and of what the demo may run for.
        ["--maxlen", "20000"],
        ["--stream-maxlen", "1000"],
        // Whoever is on an instance that came back last moves on by and by.
        ["--max-connection-age", "5m"],
        // Shorter than they are by default: somebody waits.
        ["--drain-delay", "2s"],
        ["--drain-window", "6s"],
        ["--shutdown-timeout", "15s"],
    ];
    flags.as_flattened().iter().map(|&flag| flag.to_owned()).collect()
}

fn strs(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

async fn is_ready(slot: &Slot) -> anyhow::Result<()> {
    eventually(READY, async || {
        let answer = Client::new(slot.admin).get("/readyz").send().await?;
        ensure!(answer.status() == 200, "{} is not ready: {}", slot.name, answer.text()?);
        Ok(())
    })
    .await
}

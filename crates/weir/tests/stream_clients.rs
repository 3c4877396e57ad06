//! Clients of Durable Streams that others wrote, against the running binary: one instance, and several behind HAProxy.
//!
//! `.ci/setup test` installs them beside the build.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::program::installed;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Output, Program, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const BALANCER: &str = include_str!("stream_clients/haproxy.cfg");

/// How long a client may take for all that it does.
const PATIENCE: Duration = Duration::from_secs(100);

/// A short poll, so that clients make many.
const FLAGS: [&str; 2] = ["--long-poll-timeout", "500ms"];

/// Two instances on one Redis.
struct Two {
    instances: Vec<Instance>,
    _redis: RedisServer,
}

impl Two {
    async fn start() -> anyhow::Result<Self> {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let flags = [&FLAGS[..], &["--redis", &url]].concat();
        let (one, other) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
        Ok(Self { instances: vec![one, other], _redis: redis })
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.instances.iter().map(Instance::public).collect()
    }

    async fn balancer(&self) -> anyhow::Result<Balancer> {
        balancer(&self.addresses()).await
    }
}

async fn balancer(instances: &[SocketAddr]) -> anyhow::Result<Balancer> {
    let lines = instances.iter().enumerate().map(|(nth, address)| format!("server weir{nth} {address}"));
    let lines = lines.collect::<Vec<_>>().join("\n    ");
    Balancer::with(Kind::HaProxy, &BALANCER.replace("@INSTANCES@", &lines)).await
}

fn base(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// How often the balancer was asked for this stream: without `live`, by long-poll, by SSE.
fn asked(balancer: &Balancer, stream: &str) -> [usize; 3] {
    let lines: BTreeSet<String> = balancer.log().into_iter().collect();
    let of = |line: &&String| line.contains(": GET ") && line.contains(stream);
    let lines: Vec<_> = lines.iter().filter(of).collect();
    let with = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    let (polls, streams) = (with("live=long-poll"), with("live=sse"));
    [lines.len() - polls - streams, polls, streams]
}

async fn passes(mut command: Command) -> anyhow::Result<()> {
    command.env("NODE_PATH", installed("node_modules"));
    let mut client = Program::start(command, Output::Stdout)?;
    let ended = client.wait_exit(PATIENCE).await?;
    ensure!(ended.success() && client.lines() == ["done"], "{ended}: {}", client.tail());
    Ok(())
}

fn node(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.arg(source(script)).args(args);
    command
}

fn python(script: &str, base: &str) -> Command {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(source(script)).arg(base);
    command
}

fn source(script: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "foreign", script].iter().collect()
}

#[tokio::test]
async fn typescript_on_one_instance() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &FLAGS).await?;
    passes(node("streams-client.cjs", &[&base(weir.public())])).await
}

#[tokio::test]
async fn typescript_on_two_instances() -> anyhow::Result<()> {
    let two = Two::start().await?;
    let balancer = two.balancer().await?;
    passes(node("streams-client.cjs", &[&base(balancer.address())])).await
}

#[tokio::test]
async fn python_on_one_instance() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &FLAGS).await?;
    passes(python("python-streams.py", &base(weir.public()))).await
}

#[tokio::test]
async fn python_on_two_instances() -> anyhow::Result<()> {
    let two = Two::start().await?;
    let balancer = two.balancer().await?;
    passes(python("python-streams.py", &base(balancer.address()))).await
}

/// The published client does not get past what ends every SSE at once, but it says so, and a long-poll does.
#[tokio::test]
async fn typescript_where_sse_is_blocked() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &FLAGS).await?;
    let balancer = balancer(&[weir.public()]).await?;
    passes(node("streams-fallback.cjs", &[&format!("{}/blocked", base(balancer.address()))])).await?;
    eventually(DEADLINE, async || {
        let [_, polls, streams] = asked(&balancer, "clients/fallback");
        // More than three where one of them took long enough not to count as ended at once.
        ensure!(streams >= 3 && polls > 0, "{streams} streams, {polls} polls");
        Ok(())
    })
    .await
}

/// Many calls are in flight at once, and each goes to another instance.
#[tokio::test]
async fn a_hundred_thousand_appends_of_an_idempotent_producer() -> anyhow::Result<()> {
    let two = Two::start().await?;
    let balancer = two.balancer().await?;
    passes(node("streams-producer.cjs", &[&base(balancer.address()), "100000"])).await
}

/// Where the package chooses, it follows by long-poll; told `sse`, it never asks otherwise once it has caught up.
#[tokio::test]
async fn a_database_of_states() -> anyhow::Result<()> {
    let two = Two::start().await?;
    let balancer = two.balancer().await?;
    let address = base(balancer.address());
    passes(node("streams-db.cjs", &[&address, "sse"])).await?;
    eventually(DEADLINE, async || {
        let asked = asked(&balancer, "clients/db-sse");
        ensure!(asked == [1, 0, 1], "{asked:?}");
        Ok(())
    })
    .await?;
    passes(node("streams-db.cjs", &[&address])).await?;
    eventually(DEADLINE, async || {
        let [plain, polls, streams] = asked(&balancer, "clients/db-undefined");
        ensure!(plain == 1 && polls > 0 && streams == 0, "{plain} plain, {polls} polls, {streams} streams");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn documents_of_yjs_converge_over_two_instances() -> anyhow::Result<()> {
    let two = Two::start().await?;
    let bases: Vec<_> = two.addresses().into_iter().map(base).collect();
    passes(node("streams-yjs.cjs", &bases.iter().map(String::as_str).collect::<Vec<_>>())).await
}

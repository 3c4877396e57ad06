//! `--agent-listen`: what it says to whoever connects, and what HAProxy, as it is shipped, makes of it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::loopback::own_address;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, RawConn, SseStream, eventually, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const AGENT: [&str; 2] = ["--agent-listen", "127.0.0.1:0"];

/// Within this HAProxy has to know.
const SOON: Duration = Duration::from_secs(2);

/// All that is said to one connection.
async fn told(agent: SocketAddr) -> anyhow::Result<String> {
    let mut conn = RawConn::open(agent).await?;
    let (said, closed) = conn.read_until_close(DEADLINE).await?;
    ensure!(closed.is_some(), "still open after {said:?}");
    Ok(String::from_utf8(said.to_vec())?)
}

async fn start(flags: &[&str]) -> anyhow::Result<(Instance, SocketAddr)> {
    let weir = Instance::start(WEIR, &[&AGENT[..], flags].concat()).await?;
    let agent = weir.agent().context("there is an agent")?;
    Ok((weir, agent))
}

async fn operator(weir: &Instance, call: &str) -> anyhow::Result<()> {
    let answer = weir.admin_client().post(call).header("weir-admin", "1").send().await?;
    ensure!(answer.status() == 200, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn it_says_how_much_room_there_is_and_that_it_goes_away() -> anyhow::Result<()> {
    let (weir, agent) = start(&["--max-connections", "4", "--drain-delay", "30s"]).await?;
    assert_eq!(told(agent).await?, "up ready 100%\n");
    let mut streams = vec![weir.client().subscribe("s").await?, weir.client().subscribe("s").await?];
    assert_eq!(told(agent).await?, "up ready 50%\n");
    streams.push(weir.client().subscribe("s").await?);
    streams.push(weir.client().subscribe("s").await?);
    assert_eq!(told(agent).await?, "up ready 0%\n");
    operator(&weir, "/drain").await?;
    assert_eq!(told(agent).await?, "drain\n");
    operator(&weir, "/undrain").await?;
    drop(streams);
    eventually(DEADLINE, async || {
        let said = told(agent).await?;
        ensure!(said == "up ready 100%\n", "{said:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_instance_that_is_not_ready_takes_nobody() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await;
    let (_weir, agent) = start(&["--redis", &redis.url(), "--ready-grace", "0s"]).await?;
    assert_eq!(told(agent).await?, "up ready 100%\n");
    redis.stop();
    eventually(DEADLINE, async || {
        let said = told(agent).await?;
        ensure!(said == "drain\n", "{said:?}");
        Ok(())
    })
    .await
}

/// Who connects and says nothing, or much, or does not read, keeps nobody out, and nothing of it stays.
#[tokio::test]
async fn whoever_stays_is_let_go() -> anyhow::Result<()> {
    let (weir, agent) = start(&[]).await?;
    let before = usage::open_files(weir.pid())?;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(RawConn::open(agent).await?);
    }
    assert_eq!(told(agent).await?, "up ready 100%\n");
    let open = usage::open_files(weir.pid())? - before;
    assert!(open < 100, "{open} of 400 are held");
    eventually(DEADLINE, async || {
        let open = usage::open_files(weir.pid())?;
        ensure!(open <= before, "{open}");
        Ok(())
    })
    .await?;
    let mut talker = RawConn::open(agent).await?;
    talker.write(b"how are you?\n").await?;
    let (said, _) = talker.read_until_close(DEADLINE).await?;
    assert_eq!(said, "up ready 100%\n");
    for mut conn in idle {
        let (_, closed) = conn.read_until_close(DEADLINE).await?;
        assert!(closed.is_some());
    }
    Ok(())
}

/// Two instances behind HAProxy with the lines of `#agent `.
struct Pair {
    weirs: [Instance; 2],
    balancer: Balancer,
    _redis: RedisServer,
}

impl Pair {
    async fn start() -> anyhow::Result<Self> {
        let redis = RedisServer::start().await;
        let (url, addresses) = (redis.url(), [own_address()?, own_address()?]);
        let start = async |address| {
            let weir = Instance::builder(WEIR).listen(address).flags(&AGENT).flags(&["--redis", &url]);
            let ours = [
                "--anonymous",
                "all",
                "--refuse",
                "503",
                "--drain-delay",
                "60s",
                "--shutdown-timeout",
                "90s",
            ];
            weir.flags(&["--max-connections", "8"]).flags(&ours).start().await
        };
        let weirs = [start(addresses[0]).await?, start(addresses[1]).await?];
        let mut shipped = Balancer::shipped(Kind::HaProxy, &addresses).variant("agent");
        // They share one machine here, so that each needs a port of its own.
        for weir in &weirs {
            let (line, port) = (format!("{} check", weir.public()), weir.agent().context("an agent")?.port());
            shipped = shipped.change(line.clone(), format!("{line} agent-addr 127.0.0.1 agent-port {port}"));
        }
        Ok(Self { weirs, balancer: shipped.start().await?, _redis: redis })
    }

    /// Status and weight of each server for streams, as HAProxy has them.
    async fn servers(&self) -> anyhow::Result<Vec<(String, u32)>> {
        let stat = self.balancer.ask("show stat").await?;
        let mut lines = stat.lines();
        let names: Vec<_> = lines.next().context("a head")?.trim_start_matches("# ").split(',').collect();
        let at = |name| names.iter().position(|column| *column == name).context("a column");
        let (status, weight) = (at("status")?, at("weight")?);
        lines
            .filter(|line| line.starts_with("streams,weir-"))
            .map(|line| {
                let cells: Vec<_> = line.split(',').collect();
                Ok((cells[status].to_owned(), cells[weight].parse()?))
            })
            .collect()
    }

    async fn become_soon(&self, want: [(&str, u32); 2]) -> anyhow::Result<()> {
        eventually(SOON, async || {
            let servers = self.servers().await?;
            let have: Vec<_> = servers.iter().map(|(status, weight)| (status.as_str(), *weight)).collect();
            ensure!(have == want, "{have:?}");
            Ok(())
        })
        .await
    }

    /// Clients that came through the balancer, and how many each instance has.
    async fn subscribe(&self, count: usize) -> anyhow::Result<(Vec<SseStream>, [usize; 2])> {
        let before = self.clients().await?;
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(self.balancer.client().subscribe("s").await?);
        }
        let after = self.clients().await?;
        Ok((streams, [after[0] - before[0], after[1] - before[1]]))
    }

    async fn clients(&self) -> anyhow::Result<[usize; 2]> {
        let mut clients = [0; 2];
        for (weir, clients) in self.weirs.iter().zip(&mut clients) {
            *clients = weir.metrics().await?.sum("weir_clients", &[]) as usize;
        }
        Ok(clients)
    }
}

#[tokio::test]
async fn haproxy_drains_an_instance_that_says_so_and_its_streams_live() -> anyhow::Result<()> {
    let pair = Pair::start().await?;
    pair.become_soon([("UP", 100), ("UP", 100)]).await?;
    let (mut streams, shares) = pair.subscribe(4).await?;
    assert_eq!(shares, [2, 2]);
    pair.become_soon([("UP", 75), ("UP", 75)]).await?;
    operator(&pair.weirs[0], "/drain").await?;
    eventually(SOON, async || {
        let servers = pair.servers().await?;
        ensure!(servers[0].0 == "DRAIN (agent)" && servers[1].0 == "UP", "{servers:?}");
        Ok(())
    })
    .await?;
    let (mut more, shares) = pair.subscribe(3).await?;
    assert_eq!(shares, [0, 3], "new clients go elsewhere");
    pair.weirs[1].client().publish("s", "all are here").await?;
    for stream in streams.iter_mut().chain(&mut more) {
        assert_eq!(stream.next_data(1).await?, ["all are here"]);
    }
    operator(&pair.weirs[0], "/undrain").await?;
    eventually(SOON, async || {
        let servers = pair.servers().await?;
        ensure!(servers[0].0 == "UP", "{servers:?}");
        Ok(())
    })
    .await
}

/// The instance with less room gets fewer.
#[tokio::test]
async fn weights_follow_the_room_that_is_left() -> anyhow::Result<()> {
    let pair = Pair::start().await?;
    pair.become_soon([("UP", 100), ("UP", 100)]).await?;
    // They come past the balancer, which cannot count them.
    let mut own = Vec::new();
    for _ in 0..6 {
        own.push(pair.weirs[0].client().subscribe("s").await?);
    }
    pair.become_soon([("UP", 25), ("UP", 100)]).await?;
    let (_streams, shares) = pair.subscribe(5).await?;
    assert_eq!(shares, [1, 4]);
    // Nobody is sent to one that is full.
    own.push(pair.weirs[0].client().subscribe("s").await?);
    eventually(SOON, async || {
        let servers = pair.servers().await?;
        ensure!(servers[0].1 == 0, "{servers:?}");
        Ok(())
    })
    .await?;
    let (_more, shares) = pair.subscribe(2).await?;
    assert_eq!(shares, [0, 2]);
    Ok(())
}

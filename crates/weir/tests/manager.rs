//! What a service manager is told: a socket of the test stands for that of systemd.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Signal, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// It is told about six times a second that the instance is alive.
const WATCHDOG: Duration = Duration::from_millis(500);

/// The other end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
    told: Vec<String>,
    /// When it was last told that the instance is alive.
    beat: Instant,
}

impl Manager {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(folder.path().join("notify"))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, folder, told: Vec::new(), beat: Instant::now() })
    }

    async fn start(&self, flags: &[&str]) -> anyhow::Result<Instance> {
        let path = self.folder.path().join("notify");
        let builder = Instance::builder(WEIR).flags(flags).unready();
        let builder = builder.env("NOTIFY_SOCKET", path.to_str().context("a path is text")?);
        builder.env("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string()).start().await
    }

    /// All lines so far, in order.
    fn lines(&mut self) -> anyhow::Result<&[String]> {
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let text = std::str::from_utf8(&bytes[..length])?;
            self.told.extend(text.lines().map(str::to_owned));
            if text.contains("WATCHDOG=1") {
                self.beat = Instant::now();
            }
        }
        Ok(&self.told)
    }

    /// Waits for the next line that begins so, and forgets what came before it.
    async fn hears(&mut self, start: &str) -> anyhow::Result<String> {
        eventually(DEADLINE, async || {
            let found = self.lines()?.iter().position(|line| line.starts_with(start));
            let found = found.with_context(|| format!("no {start} among {:?}", self.told))?;
            self.told.drain(..=found).next_back().context("it was just there")
        })
        .await
    }
}

#[tokio::test]
async fn it_is_told_of_a_whole_life() -> anyhow::Result<()> {
    let mut manager = Manager::new()?;
    let mut weir = manager.start(&["--drain-delay", "100ms", "--drain-window", "0s"]).await?;
    manager.hears("READY=1").await?;
    ensure!(weir.admin_client().get("/readyz").send().await?.status() == 200, "not ready when it said so");
    manager.hears("WATCHDOG=1").await?;
    let stream = weir.client().subscribe("s").await?;
    ensure!(manager.hears("STATUS=1 clients").await?.contains("0 entries behind"));
    weir.signal(Signal::HUP)?;
    manager.hears("RELOADING=1").await?;
    let at: u64 = manager.hears("MONOTONIC_USEC=").await?.split('=').nth(1).context("a time")?.parse()?;
    ensure!(at > 0);
    manager.hears("READY=1").await?;
    weir.signal(Signal::TERM)?;
    manager.hears("STOPPING=1").await?;
    ensure!(weir.wait_exit(DEADLINE).await?.success());
    drop(stream);
    Ok(())
}

/// No restart brings back a Redis that is away: the start does not fail for it, and the instance is alive.
#[tokio::test]
async fn without_redis_it_is_alive_all_the_same() -> anyhow::Result<()> {
    let mut manager = Manager::new()?;
    let mut redis = RedisServer::start().await;
    let flags = ["--redis", &redis.url(), "--ready-grace", "2s", "--read-block", "200ms"];
    let flags = [&flags[..], &["--drain-delay", "0s", "--drain-window", "0s"]].concat();
    redis.stop();
    let mut weir = manager.start(&flags).await?;
    let started = Instant::now();
    // What is read anew meanwhile does not make it ready.
    weir.signal(Signal::HUP)?;
    manager.hears("READY=1").await?;
    ensure!(started.elapsed() > Duration::from_secs(1), "it did not wait for Redis at all");
    ensure!(manager.hears("STATUS=").await?.contains("waiting for the first window load"));
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await?;
    }
    redis.restart().await;
    manager.hears("STATUS=0 clients, 0 entries behind").await?;
    redis.pause();
    eventually(DEADLINE * 2, async || {
        manager.hears("WATCHDOG=1").await?;
        ensure!(weir.metrics().await?.value("weir_redis_up", &[]) == Some(0.0), "not noticed yet");
        Ok(())
    })
    .await?;
    for _ in 0..10 {
        manager.hears("WATCHDOG=1").await?;
    }
    // Nor is it stuck where Redis does not let it go in time.
    let stuck = |weir: &Instance| weir.log().iter().filter(|line| line.contains("stuck")).count();
    // With a --read-block as short as here it may have said so before it was known that Redis is away.
    let before = stuck(&weir);
    weir.signal(Signal::TERM)?;
    ensure!(weir.wait_exit(DEADLINE).await?.success());
    ensure!(stuck(&weir) == before, "{:?}", weir.log());
    redis.resume();
    Ok(())
}

/// What stands still tells nobody that it is alive.
#[tokio::test]
async fn one_that_is_stopped_is_not_alive() -> anyhow::Result<()> {
    let mut manager = Manager::new()?;
    let weir = manager.start(&[]).await?;
    manager.hears("WATCHDOG=1").await?;
    weir.signal(Signal::STOP)?;
    eventually(DEADLINE, async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", weir.pid()))?;
        ensure!(stat.contains(") T "), "{stat}");
        Ok(())
    })
    .await?;
    // A service manager would end it now.
    eventually(DEADLINE, async || {
        manager.lines()?;
        ensure!(manager.beat.elapsed() > WATCHDOG, "it says that it is alive");
        Ok(())
    })
    .await?;
    weir.signal(Signal::CONT)?;
    manager.hears("WATCHDOG=1").await?;
    Ok(())
}

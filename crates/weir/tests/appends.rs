//! However much is appended to a durable stream, an instance takes no more memory for it.
//!
//! `WEIR_TEST_APPENDS` asks for another number of appends; `make appends` does so for a million.

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Instance, RawConn};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "/v1/stream/many";

/// How many, where nobody asks for another number.
const APPENDS: usize = 30_000;

/// Each of these has one append in work and others on their way.
const CONNECTIONS: usize = 100;

/// Requests that a connection has sent before it reads their answers.
const PIPELINED: usize = 10;

/// Bytes of a chunk.
const CHUNK: usize = 400;

/// Chunks that are kept, so that a disk or Redis holds few of them.
const KEPT: usize = 1000;

/// What memory may grow by from a quarter to the end. Of the fewest appends the chunks alone are half as much again, of a
/// million they are thirty times as much, and ten bytes of each are more.
const GROWTH: f64 = (6 << 20) as f64;

fn appends() -> anyhow::Result<usize> {
    let Some(given) = std::env::var_os("WEIR_TEST_APPENDS") else { return Ok(APPENDS) };
    let given: usize = given.to_str().context("a number")?.parse().context("WEIR_TEST_APPENDS")?;
    ensure!(given >= APPENDS, "{given} appends tell nothing");
    Ok(given)
}

#[tokio::test]
async fn many_to_a_file_take_no_memory() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    println!("{}", told(&["--data-dir", data.path().to_str().context("a path in UTF-8")?]).await?);
    Ok(())
}

#[tokio::test]
async fn many_to_redis_take_no_memory() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    println!("{}", told(&["--redis", &redis.url()]).await?);
    Ok(())
}

/// How much memory an instance with these flags has, once that has turned out not to grow.
async fn told(flags: &[&str]) -> anyhow::Result<String> {
    let kept = KEPT.to_string();
    let weir = Instance::start(WEIR, &[flags, &["--stream-maxlen", &kept]].concat()).await?;
    let appends = appends()?;
    let client = weir.client();
    let made = client.request("PUT", STREAM).header("content-type", "text/plain").send().await?;
    ensure!(made.status() == 201, "{made:?}");
    let mut connections = try_join_all((0..CONNECTIONS).map(|_| RawConn::open(weir.public()))).await?;
    let rounds = appends.div_ceil(CONNECTIONS * PIPELINED);
    let quarter = rounds / 4;
    run(&mut connections, quarter).await?;
    let before = resident(&weir).await?;
    run(&mut connections, rounds - quarter).await?;
    let after = resident(&weir).await?;
    let told = format!("{:.1} MiB at a quarter, {:.1} MiB after {appends} appends", mib(before), mib(after));
    ensure!(newest(&client).await? == rounds * CONNECTIONS * PIPELINED, "some are missing");
    ensure!(after - before < GROWTH, "{told}");
    Ok(told)
}

/// Appends by all connections at once. Each goes on when it has all of its answers.
async fn run(connections: &mut [RawConn], rounds: usize) -> anyhow::Result<()> {
    let one = format!(
        "POST {STREAM} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: {CHUNK}\r\n\r\n{}",
        "x".repeat(CHUNK)
    );
    let sent = one.repeat(PIPELINED);
    let each = connections.iter_mut().map(async |connection| {
        for _ in 0..rounds {
            connection.write(sent.as_bytes()).await?;
            for _ in 0..PIPELINED {
                let head = connection.read_head(DEADLINE).await?;
                ensure!(head.status == 204, "{head:?}");
            }
        }
        Ok(())
    });
    try_join_all(each).await.map(drop)
}

/// The number of the newest chunk, which stands behind the epoch in its offset.
async fn newest(client: &Client) -> anyhow::Result<usize> {
    let head = client.request("HEAD", STREAM).send().await?;
    let offset = head.head.header("stream-next-offset").with_context(|| format!("{head:?}"))?;
    offset.rsplit('_').next().context("an offset")?.parse().context("an offset")
}

async fn resident(weir: &Instance) -> anyhow::Result<f64> {
    weir.metrics().await?.value("process_resident_memory_bytes", &[]).context("resident memory")
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

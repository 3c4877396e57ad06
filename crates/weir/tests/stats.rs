//! `--stats-key`: what stands in the hash is what the instances counted together.

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Signal, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Connections, disconnects and dropped events, as the instances count them together.
async fn counted(instances: &[Instance]) -> anyhow::Result<[f64; 3]> {
    let mut sums = [0.0; 3];
    for instance in instances {
        let metrics = instance.metrics().await?;
        let series = ["weir_connections_total", "weir_disconnections_total", "weir_events_dropped_total"];
        for (sum, name) in sums.iter_mut().zip(series) {
            *sum += metrics.sum(name, &[]);
        }
    }
    Ok(sums)
}

async fn stands(redis: &RedisServer) -> anyhow::Result<[f64; 3]> {
    let reply = redis.cli(&["HMGET", "weir:stats", "connections", "disconnects", "dropped"]).await;
    let numbers: Result<Vec<f64>, _> = reply.lines().map(str::parse).collect();
    numbers.with_context(|| reply.clone())?.try_into().map_err(|_| anyhow::anyhow!("{reply}"))
}

/// Clients come to all instances, and half of them go.
async fn come_and_go(instances: &[Instance], redis: &RedisServer) -> anyhow::Result<()> {
    for instance in instances {
        let client = instance.client();
        let mut streams = try_join_all((0..4).map(|_| client.subscribe("s"))).await?;
        // Too large for everybody: lost to each who listens.
        redis.cli(&["XADD", "weir:events", "*", "session", "s", "data", &"x".repeat(2000)]).await;
        for stream in &mut streams {
            ensure!(stream.next_event().await?.event == "weir.gap");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_sums_are_those_of_all_instances() -> anyhow::Result<()> {
    let mut redis = RedisServer::start_persistent().await;
    let url = redis.url();
    let flags = ["--redis", &url, "--stats-key", "weir:stats", "--max-event-bytes", "1000"];
    let start = async |_| {
        Instance::builder(WEIR)
            .flags(&flags)
            .flags(&["--drain-delay", "0s", "--drain-window", "0s"])
            .start()
            .await
    };
    let mut instances = try_join_all((0..3).map(start)).await?;
    let add_up = async |redis: &RedisServer, instances: &[Instance]| {
        eventually(DEADLINE * 2, async || {
            let (counted, stands) = (counted(instances).await?, stands(redis).await?);
            ensure!(counted == stands && counted[0] > 0.0, "{counted:?} {stands:?}");
            Ok(counted)
        })
        .await
    };
    come_and_go(&instances, &redis).await?;
    let first = add_up(&redis, &instances).await?;
    ensure!(first[0] == 12.0 && first[2] >= 12.0, "{first:?}");
    redis.restart().await;
    eventually(DEADLINE * 2, async || {
        for instance in &instances {
            ensure!(instance.metrics().await?.value("weir_redis_up", &[]) == Some(1.0), "not back");
        }
        Ok(())
    })
    .await?;
    come_and_go(&instances, &redis).await?;
    ensure!(add_up(&redis, &instances).await?[0] == 24.0);

    // The last of it is added at the end, the clients included that went because of that.
    let client = instances[0].client();
    let _streams = try_join_all((0..5).map(|_| client.subscribe("s"))).await?;
    for instance in &instances {
        instance.signal(Signal::TERM)?;
    }
    for instance in &mut instances {
        ensure!(instance.wait_exit(DEADLINE).await?.success());
    }
    let last = stands(&redis).await?;
    ensure!(last[..2] == [29.0, 29.0], "{last:?}");
    Ok(())
}

#[tokio::test]
async fn it_needs_redis_and_a_key_of_its_own() -> anyhow::Result<()> {
    let refused = async |flags: &[&str]| -> anyhow::Result<String> {
        let started = Instance::start(WEIR, flags).await;
        Ok(format!("{:#}", started.err().context("it started")?))
    };
    let alone = refused(&["--stats-key", "weir:stats"]).await?;
    ensure!(alone.contains("--stats-key needs --redis") && alone.contains("give --redis"), "{alone}");
    let flags = ["--redis", "redis://127.0.0.1:1", "--stats-key", "weir:events"];
    let same = refused(&flags).await?;
    ensure!(same.contains("--stats-key is the key of the stream"), "{same}");
    Ok(())
}

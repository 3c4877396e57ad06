//! A Redis that takes no writes delivers all the same, and operators see what it refuses.

use anyhow::ensure;
use weir_testkit::redis::{Options, RedisServer};
use weir_testkit::{DEADLINE, Instance, eventually, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

#[tokio::test]
async fn an_instance_on_a_replica_delivers_and_says_what_it_lacks() -> anyhow::Result<()> {
    let (master, replica) = (RedisServer::start().await, RedisServer::start().await);
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    let in_step = async || {
        let info = replica.cli(&["INFO", "replication"]).await;
        ensure!(info.contains("master_link_status:up"), "{info}");
        Ok(())
    };
    eventually(DEADLINE, in_step).await?;

    let weir = Instance::start(WEIR, &["--redis", &replica.url()]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    master.cli(&["XADD", "weir:events", "*", "session", "s", "data", "one"]).await;
    assert_eq!(stream.next_data(1).await?, ["one"]);
    expect::problem(&weir.client().event("s").body("x").send().await?, 503, "log_unavailable")?;

    let ready = weir.admin_client().get("/readyz").send().await?;
    let body = ready.json()?;
    assert_eq!((ready.status(), body["status"].as_str(), body["group"].as_str()), (200, Some("ready"), None));
    let waiting = body["waitingFor"].as_str().unwrap_or_default();
    assert!(waiting.starts_with("a reader group, which Redis refuses: READONLY"), "{body}");
    let said =
        weir.logged("redis makes no group: reading without one").expect("a line for whoever operates it");
    assert!(said.to_string().contains("point --redis at the master"), "{said}");
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.value("weir_reader_without_group", &[]), Some(1.0));
    assert_eq!(metrics.value("weir_redis_up", &[]), Some(1.0));
    assert_eq!(metrics.value("weir_reader_pending_entries", &[]).filter(|value| !value.is_nan()), None);

    replica.cli(&["REPLICAOF", "NO", "ONE"]).await;
    eventually(DEADLINE, async || {
        let ready = weir.admin_client().get("/readyz").send().await?.json()?;
        ensure!(ready["group"].is_string() && ready["waitingFor"].is_null(), "{ready}");
        Ok(())
    })
    .await?;
    eventually(DEADLINE, async || Ok(weir.client().publish("s", "two").await?)).await?;
    assert_eq!(stream.next_data(1).await?, ["two"]);
    Ok(())
}

/// A server repeats a command that it does not know, and the greeting has the password.
#[tokio::test]
async fn a_server_that_takes_no_greeting_is_told_without_the_password() -> anyhow::Result<()> {
    let options = Options::default()
        .set("requirepass", &["hunter2"])
        .set("rename-command", &["HELLO", ""])
        .logged_in_as("default", "hunter2");
    let redis = RedisServer::start_with(options).await;
    let url = format!("redis://:hunter2@127.0.0.1:{}", redis.port());
    let flags = ["--redis", &url, "--log", "trace"];
    let weir = Instance::builder(WEIR).flags(&flags).unready().start().await?;
    let told = async || {
        let ready = weir.admin_client().get("/readyz").send().await?;
        ensure!(ready.text()?.contains("unknown command 'HELLO'"), "{ready:?}");
        ensure!(!ready.text()?.contains("hunter2"), "{ready:?}");
        Ok(())
    };
    eventually(DEADLINE, told).await?;
    // The reader says it, and whoever publishes.
    let said = |line: &&String| line.contains("unknown command 'HELLO'");
    eventually(DEADLINE, async || {
        ensure!(weir.log().iter().filter(said).count() >= 2, "{:?}", weir.log());
        Ok(())
    })
    .await?;
    let log = weir.log();
    ensure!(!log.iter().any(|line| line.contains("hunter2")), "{log:?}");
    Ok(())
}

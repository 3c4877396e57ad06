//! The groups of instances that live, die, stand still, and share a name.

use anyhow::{Context as _, ensure};
use weir_testkit::redis::RedisServer;
use weir_testkit::{DEADLINE, Instance, Signal, eventually, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "weir:events";

const LEASES: &str = "{weir:events}:leases";

async fn start(redis: &RedisServer) -> anyhow::Result<Instance> {
    let url = redis.url();
    Instance::start(WEIR, &["--redis", &url, "--read-block", "200ms", "--instance", "same"]).await
}

async fn group(weir: &Instance) -> anyhow::Result<String> {
    let ready = weir.admin_client().get("/readyz").send().await?.json()?;
    Ok(ready["group"].as_str().context("a group")?.to_owned())
}

async fn groups(redis: &RedisServer) -> Vec<String> {
    let info = redis.cli(&["XINFO", "GROUPS", STREAM]).await;
    info.lines().filter(|line| line.starts_with("weir:")).map(str::to_owned).collect()
}

/// As if nothing had been heard of a group for ten minutes.
async fn expire(redis: &RedisServer, group: &str) {
    redis.cli(&["ZINCRBY", LEASES, "-600000", group]).await;
}

/// Instances of one name never share a group, so each gets all of it.
#[tokio::test]
async fn two_instances_of_one_name_both_get_everything() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let (one, two) = tokio::try_join!(start(&redis), start(&redis))?;
    assert_ne!(group(&one).await?, group(&two).await?);
    let mut streams = [one.client().subscribe("s").await?, two.client().subscribe("s").await?];
    for nth in 0..200 {
        redis.cli(&["XADD", STREAM, "*", "session", "s", "data", &nth.to_string()]).await;
    }
    let want: Vec<_> = (0..200).map(|nth| nth.to_string()).collect();
    for stream in &mut streams {
        assert_eq!(stream.next_data(200).await?, want);
    }
    // The one that ends takes its own group along and no other.
    let stays = group(&two).await?;
    drop(streams);
    one.signal(Signal::TERM)?;
    eventually(DEADLINE, async || {
        let left = groups(&redis).await;
        ensure!(left == [stays.clone()], "{left:?}");
        Ok(())
    })
    .await
}

/// One is killed with a batch that it had not acknowledged: its next life has it, and what it left behind goes with its lease,
/// pending entries and all.
#[tokio::test]
async fn what_a_killed_instance_leaves_is_removed() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let (killed, stays) = tokio::try_join!(start(&redis), start(&redis))?;
    let mut stream = stays.client().subscribe("s").await?;
    let leaked = group(&killed).await?;
    // It stands still with an open read, which takes what comes now and never gets to acknowledge it.
    usage::stop(killed.pid()).await?;
    for nth in 0..20 {
        redis.cli(&["XADD", STREAM, "*", "session", "s", "data", &nth.to_string()]).await;
    }
    assert_eq!(stream.next_data(20).await?.len(), 20);
    drop(killed);
    let again = start(&redis).await?;
    let mut whole = again.client().events("s").query("lastEventId", "earliest").subscribe().await?;
    assert_eq!(whole.next_data(20).await?.len(), 20);
    assert!(groups(&redis).await.contains(&leaked));

    expire(&redis, &leaked).await;
    eventually(DEADLINE, async || {
        let left = groups(&redis).await;
        ensure!(left.len() == 2 && !left.contains(&leaked), "{left:?}");
        let reaped = [&stays, &again]
            .map(async |weir| anyhow::Ok(weir.metrics().await?.sum("weir_groups_reaped_total", &[])));
        let [one, two] = reaped;
        let reaped = one.await? + two.await?;
        ensure!(reaped == 1.0, "{reaped} reaped");
        Ok(())
    })
    .await
}

/// One that only stood still for longer than its lease finds its group gone, and goes on where it was.
#[tokio::test]
async fn an_instance_that_was_taken_for_dead_goes_on() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let (paused, stays) = tokio::try_join!(start(&redis), start(&redis))?;
    let mut stream = paused.client().subscribe("s").await?;
    redis.cli(&["XADD", STREAM, "*", "session", "s", "data", "before"]).await;
    assert_eq!(stream.next_data(1).await?, ["before"]);
    let reaped = group(&paused).await?;
    usage::stop(paused.pid()).await?;
    expire(&redis, &reaped).await;
    eventually(DEADLINE, async || {
        ensure!(!groups(&redis).await.contains(&reaped), "not reaped yet");
        Ok(())
    })
    .await?;
    for nth in 0..300 {
        redis.cli(&["XADD", STREAM, "*", "session", "s", "data", &nth.to_string()]).await;
    }
    paused.signal(Signal::CONT)?;
    let want: Vec<_> = (0..300).map(|nth| nth.to_string()).collect();
    assert_eq!(stream.next_data(300).await?, want);
    // It has a new one, and so it stays.
    eventually(DEADLINE, async || {
        let left = groups(&redis).await;
        ensure!(left.len() == 2 && left.contains(&group(&paused).await?), "{left:?}");
        Ok(())
    })
    .await?;
    let metrics = paused.metrics().await?;
    assert_eq!(metrics.value("weir_entries_lost_total", &[]), Some(0.0));
    assert!(metrics.sum("weir_group_recreated_total", &[]) >= 1.0);
    assert_eq!(stays.metrics().await?.sum("weir_group_recreated_total", &[]), 0.0);
    Ok(())
}

/// A crash loop left two hundred groups behind. One round removes what is due, and looking at them costs Redis little.
#[tokio::test]
async fn two_hundred_leaked_groups_are_removed_together() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let leak = "redis.call('XADD', KEYS[1], '*', 'session', 's', 'data', 'x') \
                local now = redis.call('TIME')[1] * 1000 \
                for n = 1, 200 do \
                  redis.call('XGROUP', 'CREATE', KEYS[1], 'weir:crashed:' .. n, '0') \
                  redis.call('ZADD', KEYS[2], n <= 150 and now - 600000 or now, 'weir:crashed:' .. n) \
                end";
    redis.cli(&["EVAL", leak, "2", STREAM, LEASES]).await;
    let weir = start(&redis).await?;
    eventually(DEADLINE, async || {
        let left = groups(&redis).await.len();
        // Those whose lease is not over could still be alive.
        ensure!(left == 51, "{left} groups");
        let metrics = weir.metrics().await?;
        ensure!(metrics.sum("weir_groups_reaped_total", &[]) == 150.0, "not counted yet");
        ensure!(metrics.value("weir_groups", &[]) == Some(51.0), "not shown yet");
        Ok(())
    })
    .await?;
    for nth in 151..=200 {
        expire(&redis, &format!("weir:crashed:{nth}")).await;
    }
    eventually(DEADLINE, async || {
        let (left, own) = (groups(&redis).await, group(&weir).await?);
        ensure!(left == [own], "{} groups", left.len());
        ensure!(redis.cli(&["ZCARD", LEASES]).await == "1", "leases are left");
        Ok(())
    })
    .await?;
    let metrics = weir.metrics().await?;
    let rounds = metrics.sum("weir_redis_command_duration_seconds_count", &[("command", "upkeep")]);
    let seconds = metrics.sum("weir_redis_command_duration_seconds_sum", &[("command", "upkeep")]);
    assert!(seconds / rounds < 0.1, "{seconds} s in {rounds} rounds");
    Ok(())
}

/// On a Redis where the idle time of a consumer counts from its last entry, an instance on a quiet stream looks dead. Its
/// lease says otherwise.
#[tokio::test]
async fn nobody_is_reaped_for_being_quiet() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let (one, two) = tokio::try_join!(start(&redis), start(&redis))?;
    let before = [group(&one).await?, group(&two).await?];
    // Leases are renewed with each round, so that they never come near their end.
    let oldest = async || -> anyhow::Result<f64> {
        let leases = redis.cli(&["ZRANGE", LEASES, "0", "-1", "WITHSCORES"]).await;
        let stamps = leases.lines().filter_map(|line| line.parse::<f64>().ok());
        stamps.reduce(f64::min).context("no lease")
    };
    for _ in 0..3 {
        let seen = oldest().await?;
        eventually(DEADLINE, async || {
            ensure!(oldest().await? > seen, "not renewed");
            Ok(())
        })
        .await?;
    }
    assert_eq!([group(&one).await?, group(&two).await?], before);
    for weir in [&one, &two] {
        let metrics = weir.metrics().await?;
        let churn = ["weir_groups_reaped_total", "weir_group_recreated_total", "weir_redis_reconnects_total"];
        assert_eq!(churn.map(|name| metrics.sum(name, &[])), [0.0; 3]);
        assert_eq!(metrics.sum("weir_reader_errors_total", &[]), 0.0);
        let progress =
            metrics.value("weir_reader_last_progress_timestamp_seconds", &[]).context("progress")?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
        assert!(now - progress < 5.0, "{} s without progress", now - progress);
    }
    Ok(())
}

//! Redis as operators run it: watched by Sentinels, as a cluster, behind TLS and passwords. Clients notice as little of it
//! as there is to notice, and operators are told what to do.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::redis::{Authority, Options, RedisCluster, RedisServer, Sentinels, Software};
use weir_testkit::{Client, DEADLINE, Instance, SseStream, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const STREAM: &str = "weir:events";

/// How long an election and what follows may take. It bounds a broken instance, not a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A few times what it takes on a machine that has nothing else to do, which is half a second.
const RESUMED: Duration = Duration::from_secs(6);

async fn start(url: &str, flags: &[&str]) -> anyhow::Result<Instance> {
    let common = ["--redis", url, "--heartbeat", "500ms"];
    Instance::start(WEIR, &[&common, flags].concat()).await
}

/// Publishes until it is said to be published, under one idempotency key, as the publishing client does.
async fn publish(client: &Client, data: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let answer = client.event("s").header("idempotency-key", data).body(data.to_owned()).send().await?;
        ensure!(answer.status() == 201, "{answer:?}");
        Ok(())
    })
    .await
}

/// What is handed on, in order, up to the event with this data: the data of events, the reasons of gaps in brackets.
/// Outages may be told or not, by how long they take.
async fn told(stream: &mut SseStream, until: &str) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != until) {
        let event = stream.next_event().await.with_context(|| format!("told so far: {told:?}"))?;
        match event.event.as_str() {
            "weir.ping" | "weir.connected" | "weir.degraded" | "weir.restored" => {}
            "message" => told.push(event.data),
            "weir.gap" => {
                let gap: Value = serde_json::from_str(&event.data)?;
                told.push(format!("[{}]", gap["reason"].as_str().unwrap_or_default()));
            }
            other => told.push(other.to_owned()),
        }
    }
    Ok(told)
}

/// A master, its replica, and three Sentinels.
struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Sentinels,
}

impl Watched {
    async fn start() -> Self {
        let master = RedisServer::start().await;
        let replica = RedisServer::start_with(Options::default().replica_of(master.port())).await;
        let sentinels = Sentinels::watch(Software::Redis, master.port(), 1).await;
        Self { master, replica, sentinels }
    }

    async fn elected(&self) -> anyhow::Result<Instant> {
        eventually(PATIENCE, async || {
            let role = self.replica.cli(&["ROLE"]).await;
            ensure!(
                self.sentinels.master().await == self.replica.port() && role.starts_with("master"),
                "{role}"
            );
            Ok(Instant::now())
        })
        .await
    }
}

/// Clients of two instances get everything once and in order across a failover, however long it takes.
#[tokio::test]
async fn clients_do_not_notice_a_failover() -> anyhow::Result<()> {
    let mut watched = Watched::start().await;
    let url = watched.sentinels.url();
    let (one, two) = tokio::try_join!(start(&url, &[]), start(&url, &[]))?;
    let mut streams = [one.client().subscribe("s").await?, two.client().subscribe("s").await?];
    publish(&one.client(), "before").await?;
    watched.master.replicated().await;
    watched.master.stop();
    let (to_one, to_two) = (one.client(), two.client());
    let publishing = async {
        for nth in 0..20 {
            publish(if nth % 2 == 0 { &to_one } else { &to_two }, &nth.to_string()).await?;
        }
        anyhow::Ok(Instant::now())
    };
    let (elected, published) = tokio::try_join!(watched.elected(), publishing)?;
    for stream in &mut streams {
        let mut want = vec!["before".to_owned()];
        want.extend((0..20).map(|nth| nth.to_string()));
        assert_eq!(told(stream, "19").await?, want);
    }
    let took = published.saturating_duration_since(elected);
    println!("20 events were published {took:?} after the election");
    assert!(took < RESUMED, "{took:?}");
    Ok(())
}

/// A replica that missed entries takes over: clients are told once, and so is who comes back with a position from the
/// range in doubt; what comes after has lower ids and is delivered all the same.
#[tokio::test]
async fn a_failover_that_lost_entries_is_told_once() -> anyhow::Result<()> {
    let mut watched = Watched::start().await;
    let weir = start(&watched.sentinels.url(), &["--read-block", "200ms"]).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    publish(&client, "kept").await?;
    assert_eq!(told(&mut stream, "kept").await?, ["kept"]);
    let kept = stream.last_event_id().to_owned();
    watched.master.replicated().await;
    watched.replica.pause();
    watched.master.cli(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    let ahead = kept.split('-').next().and_then(|ms| ms.parse::<u64>().ok()).context("an id")? + 3_600_000;
    let ahead = format!("{ahead}-0");
    watched.master.cli(&["XADD", STREAM, &ahead, "session", "s", "data", "lost"]).await;
    assert_eq!(told(&mut stream, "lost").await?, ["lost"]);
    watched.master.stop();
    watched.replica.resume();
    watched.elected().await?;
    publish(&client, "after").await?;
    assert_eq!(told(&mut stream, "after").await?, ["[reset]", "after"]);
    let mut late = client.events("s").header("last-event-id", &ahead).subscribe().await?;
    publish(&client, "live").await?;
    assert_eq!(told(&mut stream, "live").await?, ["live"]);
    assert_eq!(told(&mut late, "live").await?, ["[reset]", "live"]);
    Ok(())
}

/// The stream's slot moves to another node while clients listen and publish.
#[tokio::test]
async fn clients_do_not_notice_a_slot_that_moves() -> anyhow::Result<()> {
    let cluster = RedisCluster::start(Software::Redis).await;
    let urls = [cluster.url(0), cluster.url(1)];
    let (one, two) = tokio::try_join!(start(&urls[0], &[]), start(&urls[1], &[]))?;
    let mut streams = [one.client().subscribe("s").await?, two.client().subscribe("s").await?];
    let (to_one, to_two) = (one.client(), two.client());
    let publishing = async {
        for nth in 0..200 {
            publish(if nth % 2 == 0 { &to_one } else { &to_two }, &nth.to_string()).await?;
        }
        anyhow::Ok(())
    };
    let moving = async {
        let (slot, from) = (cluster.slot(STREAM).await, cluster.owner(STREAM).await);
        let to = (from + 1) % 3;
        cluster.open_slot(&slot, from, to).await;
        cluster.move_keys(&slot, from, to).await;
        cluster.close_slot(&slot, from, to).await;
        anyhow::Ok(())
    };
    tokio::try_join!(publishing, moving)?;
    for stream in &mut streams {
        assert!(told(stream, "199").await?.into_iter().eq((0..200).map(|nth| nth.to_string())));
    }
    Ok(())
}

/// The lines of the log at or above a warning.
fn warnings(weir: &Instance) -> Vec<String> {
    weir.log()
        .into_iter()
        .filter(|line| line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#))
        .collect()
}

async fn waits_for(weir: &Instance, words: &[&str]) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let body = weir.admin_client().get("/readyz").send().await?;
        let text = body.text()?;
        ensure!(words.iter().all(|word| text.contains(word)), "{text}");
        Ok(())
    })
    .await
}

/// A certificate of somebody unknown keeps an instance from starting, and its `/readyz` and log say which file helps.
#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_said() -> anyhow::Result<()> {
    let (ca, other) = (Authority::new(), Authority::new());
    let options = Options::default().tls(&ca.issue(&["localhost"]), None);
    let redis = RedisServer::start_with(options).await;
    let url = format!("rediss://weir:very-secret@localhost:{}", redis.tls_port());
    let file = other.file();
    let flags = ["--redis", url.as_str(), "--redis-ca-file", file.to_str().context("a path")?];
    let weir = Instance::builder(WEIR).flags(&flags).unready().start().await?;
    waits_for(&weir, &["starting", "TLS", "--redis-ca-file"]).await?;
    let said = eventually(DEADLINE, async || {
        let said = warnings(&weir).join("\n");
        ensure!(said.contains("--redis-ca-file"), "{said}");
        Ok(said)
    })
    .await?;
    assert!(!said.contains("very-secret"), "{said}");

    redis.cli(&["ACL", "SETUSER", "weir", "on", ">very-secret", "~*", "+@all"]).await;
    let file = ca.file();
    let flags = ["--redis-ca-file", file.to_str().context("a path")?];
    let weir = start(&url, &flags).await?;
    publish(&weir.client(), "x").await
}

/// A password that changes under an instance: it says so once, and comes back by itself when its file has the new one.
#[tokio::test]
async fn a_changed_password_is_said_once() -> anyhow::Result<()> {
    let options = Options::default()
        .user("control", &[">control", "~*", "&*", "+@all"])
        .set("requirepass", &["very-secret"])
        .logged_in_as("control", "control");
    let redis = RedisServer::start_with(options).await;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), "very-secret\n")?;
    let flags = ["--redis-password-file", file.path().to_str().context("a path")?];
    let weir = start(&redis.url(), &flags).await?;
    let client = weir.client();
    let mut stream = client.subscribe("s").await?;
    redis.cli(&["CONFIG", "SET", "requirepass", "another"]).await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    waits_for(&weir, &["degraded", "WRONGPASS", "--redis-password-file"]).await?;
    eventually(DEADLINE, async || {
        let tries = weir.metrics().await?.value("weir_reader_errors_total", &[("kind", "auth")]);
        ensure!(tries >= Some(5.0), "{tries:?} tries");
        Ok(())
    })
    .await?;
    let said = warnings(&weir);
    let named = said.iter().filter(|line| line.contains("WRONGPASS")).count();
    assert!((1..=2).contains(&named) && said.len() <= 4, "{said:#?}");
    assert!(!said.join("\n").contains("very-secret"));
    std::fs::write(file.path(), "another\n")?;
    publish(&client, "after").await?;
    assert_eq!(told(&mut stream, "after").await?, ["after"]);
    waits_for(&weir, &[r#""status":"ready""#, r#""waitingFor":null"#]).await
}

/// A right that is missing is named, and what works without it works.
#[tokio::test]
async fn a_missing_right_is_said() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    redis.cli(&["ACL", "SETUSER", "weir", "on", ">very-secret", "~*", "+@all", "-xinfo", "-xack"]).await;
    let weir = start(&redis.url().replace("redis://", "redis://weir:very-secret@"), &[]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    publish(&weir.client(), "delivered").await?;
    assert_eq!(told(&mut stream, "delivered").await?, ["delivered"]);
    waits_for(&weir, &[r#""status":"ready""#, "+xack on weir:events", "+xinfo|stream on weir:events"])
        .await?;
    eventually(DEADLINE, async || {
        let said = warnings(&weir);
        ensure!(said.iter().filter(|line| line.contains("+xinfo|stream on")).count() == 1, "{said:#?}");
        Ok(())
    })
    .await?;
    redis.cli(&["ACL", "SETUSER", "weir", "+xinfo", "+xack"]).await;
    waits_for(&weir, &[r#""waitingFor":null"#, "weir:"]).await
}

//! An instance with `--data-dir` goes on where it was.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;
use tokio::task::JoinSet;
use weir_core::EventId;
use weir_testkit::program::{Signal, without_settings};
use weir_testkit::sse::Event;
use weir_testkit::{Client, DEADLINE, Instance, Secret, SseStream, eventually, expect, loopback};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// An instance that always comes back at the same address, with the same directory.
struct Lives {
    dir: TempDir,
    address: SocketAddr,
    flags: Vec<String>,
}

impl Lives {
    fn new(flags: &[&str]) -> anyhow::Result<Self> {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Ok(Self { dir: tempfile::tempdir()?, address: loopback::own_address()?, flags })
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("weir.redb")
    }

    fn all_flags(&self) -> Vec<&str> {
        let dir = [
            "--data-dir",
            self.dir.path().to_str().unwrap_or_default(),
            "--drain-delay",
            "0s",
            "--drain-window",
            "0s",
        ];
        dir.into_iter().chain(self.flags.iter().map(String::as_str)).collect()
    }

    async fn begin(&self) -> anyhow::Result<Instance> {
        Instance::builder(WEIR).flags(&self.all_flags()).listen(self.address).start().await
    }

    /// The line that a start leaves that fails.
    fn refused(&self) -> anyhow::Result<String> {
        let mut command = Command::new(WEIR);
        without_settings(&mut command).args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        let ran = command.args(self.all_flags()).stdin(Stdio::null()).output()?;
        let said = String::from_utf8(ran.stderr)?;
        ensure!(ran.status.code() == Some(1) && said.lines().count() == 1, "{:?}: {said}", ran.status);
        Ok(said)
    }
}

async fn kill(mut weir: Instance) -> anyhow::Result<()> {
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await.map(|_| ())
}

async fn stop(mut weir: Instance) -> anyhow::Result<()> {
    weir.signal(Signal::TERM)?;
    let status = weir.wait_exit(DEADLINE).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

async fn resume(weir: &Instance, after: &str) -> anyhow::Result<SseStream> {
    weir.client().events("s").header("last-event-id", after).subscribe().await
}

/// Everything that comes up to an event with this data, which is published now.
async fn up_to(weir: &Instance, stream: &mut SseStream, data: &str) -> anyhow::Result<Vec<Event>> {
    weir.client().publish("s", data.to_owned()).await?;
    let mut events = Vec::new();
    loop {
        let event = stream.next_event().await?;
        if event.data == data {
            return Ok(events);
        }
        events.push(event);
    }
}

/// Publishes without end, and notes what was acknowledged.
async fn publish(
    client: Client,
    who: usize,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Vec<(EventId, String)> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let data = format!("{who}/{number}");
        match client.publish("s", data.clone()).await {
            Ok(id) => acknowledged.push((id, data)),
            Err(_) => break,
        }
        count.fetch_add(1, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    acknowledged
}

/// What was acknowledged is there when the power is back, and a client that followed all the while has it once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_amid_publishes_loses_none_that_was_acknowledged() -> anyhow::Result<()> {
    let lives = Lives::new(&["--maxlen", "100000", "--queue-events", "100000"])?;
    let weir = lives.begin().await?;
    let mut follower = weir.client().subscribe("s").await?;
    let (count, never) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut publishers = JoinSet::new();
    for who in 0..16 {
        publishers.spawn(publish(weir.client(), who, Arc::clone(&count), Arc::clone(&never)));
    }
    eventually(DEADLINE, async || {
        ensure!(count.load(Ordering::Relaxed) >= 1000, "{count:?} publishes");
        Ok(())
    })
    .await?;
    weir.signal(Signal::KILL)?;
    let mut acknowledged: Vec<_> = publishers.join_all().await.into_iter().flatten().collect();
    acknowledged.sort();
    kill(weir).await.ok();
    let (mut seen, _) = follower.read_to_end().await?;
    let before = seen.len();

    let weir = lives.begin().await?;
    let mut again = resume(&weir, follower.last_event_id()).await?;
    seen.extend(up_to(&weir, &mut again, "the end").await?);
    ensure!(acknowledged.len() >= 1000 && before > 1, "{} acknowledged, {before} before", acknowledged.len());
    seen.retain(|event| event.event != "weir.connected" && event.event != "weir.ping");
    let seen: Vec<(EventId, String)> = seen
        .into_iter()
        .map(|event| Ok((event.id.as_deref().unwrap_or_default().parse()?, event.data)))
        .collect::<anyhow::Result<_>>()?;
    ensure!(seen.windows(2).all(|two| two[0].0 < two[1].0), "not in the order of the ids, or twice");
    let missing = acknowledged.iter().filter(|one| seen.binary_search(one).is_err()).count();
    ensure!(missing == 0, "{missing} acknowledged events are missing of {}", acknowledged.len());
    Ok(())
}

/// All of it, in one life after the other, each ended as it should be.
#[tokio::test]
async fn what_was_there_is_there_after_a_restart() -> anyhow::Result<()> {
    let secret = Secret::new();
    let lives = Lives::new(&["--jwt-secret-file", secret.flag()])?;
    let weir = lives.begin().await?;
    ensure!(
        weir.logged("no --redis: this instance stands alone, and what it keeps is in --data-dir").is_some()
    );
    let (ann, bob) = (secret.token("ann", &["*"], &["*"]), secret.token("bob", &["*"], &["*"]));
    let keyed = |weir: &Instance| {
        weir.client()
            .event("s")
            .bearer(&bob)
            .header("idempotency-key", "k1")
            .query("snapshot", "300")
            .body("one")
    };
    let first = keyed(&weir).send().await?.event_id()?;
    let second = weir.client().event("s").bearer(&bob).body("two").send().await?.event_id()?;
    let revoke = weir.admin_client().post("/disconnect?subject=ann&revoke=300").header("weir-admin", "1");
    let said = revoke.send().await?.json()?;
    ensure!(said["survivesRestart"] == true, "{said}");
    stop(weir).await?;

    for end in [stop(lives.begin().await?).await, kill(lives.begin().await?).await] {
        end?;
    }
    let weir = lives.begin().await?;
    let again = keyed(&weir).send().await?;
    ensure!(again.head.header("weir-duplicate") == Some("true") && again.event_id()? == first, "{again:?}");
    let other = keyed(&weir).body("another").send().await?;
    expect::problem(&other, 422, "idempotency_conflict")?;
    let snapshot = weir.client().snapshot("GET", "s").bearer(&bob).send().await?;
    ensure!(snapshot.text()? == "one" && snapshot.head.header("weir-event-id") == Some(&*first.to_string()));
    expect::problem(&weir.client().events("s").bearer(&ann).send().await?, 401, "token_revoked")?;
    let poll =
        weir.client().events("s").bearer(&bob).query("wait", "0").query("lastEventId", first.to_string());
    let poll = poll.send().await?.json()?;
    ensure!(poll["gap"].is_null() && poll["lastEventId"] == second.to_string(), "{poll}");
    ensure!(
        poll["events"].as_array().map(Vec::len) == Some(1) && poll["events"][0]["data"] == "two",
        "{poll}"
    );
    let third = weir.client().event("s").bearer(&bob).body("three").send().await?.event_id()?;
    ensure!(third > second, "{third} after {second}");
    Ok(())
}

/// A restart invents no loss, and hides none.
#[tokio::test]
async fn a_position_that_was_trimmed_is_a_gap_after_a_restart_too() -> anyhow::Result<()> {
    let lives = Lives::new(&["--maxlen", "10"])?;
    let weir = lives.begin().await?;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(weir.client().publish("s", number.to_string()).await?.to_string());
    }
    stop(weir).await?;
    let weir = lives.begin().await?;
    for (after, gap, next) in [(5, true, "20"), (19, false, "20"), (24, false, "25")] {
        let mut stream = resume(&weir, &ids[after]).await?;
        ensure!(stream.next_event().await?.event == "weir.connected");
        let mut first = stream.next_event().await?;
        ensure!((first.event == "weir.gap") == gap, "after {after}: {first:?}");
        while first.event.starts_with("weir.") {
            first = stream.next_event().await?;
        }
        ensure!(first.data == next, "after {after}: {first:?}");
    }
    let mut head = resume(&weir, &ids[29]).await?;
    let missed = up_to(&weir, &mut head, "new").await?;
    ensure!(missed.len() == 1 && missed[0].event == "weir.connected", "{missed:?}");
    Ok(())
}

#[tokio::test]
async fn a_directory_is_for_one_instance() -> anyhow::Result<()> {
    let lives = Lives::new(&[])?;
    let weir = lives.begin().await?;
    let said = lives.refused()?;
    ensure!(said.contains("weir.redb is in use by another process"), "{said}");
    weir.client().publish("s", "unharmed").await?;
    Ok(())
}

/// What is damaged is never taken for what was written, and nothing listens.
#[tokio::test]
async fn a_damaged_file_is_said_in_one_line() -> anyhow::Result<()> {
    let lives = Lives::new(&[])?;
    let weir = lives.begin().await?;
    for _ in 0..20 {
        weir.client().publish("s", "x".repeat(10_000)).await?;
    }
    kill(weir).await?;
    let whole = std::fs::read(lives.file())?;
    let mut overwritten = whole.clone();
    let half = whole.len() / 2;
    overwritten[4096..half].fill(0xa5);
    for damage in [overwritten, whole[..whole.len() / 3].to_vec(), vec![7; 100_000]] {
        std::fs::write(lives.file(), damage)?;
        let said = lives.refused()?;
        ensure!(said.contains("weir.redb") && said.contains("restore it"), "{said}");
    }
    std::fs::write(lives.file(), whole)?;
    let weir = lives.begin().await?;
    let mut all = resume(&weir, "0").await?;
    ensure!(up_to(&weir, &mut all, "whole again").await?.len() == 21);
    Ok(())
}

async fn writable(weir: &Instance) -> anyhow::Result<Option<f64>> {
    Ok(weir.metrics().await?.value("weir_store_writable", &[]))
}

/// No room is a refusal, for as long as it lasts. Nothing of what was refused is ever seen, and what was there stays.
#[tokio::test]
async fn a_full_disk_refuses_publishes_until_there_is_room() -> anyhow::Result<()> {
    let lives = Lives::new(&[])?;
    let weir = lives.begin().await?;
    let mut follower = weir.client().subscribe("s").await?;
    weir.client().publish("s", "before").await?;
    ensure!(writable(&weir).await? == Some(1.0));
    let process = Pid::from_raw(i32::try_from(weir.pid())?);
    let room = Rlimit { current: Some(std::fs::metadata(lives.file())?.len()), maximum: None };
    let before = prlimit(process, Resource::Fsize, room)?;
    let (mut taken, mut refused) = (vec!["before".to_owned()], 0);
    for number in 0..100 {
        let data = format!("{number} {}", "x".repeat(100_000));
        let answer = weir
            .client()
            .event("s")
            .header("idempotency-key", format!("k{number}"))
            .body(data.clone())
            .send()
            .await?;
        if answer.status() == 201 {
            taken.push(data);
            continue;
        }
        expect::problem(&answer, 503, "log_unavailable")?;
        ensure!(answer.head.header("retry-after").is_some(), "{answer:?}");
        refused += 1;
        if refused == 5 {
            break;
        }
    }
    ensure!(refused == 5 && taken.len() > 1, "{refused} refused, {} taken", taken.len());
    // Who listens is not concerned, and readiness neither: what is there is served.
    ensure!(follower.next_data(taken.len()).await? == taken, "what was taken is delivered");
    ensure!(weir.client().get("/readyz").send().await?.status() == 200);
    ensure!(writable(&weir).await? == Some(0.0), "what is scraped tells of it");

    prlimit(process, Resource::Fsize, before)?;
    let last = eventually(DEADLINE, async || {
        let key = weir.client().event("s").header("idempotency-key", "after").body("after");
        key.send().await?.event_id()
    })
    .await?;
    ensure!(writable(&weir).await? == Some(1.0));
    taken.push("after".to_owned());
    ensure!(follower.next_data(1).await? == ["after"] && follower.last_event_id() == last.to_string());
    kill(weir).await?;
    let weir = lives.begin().await?;
    let mut all = resume(&weir, "0").await?;
    ensure!(all.next_data(taken.len()).await? == taken, "what was taken is kept, and nothing else");
    ensure!(up_to(&weir, &mut all, "the end").await?.is_empty());
    Ok(())
}

/// A restart takes no longer than that; the deadline of whoever waits for it.
#[tokio::test]
async fn a_start_with_a_full_log_is_a_matter_of_a_moment() -> anyhow::Result<()> {
    let lives = Lives::new(&[])?;
    let weir = lives.begin().await?;
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(200));
    for _ in 0..5 {
        let batch = weir
            .client()
            .post("/v1/events")
            .header("content-type", "application/x-ndjson")
            .body(line.repeat(1000));
        ensure!(batch.deadline(Duration::from_secs(30)).send().await?.status() == 201);
    }
    kill(weir).await?;
    let weir = lives.begin().await?;
    let loaded = weir.logged("window loaded").context("a window")?;
    ensure!(loaded["entries"] == 5000, "{loaded}");
    Ok(())
}

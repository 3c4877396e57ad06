//! Letting clients go and taking them again, while the process stays.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weir_testkit::{DEADLINE, End, Instance, Response, Signal, SseStream, Ticker, eventually, expect, stall};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn order(weir: &Instance, what: &str) -> anyhow::Result<Response> {
    weir.admin_client().post(&format!("/{what}")).header("weir-admin", "1").send().await
}

/// The instance takes clients, or says that it does not.
async fn ensure_ready(weir: &Instance, ready: bool) -> anyhow::Result<()> {
    let answer = weir.admin_client().get("/readyz").send().await?;
    ensure!(answer.status() == if ready { 200 } else { 503 }, "{answer:?}");
    ensure!(answer.json()?["status"] == if ready { "ready" } else { "draining" }, "{answer:?}");
    Ok(())
}

/// What the instance says that it waits for.
async fn waits_for(weir: &Instance) -> anyhow::Result<Value> {
    Ok(weir.admin_client().get("/readyz").send().await?.json()?["waitingFor"].take())
}

/// The stream ends as it should.
async fn ensure_goodbye(stream: &mut SseStream) -> anyhow::Result<()> {
    let (events, end) = stream.read_to_end().await?;
    let last = events.last().context("no goodbye")?;
    ensure!(end == End::Clean && last.event == "weir.shutdown", "{end:?} after {events:?}");
    Ok(())
}

#[tokio::test]
async fn clients_go_and_the_process_stays_until_it_takes_clients_again() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--drain-delay", "0s", "--drain-window", "1s"]).await?;
    let client = weir.client();
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(client.subscribe("s").await?);
    }
    let mut poll = JoinSet::new();
    poll.spawn(client.events("s").query("wait", "60").send());
    expect::clients(&weir, 4).await?;
    let said = order(&weir, "drain").await?.json()?;
    assert_eq!(said, json!({"draining": true, "clients": 4}));
    // It says so at once, and an answer that was waited for is given.
    ensure_ready(&weir, false).await?;
    let waits = waits_for(&weir).await?;
    ensure!(waits.is_null() || waits.as_str().is_some_and(|what| what.ends_with(" to leave")), "{waits}");
    assert_eq!(poll.join_next().await.context("an answer")???.status(), 200);
    for stream in &mut streams {
        ensure_goodbye(stream).await?;
    }
    let mut refused = client.events("s").subscribe().await?;
    assert_eq!(refused.read_to_end().await?.0[0].event, "weir.refused");
    let missed = client.publish("s", "meanwhile").await?;
    // Whoever was answered is counted until the answer has left.
    expect::clients(&weir, 0).await?;
    ensure!(waits_for(&weir).await?.is_null(), "nobody is left");
    assert_eq!(
        order(&weir, "drain").await?.json()?,
        json!({"draining": true, "clients": 0}),
        "twice is once"
    );

    assert_eq!(order(&weir, "undrain").await?.json()?, json!({"draining": false, "clients": 0}));
    ensure_ready(&weir, true).await?;
    let draining = weir.metrics().await?.value("weir_draining", &[]);
    assert_eq!(draining, Some(0.0));
    let from = streams[0].last_event_id().to_owned();
    let mut back = client.events("s").header("last-event-id", from).subscribe().await?;
    let event = back.next_published().await?;
    assert_eq!((event.data.as_str(), event.id), ("meanwhile", Some(missed.to_string())));
    Ok(())
}

#[tokio::test]
async fn who_was_not_told_by_then_stays() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--drain-delay", "0s", "--drain-window", "20s"]).await?;
    let client = weir.client();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(client.subscribe("s").await?);
    }
    order(&weir, "drain").await?;
    expect::clients(&weir, 4).await?;
    order(&weir, "undrain").await?;
    client.publish("s", "still here").await?;
    let mut gone = 0;
    for stream in &mut streams {
        let event = stream.next_event().await?;
        gone += usize::from(event.event == "weir.shutdown");
        ensure!(event.event == "weir.shutdown" || event.data == "still here", "{event:?}");
    }
    assert_eq!(gone, 1);
    // And again, from the beginning.
    order(&weir, "drain").await?;
    expect::clients(&weir, 3).await
}

/// The deadline of a drain holds for who does not read, and the process outlives it.
#[tokio::test]
async fn who_does_not_read_is_cut_at_the_deadline() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "0s", "--drain-window", "0s", "--shutdown-timeout", "2s"];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let _stalled = stall(&weir, client.events("s"), client.post("/v1/events")).await?;
    order(&weir, "drain").await?;
    expect::clients(&weir, 0).await?;
    let logged = eventually(DEADLINE, async || {
        weir.logged("drained at the deadline: the clients left were cut").context("nothing is said")
    });
    assert_eq!(logged.await?["cut"], 1);
    let cut = weir.metrics().await?.value("weir_disconnections_total", &[("reason", "shutdown")]);
    assert_eq!(cut, Some(1.0));
    order(&weir, "undrain").await?;
    weir.client().subscribe("s").await?;
    Ok(())
}

/// No longer than this has passed, but for what the machine took.
fn ensure_within(most: Duration, since: Instant, ticker: &Ticker) -> anyhow::Result<()> {
    let (took, lost) = (since.elapsed(), ticker.lost_since(since));
    ensure!(took < most + lost, "{took:?}, of which {lost:?} were not its own");
    Ok(())
}

#[tokio::test]
async fn a_signal_during_a_drain_and_after_it_ends_in_time() -> anyhow::Result<()> {
    let ticker = Ticker::new();
    // In the middle of a long drain: the deadline of the signal holds, and clients are told all the same.
    let flags = ["--drain-delay", "0s", "--drain-window", "300s", "--shutdown-timeout", "4s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let mut streams = Vec::new();
    // So many that some are left for the signal, and the process is there to be asked.
    for _ in 0..8 {
        streams.push(weir.client().subscribe("s").await?);
    }
    order(&weir, "drain").await?;
    eventually(DEADLINE, async || {
        let mut probe = weir.client().events("s").subscribe().await?;
        ensure!(probe.next_event().await?.event == "weir.refused", "not yet");
        Ok(())
    })
    .await?;
    weir.signal(Signal::TERM)?;
    let signalled = Instant::now();
    eventually(DEADLINE, async || {
        let undrain = order(&weir, "undrain").await?;
        expect::problem(&undrain, 409, "ending")
    })
    .await?;
    for stream in &mut streams {
        ensure_goodbye(stream).await?;
    }
    let status = weir.wait_exit(DEADLINE).await?;
    ensure_within(Duration::from_secs(5), signalled, &ticker)?;
    assert_eq!(status.code(), Some(0));

    // Nobody is left: nothing is waited for.
    let mut weir = Instance::start(WEIR, &["--drain-delay", "0s", "--drain-window", "0s"]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    order(&weir, "drain").await?;
    ensure_goodbye(&mut stream).await?;
    expect::clients(&weir, 0).await?;
    weir.signal(Signal::TERM)?;
    let signalled = Instant::now();
    assert_eq!(weir.wait_exit(DEADLINE).await?.code(), Some(0));
    ensure_within(Duration::from_secs(2), signalled, &ticker)
}

fn drain(weir: &Instance, flags: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let url = format!("http://{}", weir.admin());
    let mut command = Command::new(WEIR);
    weir_testkit::program::without_settings(&mut command);
    let Output { status, stdout, stderr } =
        command.args(["drain", "--admin-url", &url]).args(flags).output()?;
    Ok((status.code(), String::from_utf8([stdout, stderr].concat())?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_drains_and_undoes_it() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--drain-delay", "0s", "--drain-window", "0s"]).await?;
    let mut stream = weir.client().subscribe("s").await?;
    assert_eq!(drain(&weir, &[])?, (Some(0), "draining: 1 clients are being released\n".to_owned()));
    ensure_goodbye(&mut stream).await?;
    ensure_ready(&weir, false).await?;
    assert_eq!(drain(&weir, &["--undo"])?, (Some(0), "taking clients again: 0 are there\n".to_owned()));
    ensure_ready(&weir, true).await?;

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{ADMIN_TOKEN}\n"))?;
    let file = file.to_str().context("a path")?;
    let guarded = Instance::start(WEIR, &["--admin-token-file", file]).await?;
    let (status, said) = drain(&guarded, &[])?;
    assert!(status == Some(1) && said.contains("admin_token_missing"), "{said}");
    let (status, said) = drain(&guarded, &["--admin-token", "another"])?;
    assert!(status == Some(1) && said.contains("admin_token_invalid") && !said.contains("another"), "{said}");
    ensure_ready(&guarded, true).await?;
    assert_eq!(drain(&guarded, &["--admin-token-file", file])?.0, Some(0));
    assert_eq!(drain(&guarded, &["--undo", "--admin-token", ADMIN_TOKEN])?.0, Some(0));
    Ok(())
}

//! Clients that are there but take nothing, and clients that are no longer there: they are noticed, cost little until then,
//! and leave nothing behind.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use weir_testkit::{DEADLINE, Instance, Output, Program, eventually, expect, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Publishes `count` events of `size` bytes to `s`, with keys so that none is like another.
async fn publish(weir: &Instance, count: usize, size: usize) -> anyhow::Result<()> {
    for first in (0..count).step_by(20) {
        let event = |nth| format!(r#"{{"session":"s","key":"{nth}","data":"{}"}}"#, "x".repeat(size));
        let lines: Vec<_> = (first..count.min(first + 20)).map(event).collect();
        let batch = weir.client().post("/v1/events").header("content-type", "application/x-ndjson");
        let answer = batch.body(lines.join("\n")).send().await?;
        ensure!(answer.status() == 201, "{answer:?}");
    }
    Ok(())
}

async fn disconnected(weir: &Instance, reason: &str, want: f64) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let have = weir.metrics().await?.value("weir_disconnections_total", &[("reason", reason)]);
        ensure!(have == Some(want), "{have:?} disconnected as {reason}");
        Ok(())
    })
    .await
}

/// A subscription over a socket that the test reads as it likes.
async fn subscribe(weir: &Instance, query: &str) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut socket = socket.connect(weir.public()).await?;
    let head = format!("GET /v1/sessions/s/events?{query} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.write_all(head.as_bytes()).await?;
    let mut said = Vec::new();
    while !said.windows(14).any(|part| part == b"weir.connected") {
        ensure!(socket.read_buf(&mut said).await? > 0, "closed after {}", String::from_utf8_lossy(&said));
    }
    Ok(socket)
}

/// Some bytes now and then are no progress: the time counts until an event has left completely. The queue is far from full.
#[tokio::test]
async fn one_byte_a_second_is_not_reading() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "3s", "--heartbeat", "500ms"]).await?;
    let mut trickle = subscribe(&weir, "").await?;
    let started = Instant::now();
    publish(&weir, 1, 200_000).await?;
    let reads = async {
        while trickle.read_u8().await.is_ok() {
            // The pace itself is what is tested.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        counted = disconnected(&weir, "stalled", 1.0) => counted?,
        () = reads => anyhow::bail!("it ended before it had read what was sent"),
    }
    assert!((3.0..9.0).contains(&started.elapsed().as_secs_f64()), "{:?}", started.elapsed());
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.sum("weir_clients", &[]), 0.0);
    assert_eq!(metrics.sum("weir_disconnections_total", &[("reason", "overflow")]), 0.0);
    Ok(())
}

/// Thirty that never read, and ten thousand KiB for each: neither weir nor the kernel keeps that for them.
#[tokio::test]
async fn a_crowd_that_never_reads_costs_little() -> anyhow::Result<()> {
    const CROWD: usize = 30;
    let flags = ["--window-bytes", "4MiB", "--queue-bytes", "256KiB", "--stall-timeout", "60s"];
    let weir = Instance::start(WEIR, &flags).await?;
    let mut honest = weir.client().subscribe("s").await?;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(subscribe(&weir, "overflow=drop-oldest").await?);
    }
    publish(&weir, 20, 16_384).await?;
    honest.next_data(20).await?;
    let before = usage::resident(weir.pid())?;
    for _ in 0..32 {
        publish(&weir, 20, 16_384).await?;
        honest.next_data(20).await?;
    }
    let metrics = weir.metrics().await?;
    assert_eq!(metrics.sum("weir_clients", &[]), 1.0 + CROWD as f64);
    let queued = metrics.value("weir_queue_bytes", &[]).context("bytes in queues")?;
    assert!((1.0..=CROWD as f64 * 262_144.0).contains(&queued), "{queued}");
    // The events themselves are shared, and no more of them than window and log hold.
    let grown = usage::resident(weir.pid())?.saturating_sub(before);
    assert!(grown < 40 << 20, "{} KiB more", grown >> 10);
    let unsent = unsent(weir.public().port())?;
    assert_eq!(unsent.len(), CROWD);
    assert!(unsent.iter().all(|bytes| (1..=64 << 10).contains(bytes)), "{unsent:?}");
    Ok(())
}

/// Bytes that the kernel holds for each connection of a local port that has any.
fn unsent(port: u16) -> anyhow::Result<Vec<u64>> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let local = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let established = rows.filter(|row| row.len() > 4 && row[1].ends_with(&local) && row[3] == "01");
    let queued = established.filter_map(|row| u64::from_str_radix(row[4].split(':').next()?, 16).ok());
    Ok(queued.filter(|bytes| *bytes > 0).collect())
}

/// A client that conflates has a time at which it may be given more. Where it does not read, that time is over for long: who
/// looks after it must not look for ever.
#[tokio::test]
async fn a_conflating_client_that_does_not_read_costs_no_processor() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--stall-timeout", "60s", "--heartbeat", "500ms"]).await?;
    let _stalled = subscribe(&weir, "conflate=50").await?;
    // More than the socket takes, and more with each period.
    for _ in 0..10 {
        publish(&weir, 20, 16_384).await?;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let (from, since) = (usage::cpu(weir.pid())?, Instant::now());
    // A time in which it could spin.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let share = (usage::cpu(weir.pid())? - from).as_secs_f64() / since.elapsed().as_secs_f64();
    assert!(share < 0.1, "{share} of a processor");
    assert_eq!(weir.metrics().await?.sum("weir_clients", &[]), 1.0);
    Ok(())
}

/// What one says behind its request is read away up to a bound, and its end seen behind it; beyond the bound nothing is
/// read, and the next heartbeat shows the end.
#[tokio::test]
async fn who_talks_on_and_dies_is_noticed() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "500ms"]).await?;
    for resets in [true, false] {
        for junk in [&b"\x00\xff junk"[..], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", &[b'x'; 100_000]] {
            let mut conn = weir.client().subscribe("s").await?.into_raw();
            // What the server does not read any more may not all find room.
            let _ = tokio::time::timeout(Duration::from_millis(200), conn.write(junk)).await;
            if resets { conn.reset()? } else { drop(conn) }
        }
    }
    disconnected(&weir, "client", 6.0).await?;
    assert_eq!(weir.metrics().await?.sum("weir_clients", &[]), 0.0);
    Ok(())
}

/// Without events and long before a heartbeat, the seat is free again.
#[tokio::test]
async fn an_idle_client_that_goes_is_noticed_at_once() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "60s", "--max-connections", "10"]).await?;
    let files = usage::open_files(weir.pid())?;
    for round in 0..6 {
        let mut crowd = Vec::new();
        for _ in 0..10 {
            // Those of the round before are gone, or these would be refused.
            crowd.push(eventually(DEADLINE, async || weir.client().subscribe("s").await).await?);
        }
        for stream in crowd {
            if round % 2 == 0 { stream.into_raw().reset()? } else { drop(stream) }
        }
    }
    disconnected(&weir, "client", 60.0).await?;
    eventually(DEADLINE, async || {
        let open = usage::open_files(weir.pid())?;
        ensure!(open <= files, "{open} files open instead of {files}");
        Ok(())
    })
    .await?;
    expect::balance(&weir).await?;
    Ok(())
}

/// Says to the test that it runs in a network of its own.
const INSIDE: &str = "WEIR_TEST_NETWORK";

/// The power of a client's machine is cut: nothing comes from it any more, not even a reset. It takes the time that the
/// kernel tries to reach it.
///
/// Only a network that is this test's own may be broken, so it runs itself again in one. Where that is not allowed it
/// fails and says what allows it: left out, nobody would miss it.
#[tokio::test]
async fn a_client_that_lost_its_power_is_gone_in_time() -> anyhow::Result<()> {
    const THIS: &str = "a_client_that_lost_its_power_is_gone_in_time";
    if std::env::var_os(INSIDE).is_some() {
        return power_cut().await;
    }
    let own_network: &[&str] = match rustix::process::geteuid().is_root() {
        true => &["--net"],
        false => &["--user", "--map-root-user", "--net"],
    };
    let allowed =
        Command::new("unshare").args(own_network).arg("true").output().context("unshare (util-linux)")?;
    ensure!(
        allowed.status.success(),
        "no network of its own: run as root, in a container with --cap-add SYS_ADMIN --cap-add NET_ADMIN, or after \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0` ({})",
        String::from_utf8_lossy(&allowed.stderr).trim()
    );
    let mut again = Command::new("unshare");
    again
        .args(own_network)
        .arg(std::env::current_exe()?)
        .args(["--exact", THIS, "--nocapture"])
        .env(INSIDE, "1");
    let mut again = Program::start(again, Output::Stderr)?;
    let status = again.wait_exit(Duration::from_secs(120)).await?;
    ensure!(status.success(), "{}", again.tail());
    Ok(())
}

async fn power_cut() -> anyhow::Result<()> {
    run(&["ip", "link", "set", "lo", "up"])?;
    // The machine of the client is a second network, joined to this one by a cable.
    let mut machine = Command::new("unshare");
    machine.args(["--net", "sh", "-c", "echo up; exec sleep 100"]);
    let machine = Program::start(machine, Output::Stdout)?;
    eventually(DEADLINE, async || machine.lines().first().cloned().context("the network is not there yet"))
        .await?;
    let pid = machine.pid().to_string();
    let there = |command: &[&str]| run(&[&["nsenter", "--target", &pid, "--net"], command].concat());
    run(&["ip", "link", "add", "cable", "type", "veth", "peer", "name", "end", "netns", &pid])?;
    run(&["ip", "addr", "add", "10.99.0.1/24", "dev", "cable"])?;
    run(&["ip", "link", "set", "cable", "up"])?;
    there(&["ip", "addr", "add", "10.99.0.2/24", "dev", "end"])?;
    there(&["ip", "link", "set", "end", "up"])?;

    let flags = ["--listen", "10.99.0.1:0", "--anonymous", "all", "--heartbeat", "1s"];
    let weir = Instance::start(WEIR, &flags).await?;
    let listening = weir.logged("listening").context("where it listens")?;
    let address = listening["public"]
        .as_str()
        .and_then(|all| all.split(',').nth(1))
        .context("two addresses")?
        .to_owned();
    let mut client = Command::new("nsenter");
    let url = format!("http://{address}/v1/sessions/s/events");
    client.args(["--target", &pid, "--net", "curl", "--silent", "--no-buffer", &url]);
    let client = Program::start(client, Output::Stdout)?;
    let hears = async |what: &str| {
        eventually(DEADLINE, async || {
            ensure!(client.lines().iter().any(|line| line == what), "{}", client.tail());
            Ok(())
        })
        .await
    };
    hears("event: weir.connected").await?;
    weir.client().publish("s", "before").await?;
    hears("data: before").await?;

    there(&["ip", "route", "add", "blackhole", "10.99.0.1/32"])?;
    let cut = Instant::now();
    weir.client().publish("s", "into the void").await?;
    // The heartbeat, the 45 seconds for which the kernel tries, and a last try.
    eventually(Duration::from_secs(90), async || {
        let clients = weir.metrics().await?.sum("weir_clients", &[]);
        ensure!(clients == 0.0, "{clients} clients");
        Ok(())
    })
    .await?;
    let took = cut.elapsed();
    assert!((40..60).contains(&took.as_secs()), "{took:?}");
    let ended = weir.metrics().await?.value("weir_disconnections_total", &[("reason", "error")]);
    assert_eq!(ended, Some(1.0));
    expect::balance(&weir).await?;
    Ok(())
}

fn run(command: &[&str]) -> anyhow::Result<()> {
    let done = Command::new(command[0]).args(&command[1..]).output();
    let done = done.with_context(|| format!("{command:?}: .ci/setup test installs it"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}

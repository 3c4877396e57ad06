//! Peers that mean harm, or do it: each gets its answer or its close, and an honest client beside them notices nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use weir_testkit::{Beset, DEADLINE, End, RawConn, eventually, expect, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The status of an answer.
fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[tokio::test]
async fn who_does_not_finish_a_head_is_closed() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let (addr, before) = (beset.weir.public(), beset.refusals().await?);
    let started = Instant::now();
    let closes = async |first: &[u8], more: &[u8]| -> anyhow::Result<(Duration, String)> {
        let mut conn = RawConn::open(addr).await?;
        conn.write(first).await?;
        let mut said = Vec::new();
        loop {
            let (part, closed) = conn.read_until_close(Duration::from_millis(500)).await?;
            said.extend_from_slice(&part);
            if closed.is_some() {
                return Ok((started.elapsed(), String::from_utf8_lossy(&said).into_owned()));
            }
            ensure!(started.elapsed() < HEAD_TIMEOUT * 2, "still open after {:?}", started.elapsed());
            if !more.is_empty() {
                let _ = conn.write(more).await;
            }
        }
    };
    let (silent, half, dribble, idle, preface) = tokio::try_join!(
        closes(b"", b""),
        closes(b"GET /livez HT", b""),
        closes(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n", b"x-more: 1\r\n"),
        closes(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", b""),
        closes(b"PRI * HTTP/2.0\r\n", b""),
    )?;
    for (took, said) in [&silent, &half, &dribble, &idle, &preface] {
        assert!((9.5..13.0).contains(&took.as_secs_f64()), "{took:?} {said:?}");
    }
    assert_eq!((silent.1.as_str(), preface.1.as_str()), ("", ""));
    assert_eq!(status(&idle.1), Some(200));
    // Who has been answered and asks nothing more was refused nothing.
    beset.ensure_refused(&before, &[("request silent", 1), ("request head-timeout", 3)]).await?;
    beset.ensure_unharmed().await
}

#[tokio::test]
async fn targets_of_other_forms() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    for (request, want) in [
        ("GET http://localhost/livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        ("CONNECT example.com:443 HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        ("GET /livez?a=b&c HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        ("TRACE /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        ("BREW /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
    ] {
        let (answer, _) = beset.say(request.as_bytes()).await?;
        assert_eq!(status(&answer), Some(want), "{request}: {answer}");
    }
    // Whom the target names counts, whatever `Host` says.
    let named = "GET http://evil.example/v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(status(&beset.say(named.as_bytes()).await?.0), Some(401));
    // An upgrade that nobody offers is ignored.
    let upgrade =
        "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    assert_eq!(status(&beset.say(upgrade.as_bytes()).await?.0), Some(200));
    beset.ensure_unharmed().await
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_a_stream_ends_them() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let one = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (answer, _) = beset.say(one.repeat(1000).as_bytes()).await?;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1000);

    let subscribe = "GET /v1/sessions/honest/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut conn = RawConn::open(beset.weir.public()).await?;
    conn.write(format!("{subscribe}{}", one.repeat(100)).as_bytes()).await?;
    assert_eq!(conn.read_head(DEADLINE).await?.header("content-type"), Some("text/event-stream"));
    beset.ensure_unharmed().await?;
    let mut said = String::new();
    eventually(DEADLINE, async || {
        said.push_str(&String::from_utf8_lossy(&conn.read_until_close(Duration::from_millis(20)).await?.0));
        ensure!(said.contains("data: 1\n\n"), "{said}");
        Ok(())
    })
    .await?;
    assert!(!said.contains("HTTP/1.1"), "{said}");
    Ok(())
}

/// `--max-connections` subscribers are served, and whoever comes then is told to come back.
#[tokio::test]
async fn a_thousand_subscribers_and_no_more() -> anyhow::Result<()> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
    let mut beset = Beset::start(WEIR, &["--max-connections", "1000", "--retry", "1s"]).await?;
    let client = beset.weir.client();
    let mut crowd = Vec::new();
    for _ in 0..999 {
        crowd.push(client.subscribe("crowd").await?);
    }
    let metrics = beset.weir.metrics().await?;
    let seats = ["weir_clients", "weir_clients_max"].map(|name| metrics.sum(name, &[]));
    assert_eq!(seats, [1000.0, 1000.0]);

    let mut refused = client.events("crowd").subscribe().await?;
    let (events, end) = refused.read_to_end().await?;
    assert_eq!((events.len(), events[0].event.as_str(), end), (1, "weir.refused", End::Clean));
    let said: serde_json::Value = serde_json::from_str(&events[0].data)?;
    assert_eq!((said["reason"].as_str(), said["reconnect"].as_u64()), (Some("limit"), refused.retry()));
    assert!(refused.retry().is_some_and(|ms| (800..=1200).contains(&ms)));
    let rejected =
        beset.weir.metrics().await?.value("weir_connections_rejected_total", &[("reason", "limit")]);
    assert_eq!(rejected, Some(1.0));

    // Publishing is no client, and whoever leaves makes room.
    beset.ensure_unharmed().await?;
    client.publish("crowd", "all").await?;
    for stream in &mut crowd {
        assert_eq!(stream.next_data(1).await?, ["all"]);
    }
    crowd.truncate(500);
    eventually(DEADLINE, async || client.subscribe("crowd").await).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_instance_may_refuse_by_status() -> anyhow::Result<()> {
    let beset = Beset::start(WEIR, &["--max-connections", "1", "--refuse", "503"]).await?;
    let answer = beset.weir.client().events("s").send().await?;
    expect::problem(&answer, 503, "limit")?;
    assert!(answer.head.header("retry-after").is_some());
    Ok(())
}

/// Without a free descriptor nothing can be accepted. That costs no processor time, and passes.
#[tokio::test]
async fn without_free_descriptors_it_waits_and_recovers() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let mut publisher = RawConn::open(beset.weir.public()).await?;
    let post = "POST /v1/sessions/honest/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n1";
    publisher.write(post.as_bytes()).await?;
    assert_eq!(publisher.read_head(DEADLINE).await?.status, 201);
    assert_eq!(beset.honest.next_data(1).await?, ["1"]);

    let pid = beset.weir.pid();
    let open = usage::open_files(pid)?;
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let maximum = getrlimit(Resource::Nofile).maximum;
    let few = Rlimit { current: Some(open + 20), maximum };
    let before = prlimit(process, Resource::Nofile, few)?;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(RawConn::open(beset.weir.public()).await?);
    }
    eventually(DEADLINE, async || {
        let said = "cannot accept: raise the limit of open files or lower --max-connections";
        beset.weir.logged(said).context("it does not say that it cannot accept")
    })
    .await?;
    let (from, since) = (usage::cpu(pid)?, Instant::now());
    // A second in which it could spin.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let share = (usage::cpu(pid)? - from).as_secs_f64() / since.elapsed().as_secs_f64();
    assert!(share < 0.2, "{share} of a processor");
    let lines = beset.weir.log().iter().filter(|line| line.contains("cannot accept")).count();
    assert_eq!(lines, 1, "{:?}", beset.weir.log());
    // What is open goes on.
    publisher.write(post.as_bytes()).await?;
    assert_eq!(beset.honest.next_data(1).await?, ["1"]);

    drop(crowd);
    eventually(DEADLINE, async || Ok(beset.weir.client().get("/livez").send().await?)).await?;
    prlimit(process, Resource::Nofile, before)?;
    beset.ensure_unharmed().await
}

/// A client that closes its sending side has nothing more to say: its stream ends, and nothing of it stays behind.
#[tokio::test]
async fn a_client_that_closes_its_side_leaves_nothing_behind() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let mut halves = Vec::new();
    for _ in 0..10 {
        let mut conn = beset.weir.client().subscribe("s").await?.into_raw();
        conn.finish_writing().await?;
        halves.push(conn);
    }
    eventually(DEADLINE, async || {
        let clients = beset.weir.metrics().await?.sum("weir_clients", &[]);
        ensure!(clients == 1.0, "{clients} clients");
        Ok(())
    })
    .await?;
    for mut conn in halves {
        assert!(conn.read_until_close(DEADLINE).await?.1.is_some());
    }
    beset.ensure_unharmed().await
}

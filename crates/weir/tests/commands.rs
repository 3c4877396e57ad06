//! The commands that talk to an instance, against a running one.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;
use weir_testkit::loopback::own_address;
use weir_testkit::program::without_settings;
use weir_testkit::{Client, DEADLINE, Instance, Output, Program, Signal, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A command at an instance.
fn at(instance: &Instance, args: &[&str]) -> Command {
    let mut command = Command::new(WEIR);
    without_settings(command.args(args)).env("WEIR_URL", format!("http://{}", instance.public()));
    command
}

/// Exit status, standard output, standard error.
fn run(mut command: Command, input: &str) -> (Option<i32>, String, String) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Waits until the program has written these lines and no others.
async fn writes(program: &Program, lines: &[&str]) -> anyhow::Result<()> {
    let look = async || {
        let have = program.lines();
        if have == lines { Ok(()) } else { Err(anyhow::anyhow!("{have:?} is not {lines:?}")) }
    };
    eventually(DEADLINE, look).await
}

#[tokio::test]
async fn what_is_published_is_tailed() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let (status, ids, err) = run(at(&weir, &["publish", "a", "first", "--type", "x.y", "--key", "k"]), "");
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let (status, more, err) = run(at(&weir, &["publish", "b/ü"]), "l1\n\nl2 é\r\nlast");
    assert_eq!((status, err.as_str(), more.lines().count()), (Some(0), "", 4));

    let all = ["tail", "a", "b/ü", "--from", "earliest", "--count", "5"];
    let (status, out, err) = run(at(&weir, &all), "");
    assert_eq!((status, out.as_str()), (Some(0), "first\nl1\n\nl2 é\nlast\n"));
    assert_eq!(err, "weir: connected\n");

    let (_, out, _) = run(at(&weir, &[&all[..], &["--json"]].concat()), "");
    let first: Value = serde_json::from_str(out.lines().next().context("an event")?)?;
    let id = ids.trim();
    assert_eq!(first["id"], id);
    let rest = out.lines().next().unwrap().split_once(',').unwrap().1;
    let ts = id.split_once('-').unwrap().0;
    assert_eq!(rest, format!(r#""session":"a","type":"x.y","key":"k","data":"first","ts":{ts}}}"#));

    let from = ["tail", "a", "b/ü", "--from", id, "--count", "1"];
    assert_eq!(run(at(&weir, &from), "").1, "l1\n");
    Ok(())
}

#[tokio::test]
async fn filters_are_the_servers() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    for (kind, key) in [("x", "1"), ("y", "1"), ("x", "2"), ("z", "2")] {
        let data = format!("{kind}{key}");
        run(at(&weir, &["publish", "a", &data, "--type", kind, "--key", key]), "");
    }
    let tail =
        ["tail", "a", "--from", "earliest", "--type", "x", "--type", "z", "--key", "2", "--count", "2"];
    assert_eq!(run(at(&weir, &tail), "").1, "x2\nz2\n");
    Ok(())
}

#[tokio::test]
async fn a_refused_publish_says_why_and_fails() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-event-bytes", "10"]).await?;
    let (status, out, err) = run(at(&weir, &["publish", "a", "x", "--type", "weir.gap"]), "");
    assert_eq!((status, out.as_str(), err.lines().count()), (Some(1), "", 1));
    assert!(err.contains("reserved") && err.contains("HTTP 422"), "{err}");

    let (status, out, err) =
        run(at(&weir, &["publish", "a"]), "fits\nis longer than ten bytes\nnever sent\n");
    assert_eq!((status, out.lines().count(), err.lines().count()), (Some(1), 1, 1));
    assert!(err.starts_with("weir: line 2 of standard input: ") && err.contains("HTTP 413"), "{err}");
    Ok(())
}

/// A token is not given in a header here, and a wrong address is not mended by one.
#[tokio::test]
async fn a_refusal_says_what_to_type() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--anonymous", "none"]).await?;
    for command in [&["publish", "a", "x"][..], &["tail", "a"]] {
        let (status, _, err) = run(at(&weir, command), "");
        assert!(
            err.ends_with("(HTTP 401, unauthorized); give it in WEIR_TOKEN or by --token-file\n"),
            "{err}"
        );
        assert_eq!(status, Some(1));
    }
    let mut admin = at(&weir, &["publish", "a", "x"]);
    admin.env("WEIR_URL", format!("http://{}", weir.admin()));
    let (_, _, err) = run(admin, "");
    assert!(
        err.ends_with("this is an admin listener: give the address of the public one by --url\n"),
        "{err}"
    );
    let other = other()?;
    let mut foreign = at(&weir, &["publish", "a", "x"]);
    foreign.env("WEIR_URL", format!("http://{other}"));
    let (_, _, err) = run(foreign, "");
    assert_eq!(err, "weir: not found (HTTP 404); is it a weir? Give its address by --url\n");
    Ok(())
}

/// A server that is no weir, and answers one call.
fn other() -> anyhow::Result<std::net::SocketAddr> {
    let listener = std::net::TcpListener::bind(own_address()?)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
    });
    Ok(address)
}

#[tokio::test]
async fn signals_are_a_clean_end() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    for signal in [Signal::INT, Signal::TERM] {
        let mut tail = Program::start(at(&weir, &["tail", "a"]), Output::Stderr)?;
        writes(&tail, &["weir: connected"]).await?;
        tail.signal(signal)?;
        assert_eq!(tail.wait_exit(DEADLINE).await?.code(), Some(0), "{signal:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tail_whose_reader_left_is_a_clean_end() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    run(at(&weir, &["publish", "a", "x"]), "");
    let mut command = at(&weir, &["tail", "a", "--from", "earliest"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err)?;
    assert_eq!((child.wait()?.code(), err.as_str()), (Some(0), "weir: connected\n"));
    Ok(())
}

/// Nobody reads the pipe, it is full, and still a signal ends the command.
#[tokio::test]
async fn a_tail_whose_reader_hangs_can_be_stopped() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let line = "x".repeat(1000);
    run(at(&weir, &["publish", "a"]), &format!("{line}\n").repeat(500));
    let mut command = at(&weir, &["tail", "a", "--from", "earliest"]);
    // The program's standard error is watched; its standard output is this pipe.
    let (hanging, full) = std::io::pipe()?;
    command.stdout(full);
    let mut tail = Program::start(command, Output::Stderr)?;
    writes(&tail, &["weir: connected"]).await?;
    tail.signal(Signal::TERM)?;
    assert_eq!(tail.wait_exit(DEADLINE).await?.code(), Some(0));
    drop(hanging);
    Ok(())
}

#[tokio::test]
async fn a_gap_goes_to_standard_error() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--maxlen", "2"]).await?;
    run(at(&weir, &["publish", "a"]), "1\n2\n3\n4\n5\n");
    let (status, out, err) = run(at(&weir, &["tail", "a", "--from", "1", "--count", "2"]), "");
    assert_eq!((status, out.as_str()), (Some(0), "4\n5\n"));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!((lines[0], lines.len()), ("weir: connected", 2));
    assert!(lines[1].starts_with("weir: gap (trimmed): "), "{err}");
    Ok(())
}

#[tokio::test]
async fn healthcheck_asks_the_admin_listener() -> anyhow::Result<()> {
    let mut weir = Instance::start(WEIR, &["--drain-delay", "0", "--drain-window", "0"]).await?;
    let url = format!("http://{}", weir.admin());
    let check = || run(at(&weir, &["healthcheck", "--admin-url", &url]), "");
    assert_eq!(check(), (Some(0), String::new(), String::new()));
    // As in a container without certificates of authorities, which plain HTTP does without.
    let mut bare = at(&weir, &["healthcheck", "--admin-url", &url]);
    bare.env("SSL_CERT_FILE", "/dev/null");
    assert_eq!(run(bare, ""), (Some(0), String::new(), String::new()));
    weir.signal(Signal::TERM)?;
    weir.wait_exit(DEADLINE).await?;
    let (status, _, err) = run(at(&weir, &["healthcheck", "--admin-url", &url]), "");
    assert_eq!(status, Some(1));
    assert!(err.starts_with(&format!("weir: no answer from {url}: ")), "{err}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_variable_is_one_warning_in_the_log() -> anyhow::Result<()> {
    let weir =
        Instance::builder(WEIR).env("WEIR_HARTBEAT", "1s").env("WEIR_ADMIN_URL", "http://h").start().await?;
    let warning = weir.logged("unknown environment variable").context("no warning")?;
    assert_eq!(
        (&warning["variable"], &warning["nearest"]),
        (&"WEIR_HARTBEAT".into(), &"WEIR_HEARTBEAT".into())
    );
    assert_eq!(weir.log().iter().filter(|line| line.contains("unknown environment variable")).count(), 1);
    Ok(())
}

/// An address that nobody had a moment ago.
fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Standard error is a pipe that nobody reads. What is logged beyond its room must not stop the service.
#[tokio::test]
async fn a_log_that_nobody_reads_does_not_stop_the_service() -> anyhow::Result<()> {
    // It cannot say where it listens, so it is told.
    let [public, admin] = [free_address()?, free_address()?];
    let (hanging, full) = std::io::pipe()?;
    let fill = "head -c 65536 /dev/zero >&2; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", fill, "sh", WEIR, "serve", "--listen", &public, "--admin-listen", &admin]);
    without_settings(command.stderr(full));
    let mut program = Program::start(command, Output::Stdout)?;
    let client = Client::new(admin.parse()?);
    let ready = async || {
        let status = client.get("/readyz").send().await?.status();
        if status == 200 { Ok(()) } else { Err(anyhow::anyhow!("{status}")) }
    };
    eventually(DEADLINE, ready).await?;
    Client::new(public.parse()?).publish("s", "x").await?;
    program.signal(Signal::TERM)?;
    assert_eq!(program.wait_exit(DEADLINE).await?.code(), Some(0));
    drop(hanging);
    Ok(())
}

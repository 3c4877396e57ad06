//! Behind a proxy that buffers and compresses as it comes: the first byte and each event still arrive at once.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_testkit::{Client, DEADLINE, Instance, Output, Program, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// nginx with its defaults, which buffer what comes from behind, and with compression of all that it may compress.
struct Nginx {
    address: SocketAddr,
    _program: Program,
    _dir: tempfile::TempDir,
}

impl Nginx {
    async fn start(behind: SocketAddr) -> anyhow::Result<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let dir = tempfile::tempdir()?;
        let at = dir.path().display();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr; events {{}}\n\
             http {{\n access_log off; gzip on; gzip_proxied any; gzip_min_length 1; gzip_types text/event-stream;\n\
             client_body_temp_path {at}; proxy_temp_path {at}; fastcgi_temp_path {at}; uwsgi_temp_path {at}; scgi_temp_path {at};\n\
             server {{ listen {address}; location / {{ proxy_pass http://{behind}; }} }}\n}}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), config)?;
        let mut nginx = Command::new("nginx");
        // It may stand where only root has it in the path.
        let path = std::env::var_os("PATH").unwrap_or_default();
        nginx.env("PATH", [path, "/usr/sbin:/usr/local/sbin".into()].join(":".as_ref()));
        nginx.arg("-p").arg(dir.path()).args(["-c", "nginx.conf"]);
        let program = Program::start(nginx, Output::Stderr).map_err(|error| {
            let missing =
                error.downcast_ref::<io::Error>().is_some_and(|why| why.kind() == io::ErrorKind::NotFound);
            if missing {
                error.context("nginx is not installed: `.ci/setup test` installs it")
            } else {
                error
            }
        })?;
        let client = Client::new(address);
        eventually(DEADLINE, async || {
            let status = client.get("/livez").send().await?.status();
            ensure!(status == 200, "{status}");
            Ok(())
        })
        .await
        .with_context(|| program.tail())?;
        Ok(Self { address, _program: program, _dir: dir })
    }
}

/// A client that takes no compression gets the stream as it is. nginx speaks HTTP/1.0 to weir by default, so that the end of
/// the stream is the end of the connection.
#[tokio::test]
async fn nothing_waits_in_its_buffers() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "300ms", "--anonymous", "all"]).await?;
    let nginx = Nginx::start(weir.public()).await?;
    let started = Instant::now();
    let mut stream = Client::new(nginx.address).events("s").subscribe().await?;
    assert_eq!(stream.next_event().await?.event, "weir.connected");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(stream.head.header("content-encoding"), None);
    for nth in 0..5 {
        weir.client().publish("s", nth.to_string()).await?;
        // It comes before the next is published.
        assert_eq!(stream.next_data(1).await?, [nth.to_string()]);
    }
    let beats = stream.comments();
    while stream.comments() < beats + 2 {
        stream.next().await?;
    }
    Ok(())
}

/// Told to compress event streams against their `no-transform`, nginx does. It flushes what it has, so nothing waits there, either.
#[tokio::test]
async fn nothing_waits_in_its_compression() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--heartbeat", "300ms", "--anonymous", "all"]).await?;
    let nginx = Nginx::start(weir.public()).await?;
    let url = format!("http://{}/v1/sessions/s/events", nginx.address);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--no-buffer", "--compressed", "--include", &url]);
    let started = Instant::now();
    let curl = Program::start(curl, Output::Stdout)?;
    let hears = async |what: &str| {
        eventually(DEADLINE, async || {
            ensure!(curl.lines().iter().any(|line| line.trim_end() == what), "no {what:?}: {}", curl.tail());
            Ok(())
        })
        .await
    };
    hears("event: weir.connected").await?;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    hears("Content-Encoding: gzip").await?;
    for nth in 0..5 {
        weir.client().publish("s", nth.to_string()).await?;
        hears(&format!("data: {nth}")).await?;
    }
    Ok(())
}

//! An Alertmanager, and somebody whom it calls.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::deadline::eventually;
use crate::leash;
use crate::loopback;
use crate::program::{Output, Program};
use crate::prometheus::ready;
use crate::tools::tool;

/// A running Alertmanager, killed when it is dropped.
#[derive(Debug)]
pub struct Alertmanager {
    _program: Program,
    address: SocketAddr,
    _dir: TempDir,
}

impl Alertmanager {
    /// Starts one with this configuration and waits until it is ready.
    ///
    /// # Errors
    /// It is not installed, refuses its configuration, or is not ready in time.
    pub async fn start(configuration: &str) -> anyhow::Result<Self> {
        Self::start_at(loopback::own_address()?, configuration).await
    }

    /// [`Self::start`] at an address that the caller knows to be free.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at(address: SocketAddr, configuration: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("make a temporary directory")?;
        let file = dir.path().join("alertmanager.yaml");
        fs::write(&file, configuration).context("write the configuration")?;
        let mut command = leash::command(tool("prometheus-alertmanager")?);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // It is alone.
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null());
        let mut program = Program::start(command, Output::Stderr)?;
        ready(&mut program, address, "/-/ready").await?;
        Ok(Self { _program: program, address, _dir: dir })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes calls in and keeps their bodies, for as long as it lives.
#[derive(Debug)]
pub struct Webhook {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Value>>>,
    _task: JoinSet<()>,
}

impl Webhook {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for calls")?;
        let address = listener.local_addr().context("a bound socket has an address")?;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&calls);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A call that breaks off is none.
                if let Ok(body) = take(stream).await {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                }
            }
        });
        Ok(Self { address, calls, _task: task })
    }

    /// What to call.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The bodies of all calls so far.
    pub fn calls(&self) -> Vec<Value> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The alerts of all calls so far, one for each call that has it.
    pub fn alerts(&self) -> Vec<Value> {
        let calls = self.calls();
        calls.iter().filter_map(|call| call["alerts"].as_array()).flatten().cloned().collect()
    }

    /// Waits for an alert of this name that fires, and gives it.
    ///
    /// # Errors
    /// There is none within `limit`; the error names those that were there.
    pub async fn alert(&self, name: &str, limit: Duration) -> anyhow::Result<Value> {
        eventually(limit, async || {
            let alerts = self.alerts();
            let firing = |alert: &&Value| alert["labels"]["alertname"] == name && alert["status"] == "firing";
            let found = alerts.iter().find(firing).cloned();
            found.with_context(|| format!("no {name} in {alerts:?}"))
        })
        .await
    }
}

/// Reads one request with a body of JSON, answers 200 and closes.
async fn take(stream: TcpStream) -> anyhow::Result<Value> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line).await? > 0, "a head without end");
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
            None if line.trim_end().is_empty() => break,
            Some(_) | None => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
    serde_json::from_slice(&body).context("a body of JSON")
}

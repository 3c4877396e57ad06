//! A page made of `page.tsx`, and the server that it comes from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weir_testkit::browser::{Browser, Kind, Tab};
use weir_testkit::page::root;
use weir_testkit::{DEADLINE, Instance, eventually};

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const PAGE: &str =
    "<!doctype html><link rel=icon href=data:,><div id=root></div><script type=module src=/page.js></script>";

/// The page in a tab, before anything is rendered.
pub(crate) struct Page {
    pub(crate) tab: Tab,
    _browser: Browser,
    _server: Server,
}

/// Where the page comes from, of which weir has to be told before there is a page.
pub(crate) struct Server {
    pub(crate) origin: String,
    _served: JoinSet<()>,
}

impl Server {
    /// Serves the page, made with the packages of `crates/weir-web`.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let script = bundle()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let mut served = JoinSet::new();
        served.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                open.spawn(answer(tcp, script.clone()));
            }
        });
        Ok(Self { origin, _served: served })
    }

    /// Opens it.
    pub(crate) async fn open(self) -> anyhow::Result<Page> {
        let browser = Browser::start(Kind::Chromium).await?;
        let tab = browser.open(&self.origin).await?;
        tab.until("return !!window.render").await?;
        Ok(Page { tab, _browser: browser, _server: self })
    }
}

impl Page {
    /// Renders it with these properties, and all those that it had before.
    pub(crate) async fn render(&self, given: Value) -> anyhow::Result<()> {
        self.tab.run_with("await render(given)", given).await.map(drop)
    }

    /// Waits until an element shows this.
    pub(crate) async fn shows(&self, id: &str, content: &str) -> anyhow::Result<()> {
        let script = format!("return text({}) === {}", json!(id), json!(content));
        self.tab.until(&script).await.map(drop).with_context(|| format!("{id} shows {content:?}"))
    }

    /// What happened so far.
    pub(crate) async fn seen(&self) -> anyhow::Result<Value> {
        self.tab.run("return seen").await
    }
}

/// What esbuild makes of the page with the sources of the packages, which is what they are built of.
fn bundle() -> anyhow::Result<Vec<u8>> {
    let web = root().join("crates/weir-web").canonicalize()?;
    let into = TempDir::new()?;
    let script = into.path().join("page.js");
    let page: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "react", "page.tsx"].iter().collect();
    let mut command = Command::new(web.join("node_modules/.bin/esbuild"));
    command.arg(page);
    command.args(["--bundle", "--format=esm", "--target=es2022", "--jsx=automatic", "--log-level=warning"]);
    command.arg("--define:process.env.NODE_ENV=\"development\"");
    for package in ["client", "react"] {
        command.arg(format!("--alias:@weir/{package}={}", web.join(package).join("src").display()));
    }
    command.arg(format!("--outfile={}", script.display())).env("NODE_PATH", web.join("node_modules"));
    let made = command.status().context("esbuild is missing: run .ci/setup test")?;
    ensure!(made.success(), "esbuild makes no page: {made}");
    Ok(std::fs::read(script)?)
}

async fn answer(mut tcp: TcpStream, script: Vec<u8>) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let read = tcp.read(&mut request).await?;
    let (kind, body) = match request[..read].starts_with(b"GET /page.js ") {
        true => ("text/javascript", script),
        false => ("text/html", PAGE.into()),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}; charset=utf-8\r\nconnection: close\r\n");
    tcp.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes()).await?;
    tcp.write_all(&body).await
}

/// An instance that pages of this server may ask.
pub(crate) async fn weir(of: &Server) -> anyhow::Result<Instance> {
    Instance::start(WEIR, &["--cors-origin", &of.origin, "--retry", "1s"]).await
}

/// Where it is.
pub(crate) fn url(at: SocketAddr) -> String {
    format!("http://{at}")
}

/// Waits until so many streams are open.
pub(crate) async fn streams(weir: &Instance, open: f64) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let now = weir.metrics().await?.sum("weir_clients", &[]);
        ensure!(now == open, "{now} streams are open rather than {open}");
        Ok(())
    })
    .await
}

/// How many were opened so far.
pub(crate) async fn opened(weir: &Instance) -> anyhow::Result<f64> {
    Ok(weir.metrics().await?.sum("weir_connections_total", &[]))
}

/// Publishes an event with a type.
pub(crate) async fn publish(weir: &Instance, session: &str, kind: &str, data: &Value) -> anyhow::Result<()> {
    let event = weir.client().event(session).query("type", kind).body(data.to_string());
    event.send().await?.event_id().map(drop)
}

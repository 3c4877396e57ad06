//! The application's own server: the page, the client as it is shipped, and what a page asks its own server for.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir_testkit::token::now_secs;
use weir_testkit::{DEADLINE, Secret, eventually};

const PAGE: &str = include_str!("page.html");

/// A server of a page and of tokens.
pub(crate) struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
    _served: JoinSet<()>,
}

/// What each call may need.
struct Shared {
    client: String,
    secret: Secret,
    tokens: AtomicU64,
    hanging: AtomicU64,
    held: Semaphore,
}

impl Site {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (client, secret) = (client()?, Secret::new());
        let (tokens, hanging, held) = (AtomicU64::new(0), AtomicU64::new(0), Semaphore::new(0));
        let shared = Shared { client, secret, tokens, hanging, held };
        let shared = Arc::new(shared);
        let mut served = JoinSet::new();
        let ours = Arc::clone(&shared);
        served.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let shared = Arc::clone(&ours);
                // A browser that goes away is nobody's failure.
                open.spawn(async move { answer(tcp, &shared).await.ok() });
            }
        });
        Ok(Self { address, shared, _served: served })
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What signs the tokens that it gives out.
    pub(crate) fn secret(&self) -> &Secret {
        &self.shared.secret
    }

    /// Waits until somebody asks for `/held`.
    pub(crate) async fn hangs(&self) -> anyhow::Result<()> {
        eventually(DEADLINE, async || {
            anyhow::ensure!(self.shared.hanging.load(Ordering::Relaxed) > 0, "no page hangs");
            Ok(())
        })
        .await
    }

    /// Answers one who asked for `/held`, or asks later.
    pub(crate) fn let_go(&self) {
        self.shared.held.add_permits(1);
    }

    /// How many it gave out.
    pub(crate) fn tokens(&self) -> u64 {
        self.shared.tokens.load(Ordering::Relaxed)
    }
}

/// The client as `node build.mjs` made it.
fn client() -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file: PathBuf = root.join("../weir-web/client/dist/client.js");
    fs::read_to_string(&file).with_context(|| format!("{} is missing: run `node build.mjs`", file.display()))
}

async fn answer(mut tcp: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(tcp.read_buf(&mut head).await? > 0, "it left");
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == "/held" {
        shared.hanging.fetch_add(1, Ordering::Relaxed);
        shared.held.acquire().await?.forget();
    }
    let (status, kind, body) = match path {
        "/" => ("200 OK", "text/html", PAGE.to_owned()),
        "/client.js" => ("200 OK", "text/javascript", shared.client.clone()),
        // Good for as many seconds as it is asked for.
        "/token" => ("200 OK", "text/plain", token(shared, query.parse().unwrap_or(3600))),
        "/orders" => ("200 OK", "application/json", "[1,2,3]".to_owned()),
        "/held" => ("200 OK", "text/plain", String::new()),
        _ => ("503 Service Unavailable", "text/plain", "nothing here".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncache-control: no-store\r\nconnection: close\r\n"
    );
    tcp.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    Ok(tcp.shutdown().await?)
}

fn token(shared: &Shared, seconds: u64) -> String {
    shared.tokens.fetch_add(1, Ordering::Relaxed);
    let claims =
        json!({ "sub": "alice", "exp": now_secs() + seconds, "weir": { "subscribe": ["*"], "publish": [] } });
    shared.secret.sign(&claims)
}

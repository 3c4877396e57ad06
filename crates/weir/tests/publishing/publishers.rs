//! The publishers, each in an application of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_client::{Bounds, Client, Counts, NewPublish, Offer, Publisher, ServerUrl, Token};
use weir_testkit::{DEADLINE, Output, Program, eventually, page};

/// Something that happens in an application, and is published.
pub(crate) trait Application {
    /// It happens, and is handed to the publisher: what that said. Whoever caused it has their answer by then.
    async fn happens(&self, session: &str, n: u32) -> anyhow::Result<String>;

    /// What became of all of it.
    async fn counts(&self) -> anyhow::Result<Counts>;

    /// Which events were told to be lost, and with what code others were refused; nothing where a publisher only counts them.
    async fn told(&self) -> anyhow::Result<Vec<Value>>;
}

/// A web hook in Node.js, with `@weir/client/publisher` as npm carries it.
pub(crate) struct WebHook {
    program: Program,
    client: weir_testkit::Client,
    _folder: tempfile::TempDir,
}

impl WebHook {
    pub(crate) async fn start(weir: SocketAddr, token: &str, events: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let publisher = folder.path().join("publisher.mjs");
        bundle(&publisher)?;
        let mut command = Command::new("node");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/publishing/webhook.mjs"));
        command.env("PUBLISHER", publisher).env("EVENTS", events.to_string());
        command.env("WEIR_URL", format!("http://{weir}")).env("WEIR_TOKEN", token);
        let program = Program::start(command, Output::Stdout)?;
        let port = eventually(DEADLINE, async || {
            let lines = program.lines();
            let port = lines.iter().find_map(|line| line.strip_prefix("listening on "));
            port.and_then(|port| port.parse().ok()).context("it does not listen")
        });
        let client = weir_testkit::Client::new(SocketAddr::from(([127, 0, 0, 1], port.await?)));
        Ok(Self { program, client, _folder: folder })
    }

    async fn tell(&self) -> anyhow::Result<Value> {
        self.client.get("/counts").send().await.with_context(|| self.program.tail())?.json()
    }
}

/// Builds the publisher as its package does.
pub(crate) fn bundle(into: &Path) -> anyhow::Result<()> {
    let web = page::root().join("crates/weir-web");
    let esbuild = web.join("node_modules/.bin/esbuild");
    ensure!(esbuild.exists(), "esbuild is missing: run .ci/setup test");
    let mut command = Command::new(esbuild);
    command.args([
        "client/src/publisher.ts",
        "--bundle",
        "--format=esm",
        "--target=es2022",
        "--log-level=warning",
    ]);
    let built = command.arg(format!("--outfile={}", into.display())).current_dir(web).status()?;
    ensure!(built.success(), "the publisher cannot be built");
    Ok(())
}

impl Application for WebHook {
    async fn happens(&self, session: &str, n: u32) -> anyhow::Result<String> {
        let answer =
            self.client.post("/hook").query("session", session).query("n", n.to_string()).send().await?;
        Ok(answer.text()?.to_owned())
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        let counts = self.tell().await?;
        let count = |name: &str| counts[name].as_u64().with_context(|| counts.to_string());
        let (delivered, refused) = (count("delivered")?, count("refused")?);
        Ok(Counts { delivered, refused, overflowed: count("overflowed")?, waiting: count("waiting")? })
    }

    async fn told(&self) -> anyhow::Result<Vec<Value>> {
        Ok(self.tell().await?["told"].as_array().cloned().unwrap_or_default())
    }
}

/// This very test, with `weir_client::Publisher`.
pub(crate) struct InRust(Publisher);

impl InRust {
    pub(crate) fn start(weir: SocketAddr, token: &str, events: usize) -> anyhow::Result<Self> {
        let server = ServerUrl::parse(&format!("http://{weir}"))?;
        let client = Client::new(&server, Some(&Token::parse(token)?))?;
        Ok(Self(Publisher::start(client, Bounds { events, ..Bounds::default() })))
    }
}

impl Application for InRust {
    async fn happens(&self, session: &str, n: u32) -> anyhow::Result<String> {
        let data = format!("{{\"n\":{n}}}");
        let event = NewPublish { data, kind: Some("guild.joined".to_owned()), ..NewPublish::default() };
        let said = match self.0.offer(session, event) {
            Offer::Queued => "queued",
            Offer::Full => "full",
            Offer::Closed => "closed",
        };
        Ok(said.to_owned())
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        Ok(self.0.counts())
    }

    async fn told(&self) -> anyhow::Result<Vec<Value>> {
        Ok(Vec::new())
    }
}

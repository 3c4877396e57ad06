//! A page, and what it saw against what was published.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use weir_testkit::browser::{Browser, Tab};
use weir_testkit::{Client, eventually};

/// How long anything may take that pages and servers do in their own time, such as a pause between two tries.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A tab with the page of `page.html`.
pub(crate) struct Page(pub(crate) Tab);

impl Page {
    pub(crate) async fn open(browser: &Browser, url: &str) -> anyhow::Result<Self> {
        let tab = browser.open(url).await?;
        tab.until("return window.ready").await?;
        Ok(Self(tab))
    }

    /// Watches by the client: `options` and `more` are JavaScript.
    pub(crate) async fn watch(
        &self,
        name: &str,
        options: &str,
        sessions: &[&str],
        more: &str,
    ) -> anyhow::Result<()> {
        let script = format!("watch({}, {options}, {}, {more})", json!(name), json!(sessions));
        self.0.run(&script).await.map(drop)
    }

    /// Watches one session by `EventSource`.
    pub(crate) async fn native(&self, name: &str, url: &str, init: &str) -> anyhow::Result<()> {
        self.0.run(&format!("native({}, {}, {init})", json!(name), json!(url))).await.map(drop)
    }

    /// Waits until the client is in this state.
    pub(crate) async fn is(&self, name: &str, state: &str) -> anyhow::Result<()> {
        let script = format!("return seen[{}].status?.state === {}", json!(name), json!(state));
        self.until(name, &script).await
    }

    /// Waits until the stream of an `EventSource` is open.
    pub(crate) async fn opened(&self, name: &str) -> anyhow::Result<()> {
        self.until(name, &format!("return sources[{}].readyState === 1", json!(name))).await
    }

    /// Waits for a condition; the error says what was seen.
    pub(crate) async fn until(&self, name: &str, script: &str) -> anyhow::Result<()> {
        self.until_within(PATIENCE, name, script).await
    }

    /// The same with another patience, of at most 50 s.
    pub(crate) async fn until_within(
        &self,
        patience: Duration,
        name: &str,
        script: &str,
    ) -> anyhow::Result<()> {
        match self.0.until_within(patience, script).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(format!("{name} saw {}", self.brief(name).await?))),
        }
    }

    pub(crate) async fn seen(&self, name: &str) -> anyhow::Result<Value> {
        self.0.run(&format!("return seen[{}]", json!(name))).await
    }

    async fn brief(&self, name: &str) -> anyhow::Result<String> {
        let mut seen = self.seen(name).await?;
        if let Some(data) = seen["data"].as_array() {
            let last: Vec<Value> = data.iter().rev().take(5).cloned().collect();
            seen["data"] = json!({ "length": data.len(), "last": last });
        }
        Ok(seen.to_string())
    }

    /// Waits until as much was seen, and says whether it is that, in order and once.
    pub(crate) async fn saw(&self, name: &str, published: &[String]) -> anyhow::Result<()> {
        let script = format!("return seen[{}].data.length >= {}", json!(name), published.len());
        self.until(name, &script).await?;
        let seen = self.seen(name).await?;
        ensure!(seen["data"] == json!(published), "{name} saw {seen} of {published:?}");
        Ok(())
    }

    /// [`Self::saw`], and no gap was told.
    pub(crate) async fn saw_all(&self, name: &str, published: &[String]) -> anyhow::Result<()> {
        self.saw(name, published).await?;
        let gaps = &self.seen(name).await?["gaps"];
        ensure!(*gaps == json!([]), "{name} was told of {gaps}");
        Ok(())
    }
}

/// What was published to a session, in order.
#[derive(Debug)]
pub(crate) struct Published {
    session: String,
    pub(crate) data: Vec<String>,
}

impl Published {
    pub(crate) fn to(session: &str) -> Self {
        Self { session: session.to_owned(), data: Vec::new() }
    }

    /// So many more. Where there is nobody to take one it is tried again, and counts once.
    pub(crate) async fn more(&mut self, client: Client, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            let data = format!("{} {}", self.session, self.data.len());
            eventually(PATIENCE, async || {
                let request = client.event(&self.session).header("idempotency-key", &data).body(data.clone());
                let answer = request.send().await?;
                ensure!(answer.status() == 201, "{answer:?}");
                Ok(())
            })
            .await
            .context("publish")?;
            self.data.push(data);
        }
        Ok(())
    }
}

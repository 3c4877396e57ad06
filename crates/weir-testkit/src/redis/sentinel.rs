//! Sentinels that watch a master and its replicas.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;

use super::{Options, RedisServer, Software};
use crate::deadline::eventually;

/// The name by which they know what they watch.
const SERVICE: &str = "events";

/// How long they may take to know each other and the replicas. They look for new ones every 10 s.
const PATIENCE: Duration = Duration::from_secs(40);

/// Three Sentinels, of which two agree on what happens.
#[derive(Debug)]
pub struct Sentinels(
    /// Each of them.
    pub Vec<RedisServer>,
);

impl Sentinels {
    /// Starts them and waits until they know each other and `replicas` replicas. A master that is silent for half a
    /// second is replaced.
    ///
    /// # Panics
    /// Where they do not come up.
    pub async fn watch(software: Software, master: u16, replicas: usize) -> Self {
        let lines = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {SERVICE} 500\n\
             sentinel failover-timeout {SERVICE} 4000\n"
        );
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(RedisServer::start_with(Options::from(software).sentinel(lines.clone())).await);
        }
        let sentinels = Self(all);
        let know = eventually(PATIENCE, async || {
            for one in &sentinels.0 {
                let facts = one.cli(&["SENTINEL", "MASTER", SERVICE]).await;
                for want in [format!("num-slaves\n{replicas}"), "num-other-sentinels\n2".to_owned()] {
                    ensure!(facts.contains(&want), "{want} is not in {facts}");
                }
                // Until a replica has told about itself it is not promoted.
                let others = one.cli(&["SENTINEL", "REPLICAS", SERVICE]).await;
                let linked = others.matches("master-link-status\nok").count();
                ensure!(linked == replicas, "{others}");
            }
            Ok(())
        });
        know.await.unwrap_or_else(|error| panic!("the sentinels do not know all there is: {error:#}"));
        sentinels
    }

    /// The URL by which clients ask them.
    pub fn url(&self) -> String {
        let more: String = self.0[1..].iter().map(|one| format!("&node=127.0.0.1:{}", one.port())).collect();
        format!("redis-sentinel://127.0.0.1:{}/0?sentinelServiceName={SERVICE}{more}", self.0[0].port())
    }

    /// The port of the master as the first of them that runs sees it.
    ///
    /// # Panics
    /// Where none answers.
    pub async fn master(&self) -> u16 {
        for one in &self.0 {
            if one.process.is_some() {
                let answer = one.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).await;
                return answer.lines().last().and_then(|port| port.parse().ok()).expect("a port");
            }
        }
        panic!("no sentinel runs");
    }

    /// Has them replace the master as an operator does.
    ///
    /// # Panics
    /// Where they refuse.
    pub async fn fail_over(&self) {
        self.0[0].cli(&["SENTINEL", "FAILOVER", SERVICE]).await;
    }
}

impl RedisServer {
    /// The configuration of a Sentinel, which it writes into by itself; so it is made only once.
    pub(super) fn sentinel_file(&self, lines: &str) -> PathBuf {
        let file = self.dir.path().join("sentinel.conf");
        if !file.exists() {
            let text = format!(
                "port {}\nbind 127.0.0.1\ndir {}\nlogfile sentinel.log\n{lines}",
                self.port,
                self.dir.path().display()
            );
            std::fs::write(&file, text).expect("a temporary file can be written");
        }
        file
    }
}

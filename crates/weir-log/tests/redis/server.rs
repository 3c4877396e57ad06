//! A log on a server of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use weir_core::entry::DecodeRules;
use weir_core::log::EventLog;
use weir_core::name::Session;
use weir_log::{Pace, RedisAccess, RedisConfig, RedisLog, RedisReader, RedisTls};
use weir_metrics::{BuildInfo, Metrics};
use weir_testkit::log_suite::follow::eventually;
use weir_testkit::log_suite::{Backend, Instance, Limits};
use weir_testkit::redis::RedisServer;

use crate::SOFTWARE;

/// Key of the stream.
pub(crate) const STREAM: &str = "weir:events";

/// Most bytes of an event.
pub(crate) const MAX_EVENT_BYTES: usize = 256 << 10;

/// A private server with the stream on it.
pub(crate) struct Shared {
    pub(crate) server: RedisServer,
    limits: Limits,
}

/// One instance on it.
pub(crate) struct Joined {
    pub(crate) log: Arc<RedisLog>,
    pub(crate) reader: Box<RedisReader>,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) fn config(server: &RedisServer, limits: Limits) -> RedisConfig {
    config_of(server.url(), limits)
}

pub(crate) fn config_of(url: String, limits: Limits) -> RedisConfig {
    RedisConfig {
        access: RedisAccess { url, password: None, password_file: None, tls: RedisTls::default() },
        stream: STREAM.to_owned(),
        maxlen: limits.maxlen,
        max_age: None,
        window_bytes: 64 << 20,
        instance: "test".to_owned(),
        read_count: limits.read_count,
        read_block: Duration::from_millis(100),
        decode: DecodeRules {
            default_session: Some(Session::parse("default").unwrap()),
            max_event_bytes: MAX_EVENT_BYTES,
        },
        pace: Pace { upkeep: Duration::from_millis(50), lease: Duration::from_secs(60) },
    }
}

pub(crate) fn open(config: RedisConfig) -> Joined {
    let metrics = Arc::new(Metrics::new(BuildInfo { version: "test", revision: "test" }, &[]));
    let (log, reader) = RedisLog::open(config, Arc::clone(&metrics)).unwrap();
    Joined { log, reader: Box::new(reader), metrics }
}

impl Shared {
    /// A log with the default bounds.
    pub(crate) async fn new() -> Self {
        Self::start(Limits::default()).await
    }

    /// An instance that can publish.
    pub(crate) async fn instance(&self) -> Joined {
        let joined = open(config(&self.server, self.limits));
        ready(&joined.log).await;
        joined
    }

    /// Adds an entry as any producer may.
    pub(crate) async fn add(&self, fields: &[(&[u8], &[u8])]) -> String {
        let mut args: Vec<&[u8]> = vec![b"XADD", STREAM.as_bytes(), b"*"];
        args.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
        self.server.command(&args).await
    }

    /// Adds plain entries with these numbers as data.
    pub(crate) async fn add_numbers(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.add(&[(b"session", b"s"), (b"data", number.to_string().as_bytes())]).await;
        }
    }

    /// The names of all groups of the stream.
    pub(crate) async fn groups(&self) -> Vec<String> {
        if self.server.cli(&["EXISTS", STREAM]).await == "0" {
            return Vec::new();
        }
        let info = self.server.cli(&["XINFO", "GROUPS", STREAM]).await;
        info.lines().filter(|line| line.starts_with("weir:")).map(str::to_owned).collect()
    }
}

/// Waits until the log can publish.
pub(crate) async fn ready(log: &RedisLog) {
    eventually("a connection for publishing", async || log.facts().up).await;
}

impl Backend for Shared {
    /// Redis trims whole nodes of the stream, of at most a hundred entries.
    const SLACK: u64 = 100;

    async fn start(limits: Limits) -> Self {
        Self { server: RedisServer::start_with(SOFTWARE.into()).await, limits }
    }

    async fn join(&self) -> Instance {
        let Joined { log, reader, .. } = self.instance().await;
        Instance { log, reader }
    }

    async fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap();
        for key in self.server.cli(&["KEYS", "*"]).await.lines() {
            let left: i64 = self.server.cli(&["PTTL", key]).await.parse().unwrap();
            if left > 0 {
                self.server.cli(&["PEXPIRE", key, &(left - ms).to_string()]).await;
            }
        }
    }

    async fn leftovers(&self) -> Vec<String> {
        let leases = self.server.cli(&["ZRANGE", "{weir:events}:leases", "0", "-1"]).await;
        let leases = leases.lines().map(|lease| format!("lease {lease}"));
        self.groups().await.into_iter().chain(leases).collect()
    }
}

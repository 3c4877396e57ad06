//! The log an instance runs on.

use std::sync::Arc;

use anyhow::Context;
use weir_core::log::{EventLog, LogReader};
use weir_log::{EmbeddedConfig, EmbeddedLog, Pace, RedisAccess, RedisConfig, RedisLog};
use weir_metrics::Metrics;

use crate::config::ServeConfig;

/// A log that is open.
pub(super) struct Backend {
    /// For publishers and requests.
    pub(super) log: Arc<dyn EventLog>,
    /// The instance's reader.
    pub(super) reader: Box<dyn LogReader>,
    /// What has to be closed, where it is Redis.
    pub(super) redis: Option<Arc<RedisLog>>,
}

impl Backend {
    /// Opens the shared log where `--redis` is given, else one of this process alone.
    pub(super) fn open(config: &ServeConfig, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        match &config.redis {
            Some(access) => Self::redis(config, access, metrics),
            None => Ok(Self::embedded(config)),
        }
    }

    fn embedded(config: &ServeConfig) -> Self {
        let log = EmbeddedLog::open(EmbeddedConfig {
            maxlen: config.maxlen,
            max_age: config.max_age,
            max_bytes: config.window_bytes,
            read_count: config.read_count,
            read_block: config.read_block,
        });
        let reader = Box::new(log.reader());
        Self { log, reader, redis: None }
    }

    fn redis(config: &ServeConfig, access: &RedisAccess, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let settings = RedisConfig {
            access: access.clone(),
            stream: config.stream.clone(),
            maxlen: config.maxlen,
            max_age: config.max_age,
            window_bytes: config.window_bytes,
            instance: config.instance.clone(),
            read_count: config.read_count,
            read_block: config.read_block,
            decode: config.decode_rules(),
            pace: Pace::default(),
        };
        let (log, reader) = RedisLog::open(settings, Arc::clone(metrics)).context("--redis")?;
        Ok(Self { log: Arc::clone(&log) as Arc<dyn EventLog>, reader: Box::new(reader), redis: Some(log) })
    }
}

/// Leaves nothing behind in the log. Bounded by the caller.
pub(super) async fn close(reader: Box<dyn LogReader>, redis: Option<Arc<RedisLog>>) {
    reader.close().await;
    if let Some(redis) = redis {
        redis.close().await;
    }
}

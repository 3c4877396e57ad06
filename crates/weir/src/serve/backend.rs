//! The log an instance runs on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use weir_core::durable::{StreamStore, WakeReader};
use weir_core::log::{EventLog, LogReader};
use weir_core::peers::Peers;
use weir_log::{
    EmbeddedConfig, EmbeddedLog, EmbeddedStreams, Engine, Pace, Place, RedisAccess, RedisConfig, RedisLog,
    RedisTotals, StreamLimits,
};
use weir_metrics::{Backend as LogKind, Metrics};

use crate::config::{ServeConfig, data_dir};

/// A log that is open.
pub(super) struct Backend {
    /// For publishers and requests.
    pub(super) log: Arc<dyn EventLog>,
    /// The instance's reader.
    pub(super) reader: Box<dyn LogReader>,
    /// The durable streams.
    pub(super) streams: Arc<dyn StreamStore>,
    /// What tells of their changes.
    pub(super) wakes: Box<dyn WakeReader>,
    /// What the instances that share the log tell each other.
    pub(super) peers: Option<Arc<dyn Peers>>,
    /// What has to be closed.
    pub(super) held: Held,
}

/// What a log holds on to until it is closed.
pub(super) enum Held {
    /// A group in Redis.
    Redis(Arc<RedisLog>),
    /// The database of this process.
    Embedded(Arc<Engine>),
}

impl Held {
    /// The totals of all instances, where they are wanted.
    pub(super) fn totals(&self, config: &ServeConfig) -> Option<RedisTotals> {
        match self {
            Self::Redis(log) => config.stats_key.clone().map(|key| log.totals(key)),
            Self::Embedded(_) => None,
        }
    }
}

impl Backend {
    /// Opens the shared log where `--redis` is given, else one of this process alone: in `--data-dir`, or in memory.
    pub(super) fn open(config: &ServeConfig, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        match &config.redis {
            Some(access) => Self::redis(config, access, metrics),
            None => Self::embedded(config, metrics),
        }
    }

    fn embedded(config: &ServeConfig, metrics: &Metrics) -> anyhow::Result<Self> {
        let (place, kind) = match &config.data_dir {
            Some(dir) => {
                data_dir::prepare(dir)?;
                (Place::Directory(dir.clone()), LogKind::File)
            }
            None => (Place::Memory, LogKind::Memory),
        };
        metrics.log.backend(kind);
        let engine = Engine::open(place).context("--data-dir")?;
        let bounds = EmbeddedConfig {
            maxlen: config.maxlen,
            max_age: config.max_age,
            max_bytes: config.window_bytes,
            read_count: config.read_count,
            read_block: config.read_block,
        };
        let log = if engine.lasts() {
            EmbeddedLog::open_in(Arc::clone(&engine), bounds).context("--data-dir")?
        } else {
            EmbeddedLog::open(bounds)
        };
        let reader = Box::new(log.reader());
        let limits = StreamLimits {
            maxlen: config.stream_maxlen.map(|most| most as u64),
            max_bytes: (!engine.lasts()).then_some(config.stream_bytes as u64),
        };
        let streams =
            EmbeddedStreams::open(Arc::clone(&engine), limits).context("open the durable streams")?;
        let wakes = Box::new(streams.wakes());
        let held = Held::Embedded(engine);
        Ok(Self { log, reader, streams, wakes, peers: None, held })
    }

    fn redis(config: &ServeConfig, access: &RedisAccess, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        metrics.log.backend(LogKind::Redis);
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
        let events = Arc::clone(&log) as Arc<dyn EventLog>;
        let (streams, wakes) = log.streams(config.stream_maxlen.map(|most| most as u64));
        Ok(Self {
            log: events,
            reader: Box::new(reader),
            streams,
            wakes: Box::new(wakes),
            peers: Some(log.peers()),
            held: Held::Redis(log),
        })
    }
}

/// Leaves nothing behind in the log, if that takes no longer than this.
pub(super) async fn close(reader: Box<dyn LogReader>, held: Held, patience: Duration) {
    match held {
        Held::Redis(log) => {
            let closing = async {
                reader.close().await;
                log.close().await;
            };
            if tokio::time::timeout(patience, closing).await.is_err() {
                tracing::warn!("the log did not answer in time: its reader group is reaped later");
            }
        }
        Held::Embedded(engine) => {
            reader.close().await;
            // Not on a thread for blocking work: all of them may be waiting for the disk already.
            if !tokio::task::block_in_place(|| engine.close(patience)) {
                tracing::warn!("the disk did not answer in time: what is not answered may not be there");
            }
        }
    }
}

/// Waits for nothing, now or when the log is dropped.
pub(super) fn leave(held: &Held) {
    match held {
        Held::Redis(_) => {}
        Held::Embedded(engine) => {
            engine.close(Duration::ZERO);
        }
    }
}

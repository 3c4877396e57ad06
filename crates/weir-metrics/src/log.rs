//! The log and the window.

use prometheus::{IntCounter, IntGauge};
use weir_core::EventId;
use weir_core::log::LogFacts;

use crate::family::Gauges;
use crate::label::Backend;
use crate::optional::OptionalGauge;
use crate::registrar::Registrar;

/// `weir_reader_last_progress_timestamp_seconds`, `weir_reader_lag_*`, `weir_entries_lost_total`, `weir_stream_*`, `weir_window_*`, `weir_store_writable`, `weir_log_backend` of either backend.
#[derive(Debug)]
pub struct Log {
    /// `weir_entries_lost_total`: trimmed before this instance read them, where the number is known.
    pub lost: IntCounter,
    /// `weir_stream_maxlen`: the bound of the shared stream and of the window, in entries. It has nothing to do with durable streams.
    pub maxlen: IntGauge,
    /// `weir_window_max_bytes`: the bound of the window in bytes.
    pub window_max_bytes: IntGauge,
    /// `weir_window_events`: events in the window.
    pub window_events: IntGauge,
    /// `weir_window_bytes`: bytes the window keeps alive.
    pub window_bytes: IntGauge,
    last_progress: OptionalGauge,
    lag_entries: OptionalGauge,
    lag_seconds: OptionalGauge,
    length: OptionalGauge,
    horizon: OptionalGauge,
    window_horizon: OptionalGauge,
    writable: OptionalGauge,
    backend: Gauges<Backend>,
}

impl Log {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        Self {
            lost: make
                .counter(("weir_entries_lost_total", "Entries trimmed before this instance read them.")),
            maxlen: make.gauge((
                "weir_stream_maxlen",
                "Bound of the shared stream of events and of the window in entries, --maxlen; not that of durable streams.",
            )),
            window_max_bytes: make
                .gauge(("weir_window_max_bytes", "Bound of the window in bytes, --window-bytes.")),
            window_events: make.gauge(("weir_window_events", "Events in the window.")),
            window_bytes: make.gauge(("weir_window_bytes", "Bytes the window keeps alive.")),
            last_progress: make.optional((
                "weir_reader_last_progress_timestamp_seconds",
                "When the reader last got entries or an empty read, as Unix time.",
            )),
            lag_entries: make
                .optional(("weir_reader_lag_entries", "Entries this instance has not read yet.")),
            lag_seconds: make.optional((
                "weir_reader_lag_seconds",
                "Time from the newest entry that this instance has read to the newest of the log.",
            )),
            length: make.optional(("weir_stream_length", "Entries in the stream.")),
            horizon: make.optional(("weir_stream_horizon_seconds", "Age of the oldest entry of the stream.")),
            window_horizon: make.optional((
                "weir_window_horizon_seconds",
                "Age of the oldest event of the window: who was away for longer may find that something is gone.",
            )),
            writable: make.optional((
                "weir_store_writable",
                "1 while what is written to the file of --data-dir is written, 0 after a failure or while the disk \
                 does not answer; unknown without such a file.",
            )),
            backend: make.gauges(("weir_log_backend", "1 where the log is, 0 where it is not.")),
        }
    }

    /// The reader got entries or an empty read, at this Unix time in ms.
    pub fn progress(&self, now_ms: u64) {
        self.last_progress.set(Some(seconds(now_ms)));
    }

    /// Where the log is.
    pub fn backend(&self, backend: Backend) {
        self.backend.of(backend).set(1);
    }

    /// Shows from when the oldest event in the window is; `now_ms` is Unix time.
    pub fn oldest(&self, oldest: Option<EventId>, now_ms: u64) {
        self.window_horizon.set(oldest.map(|oldest| seconds(now_ms.saturating_sub(oldest.ms))));
    }

    /// Shows what was last seen of the log; `now_ms` is Unix time. Ages are clamped at 0, because the ids' clock is the
    /// log's.
    pub fn facts(&self, facts: &LogFacts, now_ms: u64) {
        self.lag_entries.set_count(facts.lag);
        let behind = facts.newest.zip(facts.read).map(|(newest, read)| newest.ms.saturating_sub(read.ms));
        self.lag_seconds.set(behind.map(seconds));
        self.length.set_count(facts.length);
        self.writable.set(facts.writable.map(|yes| f64::from(u8::from(yes))));
        self.horizon.set(facts.oldest.map(|oldest| seconds(now_ms.saturating_sub(oldest.ms))));
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

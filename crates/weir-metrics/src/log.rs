//! The log and the window.

use prometheus::{IntCounter, IntGauge};
use weir_core::log::LogFacts;

use crate::optional::OptionalGauge;
use crate::registrar::Registrar;

/// `weir_reader_last_progress_timestamp_seconds`, `weir_reader_lag_*`, `weir_entries_lost_total`, `weir_stream_*`, `weir_window_*` of either backend.
#[derive(Debug)]
pub struct Log {
    /// `weir_entries_lost_total`: trimmed before this instance read them, where the number is known.
    pub lost: IntCounter,
    /// `weir_stream_maxlen`: the bound of the shared stream and of the window, in entries. It has nothing to do with durable streams.
    pub maxlen: IntGauge,
    /// `weir_window_events`: events in the window.
    pub window_events: IntGauge,
    /// `weir_window_bytes`: bytes the window keeps alive.
    pub window_bytes: IntGauge,
    last_progress: OptionalGauge,
    lag_entries: OptionalGauge,
    lag_seconds: OptionalGauge,
    length: OptionalGauge,
    horizon: OptionalGauge,
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
        }
    }

    /// The reader got entries or an empty read, at this Unix time in ms.
    pub fn progress(&self, now_ms: u64) {
        self.last_progress.set(Some(seconds(now_ms)));
    }

    /// Shows what was last seen of the log; `now_ms` is Unix time. Ages are clamped at 0, because the ids' clock is the
    /// log's.
    pub fn facts(&self, facts: &LogFacts, now_ms: u64) {
        self.lag_entries.set_count(facts.lag);
        let behind = facts.newest.zip(facts.read).map(|(newest, read)| newest.ms.saturating_sub(read.ms));
        self.lag_seconds.set(behind.map(seconds));
        self.length.set_count(facts.length);
        self.horizon.set(facts.oldest.map(|oldest| seconds(now_ms.saturating_sub(oldest.ms))));
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

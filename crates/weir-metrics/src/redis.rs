//! The series that exist only where the log is in Redis.

use std::time::Duration;

use prometheus::{IntCounter, IntGauge};
use weir_core::log::LogFacts;

use crate::family::{Counters, Histograms};
use crate::label::{Operation, ReaderError};
use crate::optional::OptionalGauge;
use crate::registrar::{LATENCY_BUCKETS, Registrar};

/// `weir_redis_*`, `weir_groups*`, `weir_group_recreated_total`, `weir_reader_errors_total`,
/// `weir_reader_pending_*`, `weir_reader_without_group`.
#[derive(Debug)]
pub struct Redis {
    /// `weir_redis_reconnects_total`: connections made anew after one was lost.
    pub reconnects: IntCounter,
    /// `weir_redis_command_duration_seconds`: from sending to the answer, failures included.
    commands: Histograms<Operation>,
    /// `weir_reader_errors_total`: faults the reader met, whether or not something was lost.
    pub reader_errors: Counters<ReaderError>,
    /// `weir_groups_reaped_total`: groups of dead instances that this one removed.
    pub groups_reaped: IntCounter,
    /// `weir_group_recreated_total`: groups made anew after an error or because theirs was gone.
    pub group_recreated: IntCounter,
    up: IntGauge,
    without_group: IntGauge,
    groups: OptionalGauge,
    pending_entries: OptionalGauge,
    pending_oldest: OptionalGauge,
}

impl Redis {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        let commands = ("weir_redis_command_duration_seconds", "Commands to Redis, blocking reads left out.");
        Self {
            reconnects: make.counter(("weir_redis_reconnects_total", "Connections made anew after a loss.")),
            commands: make.histograms(commands, &LATENCY_BUCKETS),
            reader_errors: make.counters(("weir_reader_errors_total", "Faults the reader met, by kind.")),
            groups_reaped: make
                .counter(("weir_groups_reaped_total", "Groups of dead instances that this one removed.")),
            group_recreated: make
                .counter(("weir_group_recreated_total", "Own groups made anew after a fault.")),
            up: make.gauge(("weir_redis_up", "1 while Redis answers.")),
            without_group: make.gauge((
                "weir_reader_without_group",
                "1 while the reader has no group because Redis refuses writes.",
            )),
            groups: make.optional(("weir_groups", "Reader groups of all instances.")),
            pending_entries: make.optional((
                "weir_reader_pending_entries",
                "Entries given to this instance's group and not acknowledged; 0 while it reads a backlog, of \
                 which the lag tells.",
            )),
            pending_oldest: make.optional((
                "weir_reader_pending_oldest_seconds",
                "Age of the oldest entry not acknowledged; none while the instance reads a backlog.",
            )),
        }
    }

    /// Whether Redis answers, where that is known sooner than by [`Redis::facts`].
    pub fn up(&self, yes: bool) {
        self.up.set(yes.into());
    }

    /// A command was answered, or failed, after so long.
    pub fn command(&self, command: Operation, took: Duration) {
        self.commands.observe(command, took);
    }

    /// Shows what was last seen of the log.
    pub fn facts(&self, facts: &LogFacts) {
        self.up(facts.up);
        self.without_group.set(facts.group_refused.is_some().into());
        self.groups.set_count(facts.groups);
        self.pending_entries.set_count(facts.pending);
        self.pending_oldest.set(facts.pending_oldest_ms.map(|ms| ms as f64 / 1_000.0));
    }
}

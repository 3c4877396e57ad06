//! Publishes over HTTP.

use std::time::Duration;

use prometheus::Histogram;

use crate::family::Counters;
use crate::label::PublishResult;
use crate::registrar::{LATENCY_BUCKETS, Registrar};

/// `weir_publishes_total`, `weir_publish_duration_seconds`.
#[derive(Debug)]
pub struct Publishing {
    results: Counters<PublishResult>,
    duration: Histogram,
}

impl Publishing {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        let duration =
            ("weir_publish_duration_seconds", "From the request's head to the answer, all results.");
        Self {
            results: make.counters(("weir_publishes_total", "Publish calls, a batch counting once.")),
            duration: make.histogram(duration, &LATENCY_BUCKETS),
        }
    }

    /// A publish was answered after so long.
    pub fn done(&self, result: PublishResult, took: Duration) {
        self.results.inc(result);
        self.duration.observe(took.as_secs_f64());
    }

    /// Publishes so far.
    pub fn count(&self, result: PublishResult) -> u64 {
        self.results.get(result)
    }
}

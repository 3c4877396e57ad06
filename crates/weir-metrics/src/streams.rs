//! Durable streams over HTTP.

use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use crate::family::Counters;
use crate::label::StreamAppend;
use crate::registrar::{LATENCY_BUCKETS, Registrar};

/// `weir_stream_…`
#[derive(Debug)]
pub struct Streams {
    appends: Counters<StreamAppend>,
    append_bytes: IntCounter,
    duration: Histogram,
    /// `weir_streams_created_total`
    pub created: IntCounter,
    /// `weir_streams_deleted_total`
    pub deleted: IntCounter,
    /// `weir_stream_reads_total`
    pub reads: IntCounter,
    /// `weir_stream_read_bytes_total`
    pub read_bytes: IntCounter,
}

impl Streams {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        let duration = (
            "weir_stream_append_duration_seconds",
            "Appends to durable streams, from the request's head to the answer, all results.",
        );
        let counter = |name, help| make.counter((name, help));
        Self {
            appends: make
                .counters(("weir_stream_appends_total", "Appends to durable streams, closing included.")),
            append_bytes: counter("weir_stream_append_bytes_total", "Bytes appended to durable streams."),
            duration: make.histogram(duration, &LATENCY_BUCKETS),
            created: counter("weir_streams_created_total", "Durable streams made over HTTP."),
            deleted: counter("weir_streams_deleted_total", "Durable streams deleted over HTTP."),
            reads: counter("weir_stream_reads_total", "Reads of durable streams that are answered at once."),
            read_bytes: counter(
                "weir_stream_read_bytes_total",
                "Bytes that reads of durable streams were answered with at once.",
            ),
        }
    }

    /// An append of so many bytes was answered after so long.
    pub fn appended(&self, result: StreamAppend, bytes: u64, took: Duration) {
        self.appends.inc(result);
        self.append_bytes.inc_by(bytes);
        self.duration.observe(took.as_secs_f64());
    }
}

//! Durable streams that are followed.

use prometheus::{IntCounter, IntGauge};

use crate::family::Counters;
use crate::label::WokenBy;
use crate::registrar::Registrar;

/// `weir_streams_followed`, `weir_stream_wakes_total`, `weir_stream_tail_reads_total`.
#[derive(Debug)]
pub struct Tails {
    /// `weir_streams_followed`.
    pub followed: IntGauge,
    /// `weir_stream_wakes_total`.
    pub wakes: Counters<WokenBy>,
    /// `weir_stream_tail_reads_total`.
    pub reads: IntCounter,
}

impl Tails {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        Self {
            followed: make.gauge((
                "weir_streams_followed",
                "Durable streams that at least one client of this instance follows.",
            )),
            wakes: make.counters((
                "weir_stream_wakes_total",
                "How often it was found that a followed stream may have more, by who found it.",
            )),
            reads: make.counter((
                "weir_stream_tail_reads_total",
                "Reads of durable streams for those who follow them. Followers at one place share one.",
            )),
        }
    }
}

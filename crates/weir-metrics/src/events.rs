//! Events on their way from the log to the sockets.

use std::collections::HashMap;

use prometheus::{Histogram, IntCounter, IntGauge};
use weir_core::{EventType, Malformed};

use crate::family::Counters;
use crate::label::{Discarded, Dropped};
use crate::registrar::{LATENCY_BUCKETS, Named, Registrar};

/// Depths of one client's queue, around the default bound of 100 events and up to ten times it.
const QUEUE_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];

/// The type an event without one has for a client.
const UNTYPED: &str = "message";

/// `weir_entries_*`, `weir_events_*`, `weir_queue_*`, `weir_delivered_bytes_total`, `weir_delivery_latency_seconds`.
///
/// The books balance: `queued = delivered + dropped{overflow} + discarded + still queued`.
#[derive(Debug)]
pub struct Events {
    /// `weir_entries_read_total`: entries read from the log, usable or not.
    pub read: IntCounter,
    /// `weir_entries_malformed_total`: entries that were skipped.
    pub malformed: Counters<Malformed>,
    /// `weir_events_queued_total`: entered a client's queue, refills included.
    pub queued: IntCounter,
    /// `weir_events_dropped_total`: lost to a connected client.
    pub dropped: Counters<Dropped>,
    /// `weir_events_discarded_total`: queued and not delivered, although nothing was lost.
    pub discarded: Counters<Discarded>,
    /// `weir_queue_bytes`: bytes waiting in all queues.
    pub queue_bytes: IntGauge,
    types: Types,
    delivered: IntCounter,
    delivered_bytes: IntCounter,
    queue_events: Histogram,
    latency: Histogram,
}

impl Events {
    pub(crate) fn new(make: Registrar<'_>, types: &[EventType]) -> Self {
        Self {
            read: make.counter(("weir_entries_read_total", "Entries read from the log, usable or not.")),
            malformed: make
                .counters(("weir_entries_malformed_total", "Entries that were skipped, by reason.")),
            queued: make.counter(("weir_events_queued_total", "Events that entered a client's queue.")),
            dropped: make.counters(("weir_events_dropped_total", "Events lost to a connected client.")),
            discarded: make.counters(DISCARDED),
            queue_bytes: make.gauge(("weir_queue_bytes", "Bytes waiting in the queues of all clients.")),
            types: Types::new(make, types),
            delivered: make
                .counter(("weir_events_delivered_total", "Queued events that were handed to a connection.")),
            delivered_bytes: make
                .counter(("weir_delivered_bytes_total", "Bytes handed to streams, control events included.")),
            queue_events: make.histogram(QUEUE, &QUEUE_BUCKETS),
            latency: make.histogram(LATENCY, &LATENCY_BUCKETS),
        }
    }

    /// An event passed the hub. Types not listed in `--metric-types` count as `other`, because a type is text that users
    /// choose and every label value is kept for ever; an event without type counts as `message`.
    pub fn fanned_out(&self, kind: Option<&EventType>) {
        self.types.of(kind).inc();
    }

    /// Queued events were handed to a connection in one go.
    pub fn delivered(&self, events: u64, bytes: u64) {
        self.delivered.inc_by(events);
        self.delivered_bytes.inc_by(bytes);
    }

    /// Seconds from the time in a live event's id to the socket. Clocks differ, so a negative one counts as 0.
    pub fn latency(&self, seconds: f64) {
        self.latency.observe(seconds.max(0.0));
    }

    /// How many events waited in a client's queue when its connection came to drain it.
    pub fn queue_depth(&self, events: usize) {
        self.queue_events.observe(events as f64);
    }

    /// Queued events delivered so far.
    pub fn delivered_count(&self) -> u64 {
        self.delivered.get()
    }
}

const DISCARDED: Named =
    ("weir_events_discarded_total", "Queued events superseded, or left behind by a client that can resume.");
const QUEUE: Named =
    ("weir_queue_events", "Events waiting in a client's queue when its connection drains it.");
const LATENCY: Named =
    ("weir_delivery_latency_seconds", "From the time in the entry's id to the socket, live events only.");

/// `weir_events_total{type}`, bounded by what the operator listed.
#[derive(Debug)]
struct Types {
    listed: HashMap<Box<str>, IntCounter>,
    other: IntCounter,
}

impl Types {
    fn new(make: Registrar<'_>, types: &[EventType]) -> Self {
        let help = "Events that passed the hub. Types not listed in --metric-types count as other.";
        let vec = make.counter_vec(("weir_events_total", help), "type");
        let child = |kind: &EventType| (kind.as_str().into(), vec.with_label_values(&[kind.as_str()]));
        Self { listed: types.iter().map(child).collect(), other: vec.with_label_values(&["other"]) }
    }

    fn of(&self, kind: Option<&EventType>) -> &IntCounter {
        self.listed.get(kind.map_or(UNTYPED, EventType::as_str)).unwrap_or(&self.other)
    }
}

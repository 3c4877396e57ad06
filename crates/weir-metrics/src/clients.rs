//! Connections of clients.

use std::time::Duration;

use prometheus::{Histogram, IntGauge};

use crate::family::{Counters, Gauges};
use crate::label::{Disconnect, Rejected, Transport};
use crate::registrar::Registrar;

/// Lives of connections in seconds: a page view, a coffee, a working day, a deploy cycle. Streams are meant to last, so
/// the buckets reach to a week.
const DURATION_BUCKETS: [f64; 13] = [
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 28_800.0, 86_400.0, 172_800.0, 345_600.0,
    604_800.0,
];

/// `weir_clients*`, `weir_sessions`, `weir_subscriptions`, `weir_sockets`, `weir_connections_*`, `weir_disconnections_total`.
#[derive(Debug)]
pub struct Clients {
    /// `weir_sessions`: sessions that at least one client listens to.
    pub sessions: IntGauge,
    /// `weir_subscriptions`: sessions listened to, counted per client.
    pub subscriptions: IntGauge,
    /// `weir_clients_max`: the bound of admission.
    pub max: IntGauge,
    /// `weir_clients_catching_up`: looked up at each scrape, because a client that does not read does not tell.
    pub catching_up: IntGauge,
    /// `weir_sockets_max`: the bound of all connections.
    pub sockets_max: IntGauge,
    /// `weir_sockets`.
    sockets: IntGauge,
    /// `weir_connections_rejected_total`.
    pub rejected: Counters<Rejected>,
    open: Gauges<Transport>,
    connections: Counters<Transport>,
    disconnections: Counters<Disconnect>,
    duration: Histogram,
}

/// Counts one thing in a gauge for as long as it lives, so that no early return can leak one.
#[derive(Debug)]
#[must_use = "it stops counting when it is dropped"]
pub struct Held(IntGauge);

impl Clients {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        Self {
            sessions: make.gauge(("weir_sessions", "Sessions that at least one client listens to.")),
            subscriptions: make.gauge(("weir_subscriptions", "Sessions listened to, counted per client.")),
            max: make.gauge(("weir_clients_max", "Most clients that are admitted at once.")),
            rejected: make
                .counters(("weir_connections_rejected_total", "Subscribes turned away, by reason.")),
            sockets: make.gauge((
                "weir_sockets",
                "TCP connections open on the public listeners, with a client or without.",
            )),
            sockets_max: make.gauge((
                "weir_sockets_max",
                "Most TCP connections that the public listeners take at once, from the limit of open files.",
            )),
            open: make.gauges(("weir_clients", "Clients connected now.")),
            catching_up: make.gauge((
                "weir_clients_catching_up",
                "Clients whose queue overflowed and that read the window.",
            )),
            connections: make.counters(("weir_connections_total", "Clients that were admitted.")),
            disconnections: make.counters(("weir_disconnections_total", "Clients that left, by reason.")),
            duration: make.histogram(
                ("weir_connection_duration_seconds", "How long clients were connected."),
                &DURATION_BUCKETS,
            ),
        }
    }

    /// A client was admitted; it counts as connected until the result is dropped.
    pub fn connected(&self, transport: Transport) -> Held {
        self.connections.inc(transport);
        Held::new(self.open.of(transport))
    }

    /// A connection was accepted; it counts as open until the result is dropped.
    pub fn socket(&self) -> Held {
        Held::new(&self.sockets)
    }

    /// A client's connection ended after so long.
    pub fn disconnected(&self, reason: Disconnect, after: Duration) {
        self.disconnections.inc(reason);
        self.duration.observe(after.as_secs_f64());
    }

    /// Clients connected now.
    pub fn open(&self, transport: Transport) -> u64 {
        u64::try_from(self.open.of(transport).get()).unwrap_or(0)
    }

    /// Clients connected now, however they came.
    pub fn open_by_any(&self) -> u64 {
        Transport::ALL.iter().map(|transport| self.open(*transport)).sum()
    }

    /// Clients admitted so far.
    pub fn connections(&self, transport: Transport) -> u64 {
        self.connections.get(transport)
    }

    /// Disconnections so far.
    pub fn disconnections(&self, reason: Disconnect) -> u64 {
        self.disconnections.get(reason)
    }
}

impl Held {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

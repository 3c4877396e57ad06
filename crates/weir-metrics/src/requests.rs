//! Requests that were refused before they were a publish or a subscribe.

use crate::family::Counters;
use crate::label::Refused;
use crate::registrar::Registrar;

/// `weir_requests_rejected_total`.
#[derive(Debug)]
pub struct Requests {
    /// What is refused counts here, in `weir_publishes_total` or in `weir_connections_rejected_total`, and in one of them only.
    pub rejected: Counters<Refused>,
}

impl Requests {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        let help = "Requests refused that are neither publishes nor subscribes turned away, by reason.";
        Self { rejected: make.counters(("weir_requests_rejected_total", help)) }
    }
}

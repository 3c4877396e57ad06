//! What the process is and whether it serves.

use prometheus::{IntCounter, IntGauge};

use crate::metrics::BuildInfo;
use crate::optional::OptionalGauge;
use crate::registrar::Registrar;

/// `weir_build_info`, `weir_ready`, `weir_draining`, `weir_admin_denied_total`, `weir_revocations`.
#[derive(Debug)]
pub struct Instance {
    /// `weir_admin_denied_total`: admin calls of whoever may not make them.
    pub admin_denied: IntCounter,
    /// `weir_revocations`: looked up at each scrape.
    pub revocations: IntGauge,
    memory_limit: OptionalGauge,
    ready: IntGauge,
    draining: IntGauge,
}

impl Instance {
    pub(crate) fn new(make: Registrar<'_>, build: BuildInfo<'_>) -> Self {
        let labels = [("version", build.version), ("revision", build.revision)];
        make.info(("weir_build_info", "What was built; always 1."), &labels);
        Self {
            revocations: make.gauge(("weir_revocations", "Subjects whose tokens of before are refused.")),
            admin_denied: make.counter((
                "weir_admin_denied_total",
                "Admin calls that were refused, as their caller may not make them.",
            )),
            memory_limit: make.optional((
                "weir_memory_limit_bytes",
                "Resident memory above which new clients and publishes are turned away, --memory-limit; unknown without.",
            )),
            ready: make.gauge(("weir_ready", "1 while /readyz answers 200.")),
            draining: make.gauge(("weir_draining", "1 while the instance releases its clients.")),
        }
    }

    /// What `/readyz` says.
    pub fn ready(&self, yes: bool) {
        self.ready.set(yes.into());
    }

    /// The bound of resident memory, where there is one.
    pub fn memory_limit(&self, bytes: Option<u64>) {
        self.memory_limit.set_count(bytes);
    }

    /// Whether clients are being released.
    pub fn draining(&self, yes: bool) {
        self.draining.set(yes.into());
    }
}

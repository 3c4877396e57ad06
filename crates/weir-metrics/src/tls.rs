//! TLS on the public listeners.

use crate::family::Counters;
use crate::label::Handshake;
use crate::optional::OptionalGauge;
use crate::registrar::Registrar;

/// `weir_tls_*`.
#[derive(Debug)]
pub struct Tls {
    /// `weir_tls_handshakes_total`.
    pub handshakes: Counters<Handshake>,
    /// `weir_tls_certificate_expiry_timestamp_seconds`: unknown where there is no certificate.
    pub certificate_expiry: OptionalGauge,
}

impl Tls {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        Self {
            handshakes: make.counters(("weir_tls_handshakes_total", "TLS handshakes, by how they ended.")),
            certificate_expiry: make.optional((
                "weir_tls_certificate_expiry_timestamp_seconds",
                "After this time clients refuse the certificate that is shown.",
            )),
        }
    }
}

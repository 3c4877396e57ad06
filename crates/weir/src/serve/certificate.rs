//! The certificate of the public listeners.

use std::sync::Arc;

use anyhow::Context as _;
use weir_http::app::App;
use weir_http::tls::{Tls, TlsFiles};

/// Reads it at start.
pub(super) fn open(files: TlsFiles) -> anyhow::Result<Arc<Tls>> {
    Tls::open(files).map(Arc::new).context("--tls-cert, --tls-key")
}

/// Says what is wrong with it, and until when it is good.
pub(super) fn look(tls: &Tls, app: &App) {
    for doubt in tls.doubts(app.time().ms / 1000) {
        tracing::warn!("{doubt}");
    }
    app.metrics.tls.certificate_expiry.set_count(tls.expires_secs());
}

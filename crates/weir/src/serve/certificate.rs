//! The certificate of the public listeners.

use std::sync::Arc;

use anyhow::Context as _;
use weir_http::app::App;
use weir_http::tls::{Tls, TlsFiles};

use super::reload::Reload;

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

/// Has it read anew with the rest. A connection that is open goes on with the one it began with.
pub(super) fn reload(rest: Reload, tls: &Arc<Tls>, app: &Arc<App>) -> Reload {
    let (tls, app) = (Arc::clone(tls), Arc::clone(app));
    rest.with("certificate", move || {
        let (renewed, tls, app) = (tls.read()?, Arc::clone(&tls), Arc::clone(&app));
        Ok(move || {
            tls.show(renewed);
            look(&tls, &app);
        })
    })
}

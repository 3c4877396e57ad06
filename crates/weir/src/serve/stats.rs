//! Adds what this instance counts to the totals of all, `--stats-key`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_http::app::App;
use weir_log::{RedisTotals, Totals};
use weir_metrics::{Disconnect, Dropped, Metrics, Transport};

/// Between two additions.
const EVERY: Duration = Duration::from_secs(5);

/// Runs until it is stopped, and adds what is left then. While Redis is away, or refuses, what is counted waits.
pub(super) async fn run(app: Arc<App>, mut totals: RedisTotals, stop: CancellationToken) {
    let mut failed = false;
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        match totals.add(counted(&app.metrics)).await {
            Ok(()) if failed => tracing::info!("the totals of --stats-key are added to again"),
            Ok(()) => {}
            Err(error) if !failed => {
                tracing::warn!(%error, "the totals of --stats-key cannot be added to: what is counted waits");
            }
            Err(error) => tracing::debug!(%error, "the totals of --stats-key cannot be added to yet"),
        }
        failed = totals.waits();
    }
    if let Err(error) = totals.add(counted(&app.metrics)).await {
        tracing::warn!(%error, "the last totals of this instance are not known to stand at --stats-key");
    }
}

fn counted(metrics: &Metrics) -> Totals {
    let (clients, events) = (&metrics.clients, &metrics.events);
    Totals {
        connections: Transport::ALL.iter().map(|transport| clients.connections(*transport)).sum(),
        disconnects: Disconnect::ALL.iter().map(|reason| clients.disconnections(*reason)).sum(),
        dropped: Dropped::ALL.iter().map(|reason| events.dropped.get(*reason)).sum(),
    }
}

//! How an instance goes away: readiness, delay, spread release, flush, end, and a deadline that nothing moves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::subscription::End;

use crate::app::App;
use crate::client::Client;
use crate::server::Server;
use crate::stage::Stage;

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub struct DrainPlan {
    /// The listener stays open while load balancers notice.
    pub delay: Duration,
    /// Clients are released in random order across this.
    pub window: Duration,
    /// From the signal on; then the rest is cut.
    pub timeout: Duration,
}

/// How a drain came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Clients that were told and went.
    pub released: usize,
    /// Clients that were cut at the deadline.
    pub cut: usize,
}

/// Kept back from the deadline for flushing, so that a window as long as the deadline still lets the last client end well.
const FLUSH: Duration = Duration::from_secs(1);

/// Releases every client and ends every connection.
pub async fn drain(server: &Server, plan: DrainPlan) -> Drained {
    let deadline = Instant::now() + plan.timeout;
    let app = server.app();
    app.stages.end();
    app.stages.advance(Stage::Draining);
    let clients = app.clients.len();
    let drained = tokio::time::timeout_at(deadline.into(), async {
        if clients > 0 {
            tokio::time::sleep(plan.delay).await;
        }
        app.stages.advance(Stage::Refusing);
        let window = plan.window.min(deadline.saturating_duration_since(Instant::now() + FLUSH));
        release(app, window).await;
        server.close();
        server.ended().await;
    });
    if drained.await.is_ok() {
        return Drained { released: clients, cut: 0 };
    }
    // Whoever comes from here on sees this, and whoever came before is found below.
    app.stages.advance(Stage::Refusing);
    let cut = app.clients.len();
    app.clients.iter().for_each(|client| client.cut_off());
    app.clients.iter().for_each(|client| client.seat.close(End::Shutdown));
    server.close();
    server.cut();
    server.ended().await;
    Drained { released: clients.saturating_sub(cut), cut }
}

/// Tells every client to go, in random order and at even steps, until none is left that was not told.
async fn release(app: &App, window: Duration) {
    let mut clients: Vec<Arc<Client>> = app.clients.iter().map(|client| Arc::clone(&client)).collect();
    fastrand::shuffle(&mut clients);
    let started = tokio::time::Instant::now();
    let step = window.checked_div(u32::try_from(clients.len()).unwrap_or(u32::MAX)).unwrap_or_default();
    for (nth, client) in clients.iter().enumerate() {
        tokio::time::sleep_until(started + step * u32::try_from(nth).unwrap_or(u32::MAX)).await;
        client.seat.close(End::Shutdown);
    }
    // Some came while the others were told: new ones are refused, but a request may have been under way.
    app.clients.iter().for_each(|client| client.seat.close(End::Shutdown));
}

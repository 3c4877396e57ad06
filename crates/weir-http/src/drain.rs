//! How an instance goes away: readiness, delay, spread release, flush, end, and a deadline that nothing moves.

use std::convert::Infallible;
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

/// Between two looks at whether the last client has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Releases every client and ends every connection.
pub async fn drain(server: &Server, plan: DrainPlan) -> Drained {
    let deadline = Instant::now() + plan.timeout;
    let app = server.app();
    app.stages.end();
    let clients = app.clients.len();
    let drained = tokio::time::timeout_at(deadline.into(), async {
        let_go(app, plan, deadline).await;
        app.console.close();
        server.close();
        server.ended().await;
    });
    if drained.await.is_ok() {
        return Drained { released: clients, cut: 0 };
    }
    let cut = cut_off(app);
    app.console.close();
    server.close();
    server.cut();
    server.ended().await;
    Drained { released: clients.saturating_sub(cut), cut }
}

/// Releases every client when an operator wants it, and takes clients again when one wants that. The process stays, and so
/// does whatever is no client. It never returns; dropped, it leaves the stage as it is to whoever ends the process.
pub async fn obey(app: &App, plan: DrainPlan) -> Infallible {
    let mut orders = app.stages.orders();
    loop {
        // The sender lives as long as the app does.
        let _ = orders.changed().await;
        if *orders.borrow_and_update() {
            tracing::info!(clients = app.clients.len(), "draining, because an operator wants it");
            let undrain = orders.wait_for(|drain| !drain);
            let drained = async {
                empty(app, plan).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = undrain => tracing::info!("taking clients again"),
                () = drained => {}
            }
        }
        // Also where both orders came before the first was seen.
        app.stages.resume();
    }
}

async fn empty(app: &App, plan: DrainPlan) {
    let deadline = Instant::now() + plan.timeout;
    let gone = tokio::time::timeout_at(deadline.into(), async {
        let_go(app, plan, deadline).await;
        while !app.clients.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    if gone.await.is_ok() {
        tracing::info!("drained: no client is left");
    } else {
        let cut = cut_off(app);
        tracing::warn!(cut, "drained at the deadline: the clients left were cut");
    }
}

/// From the first sign to the last client told. One that turned new clients away already need not wait for load balancers.
async fn let_go(app: &App, plan: DrainPlan, deadline: Instant) {
    app.stages.advance(Stage::Draining);
    if !app.clients.is_empty() && !app.stages.is_refusing() {
        tokio::time::sleep(plan.delay).await;
    }
    app.stages.advance(Stage::Refusing);
    release(app, plan.window.min(deadline.saturating_duration_since(Instant::now() + FLUSH))).await;
}

/// Cuts all that are left, and says how many.
fn cut_off(app: &App) -> usize {
    // Whoever comes from here on sees this, and whoever came before is found below.
    app.stages.advance(Stage::Refusing);
    let cut = app.clients.len();
    app.clients.iter().for_each(|client| client.cut_off());
    app.clients.iter().for_each(|client| client.seat.close(End::Shutdown));
    cut
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

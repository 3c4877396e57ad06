//! Whether clients are welcome, by an operator's word.

use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::json;

use super::json;
use crate::app::App;
use crate::body::Body;
use crate::problem::Problem;

/// How long taking clients again may take to begin.
const PATIENCE: Duration = Duration::from_secs(2);

/// Releases the clients as at the end, but does not end.
pub(super) fn drain(app: &App) -> Result<Response<Body>, Problem> {
    if app.stages.is_ending() {
        return Err(ending());
    }
    // Counted before: those who wait for an answer get it at once.
    let clients = app.clients.len();
    app.stages.order_drain();
    Ok(json(&json!({ "draining": true, "clients": clients })))
}

/// Takes clients again.
pub(super) async fn undrain(app: &App) -> Result<Response<Body>, Problem> {
    if app.stages.is_ending() {
        return Err(ending());
    }
    let undrained = tokio::time::timeout(PATIENCE, app.stages.order_undrain()).await;
    // Only whoever is about to end leaves an order alone.
    let Some(welcome) = undrained.ok().filter(|_| !app.stages.is_ending()) else { return Err(ending()) };
    if !welcome {
        let detail = "another operator ordered a drain meanwhile: agree with them, and call again";
        return Err(Problem::denied(StatusCode::CONFLICT, "drained_again", detail));
    }
    Ok(json(&json!({ "draining": false, "clients": app.clients.len() })))
}

fn ending() -> Problem {
    Problem::denied(
        StatusCode::CONFLICT,
        "ending",
        "this instance was told by a signal to end, which cannot be taken back: start another",
    )
}

//! Who is connected, for operators.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use serde_json::json;
use weir_core::subscription::Progress;

use super::json;
use crate::app::App;
use crate::body::Body;
use crate::client::Client;
use crate::problem::Problem;
use crate::query::Query;

/// Most clients listed at once.
const MAX_LISTED: usize = 1000;

/// Clients listed where the call does not say.
const LISTED: usize = 20;

/// The slowest clients, or the busiest. They carry session names and subjects.
pub(super) fn list(app: &App, parts: &Parts) -> Result<Response<Body>, Problem> {
    let query = Query(parts.uri.query().unwrap_or_default());
    let by_lag = match query.first("sort")?.as_deref() {
        None | Some("lag") => true,
        Some("delivered") => false,
        Some(_) => return Err(Problem::malformed("invalid_parameter", "sort= is lag or delivered")),
    };
    let limit = match query.first("limit")?.map(|limit| limit.parse::<usize>()) {
        None => LISTED,
        Some(Ok(limit)) if limit <= MAX_LISTED => limit,
        Some(_) => {
            let detail = format!("limit= is a whole number from 0 to {MAX_LISTED}");
            return Err(Problem::malformed("invalid_parameter", detail));
        }
    };
    let mut all: Vec<_> =
        app.clients.iter().map(|client| (client.seat.progress(), Arc::clone(&client))).collect();
    all.sort_by_key(|(progress, _)| {
        std::cmp::Reverse(if by_lag { progress.lag } else { progress.delivered })
    });
    let total = all.len();
    let listed: Vec<_> =
        all.iter().take(limit).map(|(progress, client)| describe(*progress, client)).collect();
    Ok(json(&json!({ "total": total, "clients": listed })))
}

fn describe(progress: Progress, client: &Client) -> serde_json::Value {
    let (sessions, position) = client.seat.look(|subscription| {
        let names: Vec<_> = subscription.wants().sessions.iter().map(ToString::to_string).collect();
        (names, subscription.position().to_string())
    });
    json!({
        "id": client.seat.id(),
        "address": client.caller.address.to_string(),
        "transport": client.transport.as_str(),
        "sessions": sessions,
        "subject": client.caller.subject(),
        "connectedSeconds": client.since.elapsed().as_secs(),
        "position": position,
        "lag": progress.lag,
        "queued": progress.queued,
        "queuedBytes": progress.queued_bytes,
        "catchingUp": progress.catching_up,
        "delivered": progress.delivered,
        "dropped": progress.dropped,
    })
}

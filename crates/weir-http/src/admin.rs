//! What operators see: metrics, health, clients.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use weir_core::subscription::Progress;

use crate::access::{is_local, settle_host};
use crate::app::App;
use crate::body::Body;
use crate::client::Client;
use crate::headers;
use crate::health;
use crate::problem::Problem;
use crate::query::Query;

/// Most clients listed at once.
const MAX_LISTED: usize = 1000;

/// Clients listed where the call does not say.
const LISTED: usize = 20;

/// Answers a call on the admin listener.
pub(crate) fn answer(app: &Arc<App>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (mut parts, _) = request.into_parts();
    settle_host(&mut parts);
    let mut response = route(app, &parts).unwrap_or_else(Problem::into_response);
    headers::secure(response.headers_mut());
    Ok(response)
}

fn route(app: &App, parts: &Parts) -> Result<Response<Body>, Problem> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Problem::method("GET, HEAD"));
    }
    match parts.uri.path() {
        "/livez" => Ok(text("ok\n")),
        "/readyz" => Ok(ready(app)),
        "/metrics" => Ok(metrics(app)),
        "/clients" => clients(app, parts),
        _ => Err(Problem::not_found("unknown_path", "there are /metrics, /livez, /readyz and /clients")),
    }
}

fn ready(app: &App) -> Response<Body> {
    let readiness = health::readiness(app);
    let mut response = json(&readiness.to_json(app));
    if !readiness.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Gauges that nothing counts as it goes are looked up here, so that a scrape sees them as they are.
fn metrics(app: &App) -> Response<Body> {
    let metrics = &app.metrics;
    let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.instance.ready(health::readiness(app).ready);
    metrics.instance.draining(app.stages.is_draining());
    metrics.clients.sessions.set(gauge(app.broker.hub().sessions()));
    let clients: Vec<_> = app.clients.iter().map(|client| client.seat.progress()).collect();
    metrics.clients.catching_up.set(gauge(clients.iter().filter(|client| client.catching_up).count()));
    metrics.events.queue_bytes.set(gauge(clients.iter().map(|client| client.queued_bytes).sum()));
    let (events, bytes) = app.broker.window_size();
    metrics.log.window_events.set(gauge(events));
    metrics.log.window_bytes.set(gauge(bytes));
    metrics.facts(&app.log.facts(), app.time().ms);
    let mut response = text(metrics.encode());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The slowest clients, or the busiest. They carry session names, so not every page of a browser on this machine may ask.
fn clients(app: &App, parts: &Parts) -> Result<Response<Body>, Problem> {
    if !is_local(&parts.headers) || parts.headers.get("weir-admin").is_none_or(|value| value != "1") {
        return Err(Problem::forbidden(
            "call from this machine by a loopback name, with the header Weir-Admin: 1",
        ));
    }
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

fn text(body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(body: &serde_json::Value) -> Response<Body> {
    let mut response = text(body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

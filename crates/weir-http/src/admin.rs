//! What operators see and do.
//!
//! - [`door`]: who may
//! - `clients`: who is connected
//! - `drain`: whether clients are welcome; `disconnect`: who is not any more
//! - [`console`]: a page that shows it
//! - `room`: how many connections of theirs there may be

mod clients;
pub mod console;
mod disconnect;
pub mod door;
mod drain;
pub(crate) mod room;

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use weir_metrics::Refused;

use crate::app::{App, Peer};
use crate::audit::{Audit, Told};
use crate::body::Body;
use crate::headers;
use crate::health;
use crate::local::settle_host;
use crate::problem::Problem;
use crate::query::Query;
use crate::router::vet;
use crate::trace::Trace;

/// Paths that need no admin token: scrapers and health checks have none, and the page holds no data.
const OPEN: [&str; 4] = ["/", "/livez", "/readyz", "/metrics"];

/// Paths that tell something to operators alone.
const READS: [&str; 2] = ["/clients", "/console/events"];

/// Paths that change something.
const ACTS: [&str; 3] = ["/drain", "/undrain", "/disconnect"];

/// Answers a call on the admin listener.
pub(crate) async fn answer(
    app: Arc<App>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (mut parts, _) = request.into_parts();
    let trace = Trace::of(&parts.headers);
    let vetted = vet(&app, &parts);
    settle_host(&mut parts);
    let path = ACTS.into_iter().chain(READS).find(|path| *path == parts.uri.path()).unwrap_or("other");
    let told = Told { trace: &trace, address: peer.address, parts: &parts, path };
    let answer = match vetted {
        Ok(()) => route(&app, told).await,
        Err(problem) => Err(problem),
    };
    let mut response = answer.unwrap_or_else(|problem| {
        app.audit.denied_operator(told, &problem, app.time().now);
        problem.into_response(&trace)
    });
    trace.name(response.headers_mut());
    headers::secure(response.headers_mut());
    Ok(response)
}

async fn route(app: &Arc<App>, told: Told<'_>) -> Result<Response<Body>, Problem> {
    let (parts, path) = (told.parts, told.parts.uri.path());
    if !OPEN.contains(&path) {
        let checked = door::check(app.config.admin_token.as_ref(), &parts.headers);
        checked.inspect_err(|_| app.metrics.instance.admin_denied.inc())?;
    }
    let acts = ACTS.contains(&path);
    if acts && parts.method != Method::POST {
        return Err(app.refuse(Refused::Method, Problem::method("POST")));
    }
    if !acts && parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(app.refuse(Refused::Method, Problem::method("GET, HEAD")));
    }
    match path {
        "/" => Ok(console::page::get(parts)),
        "/livez" => Ok(text("ok\n")),
        "/readyz" => Ok(ready(app)),
        "/metrics" => Ok(metrics(app)),
        "/clients" => clients::list(app, parts),
        "/console/events" => console::viewer::open(app, parts),
        "/drain" => acted(told, drain::drain(app)),
        "/undrain" => acted(told, drain::undrain(app).await),
        "/disconnect" => acted(told, disconnect::disconnect(app, parts).await),
        _ => {
            let detail = "there are /, /metrics, /livez, /readyz, /clients, /console/events, /drain, /undrain and /disconnect";
            Err(app.refuse(Refused::Path, Problem::not_found("unknown_path", detail)))
        }
    }
}

/// Writes down who did what, and how it came out.
fn acted(told: Told<'_>, answer: Result<Response<Body>, Problem>) -> Result<Response<Body>, Problem> {
    let status = answer.as_ref().map_or_else(|problem| problem.status, Response::status);
    let subject = Query(told.parts.uri.query().unwrap_or_default()).first("subject").ok().flatten();
    Audit::acted(told, status, subject.as_deref());
    answer
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
    let (mut catching_up, mut queued_bytes) = (0, 0);
    for client in &app.clients {
        let progress = client.seat.progress();
        catching_up += usize::from(progress.catching_up);
        queued_bytes += progress.queued_bytes;
    }
    metrics.clients.catching_up.set(gauge(catching_up));
    metrics.events.queue_bytes.set(gauge(queued_bytes));
    let (events, bytes) = app.broker.window_size();
    metrics.log.window_events.set(gauge(events));
    metrics.log.window_bytes.set(gauge(bytes));
    let now_ms = app.time().ms;
    metrics.log.oldest(app.broker.oldest(), now_ms);
    metrics.facts(&app.log.facts(), now_ms);
    metrics.instance.revocations.set(gauge(app.revoked.len(now_ms)));
    let mut response = text(metrics.encode());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
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

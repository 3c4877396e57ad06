//! Which handler answers a public call.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use weir_core::Session;
use weir_metrics::Refused;

use crate::access::settle_way;
use crate::app::{App, Peer};
use crate::body::Body;
use crate::call::Call;
use crate::cors::Called;
use crate::handover::Handover;
use crate::health;
use crate::link::Link;
use crate::local::{is_local, settle_host};
use crate::path::{NoRoute, Route};
use crate::problem::Problem;
use crate::trace::Trace;
use crate::{description, head, headers, publish, snapshot, streams, subscribe, web};

/// Answers a call on the public listener.
pub(crate) async fn answer(
    app: Arc<App>,
    (link, handover): (Arc<Link>, Arc<Handover>),
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let trace = Trace::of(&parts.headers);
    let vetted = vet(&app, &parts);
    settle_host(&mut parts);
    settle_way(&mut parts, peer.way);
    let peer = Peer { address: app.config.proxies.client(peer.address, &parts.headers), ..peer };
    let call = Call { app: &app, link: &link, handover: &handover, parts: &parts, peer, trace: &trace };
    let called = if streams::are_at(parts.uri.path()) { Called::Stream } else { Called::Other };
    let answer = match (vetted, app.config.cors.preflight(&parts, called)) {
        (Err(problem), _) => Err(problem),
        (Ok(()), Some(answer)) => answer.map_err(|problem| app.refuse(Refused::Origin, problem)),
        (Ok(()), None) => route(call, body).await,
    };
    let mut response = answer.unwrap_or_else(|problem| {
        app.audit.denied(call.told(), &problem, app.time().now);
        problem.into_response(&trace)
    });
    trace.name(response.headers_mut());
    headers::secure(response.headers_mut());
    if call.link.is_tls && !is_local(&parts.headers) {
        headers::keep_to_tls(response.headers_mut());
    }
    app.config.cors.open(&parts.headers, response.headers_mut(), called);
    Ok(response)
}

/// Whether a head keeps the rules. Over HTTP/1.1 the answer to one that does not is the last of its connection, since what
/// follows may be anything; over HTTP/2 only the stream ends.
pub(crate) fn vet(app: &App, parts: &Parts) -> Result<(), Problem> {
    head::check(parts).map_err(|problem| {
        let problem = app.refuse(Refused::Head, problem);
        if parts.version < Version::HTTP_2 { problem.closing() } else { problem }
    })
}

async fn route(call: Call<'_>, body: Incoming) -> Result<Response<Body>, Problem> {
    let Call { app, parts, .. } = call;
    match Route::parse(parts.uri.path()).map_err(|no| no_route(app, parts, no))? {
        Route::SessionEvents(session) => match parts.method {
            Method::GET => subscribe::one(call, session).await,
            Method::POST => publish::one(call, body, session).await,
            _ => Err(no_method(app, "GET, POST")),
        },
        Route::Events => match parts.method {
            Method::GET => subscribe::several(call).await,
            Method::POST => publish::several(call, body).await,
            _ => Err(no_method(app, "GET, POST")),
        },
        Route::Snapshot(session) => snapshot_of(call, session).await,
        Route::Stream(name) => streams::answer(call, body, name).await,
        Route::Live => reading(call, || probe(true)),
        Route::Ready => reading(call, || probe(health::readiness(app).ready)),
        Route::Description => reading(call, || description::get(parts)),
        Route::Client => reading(call, || web::client(parts)),
        Route::Demo => match parts.method {
            Method::GET | Method::HEAD if !web::shows_demo(app, parts) => {
                Err(no_route(app, parts, NoRoute::Unknown))
            }
            _ => reading(call, || web::demo(parts)),
        },
    }
}

async fn snapshot_of(call: Call<'_>, session: Session) -> Result<Response<Body>, Problem> {
    match call.parts.method {
        Method::GET | Method::HEAD => snapshot::get(call, session).await,
        _ => Err(no_method(call.app, "GET, HEAD")),
    }
}

/// A path that can only be read.
fn reading(call: Call<'_>, answer: impl FnOnce() -> Response<Body>) -> Result<Response<Body>, Problem> {
    match call.parts.method {
        Method::GET | Method::HEAD => Ok(answer()),
        _ => Err(no_method(call.app, "GET, HEAD")),
    }
}

/// Health without details: the public need not know what is wrong.
fn probe(well: bool) -> Response<Body> {
    let mut response = Response::new(Body::full(if well { "ok\n" } else { "not ready\n" }));
    if !well {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn no_method(app: &App, allow: &'static str) -> Problem {
    app.refuse(Refused::Method, Problem::method(allow))
}

fn no_route(app: &App, parts: &Parts, no: NoRoute) -> Problem {
    match no {
        NoRoute::Session(bad) if parts.method == Method::POST => publish::refuse(app, bad.into()),
        NoRoute::Session(bad) => app.refuse(Refused::Parameter, bad.into()),
        NoRoute::Stream(bad) => app.refuse(Refused::Parameter, bad.into()),
        NoRoute::Unknown => {
            let detail = "there is no such path; events are at /v1/sessions/{session}/events and /v1/events, durable streams at \
                          /v1/stream/{name}";
            app.refuse(Refused::Path, Problem::not_found("unknown_path", detail))
        }
    }
}

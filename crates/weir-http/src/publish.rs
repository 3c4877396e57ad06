//! How events get in, one at a time or as a batch.

use std::time::{Duration, Instant};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use sha2::{Digest, Sha256};
use weir_core::Session;
use weir_core::log::{Appended, Idempotency, NewEvent};
use weir_metrics::PublishResult;

use crate::access::Action;
use crate::app::App;
use crate::batch;
use crate::body::Body;
use crate::call::{Call, Caller};
use crate::intake::{self, Taken, short_of_memory};
use crate::problem::Problem;
use crate::query::{Labels, Query};
use crate::turn;

/// Longest idempotency key in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 128;

/// Publishes the body as one event.
pub(crate) async fn one(call: Call<'_>, body: Incoming, session: Session) -> Result<Response<Body>, Problem> {
    let started = Instant::now();
    let result = publish_one(call, body, session).await;
    finish(call.app, started, result, |ids| json!({ "id": ids[0] }))
}

/// Publishes a batch.
pub(crate) async fn several(call: Call<'_>, body: Incoming) -> Result<Response<Body>, Problem> {
    let started = Instant::now();
    let result = publish_batch(call, body).await;
    finish(call.app, started, result, |ids| json!({ "ids": ids }))
}

/// Counts a publish that names no session.
pub(crate) fn refuse(app: &App, problem: Problem) -> Problem {
    app.metrics.publishing.done(PublishResult::Invalid, Duration::ZERO);
    problem
}

async fn publish_one(call: Call<'_>, body: Incoming, session: Session) -> Result<Appended, Problem> {
    let Call { app, parts, .. } = call;
    let caller = call.caller(Action::Publish).await?;
    caller.may(Action::Publish, [&session])?;
    let body = let_begin(call, &caller, (body, app.config.max_event_bytes)).await?;
    intake::check_coding(&parts.headers)?;
    let Labels { kind, key, snapshot } = Labels::parse(Query(parts.uri.query().unwrap_or_default()))?;
    let most = app.config.max_event_bytes;
    let Taken { data, share: _share } = intake::take(call, body, (most, "an event's data")).await?;
    if !weir_core::entry::fits(&data, most) {
        return Err(Problem::too_large(
            "the data has so many line ends that its frame is more than twice the bound",
        ));
    }
    let data = String::from_utf8(data.into()).map_err(|_| not_utf8())?;
    let event = NewEvent { session, data, kind, key, snapshot };
    append(app, &parts.headers, &[event], &caller).await
}

async fn publish_batch(call: Call<'_>, body: Incoming) -> Result<Appended, Problem> {
    let Call { app, parts, .. } = call;
    let caller = call.caller(Action::Publish).await?;
    caller.may_some(Action::Publish)?;
    let body = let_begin(call, &caller, (body, batch::MAX_BYTES)).await?;
    intake::check_coding(&parts.headers)?;
    let syntax = batch::Syntax::of(&parts.headers)?;
    let Taken { data, share: _share } = intake::take(call, body, (batch::MAX_BYTES, "a batch")).await?;
    let text = std::str::from_utf8(&data).map_err(|_| not_utf8())?;
    let events = batch::parse(syntax, text, app.config.max_event_bytes)?;
    caller.may(Action::Publish, events.iter().map(|event| &event.session))?;
    append(app, &parts.headers, &events, &caller).await
}

/// Gives the body, which has so many bytes at most, back where the caller may publish, or change a stream, now.
pub(crate) async fn let_begin(
    call: Call<'_>,
    caller: &Caller,
    (body, most): (Incoming, usize),
) -> Result<Incoming, Problem> {
    let problem = if call.app.memory.is_short() {
        short_of_memory()
    } else if let Err(wait) = call.app.admission.publish(caller) {
        too_fast(wait)
    } else {
        return Ok(body);
    };
    intake::pass_over(&call.parts.headers, body, most).await;
    Err(problem)
}

fn too_fast(wait: Duration) -> Problem {
    let detail = "events are published faster from here than they may be: come back later";
    Problem::limited("rate", detail, wait)
}

async fn append(
    app: &App,
    headers: &HeaderMap,
    events: &[NewEvent],
    caller: &Caller,
) -> Result<Appended, Problem> {
    caller.stays(app)?;
    app.admission.publishes(caller, events.len()).map_err(too_fast)?;
    let idempotency = idempotency(headers, events, caller)?;
    let appended = app.log.append(events, idempotency.as_ref()).await;
    // Whoever waits for the event waits longer than whoever sent it, so the way of a few deliveries comes before the answer.
    turn::pass().await;
    Ok(appended.inspect_err(|error| app.refusals.note(error, app.time().now))?)
}

fn idempotency(
    headers: &HeaderMap,
    events: &[NewEvent],
    caller: &Caller,
) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = idempotency_key(headers)? else { return Ok(None) };
    Ok(Some(Idempotency { scope: scope(events, caller), key: key.to_owned(), digest: digest(events) }))
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()));
    let detail = "an Idempotency-Key is 1 to 128 visible ASCII characters";
    key.map(Some).ok_or_else(|| Problem::malformed("invalid_idempotency_key", detail))
}

/// A control character is in no session name, so no two lists of sessions make one scope, and no subject makes the scope
/// of a list.
fn scope(events: &[NewEvent], caller: &Caller) -> String {
    if let Some(subject) = caller.subject() {
        return format!("\n{subject}");
    }
    let mut sessions: Vec<_> = events.iter().map(|event| event.session.as_str()).collect();
    sessions.sort_unstable();
    sessions.dedup();
    sessions.join("\n")
}

/// Every part with its length before it, so that no two publishes have the same digest by shifting bytes between parts.
fn digest(events: &[NewEvent]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for event in events {
        let snapshot = event.snapshot.unwrap_or(0).to_be_bytes();
        let kind = event.kind.as_ref().map_or("", |kind| kind.as_str());
        let key = event.key.as_ref().map_or("", |key| key.as_str());
        for part in [event.session.as_str(), kind, key, &event.data] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(snapshot);
    }
    hash.finalize().into()
}

fn not_utf8() -> Problem {
    Problem::malformed("invalid_utf8", "data is UTF-8 text: encode binary data first, as base64 for instance")
}

fn finish(
    app: &App,
    started: Instant,
    result: Result<Appended, Problem>,
    body: impl FnOnce(&[String]) -> serde_json::Value,
) -> Result<Response<Body>, Problem> {
    app.metrics.publishing.done(outcome(&result), started.elapsed());
    let (ids, duplicate) = match result? {
        Appended::Written(ids) => (ids, false),
        Appended::Duplicate(ids) => (ids, true),
    };
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let mut response = Response::new(Body::full(body(&ids).to_string()));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if duplicate {
        headers.insert("weir-duplicate", HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn outcome(result: &Result<Appended, Problem>) -> PublishResult {
    match result {
        Ok(Appended::Written(_)) => PublishResult::Ok,
        Ok(Appended::Duplicate(_)) => PublishResult::Duplicate,
        Err(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => PublishResult::Unavailable,
        Err(problem) if problem.status == StatusCode::TOO_MANY_REQUESTS => PublishResult::Limited,
        Err(problem) if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&problem.status) => {
            PublishResult::Denied
        }
        Err(_) => PublishResult::Invalid,
    }
}

//! `POST`: something is appended, or nothing more is.

use std::time::Instant;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use weir_core::durable::{self, Appended, Look};
use weir_metrics::StreamAppend;

use super::fields::{CLOSED, Fields, PRODUCER_EPOCH, PRODUCER_SEQ, SEQ};
use super::told::Told;
use super::{Named, payload, who};
use crate::access::Action;
use crate::body::Body;
use crate::call::Call;
use crate::intake::{self, Taken};
use crate::problem::Problem;
use crate::publish::let_begin;
use crate::turn;

/// Appends the body.
pub(super) async fn append(
    call: Call<'_>,
    body: Incoming,
    stream: &Named,
) -> Result<Response<Body>, Problem> {
    let started = Instant::now();
    let result = try_append(call, body, stream).await;
    let (outcome, bytes) = match &result {
        Ok(Done { appended: Appended::Written { .. }, asked }) => {
            (StreamAppend::Ok, asked.payload.as_ref().map_or(0, |payload| payload.bytes.len()))
        }
        Ok(Done { appended: Appended::Duplicate { .. }, .. }) => (StreamAppend::Duplicate, 0),
        Err(problem) => (why(problem), 0),
    };
    call.app.metrics.streams.appended(outcome, bytes as u64, started.elapsed());
    result.map(respond)
}

/// What was done, and what was to be.
struct Done {
    appended: Appended,
    asked: durable::Append,
}

async fn try_append(call: Call<'_>, body: Incoming, stream: &Named) -> Result<Done, Problem> {
    let app = call.app;
    let caller = who(call, Action::Append, &stream.name).await?;
    let most = app.config.max_append_bytes;
    let body = let_begin(call, &caller, (body, most)).await?;
    intake::check_coding(&call.parts.headers)?;
    let Taken { data, share: _share } = intake::take(call, body, (most, "an append")).await?;
    caller.stays(app)?;
    let asked = parse(Fields(&call.parts.headers), data)?;
    let appended = stream.store.append(&stream.name, &asked).await;
    if let Ok(Appended::Written { tail, closed }) = appended {
        app.stream_changed(&stream.name, Look::At { tail, closed });
    }
    // Whoever waits for it waits longer than whoever sent it, so the way of a few deliveries comes before the answer.
    turn::pass().await;
    let appended = appended.inspect_err(|error| app.refusals.note_stream(error, app.time().now))?;
    Ok(Done { appended, asked })
}

fn parse(fields: Fields<'_>, data: bytes::Bytes) -> Result<durable::Append, Problem> {
    let (producer, seq) = (fields.producer()?, fields.text(SEQ)?.map(Into::into));
    let close = fields.closes()?;
    if data.is_empty() {
        if !close {
            return Err(Problem::malformed("empty_body", format!("an append has a body, or {CLOSED}: true")));
        }
        // What nothing is made of is not asked for.
        return Ok(durable::Append { media: None, payload: None, close, seq, producer });
    }
    let Some(media) = fields.media()? else {
        return Err(Problem::malformed(
            "missing_content_type",
            "an append says what it is made of: Content-Type",
        ));
    };
    let Some(payload) = payload::of(data, &media)? else {
        return Err(Problem::malformed(
            "empty_body",
            "an append has at least one value: an empty array has none",
        ));
    };
    Ok(durable::Append { media: Some(media), payload: Some(payload), close, seq, producer })
}

/// 200 to what a producer appended, so that it can be told from a repeat; else there is nothing to say.
fn respond(done: Done) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let has_payload = done.asked.payload.is_some();
    let (tail, closed, seq, is_new) = match done.appended {
        Appended::Written { tail, closed } => (tail, closed, None, has_payload),
        Appended::Duplicate { seq, tail, closed } => (tail, closed, Some(seq), false),
    };
    let is_new_of_producer = is_new && done.asked.producer.is_some();
    *response.status_mut() = if is_new_of_producer { StatusCode::OK } else { StatusCode::NO_CONTENT };
    let mut told = Told(response.headers_mut());
    told.next(tail);
    told.closed(closed);
    if let Some(producer) = done.asked.producer {
        told.put(PRODUCER_EPOCH, producer.epoch);
        told.put(PRODUCER_SEQ, seq.unwrap_or(producer.seq));
    }
    response
}

fn why(problem: &Problem) -> StreamAppend {
    match problem.status {
        StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE => StreamAppend::Refused,
        StatusCode::FORBIDDEN if !problem.is_denial() => StreamAppend::Refused,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StreamAppend::Denied,
        StatusCode::TOO_MANY_REQUESTS => StreamAppend::Limited,
        StatusCode::INSUFFICIENT_STORAGE => StreamAppend::Full,
        StatusCode::SERVICE_UNAVAILABLE => StreamAppend::Unavailable,
        _ => StreamAppend::Invalid,
    }
}

//! `GET` and `HEAD`: what is there.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderValue};
use http::{Response, StatusCode, Version};
use weir_core::durable::{From, Head, Offset, Page};

use super::asked::Asked;
use super::pages::{self, Part, Reader};
use super::told::{Told, tag};
use super::{Named, who};
use crate::access::Action;
use crate::body::Body;
use crate::call::Call;
use crate::etag;
use crate::problem::Problem;

/// Tells what is known of a stream.
pub(super) async fn head(call: Call<'_>, stream: &Named) -> Result<Response<Body>, Problem> {
    who(call, Action::Read, &stream.name).await?;
    let head = stream.store.head(&stream.name).await;
    let head = head.inspect_err(|error| call.app.refusals.note_stream(error, call.app.time().now))?;
    let mut response = Response::new(Body::empty());
    let mut told = Told(response.headers_mut());
    told.media(&head.media);
    told.next(head.tail);
    told.closed(head.closed);
    told.lifetime(&head.lifetime);
    told.put(ETAG.as_str(), tag(&head, Offset::BEGIN, head.tail));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Answers with all that is there, however much that is: what is more than a page is read while it leaves. Where the answer
/// ends is settled when it begins, since its head says so.
pub(super) async fn catch_up(
    call: Call<'_>,
    reader: Reader,
    asked: Asked,
) -> Result<Response<Body>, Problem> {
    let stream = &reader.stream;
    call.app.metrics.streams.reads.inc();
    let share = pages::room(call.app).await?;
    let page = stream.store.read(&stream.name, asked.from, pages::BYTES).await;
    let page = page.inspect_err(|error| call.app.refusals.note_stream(error, call.app.time().now))?;
    let end = page.head.tail;
    let mut response = Response::new(Body::empty());
    let start = match asked.from {
        From::Begin => Some(Offset::BEGIN),
        From::After(offset) => Some(offset),
        From::End => None,
    };
    let known = start.map(|start| tag(&page.head, start, end));
    describe(&mut response, (&page.head, end), known.as_deref());
    if known.is_some_and(|tag| etag::matches(&call.parts.headers, &tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let Page { head, chunks, next } = page;
        let part = Part { chunks, next, end, media: head.media.media() };
        if call.parts.version < Version::HTTP_11 && next != end {
            // Nothing else tells an answer that breaks off there from one that is whole.
            let length = pages::length(call.app, stream, &part).await?;
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        *response.body_mut() = pages::body(call.app, reader, part, share).await?;
    }
    Ok(response)
}

/// What `now` is changes with every append, so nobody keeps the answer to that.
fn describe(response: &mut Response<Body>, (head, end): (&Head, Offset), tag: Option<&str>) {
    let mut told = Told(response.headers_mut());
    told.media(&head.media);
    told.next(end);
    if end == head.tail {
        told.up_to_date();
        told.closed(head.closed);
    }
    match tag {
        Some(tag) => told.asked_again(tag),
        None => {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
}

//! A `GET` of a stream that stays for what is appended next.

use std::future::poll_fn;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use weir_core::durable::{From, Media, Page};
use weir_core::subscription::{Intake, Wants};
use weir_metrics::Transport;

use super::Named;
use super::asked::{Asked, position};
use super::told::Told;
use crate::admission::Admitted;
use crate::body::Body;
use crate::call::{Call, Caller};
use crate::client::{Seated, rejected};
use crate::intake::short_of_memory;
use crate::problem::Problem;
use crate::stream::Stream;
use crate::subscribe;
use crate::tails::cursor;
use crate::tails::events::Events;
use crate::tails::follow::Follow;
use crate::tails::read::Found;

mod long_poll;

pub(crate) use long_poll::long_poll;

const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
const DATA_ENCODING: HeaderName = HeaderName::from_static("stream-sse-data-encoding");

/// Answers with all that comes, as Server-Sent Events.
pub(crate) async fn sse(
    call: Call<'_>,
    stream: Named,
    asked: Asked,
    who: Caller,
) -> Result<Response<Body>, Problem> {
    let app = call.app;
    let place = admit(call, &who)?;
    let came_back = last_event_id(&call.parts.headers)?;
    let (mut follow, found) = first(call, stream, came_back.unwrap_or(asked.from)).await?;
    let page = found.page.as_ref().map_err(|error| Problem::from(error.clone()))?;
    if came_back.is_some() && page.chunks.is_empty() && page.head.closed && page.is_up_to_date() {
        // Nothing else keeps a native `EventSource` from coming back for ever.
        return Ok(nothing(page));
    }
    let cursor = cursor::next(asked.cursor.as_deref(), app.time().ms);
    let seated = Seated::join(app, wants(), Transport::Durable, (who, place));
    follow.sit(&seated.seat);
    let events = Events::new(follow, (&found, page), cursor);
    let mut response = subscribe::begin(call, Stream::following(seated, events));
    if page.head.media.media() == Media::Bytes {
        response.headers_mut().insert(DATA_ENCODING, HeaderValue::from_static("base64"));
    }
    Ok(response)
}

/// A place for somebody who stays. Nobody is held until it is known whose tokens are refused, which the window tells.
fn admit(call: Call<'_>, who: &Caller) -> Result<Admitted, Problem> {
    let app = call.app;
    let away = if app.broker.is_loaded() {
        match subscribe::admit(app, who) {
            Ok(place) => return Ok(place),
            Err(away) => away,
        }
    } else {
        weir_core::notice::Refusal::Starting.into()
    };
    app.metrics.clients.rejected.inc(rejected(away.why));
    Err(subscribe::refused(away))
}

/// Where a native `EventSource` was, which asks for the same address again. It wins.
fn last_event_id(headers: &HeaderMap) -> Result<Option<From>, Problem> {
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else { return Ok(None) };
    position(id.to_str().unwrap_or_default()).map(Some)
}

/// What is there to begin with. Nothing that comes after it is missed. Where there is no room for it, it waits no longer than
/// those may hold theirs who do not read.
async fn first(
    call: Call<'_>,
    Named { store, name }: Named,
    from: From,
) -> Result<(Follow, Arc<Found>), Problem> {
    let mut follow = Follow::new(call.app, (store, &name), from);
    let found = poll_fn(|cx| follow.poll_found(cx));
    let found = tokio::time::timeout(call.app.config.stall_timeout, found).await;
    let found = found.map_err(|_| short_of_memory())?;
    Ok((follow, found))
}

/// What weir itself has to say is all that comes by the seat.
fn wants() -> Wants {
    Wants { intake: Intake::Elsewhere, ..Wants::default() }
}

/// There is nothing behind that place.
fn nothing(page: &Page) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    tell(page, response.headers_mut());
    response
}

/// Where a page ends. Nobody keeps it for anybody else.
fn tell(page: &Page, headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut told = Told(headers);
    told.next(page.next);
    if page.is_up_to_date() {
        told.up_to_date();
        told.closed(page.head.closed);
    }
}

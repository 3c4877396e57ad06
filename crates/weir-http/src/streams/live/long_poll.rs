//! A `GET` that is answered once: with what is there, or with what comes next.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use weir_core::durable::{Page, ReadError};
use weir_core::notice::Refusal;
use weir_core::subscription::{Budget, End};
use weir_metrics::Transport;

use super::{CURSOR, Named, admit, first, nothing, tell, wants};
use crate::body::Body;
use crate::call::{Call, Caller};
use crate::client::{Seated, rejected};
use crate::memory::{Share, UsedUp};
use crate::problem::Problem;
use crate::streams::asked::Asked;
use crate::streams::told::Told;
use crate::subscribe::refused;
use crate::tails::cursor;
use crate::tails::follow::Follow;
use crate::tails::read::Found;

/// Nothing but notices comes by the seat.
const NOTICES: Budget = Budget { events: 1, bytes: 1 };

/// Answers once.
pub(crate) async fn long_poll(
    call: Call<'_>,
    stream: Named,
    asked: Asked,
    who: Caller,
) -> Result<Response<Body>, Problem> {
    let app = call.app;
    let place = admit(call, &who)?;
    let (mut follow, mut found) = first(call, stream, asked.from).await?;
    let born = page(&found)?.head.born;
    let mut seated = Seated::join(app, wants(), Transport::Durable, (who, place));
    follow.sit(&seated.seat);
    let until = Instant::now() + app.config.long_poll_timeout;
    let until = seated.client.expires().map_or(until, |end| end.min(until));
    let cursor = cursor::next(asked.cursor.as_deref(), app.time().ms);
    loop {
        let page = page(&found)?;
        if page.head.born != born {
            return Err(ReadError::Missing.into());
        }
        if !page.chunks.is_empty() {
            return respond(call, &found, page, (seated, cursor));
        }
        if page.head.closed && page.is_up_to_date() {
            return Ok(with_cursor(nothing(page), cursor));
        }
        let came = tokio::select! {
            biased;
            came = come(&mut seated, &mut follow) => came,
            () = app.stages.draining() => Came::Nothing,
            () = tokio::time::sleep_until(until.into()) => over(&seated),
        };
        match came {
            Came::Found(more) => found = more,
            Came::End(End::Revoked) => return Err(Problem::revoked()),
            Came::Nothing
            | Came::End(
                End::Shutdown | End::Overflow | End::MaxAge | End::Refused(_) | End::Expired | End::Over,
            ) => return Ok(with_cursor(nothing(page), cursor)),
        }
    }
}

fn page(found: &Found) -> Result<&Page, Problem> {
    found.page.as_ref().map_err(|error| error.clone().into())
}

/// Why the wait is over.
enum Came {
    Found(Arc<Found>),
    End(End),
    Nothing,
}

/// The time is over, be it that of its token.
fn over(seated: &Seated) -> Came {
    if seated.client.expires().is_some_and(|end| Instant::now() >= end) {
        seated.seat.close(End::Expired);
    }
    Came::Nothing
}

async fn come(seated: &mut Seated, follow: &mut Follow) -> Came {
    poll_fn(|cx| {
        loop {
            let view = seated.app.broker.view(seated.app.time());
            let Poll::Ready(pulled) = seated.seat.poll_pull(cx, &view, NOTICES) else { break };
            seated.count(&pulled);
            if let Some(end) = pulled.end {
                return Poll::Ready(Came::End(end));
            }
        }
        follow.poll_found(cx).map(Came::Found)
    })
    .await
}

fn respond(
    call: Call<'_>,
    found: &Found,
    page: &Page,
    (seated, cursor): (Seated, u64),
) -> Result<Response<Body>, Problem> {
    let (app, body) = (call.app, found.body());
    let share = app.memory.answers.share(body.len()).map_err(|UsedUp| {
        app.metrics.clients.rejected.inc(rejected(Refusal::Memory));
        refused(Refusal::Memory.into())
    })?;
    app.metrics.events.delivered(0, body.len() as u64);
    // It is a client until its answer has left, and cut like one that stalls.
    seated.client.wire.waits(Some(Instant::now()));
    call.link.watch(&seated.client);
    let body = Bytes::from_owner(Leaving { body, _seated: seated, _share: share });
    let mut response = Response::new(Body::full(body));
    Told(response.headers_mut()).media(&page.head.media);
    tell(page, response.headers_mut());
    Ok(with_cursor(response, cursor))
}

/// An answer on its way, and what is held for it until the last of it has left.
struct Leaving {
    body: Bytes,
    _seated: Seated,
    _share: Share,
}

impl AsRef<[u8]> for Leaving {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn with_cursor(mut response: Response<Body>, cursor: u64) -> Response<Body> {
    response.headers_mut().insert(CURSOR, cursor.into());
    response
}

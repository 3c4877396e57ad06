//! How a client begins to get events.

use std::time::Duration;

use bytes::BytesMut;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use weir_core::Session;
use weir_core::frame;
use weir_core::notice::{Notice, NoticeFacts, Refusal};
use weir_core::subscription::{Format, Wants};
use weir_metrics::{Refused, Rejected, Transport};

use crate::admission::{Admitted, TurnedAway};
use crate::app::{App, Refuse};
use crate::body::Body;
use crate::call::{Call, Caller};
use crate::client::{Seated, rejected};
use crate::intake::short_of_memory;
use crate::longpoll;
use crate::problem::Problem;
use crate::query::{Defaults, Query, Subscribe};
use crate::sniff::Protocol;
use crate::stream::Stream;

/// How long a subscribe may wait for snapshots that only the log has.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(1);

/// A subscribe to one session.
pub(crate) async fn one(call: Call<'_>, session: Session) -> Result<Response<Body>, Problem> {
    let sessions = Box::from([session]);
    subscribe(call, sessions, Format::Raw).await
}

/// A subscribe to several sessions.
pub(crate) async fn several(call: Call<'_>) -> Result<Response<Body>, Problem> {
    let query = Query(call.parts.uri.query().unwrap_or_default());
    let sessions = query.sessions(call.app.config.max_sessions_per_connection);
    let sessions = sessions.map_err(|problem| call.app.refuse(Refused::Parameter, problem))?;
    subscribe(call, sessions, Format::Json).await
}

async fn subscribe(
    call: Call<'_>,
    sessions: Box<[Session]>,
    format: Format,
) -> Result<Response<Body>, Problem> {
    let app = call.app;
    let query = Query(call.parts.uri.query().unwrap_or_default());
    let caller = match call.reader(&sessions).await {
        Ok(caller) => caller,
        Err(problem) => return denied(app, query, problem),
    };
    let defaults = Defaults { format, overflow: app.config.overflow };
    let asked = Subscribe::parse(sessions, query, &call.parts.headers, defaults);
    let Subscribe { wants, wait } = asked.map_err(|problem| app.refuse(Refused::Parameter, problem))?;
    let place = match admit(app, &caller) {
        Ok(place) => place,
        Err(away) => {
            app.metrics.clients.rejected.inc(rejected(away.why));
            return match (wait, app.config.refuse) {
                (None, Refuse::Soft) => {
                    let softly = refused(away).softly();
                    app.audit.denied(call.told(), &softly, app.time().now);
                    Ok(refused_softly(app, away))
                }
                (None, Refuse::Status) => Err(refused(away).for_balancers()),
                (Some(_), _) => Err(refused(away)),
            };
        }
    };
    if wants.snapshot {
        // The stream begins without rather than late.
        let _in_time = tokio::time::timeout(SNAPSHOT_WAIT, fetch_snapshots(app, &wants)).await;
    }
    match wait {
        Some(wait) => longpoll::answer(call, wants, wait, (caller, place)).await,
        None => Ok(stream(call, wants, (caller, place))),
    }
}

/// Who may not subscribe is told so; but where nobody knows yet, the client comes back.
fn denied(app: &App, query: Query<'_>, problem: Problem) -> Result<Response<Body>, Problem> {
    if problem.status != StatusCode::SERVICE_UNAVAILABLE {
        app.metrics.clients.rejected.inc(Rejected::Auth);
        return Err(problem);
    }
    app.metrics.clients.rejected.inc(Rejected::Starting);
    match app.config.refuse {
        Refuse::Soft if query.first("wait") == Ok(None) => Ok(refused_softly(app, Refusal::Starting.into())),
        Refuse::Soft | Refuse::Status => Err(problem),
    }
}

fn stream(call: Call<'_>, wants: Wants, who: (Caller, Admitted)) -> Response<Body> {
    begin(call, Stream::new(Seated::join(call.app, wants, Transport::Sse, who)))
}

/// Answers with a stream, which is looked after from now on.
pub(crate) fn begin(call: Call<'_>, stream: Stream) -> Response<Body> {
    call.link.watch(&stream.seated.client);
    match call.link.protocol {
        Protocol::Http1 => {
            call.handover.leave(stream, call.parts.version);
            let mut response = event_stream(Body::Left);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        Protocol::Http2 => event_stream(Body::stream(stream)),
    }
}

fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// What this instance's memory does not hold may still stand in the log. Where the log is away the stream begins without.
async fn fetch_snapshots(app: &App, wants: &Wants) {
    let now_ms = app.time().ms;
    for session in &wants.sessions {
        if app.broker.snapshot(session, now_ms).is_none()
            && let Ok(Some(event)) = app.log.snapshot(session).await
        {
            app.broker.keep_snapshot(event);
        }
    }
}

pub(crate) fn admit(app: &App, caller: &Caller) -> Result<Admitted, TurnedAway> {
    if app.stages.is_refusing() {
        return Err(Refusal::Draining.into());
    }
    if app.memory.is_short() {
        return Err(Refusal::Memory.into());
    }
    app.admission.client(caller)
}

/// Not an error, because a native `EventSource` never comes back after one.
fn refused_softly(app: &App, TurnedAway { why, wait }: TurnedAway) -> Response<Body> {
    let mut body = BytesMut::new();
    let reconnect_ms = app.reconnect_after_ms(wait);
    frame::put_retry(&mut body, reconnect_ms);
    Notice::Refused(why).put(&mut body, NoticeFacts { now_ms: 0, heartbeat_ms: 0, reconnect_ms });
    event_stream(Body::full(body.freeze()))
}

pub(crate) fn refused(TurnedAway { why, wait }: TurnedAway) -> Problem {
    match why {
        Refusal::Limit => {
            Problem::unavailable("limit", "this instance has as many clients as it takes: try again")
        }
        Refusal::Ip => {
            let detail = "this address has as many clients as it may have: close one, or use one connection for several sessions";
            Problem::limited("ip", detail, wait)
        }
        Refusal::Subject => {
            let detail = "this subject has as many clients as it may have: close one, or use one connection for several sessions";
            Problem::limited("subject", detail, wait)
        }
        Refusal::Rate => {
            Problem::limited("rate", "clients come faster from here than they may: come back later", wait)
        }
        Refusal::Memory => short_of_memory(),
        Refusal::Draining => {
            Problem::unavailable("draining", "this instance is going away: try again elsewhere")
        }
        Refusal::Starting => starting(),
    }
}

pub(crate) fn starting() -> Problem {
    Problem::unavailable("starting", "this instance has not read its log yet: try again")
}

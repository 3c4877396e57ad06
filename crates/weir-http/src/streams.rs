//! Durable streams over HTTP: `/v1/stream/{name}`.
//!
//! In reading order:
//! - [`fields`]: the headers of a request
//! - [`create`], [`append`], [`payload`]: how streams come about, and how something gets in
//! - [`asked`], [`read`], [`pages`]: what a `GET` asks for, and how what is there gets out
//! - [`live`]: a `GET` that stays for what is appended next
//! - [`told`]: the headers of an answer

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use weir_core::durable::{Look, StreamName, StreamStore};
use weir_metrics::Refused;

use crate::access::Action;
use crate::app::App;
use crate::body::Body;
use crate::call::{Call, Caller};
use crate::path::STREAMS;
use crate::problem::Problem;
use crate::publish::let_begin;
use crate::router::no_method;

mod append;
mod asked;
mod create;
mod fields;
mod live;
pub(crate) mod pages;
mod payload;
mod read;
mod told;

use asked::{Asked, Mode};
use pages::Reader;

/// What the path answers to.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";

/// One stream, as a call names it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) store: Arc<dyn StreamStore>,
    pub(crate) name: StreamName,
}

/// Whether a path is one of a stream.
pub(crate) fn are_at(path: &str) -> bool {
    path.starts_with(STREAMS)
}

/// Answers a call to a stream.
pub(crate) async fn answer(
    call: Call<'_>,
    body: Incoming,
    name: StreamName,
) -> Result<Response<Body>, Problem> {
    let stream = Named { store: Arc::clone(&call.app.streams), name };
    let answered = match call.parts.method {
        Method::GET => get(call, stream).await,
        Method::HEAD => read::head(call, &stream).await,
        Method::PUT => create::create(call, body, &stream).await,
        // Appends are counted with how they ended.
        Method::POST => return append::append(call, body, &stream).await,
        Method::DELETE => delete(call, body, &stream).await,
        _ => return Err(no_method(call.app, METHODS)),
    };
    answered.map_err(|problem| refused(call.app, problem))
}

async fn get(call: Call<'_>, stream: Named) -> Result<Response<Body>, Problem> {
    let caller = who(call, Action::Read, &stream.name).await?;
    let asked = Asked::parse(call.parts)?;
    match asked.mode {
        Mode::CatchUp => read::catch_up(call, Reader { stream, caller }, asked).await,
        Mode::LongPoll => live::long_poll(call, stream, asked, caller).await,
        Mode::Sse => live::sse(call, stream, asked, caller).await,
    }
}

async fn delete(call: Call<'_>, body: Incoming, stream: &Named) -> Result<Response<Body>, Problem> {
    let caller = who(call, Action::Manage, &stream.name).await?;
    // There is nothing that it could say.
    let _body = let_begin(call, &caller, (body, 0)).await?;
    let deleted = stream.store.delete(&stream.name).await;
    deleted.inspect_err(|error| call.app.refusals.note_stream(error, call.app.time().now))?;
    call.app.metrics.streams.deleted.inc();
    call.app.stream_changed(&stream.name, Look::Missing);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Who calls, where it may do this with the stream. It is asked before anything that tells whether there is such a stream.
async fn who(call: Call<'_>, action: Action, name: &StreamName) -> Result<Caller, Problem> {
    let caller = call.caller(action).await?;
    caller.may_with(action, name)?;
    Ok(caller)
}

/// Counts a call that is refused for what it is, and not for what the stream is.
fn refused(app: &App, problem: Problem) -> Problem {
    let why = match problem.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Refused::Auth,
        StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE => return problem,
        status if status.is_server_error() => Refused::Unavailable,
        StatusCode::TOO_MANY_REQUESTS => Refused::Unavailable,
        _ => Refused::Parameter,
    };
    app.refuse(why, problem)
}

//! Durable streams over HTTP: `/v1/stream/{name}`.
//!
//! In reading order:
//! - [`asked`]: what a `GET` asks for
//! - [`live`]: a `GET` that stays for what is appended next
//! - [`unread`]: why there is no answer to one

use std::sync::Arc;

use http::{Method, Response};
use hyper::body::Incoming;
use weir_core::durable::{StreamName, StreamStore};

use crate::access::Action;
use crate::body::Body;
use crate::call::Call;
use crate::problem::Problem;
use crate::router::{no_method, no_path};

mod asked;
mod live;
mod unread;

use asked::{Asked, Mode};

/// What the path answers to.
const METHODS: &str = "GET, HEAD, PUT, POST, DELETE";

/// One stream, as a call names it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) store: Arc<dyn StreamStore>,
    pub(crate) name: StreamName,
}

/// Answers a call to a stream.
pub(crate) async fn answer(
    call: Call<'_>,
    _body: Incoming,
    name: StreamName,
) -> Result<Response<Body>, Problem> {
    let Some(store) = call.app.streams.clone() else { return Err(no_path(call.app)) };
    let stream = Named { store, name };
    match call.parts.method {
        Method::GET => get(call, stream).await,
        _ => Err(no_method(call.app, METHODS)),
    }
}

async fn get(call: Call<'_>, stream: Named) -> Result<Response<Body>, Problem> {
    let caller = call.caller(Action::Read).await?;
    caller.may_with(Action::Read, &stream.name)?;
    let asked = Asked::parse(call.parts)?;
    match asked.mode {
        Mode::CatchUp => Err(Problem::not_built()),
        Mode::LongPoll => live::long_poll(call, stream, asked, caller).await,
        Mode::Sse => live::sse(call, stream, asked, caller).await,
    }
}

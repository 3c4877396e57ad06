//! A `GET` of a stream that stays for what is appended next.

use http::Response;

use super::Named;
use super::asked::Asked;
use crate::body::Body;
use crate::call::{Call, Caller};
use crate::problem::Problem;

/// Answers once: with what is there, or with what comes next.
#[expect(clippy::unused_async, reason = "it will wait")]
pub(crate) async fn long_poll(
    _call: Call<'_>,
    _stream: Named,
    _asked: Asked,
    _who: Caller,
) -> Result<Response<Body>, Problem> {
    Err(Problem::not_built())
}

/// Answers with all that comes, as Server-Sent Events.
#[expect(clippy::unused_async, reason = "it will wait")]
pub(crate) async fn sse(
    _call: Call<'_>,
    _stream: Named,
    _asked: Asked,
    _who: Caller,
) -> Result<Response<Body>, Problem> {
    Err(Problem::not_built())
}

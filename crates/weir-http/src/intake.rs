//! How the body of a publish comes in.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::call::Call;
use crate::memory::{Budget, Share, UsedUp};
use crate::problem::Problem;

/// How long a publish's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of each body that are not counted with those of all bodies, so that large ones cannot keep small ones out. A
/// connection holds as much for the head of a request.
const UNCOUNTED: usize = 16 * 1024;

/// Most bytes of a body that is too large that are read to be thrown away, and for how long those of any body are: enough
/// for a mistake, not for a flood.
const MOST_DISCARDED: usize = 16 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A body, and what it holds of the memory for all bodies. It is held until the body has been dealt with.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) data: Bytes,
    pub(crate) share: Share,
}

/// Why a body cannot be taken.
enum NotTaken {
    TooLarge,
    UsedUp,
    Broken,
}

/// Takes a body of `most` bytes.
pub(crate) async fn take(
    call: Call<'_>,
    mut body: Incoming,
    (most, what): (usize, &str),
) -> Result<Taken, Problem> {
    let headers = &call.parts.headers;
    let too_large = || Problem::too_large(format!("{what} is at most {most} bytes"));
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        pass_over(headers, body, MOST_DISCARDED).await;
        return Err(too_large());
    }
    let collected =
        tokio::time::timeout(BODY_TIMEOUT, collect(&call.app.memory.bodies, &mut body, most)).await;
    match collected.map_err(|_| Problem::slow_body())? {
        Ok(taken) => Ok(taken),
        Err(NotTaken::TooLarge) => {
            discard(body, MOST_DISCARDED).await;
            Err(too_large())
        }
        Err(NotTaken::UsedUp) => {
            discard(body, most).await;
            Err(short_of_memory())
        }
        Err(NotTaken::Broken) => Err(Problem::malformed(
            "incomplete_body",
            "the body broke off before its end, or its chunks do not fit together",
        )),
    }
}

/// What is not there yet takes nothing: a length is only a claim.
async fn collect(bodies: &Budget, body: &mut Incoming, most: usize) -> Result<Taken, NotTaken> {
    let mut body = Limited::new(body, most);
    let (mut first, mut more, mut share) = (Bytes::new(), BytesMut::new(), Share::default());
    let mut taken = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() { NotTaken::TooLarge } else { NotTaken::Broken }
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let counted = taken.saturating_sub(UNCOUNTED);
        taken += data.len();
        let more_counted = taken.saturating_sub(UNCOUNTED) - counted;
        if more_counted > 0 {
            bodies.grow(&mut share, more_counted).await.map_err(|UsedUp| NotTaken::UsedUp)?;
        }
        if first.is_empty() {
            first = data;
            continue;
        }
        if more.is_empty() {
            more.extend_from_slice(&first);
        }
        more.extend_from_slice(&data);
    }
    let data = if more.is_empty() { first } else { more.freeze() };
    Ok(Taken { data, share })
}

pub(crate) fn short_of_memory() -> Problem {
    Problem::unavailable("memory", "this instance holds as much as it may: try again")
}

/// Bodies are taken as they are: nothing is unpacked that could unpack to more than was sent.
pub(crate) fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = |line: &HeaderValue| {
        let codings = line.to_str().map(|line| line.split(',').map(str::trim));
        codings.is_ok_and(|mut codings| {
            codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity"))
        })
    };
    if headers.get_all(CONTENT_ENCODING).iter().all(plain) { Ok(()) } else { Err(Problem::content_coding()) }
}

/// Reads over so many bytes of a body that is not taken, where it is sent without asking.
pub(crate) async fn pass_over(headers: &HeaderMap, body: Incoming, most: usize) {
    if !headers.contains_key(EXPECT) {
        discard(body, most).await;
    }
}

/// Reads on although nothing comes of it: whoever is still sending when the connection closes sees that break, and not
/// the answer.
async fn discard(mut body: Incoming, most: usize) {
    let read = async {
        let mut left = most;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    // Whoever needs longer has to live with the close.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, read).await;
}

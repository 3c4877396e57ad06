//! `PUT`: a stream is to exist.

use bytes::Bytes;
use http::header::{HOST, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use weir_core::durable::offset::BadOffset;
use weir_core::durable::{Create, Created, Fork, Head, Lifetime, Look, MediaType};

use super::fields::{self, Fields, invalid};
use super::told::Told;
use super::{Named, payload, who};
use crate::access::Action;
use crate::body::Body;
use crate::call::Call;
use crate::intake::{self, Taken};
use crate::path;
use crate::problem::Problem;
use crate::publish::let_begin;

/// Longest life in seconds: some three hundred years, so that no sum of times overflows.
const MAX_SECS: u64 = 9_999_999_999;

/// Makes the stream, or finds it as it was asked for.
pub(super) async fn create(
    call: Call<'_>,
    body: Incoming,
    stream: &Named,
) -> Result<Response<Body>, Problem> {
    let app = call.app;
    let caller = who(call, Action::Manage, &stream.name).await?;
    let most = app.config.max_append_bytes;
    let body = let_begin(call, &caller, (body, most)).await?;
    let headers = &call.parts.headers;
    intake::check_coding(headers)?;
    let Taken { data, share: _share } = intake::take(call, body, (most, "what a stream begins with")).await?;
    let fields = Fields(headers);
    let (lifetime, fork) = (lifetime(fields)?, fork(fields)?);
    caller.stays(app)?;
    if let Some(fork) = &fork {
        caller.may_with(Action::Read, &fork.source)?;
    }
    let (closed, media) = (fields.closes()?, fields.media()?);
    let asked = Create { media, lifetime, closed, fork, payload: None };
    let asked = with_payload(stream, asked, data).await?;
    let created = stream.store.create(&stream.name, &asked).await;
    let created = created.inspect_err(|error| app.refusals.note_stream(error, app.time().now))?;
    if created.is_new {
        app.metrics.streams.created.inc();
        let Head { tail, closed, .. } = created.head;
        app.stream_changed(&stream.name, Look::At { tail, closed });
    }
    Ok(respond(call, &created))
}

/// What is JSON is taken apart, so what the stream is made of must be known: a fork is made of what its source is made of.
async fn with_payload(stream: &Named, mut asked: Create, data: Bytes) -> Result<Create, Problem> {
    if data.is_empty() {
        return Ok(asked);
    }
    let media = match (&asked.media, &asked.fork) {
        (Some(media), _) => media.clone(),
        (None, None) => MediaType::octets(),
        (None, Some(fork)) => match stream.store.head(&fork.source).await {
            Ok(head) => head.media,
            // What is wrong with the source, the store tells for a fork.
            Err(_) => MediaType::octets(),
        },
    };
    asked.payload = payload::of(data, &media)?;
    // Were the source made anew as something else meanwhile, this refuses it.
    asked.media = Some(media);
    Ok(asked)
}

fn lifetime(fields: Fields<'_>) -> Result<Option<Lifetime>, Problem> {
    match (fields.number(fields::TTL)?, fields.text(fields::EXPIRES_AT)?) {
        (None, None) => Ok(None),
        (Some(secs), None) if secs <= MAX_SECS => Ok(Some(Lifetime::Idle(secs))),
        (Some(_), None) => Err(invalid(fields::TTL, "at most 9999999999 seconds")),
        (None, Some(text)) => {
            let time: Option<jiff::Timestamp> = is_rfc3339(text).then(|| text.parse().ok()).flatten();
            let time =
                time.ok_or_else(|| invalid(fields::EXPIRES_AT, "a time such as 2031-04-12T23:20:50Z"))?;
            // Before 1970 or at its beginning is over all the same.
            let at_ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
            Ok(Some(Lifetime::Until { at_ms, text: text.into() }))
        }
        (Some(_), Some(_)) => Err(invalid(fields::TTL, "given without Stream-Expires-At: one of them holds")),
    }
}

/// What parses times knows more ways to write them.
fn is_rfc3339(text: &str) -> bool {
    let has = |at: usize, one: u8| text.as_bytes().get(at) == Some(&one);
    has(4, b'-')
        && has(7, b'-')
        && text.as_bytes().get(10).is_some_and(|byte| matches!(byte, b'T' | b't' | b' '))
        && has(13, b':')
        && has(16, b':')
        && !text.contains('[')
}

fn fork(fields: Fields<'_>) -> Result<Option<Fork>, Problem> {
    let (offset, units) = (fields.text(fields::FORK_OFFSET)?, fields.number(fields::FORK_SUB_OFFSET)?);
    let Some(from) = fields.path(fields::FORKED_FROM)? else {
        if offset.is_some() || units.is_some() {
            return Err(invalid(fields::FORKED_FROM, "given with what says where to fork"));
        }
        return Ok(None);
    };
    let right = "the path of a stream, such as /v1/stream/a, percent-encoded";
    let raw = from.strip_prefix(path::STREAMS).filter(|raw| !raw.contains(['?', '#']));
    let source = raw.and_then(|raw| path::decode_stream(raw).ok());
    let source = source.ok_or_else(|| invalid(fields::FORKED_FROM, right))?;
    let bad =
        |bad: BadOffset| Problem::malformed("invalid_offset", format!("{}: {bad}", fields::FORK_OFFSET));
    let offset = offset.map(|text| text.parse().map_err(bad)).transpose()?;
    Ok(Some(Fork { source, offset, units: units.unwrap_or(0) }))
}

fn respond(call: Call<'_>, created: &Created) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if created.is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    let headers = response.headers_mut();
    if created.is_new
        && let Some(location) = location(call)
    {
        headers.insert(LOCATION, location);
    }
    let mut told = Told(headers);
    told.media(&created.head.media);
    told.next(created.head.tail);
    told.closed(created.head.closed);
    response
}

/// Where the stream is, as whoever calls sees it. A proxy that ended TLS may say so: who lies is told a lie.
fn location(call: Call<'_>) -> Option<HeaderValue> {
    let headers = &call.parts.headers;
    let host = headers.get(HOST)?.to_str().ok()?;
    let ended = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let scheme = if call.link.is_tls || ended { "https" } else { "http" };
    HeaderValue::try_from(format!("{scheme}://{host}{}", call.parts.uri.path())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    use http::HeaderMap;
    use weir_core::durable::{Offset, StreamName};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_life_ends_at_a_time_however_it_is_written() {
        let until = |text: &'static str| lifetime(Fields(&headers(&[(fields::EXPIRES_AT, text)])));
        let at = |text| match until(text) {
            Ok(Some(Lifetime::Until { at_ms, text: kept })) => {
                assert_eq!(&*kept, text);
                at_ms
            }
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(at("2026-11-21T22:30:00.250Z"), 1_795_300_200_250);
        assert_eq!(at("2026-11-21T22:30:00.250+00:00"), at("2026-11-21T22:30:00.250Z"));
        assert_eq!(at("2026-11-22T00:30:00.250+02:00"), at("2026-11-21T22:30:00.250Z"));
        assert_eq!(at("1960-01-01T00:00:00Z"), 0);
        for bad in [
            "",
            "not-a-timestamp",
            "2026-11-21",
            "2026-11-21T22:30:00",
            "1795300200",
            "20261121T223000Z",
            "2026-11-21T22:30:00+02:00[Europe/Berlin]",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(until(bad).is_err(), "{bad}");
        }
        let ttl = |text: &'static str| lifetime(Fields(&headers(&[(fields::TTL, text)])));
        assert_eq!(ttl("3600"), Ok(Some(Lifetime::Idle(3600))));
        assert!(ttl("10000000000").is_err());
        let both = headers(&[(fields::TTL, "1"), (fields::EXPIRES_AT, "2026-11-21T22:30:00Z")]);
        assert!(lifetime(Fields(&both)).is_err());
    }

    #[test]
    fn a_fork_names_its_source_by_path() {
        let source = |raw: &'static str| fork(Fields(&headers(&[(fields::FORKED_FROM, raw)])));
        let named = |name| Some(Fork { source: StreamName::parse(name).unwrap(), offset: None, units: 0 });
        assert_eq!(source("/v1/stream/a/b%20c"), Ok(named("a/b c")));
        for bad in
            ["a", "/v1/stream/", "/v1/stream/a?x", "/v1/stream/a#x", "/v1/stream/%zz", "http://x/v1/stream/a"]
        {
            assert_eq!(source(bad).map_err(|problem| problem.code), Err("invalid_header"), "{bad}");
        }
        let offset = Offset::new(7, 3).to_string();
        let all = [(fields::FORKED_FROM, "/v1/stream/a"), (fields::FORK_SUB_OFFSET, "2")];
        let mut all = headers(&all);
        all.insert(fields::FORK_OFFSET, offset.parse().unwrap());
        let fork_of = fork(Fields(&all)).unwrap().unwrap();
        assert_eq!((fork_of.offset, fork_of.units), (Some(Offset::new(7, 3)), 2));
        for alone in [fields::FORK_OFFSET, fields::FORK_SUB_OFFSET] {
            assert!(fork(Fields(&headers(&[(alone, "0")]))).is_err(), "{alone}");
        }
        for bad in ["", "-1", "now", "1_2"] {
            let pairs = [(fields::FORKED_FROM, "/v1/stream/a"), (fields::FORK_OFFSET, bad)];
            assert!(fork(Fields(&headers(&pairs))).is_err(), "{bad}");
        }
    }
}

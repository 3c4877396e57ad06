//! Pages of other origins: which of them may call, and what their browsers are told.
//!
//! A browser sends a page's calls anyway, or asks first; what it lets the page see of the answers is decided here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Response, StatusCode};
use parking_lot::RwLock;

use crate::body::Body;
use crate::problem::Problem;

/// What a page may send besides what every page may.
const METHODS: &str = "GET, HEAD, POST";
const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Last-Event-ID, Idempotency-Key, X-Request-Id, If-None-Match";

/// The same to durable streams.
const STREAM_METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const STREAM_REQUEST_HEADERS: &str = "Authorization, Content-Type, Last-Event-ID, X-Request-Id, If-None-Match, \
                                      Stream-Seq, Stream-Closed, Stream-TTL, Stream-Expires-At, Stream-Forked-From, \
                                      Stream-Fork-Offset, Stream-Fork-Sub-Offset, Producer-Id, Producer-Epoch, \
                                      Producer-Seq";

/// What a page may read besides what every page may.
const EXPOSED: &str = "Weir-Event-Id, ETag, Retry-After, Weir-Duplicate, X-Request-Id";

/// The same of durable streams.
const STREAM_EXPOSED: &str = "ETag, Retry-After, X-Request-Id, Location, Stream-Next-Offset, Stream-Cursor, \
                              Stream-Up-To-Date, Stream-Closed, Stream-TTL, Stream-Expires-At, \
                              Stream-SSE-Data-Encoding, Producer-Epoch, Producer-Seq, Producer-Expected-Seq, \
                              Producer-Received-Seq";

/// How many seconds a browser may go by the answer to a preflight. Chromium heeds no more than this.
const MAX_AGE: &str = "7200";

/// One origin, in the one form in which browsers send it.
///
/// Invariant: `scheme://host` or `scheme://host:port` in lower case, without a default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// Why a text is no origin that could be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// Every page of the world.
    #[error("* would let every page use the cookies of its visitors: list each origin by itself")]
    Any,
    /// What anybody's sandboxed frames and local files send.
    #[error("null is what sandboxed pages of anybody send: list the origin of the page itself")]
    Null,
    /// More than an origin.
    #[error("an origin ends with its host or port: leave out the slash and what follows")]
    Path,
    /// Browsers send lower case.
    #[error("browsers send origins in lower case: write it so")]
    UpperCase,
    /// Browsers leave it out.
    #[error("browsers leave out the port that their scheme has anyway: leave it out, too")]
    DefaultPort,
    /// Anything else.
    #[error("an origin is SCHEME://HOST or SCHEME://HOST:PORT, such as https://app.example.com")]
    Shape,
}

/// What a page would call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// A durable stream.
    Stream,
    /// Anything else.
    Other,
}

/// The origins that are listed. Clones share them, so that they change for all.
#[derive(Clone, Debug, Default)]
pub struct Cors(Arc<RwLock<Arc<[Origin]>>>);

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        match text {
            "*" => return Err(BadOrigin::Any),
            "null" => return Err(BadOrigin::Null),
            _ => {}
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadOrigin::Shape)?;
        if rest.contains(['/', '?', '#']) {
            return Err(BadOrigin::Path);
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(BadOrigin::UpperCase);
        }
        let names_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let authority: Authority = rest.parse().map_err(|_| BadOrigin::Shape)?;
        let has_port = rest[authority.host().len()..].starts_with(':');
        if !is_scheme
            || !scheme.bytes().all(names_scheme)
            || rest.contains(['@', '*'])
            || authority.host().is_empty()
            || has_port != authority.port_u16().is_some()
        {
            return Err(BadOrigin::Shape);
        }
        if let ("https", Some(443)) | ("http", Some(80)) = (scheme, authority.port_u16()) {
            return Err(BadOrigin::DefaultPort);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| BadOrigin::Shape)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

impl Cors {
    /// Pages of these origins may call.
    pub fn new(origins: Vec<Origin>) -> Self {
        Self(Arc::new(RwLock::new(origins.into())))
    }

    /// From now on pages of these origins may call, and no others.
    pub(crate) fn replace(&self, origins: Vec<Origin>) {
        *self.0.write() = origins.into();
    }

    /// Whether the request comes from a page of an origin that is listed.
    pub(crate) fn lists(&self, request: &HeaderMap) -> bool {
        let mut given = request.get_all(ORIGIN).iter();
        match (given.next(), given.next()) {
            (Some(origin), None) => self.0.read().iter().any(|listed| listed.0 == origin),
            (None, _) | (Some(_), Some(_)) => false,
        }
    }

    /// The answer where a browser asks whether a page may make a call. It asks without a token, and before anybody
    /// knows whether the call would be answered.
    ///
    /// Of a stream, whoever asks is told what listed pages may send, as clients of the protocol expect. A browser goes by
    /// that only where the page's origin is named, too, which [`Cors::open`] does for those that are listed.
    pub(crate) fn preflight(
        &self,
        request: &Parts,
        called: Called,
    ) -> Option<Result<Response<Body>, Problem>> {
        let asks = request.method == Method::OPTIONS
            && request.headers.contains_key(ORIGIN)
            && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| {
            let (methods, request_headers) = match called {
                Called::Stream => (STREAM_METHODS, STREAM_REQUEST_HEADERS),
                Called::Other if !self.lists(&request.headers) => return Err(Problem::unlisted_origin()),
                Called::Other => (METHODS, REQUEST_HEADERS),
            };
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(request_headers));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
            Ok(response)
        })
    }

    /// Lets the page that called see the answer, where its origin is listed. Caches are told that the answer is not the
    /// same for all.
    pub(crate) fn open(&self, request: &HeaderMap, answer: &mut HeaderMap, called: Called) {
        if self.0.read().is_empty() {
            return;
        }
        answer.append(VARY, HeaderValue::from_static("Origin"));
        if !self.lists(request) {
            return;
        }
        if let Some(origin) = request.get(ORIGIN) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            let exposed = match called {
                Called::Stream => STREAM_EXPOSED,
                Called::Other => EXPOSED,
            };
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_as_browsers_send_them() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
            "capacitor://localhost",
            "https://a.example:80",
        ] {
            assert_eq!(good.parse::<Origin>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_to_change() {
        for (bad, why) in [
            ("*", BadOrigin::Any),
            ("null", BadOrigin::Null),
            ("https://a.example/", BadOrigin::Path),
            ("https://a.example/app", BadOrigin::Path),
            ("https://a.example?x", BadOrigin::Path),
            ("https://A.example", BadOrigin::UpperCase),
            ("HTTPS://a.example", BadOrigin::UpperCase),
            ("https://a.example:443", BadOrigin::DefaultPort),
            ("http://a.example:80", BadOrigin::DefaultPort),
            ("a.example", BadOrigin::Shape),
            ("https://", BadOrigin::Shape),
            ("https://:80", BadOrigin::Shape),
            ("://a.example", BadOrigin::Shape),
            ("https://user@a.example", BadOrigin::Shape),
            ("https://a.example:", BadOrigin::Shape),
            ("https://a.example:99999", BadOrigin::Shape),
            ("https://*.example", BadOrigin::Shape),
            ("https://bücher.example", BadOrigin::Shape),
            ("https://a b", BadOrigin::Shape),
            ("", BadOrigin::Shape),
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_listed_whole_and_given_once() {
        let cors = Cors::new(vec!["https://a.example".parse().unwrap()]);
        let from = |origins: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for origin in origins {
                headers.append(ORIGIN, HeaderValue::from_static(origin));
            }
            cors.lists(&headers)
        };
        assert!(from(&["https://a.example"]));
        for others in [
            &[][..],
            &["http://a.example"],
            &["https://a.example:8443"],
            &["https://a.example.evil.example"],
            &["https://sub.a.example"],
            &["https://a.example", "https://evil.example"],
            &["https://A.example"],
            &["null"],
            &["*"],
        ] {
            assert!(!from(others), "{others:?}");
        }
    }
}

//! Which call a path names.

use percent_encoding::percent_decode_str;
use weir_core::Session;
use weir_core::durable::StreamName;
use weir_core::durable::name::BadStreamName;

/// Where the paths of streams begin.
pub(crate) const STREAMS: &str = "/v1/stream/";

/// A public path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v1/sessions/{session}/events`
    SessionEvents(Session),
    /// `/v1/sessions/{session}/snapshot`
    Snapshot(Session),
    /// `/v1/events`
    Events,
    /// `/v1/stream/{name}`, where the name is all that follows, `/` and what is empty between two of them included: no path
    /// means the same as another that is written otherwise, except by percent-encoding, which is decoded once.
    Stream(StreamName),
    /// `/livez`
    Live,
    /// `/readyz`
    Ready,
    /// `/openapi.json`
    Description,
    /// `/client.js`
    Client,
    /// `/`
    Demo,
}

/// Why a path names no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// There is no such path.
    Unknown,
    /// The session in it is none.
    Session(BadSession),
    /// The stream in it is none.
    Stream(BadStream),
}

/// Why the stream in a path is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("a % in a stream's name is written %25: each % needs two hexadecimal digits")]
    Escape,
    /// Not UTF-8 once decoded.
    #[error("a stream's name is UTF-8, percent-encoded once")]
    Utf8,
    /// Empty, too long, or with a control character.
    #[error(transparent)]
    Name(#[from] BadStreamName),
}

/// Why the session in a path or a query is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSession {
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("a % in a session name is written %25, a / is written %2F: each % needs two hexadecimal digits")]
    Escape,
    /// Not UTF-8 once decoded.
    #[error("a session name is UTF-8, percent-encoded once")]
    Utf8,
    /// Empty, too long, or with a control character.
    #[error(transparent)]
    Name(#[from] weir_core::BadName),
}

impl Route {
    /// The path with nothing of the caller's in it.
    pub(crate) fn template(&self) -> &'static str {
        match self {
            Self::SessionEvents(_) => "/v1/sessions/{session}/events",
            Self::Snapshot(_) => "/v1/sessions/{session}/snapshot",
            Self::Events => "/v1/events",
            Self::Stream(_) => "/v1/stream/{name}",
            Self::Live => "/livez",
            Self::Ready => "/readyz",
            Self::Description => "/openapi.json",
            Self::Client => "/client.js",
            Self::Demo => "/",
        }
    }

    pub(crate) fn parse(path: &str) -> Result<Self, NoRoute> {
        if let Some(raw) = path.strip_prefix(STREAMS) {
            return decode_stream(raw).map(Self::Stream).map_err(NoRoute::Stream);
        }
        let segments: Vec<_> = path.split('/').skip(1).take(6).collect();
        match *segments.as_slice() {
            ["livez"] => Ok(Self::Live),
            ["readyz"] => Ok(Self::Ready),
            ["openapi.json"] => Ok(Self::Description),
            ["client.js"] => Ok(Self::Client),
            [""] => Ok(Self::Demo),
            ["v1", "events"] => Ok(Self::Events),
            ["v1", "sessions", raw, "events"] => Ok(Self::SessionEvents(session(raw)?)),
            ["v1", "sessions", raw, "snapshot"] => Ok(Self::Snapshot(session(raw)?)),
            _ => Err(NoRoute::Unknown),
        }
    }
}

fn session(raw: &str) -> Result<Session, NoRoute> {
    decode_session(raw).map_err(NoRoute::Session)
}

/// The session of a path segment, percent-decoded once.
///
/// # Errors
/// [`BadSession`] says what to change.
pub fn decode_session(raw: &str) -> Result<Session, BadSession> {
    Ok(Session::parse(&decode(raw)?)?)
}

/// The stream of all that follows `/v1/stream/`, percent-decoded once.
///
/// # Errors
/// [`BadStream`] says what to change.
pub(crate) fn decode_stream(raw: &str) -> Result<StreamName, BadStream> {
    let text = decode(raw).map_err(|bad| match bad {
        BadSession::Escape => BadStream::Escape,
        BadSession::Utf8 | BadSession::Name(_) => BadStream::Utf8,
    })?;
    Ok(StreamName::parse(&text)?)
}

/// Percent-decodes once, strictly: what is not an escape is an error and never passed on as it is.
pub(crate) fn decode(raw: &str) -> Result<String, BadSession> {
    let bytes = raw.as_bytes();
    let broken =
        |nth: usize| !bytes.get(nth + 1..nth + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if bytes.iter().enumerate().any(|(nth, byte)| *byte == b'%' && broken(nth)) {
        return Err(BadSession::Escape);
    }
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| BadSession::Utf8)?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let name = |text| Session::parse(text).unwrap();
        let parse = Route::parse;
        assert_eq!(parse("/v1/sessions/a/events"), Ok(Route::SessionEvents(name("a"))));
        assert_eq!(parse("/v1/sessions/a%2Fb/events"), Ok(Route::SessionEvents(name("a/b"))));
        assert_eq!(parse("/v1/sessions/%252F/events"), Ok(Route::SessionEvents(name("%2F"))));
        assert_eq!(parse("/v1/sessions/../snapshot"), Ok(Route::Snapshot(name(".."))));
        assert_eq!(parse("/v1/sessions/%C3%BC/events"), Ok(Route::SessionEvents(name("ü"))));
        assert_eq!(parse("/v1/events"), Ok(Route::Events));
        assert_eq!(parse("/"), Ok(Route::Demo));
        for unknown in [
            "",
            "//",
            "/v1/stream",
            "/v1/streams/a",
            "/v1",
            "/v1/events/",
            "/v1/sessions/a",
            "/v1/sessions/a/b/events",
            "//v1/events",
        ] {
            assert_eq!(parse(unknown), Err(NoRoute::Unknown), "{unknown}");
        }
    }

    #[test]
    fn a_stream_is_all_that_follows() {
        let parse = |raw: &str| decode_stream(raw).map(|name| name.to_string());
        let route = Route::parse("/v1/stream/a/b");
        assert_eq!(route, Ok(Route::Stream(StreamName::parse("a/b").unwrap())));
        for (raw, name) in [
            ("a", "a"),
            ("a%2Fb", "a/b"),
            ("a/", "a/"),
            ("/a//b", "/a//b"),
            ("../a/./b", "../a/./b"),
            ("a%252Fb", "a%2Fb"),
            ("a+b", "a+b"),
            ("a/sessions/b/events", "a/sessions/b/events"),
            ("%C3%BC", "ü"),
        ] {
            assert_eq!(parse(raw).as_deref(), Ok(name), "{raw}");
        }
        assert_eq!(parse("%zz"), Err(BadStream::Escape));
        assert_eq!(parse("%FF"), Err(BadStream::Utf8));
        for raw in ["", "%00", "a%0Ab", &"x".repeat(513)] {
            assert_eq!(parse(raw), Err(BadStream::Name(BadStreamName)), "{raw}");
        }
    }

    #[test]
    fn sessions_are_decoded_once_and_strictly() {
        assert_eq!(decode_session("%zz"), Err(BadSession::Escape));
        assert_eq!(decode_session("a%2"), Err(BadSession::Escape));
        assert_eq!(decode_session("%"), Err(BadSession::Escape));
        assert_eq!(decode_session("%FF"), Err(BadSession::Utf8));
        assert!(matches!(decode_session("%00"), Err(BadSession::Name(_))));
        assert!(matches!(decode_session(""), Err(BadSession::Name(_))));
        assert_eq!(decode_session("a+b").map(|s| s.to_string()), Ok("a+b".to_owned()));
    }
}

//! The one place that turns errors into answers: `application/problem+json` with a stable `code`.

use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde_json::json;
use weir_core::BadName;
use weir_core::log::{AppendError, LogUnavailable};

use crate::auth::denial::Denial;
use crate::body::Body;
use crate::path::BadSession;
use crate::trace::Trace;

mod streams;

/// Seconds after which a call that was turned away may be tried again, jittered between these, once there may be room.
const RETRY_AFTER_SECS: std::ops::RangeInclusive<u64> = 1..=5;

/// Why a call is not answered with what it asked for. The detail says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    allow: Option<&'static str>,
    /// It may be tried again, but not before so long.
    retry: Option<Duration>,
    /// Its answer is the last of the connection.
    closes: bool,
    /// Headers that programs go by.
    tells: Vec<(&'static str, String)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            allow: None,
            retry: None,
            closes: false,
            tells: Vec::new(),
        }
    }

    pub(crate) fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = "this call needs a token, in the header Authorization: Bearer or, to subscribe or to read, in the cookie \
                      or in ?token=; without one only whom the operator lets in with --anonymous may make it, or whoever calls \
                      a loopback address directly";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(crate) fn cross_site() -> Self {
        let detail = "a page of another origin may not change anything without a token: send one in the header Authorization: \
                      Bearer, or have the operator list the origin with --cors-origin";
        Self::new(StatusCode::FORBIDDEN, "cross_site", detail)
    }

    pub(crate) fn cannot_publish() -> Self {
        let detail = "a token in a cookie or in the query only allows to subscribe and to read: for anything else, send it in \
                      the header Authorization: Bearer";
        Self::new(StatusCode::FORBIDDEN, "token_cannot_publish", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn revoked() -> Self {
        let detail = "the tokens that this subject got before it was taken off, and for a minute after, are refused for a \
                      while: get a new one";
        Self::new(StatusCode::UNAUTHORIZED, "token_revoked", detail)
    }

    pub(crate) fn unlisted_origin() -> Self {
        let detail =
            "pages of this origin may not call: ask the operator, who can list it with --cors-origin";
        Self::new(StatusCode::FORBIDDEN, "unlisted_origin", detail)
    }

    /// Who calls may not, for a reason that has a code of its own.
    pub(crate) fn denied(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(status, code, detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(crate) fn method(allow: &'static str) -> Self {
        let detail = format!("this path answers to {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail) }
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    pub(crate) fn media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    pub(crate) fn content_coding() -> Self {
        let detail = "bodies are not decompressed: send it as it is, without Content-Encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding", detail)
    }

    pub(crate) fn slow_body() -> Self {
        let detail = "the body did not arrive in time: send it at once";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
    }

    pub(crate) fn conflict() -> Self {
        let detail =
            "this Idempotency-Key was used for other content within the last 5 minutes: use a new key";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict", detail)
    }

    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self { retry: Some(Duration::ZERO), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    /// The caller has had what it may have; there is room after so long at the earliest.
    pub(crate) fn limited(code: &'static str, detail: impl Into<String>, wait: Duration) -> Self {
        Self { retry: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail) }
    }

    /// The status that load balancers take for a reason to ask another instance.
    pub(crate) fn for_balancers(self) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..self }
    }

    /// The status of a stream that says the same and ends.
    pub(crate) fn softly(self) -> Self {
        Self { status: StatusCode::OK, ..self }
    }

    /// Puts the place of an event in a batch before the detail.
    pub(crate) fn of_event(self, nth: usize) -> Self {
        Self { detail: format!("event {}: {}", nth + 1, self.detail), ..self }
    }

    /// The same, after which the connection ends.
    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The same with a header, of ASCII, that programs go by.
    fn telling(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.tells.push((name, value.to_string()));
        self
    }

    /// Whether it is for want of a right.
    pub(crate) fn is_denial(&self) -> bool {
        let of_rights = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&self.status);
        // Of the producers of a stream only the newest epoch may append: whoever is late has lost no right.
        of_rights && self.code != "stale_epoch"
    }

    pub(crate) fn into_response(self, trace: &Trace) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "requestId": trace.id(),
        });
        let mut response = Response::new(Body::full(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.tells {
            headers.insert(name, HeaderValue::try_from(value).expect("offsets and numbers are ASCII"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(challenge) = challenge(self.status, self.code) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(wait) = self.retry {
            // The jitter comes on top, so that nobody comes too early.
            let seconds = wait.as_secs().saturating_add(fastrand::u64(RETRY_AFTER_SECS));
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What RFC 6750 has a client told about its token.
fn challenge(status: StatusCode, code: &str) -> Option<&'static str> {
    match (status, code) {
        (StatusCode::UNAUTHORIZED, "unauthorized" | "admin_token_missing") => Some("Bearer"),
        (StatusCode::UNAUTHORIZED, _) => Some("Bearer error=\"invalid_token\""),
        (StatusCode::FORBIDDEN, "forbidden" | "token_cannot_publish") => {
            Some("Bearer error=\"insufficient_scope\"")
        }
        _ => None,
    }
}

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        let (code, detail) = (denial.code(), denial.to_string());
        if denial == Denial::KeysUnavailable {
            return Self::unavailable(code, detail);
        }
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }
}

impl From<BadName> for Problem {
    fn from(bad: BadName) -> Self {
        let detail = bad.to_string();
        match bad {
            BadName::Session => Self::malformed("invalid_session", detail),
            BadName::Type => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_type", detail),
            BadName::ReservedType => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "reserved_type", detail),
            BadName::Key => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_key", detail),
        }
    }
}

impl From<BadSession> for Problem {
    fn from(bad: BadSession) -> Self {
        Self::malformed("invalid_session", bad.to_string())
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable(_) => Self::unavailable(
                "log_unavailable",
                "the log cannot be written at the moment and nothing was published: try again",
            ),
            AppendError::OutcomeUnknown(_) => Self::unavailable(
                "outcome_unknown",
                "the log did not answer, so this may or may not be published: try again with an Idempotency-Key",
            ),
            AppendError::Conflict => Self::conflict(),
        }
    }
}

impl From<LogUnavailable> for Problem {
    fn from(_: LogUnavailable) -> Self {
        Self::unavailable("log_unavailable", "the log cannot be read at the moment: try again")
    }
}

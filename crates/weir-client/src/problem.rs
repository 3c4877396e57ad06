//! How the server says no.

use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// Most bytes read of an error's body, so that no answer can fill memory.
const MAX_BODY: usize = 64 * 1024;

/// An answer that is no success: `application/problem+json` where a weir speaks, else what its status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// The stable code of the contract, such as `session_invalid`; none where a proxy answered.
    pub code: Option<String>,
    /// What is wrong and what to change, in the server's words.
    pub detail: String,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// Whether the same request may succeed later: a limit, an outage, a time-out.
    pub fn is_temporary(&self) -> bool {
        matches!(self.status, 408 | 425 | 429) || self.status >= 500
    }

    /// Whether it is the content of the request that was turned down, rather than a token, an address or the moment. A
    /// proxy may say so, too, as by 413.
    pub(crate) fn is_about_the_request(&self) -> bool {
        matches!(self.status, 400..500)
            && !matches!(self.status, 401 | 404 | 405 | 407 | 408 | 421 | 425 | 429)
    }

    /// Reads it from an answer that is no success.
    pub(crate) async fn read(response: Response) -> Self {
        let status = response.status();
        let retry_after = header(&response, RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        let location = header(&response, LOCATION);
        let is_problem =
            header(&response, CONTENT_TYPE).is_some_and(|t| t.starts_with("application/problem+json"));
        let body = read_body(response, MAX_BODY).await.unwrap_or_default();
        let said =
            is_problem.then(|| serde_json::from_slice::<Body>(&body).ok()).flatten().unwrap_or_default();
        let detail = said.detail.or(said.title).unwrap_or_else(|| from_status(status, location.as_deref()));
        Self {
            status: status.as_u16(),
            code: said.code,
            detail,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (HTTP {}", self.detail, self.status)?;
        match &self.code {
            Some(code) => write!(f, ", {code})"),
            None => f.write_str(")"),
        }
    }
}

/// Reads a body up to `limit` bytes; `None` where it is longer or breaks off.
pub(crate) async fn read_body(mut response: Response, limit: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > limit {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// A header's text.
pub(crate) fn header(response: &Response, name: reqwest::header::HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

#[derive(Default, Deserialize)]
struct Body {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
}

fn from_status(status: StatusCode, location: Option<&str>) -> String {
    match location {
        Some(to) if status.is_redirection() => format!("the server points to {to}: use that address"),
        _ => status.canonical_reason().unwrap_or("the server gave no reason").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_request_is_final() {
        let is_final = |status| {
            Problem { status, code: None, detail: String::new(), retry_after: None }.is_about_the_request()
        };
        assert!([400, 403, 409, 413, 415, 422, 431].into_iter().all(is_final));
        for status in [301, 308, 401, 404, 405, 407, 408, 421, 425, 429, 500, 502, 503, 504] {
            assert!(!is_final(status), "{status}");
        }
    }
}

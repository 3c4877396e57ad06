//! The description of the public calls, by OpenAPI. It says nothing of this instance, so whoever reaches it may read it.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::body::Body;
use crate::etag;

/// Held against the routes, `docs/contract.md` and the source by `crates/weir/tests/openapi.rs`.
const TEXT: &str = include_str!("openapi.json");

/// The same on every instance of one build, so that any of them can say that a caller has it.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(TEXT);
    let half: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{half}\"")
});

/// Answers with it.
pub(crate) fn get(parts: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if etag::matches(&parts.headers, &TAG) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::full(Bytes::from_static(TEXT.as_bytes()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&TAG).expect("hexadecimal digits are visible ASCII"));
    // Short, because the next deploy may bring another.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

//! The page itself. It holds no data, so whoever reaches the listener may have it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};
use weir_web::CONSOLE;

use crate::body::Body;
use crate::etag;

/// The page with its style and script in it, and what a browser is told of it.
struct Page {
    html: Bytes,
    policy: HeaderValue,
    tag: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let html = CONSOLE.html();
    let tag = format!("\"{}\"", digest(&html));
    let header = |text: &str| HeaderValue::from_str(text).expect("a policy is visible ASCII");
    Page { html: html.into(), policy: header(&policy()), tag }
});

/// This very style and script and nothing else, calls to this origin alone, and no text that becomes markup: names that
/// clients chose stand on the page.
fn policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         require-trusted-types-for 'script'; trusted-types 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        digest(CONSOLE.style),
        digest(CONSOLE.script),
    )
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Answers with it.
pub(in crate::admin) fn get(parts: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if etag::matches(&parts.headers, &PAGE.tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::full(PAGE.html.clone());
    }
    let headers = response.headers_mut();
    let fixed = HeaderValue::from_static;
    headers.insert(CONTENT_TYPE, fixed("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, PAGE.policy.clone());
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin"));
    headers.insert(ETAG, HeaderValue::from_str(&PAGE.tag).expect("base64 is visible ASCII"));
    // Asked for each time, so that the page is of the release that answers it.
    headers.insert(CACHE_CONTROL, fixed("no-cache"));
    response
}

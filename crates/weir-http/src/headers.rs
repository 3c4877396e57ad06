//! What every answer tells a browser, whatever it answers.

use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};

/// What is not a page of our own has nothing to load, and nobody's page has it in a frame.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// An answer that says nothing else is kept by nobody, and embedded by no page of another origin. Calls by a script of an
/// origin that is listed are not embedding.
const UNLESS_SAID: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, NOTHING),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Neither guessed to be something else, nor told to others: addresses may hold a token.
const ALWAYS: [(HeaderName, &str); 2] =
    [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];

/// Adds the headers of every answer.
pub(crate) fn secure(headers: &mut HeaderMap) {
    for (name, value) in UNLESS_SAID {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Has a browser come back by TLS only. This holds for the name with all its ports, which is why a developer's `localhost`
/// must never get it.
pub(crate) fn keep_to_tls(headers: &mut HeaderMap) {
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
}

//! Texts that are the same on every instance of one build, so that any of them can say that a caller has one already.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::body::Body;
use crate::etag;

/// Short, because the next deploy may bring another.
pub(crate) const FOR_A_WHILE: &str = "public, max-age=300";

/// Asked for each time, so that what is shown is of the release that answers.
pub(crate) const ASKED_FOR: &str = "no-cache";

/// Such a text, and how it is kept.
#[derive(Debug)]
pub(crate) struct Asset {
    bytes: Bytes,
    kind: HeaderValue,
    kept: HeaderValue,
    tag: HeaderValue,
}

impl Asset {
    pub(crate) fn new(bytes: impl Into<Bytes>, kind: &'static str, kept: &'static str) -> Self {
        let bytes = bytes.into();
        let tag = HeaderValue::from_str(&format!("\"{}\"", digest(&bytes)));
        Self {
            tag: tag.expect("base64 is visible ASCII"),
            kind: HeaderValue::from_static(kind),
            kept: HeaderValue::from_static(kept),
            bytes,
        }
    }

    /// Answers with it, or says that the caller has it.
    pub(crate) fn get(&self, parts: &Parts) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let tag = self.tag.to_str().expect("base64 is visible ASCII");
        if etag::matches(&parts.headers, tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Body::full(self.bytes.clone());
            response.headers_mut().insert(CONTENT_TYPE, self.kind.clone());
        }
        let headers = response.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, self.kept.clone());
        response
    }
}

/// As policies of pages name what they allow.
pub(crate) fn digest(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

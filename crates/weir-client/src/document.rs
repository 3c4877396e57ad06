//! One small document from anywhere, such as somebody's public keys.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::{StatusCode, Url, redirect};

use crate::client::provide_crypto;
use crate::transport::Transport;

/// How long the whole of it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of it.
const MAX_BYTES: usize = 256 * 1024;

/// Where a document is.
///
/// Invariant: https, or http on this machine's loopback; no credentials, no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentUrl(Url);

/// Not an address that a document is taken from. The text is not repeated, because it may hold credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is an address https://HOST/PATH without user and password; http only for this machine itself")]
pub struct BadDocumentUrl;

/// Fetches one document again and again.
#[derive(Debug)]
pub struct Document {
    http: reqwest::Client,
    url: DocumentUrl,
}

/// There is none now.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error("{0}")]
    Transport(#[from] Transport),
    /// Another answer. Redirects are not followed: who answers for the document was decided by its address.
    #[error("it was answered with status {}", .0.as_u16())]
    Status(StatusCode),
    /// It does not end.
    #[error("it has more than {MAX_BYTES} bytes")]
    Large,
}

impl DocumentUrl {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// [`BadDocumentUrl`].
    pub fn parse(text: &str) -> Result<Self, BadDocumentUrl> {
        let url = Url::parse(text).map_err(|_| BadDocumentUrl)?;
        let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        let plain = url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if safe && plain { Ok(Self(url)) } else { Err(BadDocumentUrl) }
    }
}

impl fmt::Display for DocumentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Document {
    /// A document of which nothing is known yet.
    ///
    /// # Errors
    /// TLS cannot be set up, such as for want of root certificates.
    pub fn new(url: DocumentUrl) -> Result<Self, Transport> {
        provide_crypto();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none());
        if is_loopback(&url.0) {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build().map_err(Transport::from)?, url })
    }

    /// The document as it is now.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let request = self.http.get(self.url.0.clone()).header("accept", "application/json");
        let mut answer = request.send().await.map_err(Transport::from)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(Transport::from)? {
            if document.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::Large);
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_on_the_way_can_change_it() {
        for good in [
            "https://issuer.example/jwks.json",
            "https://h:1/?tenant=a",
            "http://127.0.0.1:1/",
            "http://[::1]:1/",
            "http://localhost/x",
        ] {
            assert_eq!(DocumentUrl::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "http://issuer.example/jwks.json",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "https://u:secret@h/",
            "https://u@h/",
            "https://h/#f",
            "file:///etc/passwd",
            "h",
            "",
        ] {
            assert_eq!(DocumentUrl::parse(bad), Err(BadDocumentUrl), "{bad}");
        }
    }
}

//! One server and how to reach it.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Url, redirect};

use crate::token::Token;
use crate::transport::Transport;

/// Longest wait for a connection, so that an address that swallows packets is noticed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A weir server. Cheap to clone: clones share their connections and their token.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    server: ServerUrl,
    authorization: Arc<RwLock<Option<HeaderValue>>>,
}

/// Where a server is, such as `http://127.0.0.1:8080`; a path in it is a prefix.
///
/// Invariant: http or https with a host, its path ends in `/`, no credentials, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Not the address of a server. The text is not repeated, because it may hold credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server is given as http://HOST:PORT or https://HOST, without user, password, query and fragment")]
pub struct BadServerUrl;

/// TLS could not be set up, such as for want of root certificates.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client: {0}")]
pub struct SetupError(Transport);

impl ServerUrl {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// [`BadServerUrl`].
    pub fn parse(text: &str) -> Result<Self, BadServerUrl> {
        let mut url = Url::parse(text).map_err(|_| BadServerUrl)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(BadServerUrl);
        }
        url.path_segments_mut().expect("http URLs have a path").pop_if_empty().push("");
        Ok(Self(url))
    }

    /// Without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        url.path_segments_mut().expect("http URLs have a path").pop_if_empty().extend(segments);
        url
    }

    fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl Client {
    /// A client of a server. No connection is made yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(server: &ServerUrl, token: Option<&Token>) -> Result<Self, SetupError> {
        provide_crypto();
        let http = Self::builder(server).build().or_else(|error| match server.0.scheme() {
            // Nobody has to be vouched for, so a container without certificates of authorities can ask how it is.
            "http" => Self::builder(server).tls_certs_only([]).build(),
            _ => Err(error),
        });
        let http = http.map_err(|error| SetupError(error.into()))?;
        let authorization = Arc::new(RwLock::new(token.map(Token::header)));
        Ok(Self { http, server: server.clone(), authorization })
    }

    /// Takes another token for what is asked from now on, by all clones: whoever publishes for longer than a token is
    /// good for renews it so.
    pub fn renew(&self, token: &Token) {
        // It is replaced whole, so that a panic elsewhere cannot have left half of one.
        *self.authorization.write().unwrap_or_else(PoisonError::into_inner) = Some(token.header());
    }

    fn builder(server: &ServerUrl) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("weir-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A followed redirect turns a POST into a GET; the answer itself tells more.
            .redirect(redirect::Policy::none());
        // A proxy of the environment cannot reach this machine's loopback.
        if server.is_loopback() { builder.no_proxy() } else { builder }
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        self.server.as_str()
    }

    /// A request to a path below the server's address; each segment is encoded by itself.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.authorized(self.http.request(method, self.server.join(segments)))
    }

    /// The same with a query of those parameters that have a value.
    pub(crate) fn request_with(
        &self,
        method: Method,
        segments: &[&str],
        params: &[(&str, Option<&str>)],
    ) -> RequestBuilder {
        let mut url = self.server.join(segments);
        for (name, value) in params {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        self.authorized(self.http.request(method, url))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &*self.authorization.read().unwrap_or_else(PoisonError::into_inner) {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }
}

/// Rustls wants one provider a process. Ring is ours, and the Redis client's too: a second one compiled in would make
/// that client panic for want of a choice.
pub(crate) fn provide_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails only where another thread was faster, and then there is a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(base: &str, segments: &[&str]) -> String {
        ServerUrl::parse(base).unwrap().join(segments).to_string()
    }

    #[test]
    fn segments_are_encoded_one_by_one() {
        assert_eq!(path("http://h:1", &["v1", "a/b %é"]), "http://h:1/v1/a%2Fb%20%25%C3%A9");
        assert_eq!(path("http://h:1/weir/", &["livez"]), "http://h:1/weir/livez");
        assert_eq!(ServerUrl::parse("http://h:1/").unwrap().as_str(), "http://h:1");
    }

    #[test]
    fn other_addresses_are_refused() {
        for bad in [
            "127.0.0.1:8080",
            "localhost:8080",
            "redis://h",
            "http://u:secret@h",
            "http://h?x=1",
            "http://h#f",
            "",
        ] {
            assert_eq!(ServerUrl::parse(bad), Err(BadServerUrl), "{bad}");
        }
    }

    #[test]
    fn loopback_is_known() {
        for (url, want) in [
            ("http://127.0.0.1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(ServerUrl::parse(url).unwrap().is_loopback(), want, "{url}");
        }
    }
}

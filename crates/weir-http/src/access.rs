//! Who may call: with a token, and without.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderValue};
use http::request::Parts;

use crate::app::{AnonymousAccess, Way};
use crate::auth::carrier::{Carrier, carried};
use crate::auth::token::Token;
use crate::auth::tokens::Tokens;
use crate::problem::Problem;
use crate::query::Query;

/// Headers by which a proxy says that it asks for somebody else.
const FORWARDING: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Subscribe,
    Publish,
}

/// Who gets in: with a token that is good, and without one by [`AnonymousAccess`].
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) anonymous: AnonymousAccess,
    pub(crate) tokens: Arc<Tokens>,
}

/// A call that may be made, to the sessions that the token is good for, or to all.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) token: Option<Arc<Token>>,
    /// Anybody may make it.
    pub(crate) open: bool,
}

impl Gate {
    /// Lets the call pass, or says how to go on. A token that is bad is refused where none would have been needed, too: its
    /// holder relies on it.
    pub(crate) async fn check(&self, action: Action, parts: &Parts, now_secs: u64) -> Result<Pass, Problem> {
        let open = self.is_open(action, &parts.headers);
        let query = Query(parts.uri.query().unwrap_or_default());
        match carried(&parts.headers, query, &self.tokens.cookie)? {
            None if open => Ok(Pass { token: None, open }),
            None => Err(Problem::unauthorized()),
            Some((carrier, text)) => {
                let token = self.tokens.check(&text, now_secs).await?;
                if action == Action::Publish && carrier != Carrier::Header {
                    return if open {
                        Ok(Pass { token: None, open })
                    } else {
                        Err(Problem::cannot_publish())
                    };
                }
                Ok(Pass { token: Some(Arc::new(token)), open })
            }
        }
    }

    fn is_open(&self, action: Action, headers: &HeaderMap) -> bool {
        match self.anonymous {
            AnonymousAccess::Local => is_local(headers),
            AnonymousAccess::None => false,
            AnonymousAccess::Subscribe => action == Action::Subscribe,
            AnonymousAccess::Publish => action == Action::Publish,
            AnonymousAccess::All => true,
        }
    }
}

/// Makes `Host` say whom the request is for: HTTP/2 says it in the target, and where HTTP/1.1 says it in both, the target
/// counts.
pub(crate) fn settle_host(parts: &mut Parts) {
    if let Some(host) = parts.uri.host().and_then(|name| HeaderValue::from_str(name).ok()) {
        parts.headers.insert(HOST, host);
    }
}

/// Says in the request what was only said for the connection: that a proxy asks for somebody else.
pub(crate) fn settle_way(parts: &mut Parts, way: Way) {
    match way {
        Way::Direct => {}
        Way::Proxied => {
            parts.headers.insert(FORWARDED, HeaderValue::from_static("for=unknown"));
        }
    }
}

/// A loopback `Host` and no forwarding header: neither a page that rebound its DNS name nor a proxy on this machine
/// passes for a developer at the terminal.
pub(crate) fn is_local(headers: &HeaderMap) -> bool {
    !FORWARDING.iter().any(|name| headers.contains_key(*name))
        && headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(is_loopback_host)
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn local_means_a_loopback_host_and_no_proxy() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080", "[::1]"] {
            assert!(is_local(&headers(&[("host", host)])), "{host}");
        }
        for host in ["evil.example", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example:8080", ""]
        {
            assert!(!is_local(&headers(&[("host", host)])), "{host}");
        }
        assert!(!is_local(&headers(&[])));
        assert!(!is_local(&headers(&[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")])));
    }

    #[test]
    fn each_setting() {
        let remote = headers(&[("host", "weir.example")]);
        let passes = |anonymous, action| Gate { anonymous, tokens: Arc::default() }.is_open(action, &remote);
        assert!(!passes(AnonymousAccess::Local, Action::Subscribe));
        assert!(!passes(AnonymousAccess::None, Action::Subscribe));
        assert!(passes(AnonymousAccess::Subscribe, Action::Subscribe));
        assert!(!passes(AnonymousAccess::Subscribe, Action::Publish));
        assert!(passes(AnonymousAccess::Publish, Action::Publish));
        assert!(passes(AnonymousAccess::All, Action::Publish));
    }
}

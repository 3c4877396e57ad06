//! Whether a request comes from somebody at this machine, and whether from a page of another site.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{HOST, HeaderValue, ORIGIN};
use http::request::Parts;

/// Headers by which a proxy says that it asks for somebody else, beside all that begin with `x-forwarded`.
const FORWARDING: [&str; 11] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-host",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];

/// Makes `Host` say whom the request is for: HTTP/2 says it in the target, and where HTTP/1.1 says it in both, the target
/// counts.
pub(crate) fn settle_host(parts: &mut Parts) {
    // A user name before it is refused before anybody asks for the host.
    let host = parts.uri.authority().and_then(|named| named.as_str().rsplit('@').next());
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
        parts.headers.insert(HOST, host);
    }
}

/// A loopback `Host` and no forwarding header: neither a page that rebound its DNS name nor a proxy on this machine that
/// says for whom it asks passes for a developer at the terminal. A proxy that says nothing does.
pub(crate) fn is_local(headers: &HeaderMap) -> bool {
    let mut names = headers.keys().map(http::HeaderName::as_str);
    let forwarded = names.any(|name| name.starts_with("x-forwarded") || FORWARDING.contains(&name));
    !forwarded && headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(is_loopback_host)
}

fn is_loopback_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => (name, port),
            None => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        && (name.eq_ignore_ascii_case("localhost")
            || name.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback()))
}

/// Whether a page of another site has the browser send this. A browser says so by itself, whatever the page wants; what is
/// no browser says nothing.
pub(crate) fn is_of_other_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let named = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let own = headers.get(HOST).and_then(|host| host.to_str().ok());
    !named.zip(own).is_some_and(|((_, origin), own)| origin.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn local_means_a_loopback_host() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]:8080",
            "localhost:",
        ] {
            assert!(is_local(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::ffff:10.0.0.1]",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.",
            "127.0.0.1.",
            "localhost:80@evil.example",
            "localhost:evil.example",
            "evil.example:localhost",
            "localhost:1:2",
            "localhost@evil.example",
            "evil.example#localhost",
            "[::1].evil.example",
            "[::1]evil.example",
            "[::1",
            "::1",
            "127.1",
            "2130706433",
            "0x7f000001",
            " localhost x",
            "xn--localhost",
            "",
        ] {
            assert!(!is_local(&headers(&[("host", host)])), "{host}");
        }
        assert!(!is_local(&headers(&[])));
    }

    #[test]
    fn a_proxy_is_not_local() {
        for name in
            ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "cf-connecting-ip"]
        {
            assert!(!is_local(&headers(&[("host", "localhost"), (name, "")])), "{name}");
        }
        assert!(is_local(&headers(&[("host", "localhost"), ("x-request-id", "1")])));
    }

    #[test]
    fn the_target_says_whom_a_request_is_for() {
        let host = |target: &str| {
            let request = http::Request::get(target).header("host", "evil.example").body(()).unwrap();
            let mut parts = request.into_parts().0;
            settle_host(&mut parts);
            parts.headers[HOST].to_str().unwrap().to_owned()
        };
        assert_eq!(host("/livez"), "evil.example");
        assert_eq!(host("http://localhost:1/livez"), "localhost:1");
        assert_eq!(host("http://localhost@evil.example:1/"), "evil.example:1");
        assert_eq!(host("http://[::1]/"), "[::1]");
    }

    #[test]
    fn browsers_say_where_their_pages_are_from() {
        let other = |pairs: &[(&'static str, &'static str)]| {
            is_of_other_site(&headers(&[&[("host", "localhost:8080")], pairs].concat()))
        };
        assert!(!other(&[]));
        assert!(!other(&[("sec-fetch-site", "same-origin"), ("origin", "https://app.example")]));
        assert!(!other(&[("sec-fetch-site", "none")]));
        assert!(!other(&[("origin", "http://localhost:8080")]));
        for site in ["cross-site", "same-site", ""] {
            assert!(other(&[("sec-fetch-site", site), ("origin", "http://localhost:8080")]), "{site}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost:3000",
            "http://localhost",
            "",
            "localhost:8080",
        ] {
            assert!(other(&[("origin", origin)]), "{origin}");
        }
    }
}

//! Headers: whatever they hold has a meaning or a refusal, and one that lets somebody in is the one that everybody would
//! read in it.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Request, Version};
use weir_core::{EventId, Position};
use weir_http::fuzz::{self, Heard};

/// Headers that weir reads. A value says by its first byte which it belongs to.
const NAMES: [&str; 10] = [
    "host",
    "transfer-encoding",
    "authorization",
    "cookie",
    "last-event-id",
    "content-type",
    "content-encoding",
    "idempotency-key",
    "forwarded",
    "x-forwarded-for",
];

/// Any values of these headers, each ended by 0xFF.
pub fn headers(input: &[u8]) {
    let mut parts = Request::new(()).into_parts().0;
    parts.version = Version::HTTP_11;
    for line in input.split(|byte| *byte == 0xff) {
        let Some((first, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(NAMES[usize::from(*first) % NAMES.len()]);
        // What HTTP does not allow in a value does not come as far as this.
        if let Ok(value) = HeaderValue::from_bytes(value.trim_ascii()) {
            parts.headers.append(name, value);
        }
    }
    let headers = parts.headers.clone();
    let heard = fuzz::heard(parts);
    whom(&headers, &heard);
    who(&headers, &heard);
    what(&headers, &heard);
}

/// A request that is taken for one of this machine names it, and nobody else asks for somebody.
fn whom(headers: &HeaderMap, heard: &Heard) {
    let hosts: Vec<_> = headers.get_all("host").iter().collect();
    let codings: Vec<_> = headers.get_all("transfer-encoding").iter().collect();
    let Ok(()) = heard.head else {
        assert!(matches!(heard.head, Err((400, "invalid_host" | "invalid_framing"))), "{:?}", heard.head);
        return;
    };
    assert_eq!(hosts.len(), 1);
    assert!(
        codings.is_empty() || codings.len() == 1 && codings[0].as_bytes().eq_ignore_ascii_case(b"chunked")
    );
    if heard.is_local {
        assert!(!headers.contains_key("forwarded") && !headers.contains_key("x-forwarded-for"));
        let host: Authority = hosts[0].to_str().expect("a name").parse().expect("an authority");
        let name = host.host().trim_matches(['[', ']']);
        let is_loopback = name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        assert!(name.eq_ignore_ascii_case("localhost") || is_loopback, "{host}");
    }
}

/// A token is what one of the headers says, and the cookie is asked only where there is no other.
fn who(headers: &HeaderMap, heard: &Heard) {
    let Some((by_header, token)) = &heard.token else { return };
    assert!(!token.is_empty());
    let says = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        lines.any(|line| line.as_bytes().windows(token.len()).any(|part| part == token.as_bytes()))
    };
    assert!(says(if *by_header { "authorization" } else { "cookie" }), "{token:?}");
    let bearer = |line: &HeaderValue| line.as_bytes().to_ascii_lowercase().starts_with(b"bearer ");
    assert!(*by_header || !headers.get_all("authorization").iter().any(bearer));
}

fn what(headers: &HeaderMap, heard: &Heard) {
    assert_eq!(heard.position.is_some(), headers.contains_key("last-event-id"));
    if let Some(Position::After(id)) = heard.position {
        assert_ne!(id, EventId::ZERO);
    }
    match heard.is_array {
        Ok(is_array) => {
            let kind = headers["content-type"].as_bytes().to_ascii_lowercase();
            let name: &[u8] = if is_array { b"application/json" } else { b"application/x-ndjson" };
            assert!(kind.starts_with(name), "{kind:?}");
        }
        Err(refused) => assert_eq!(refused, (415, "unsupported_media_type")),
    }
    let codings = headers.get_all("content-encoding").iter();
    let packed = codings.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    });
    assert_eq!(heard.plain, !packed);
    match &heard.idempotency_key {
        Ok(None) => assert!(!headers.contains_key("idempotency-key")),
        Ok(Some(key)) => {
            assert!((1..=128).contains(&key.len()) && key.is_ascii());
            assert_eq!(headers["idempotency-key"], key.as_str());
        }
        Err(refused) => assert_eq!(*refused, (400, "invalid_idempotency_key")),
    }
}

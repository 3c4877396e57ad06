//! Rules for heads that hyper leaves to whoever uses it: a request that two readers may understand differently is answered by
//! neither.

use http::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version};

use crate::problem::Problem;

/// Whom a request is for is said once and plainly, and so is where its body ends.
pub(crate) fn check(parts: &Parts) -> Result<(), Problem> {
    check_host(parts)?;
    check_framing(&parts.headers)
}

fn check_host(parts: &Parts) -> Result<(), Problem> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, named) = (hosts.next(), parts.uri.authority());
    if hosts.next().is_some() {
        return Err(host_problem("send one Host header, not several"));
    }
    let host = match host {
        // One without a name is what HTTP asks for where the target has none.
        Some(host) if host.is_empty() => None,
        Some(host) => {
            let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
            Some(host.ok_or_else(|| host_problem("a Host header is a host name and maybe a port"))?)
        }
        None if named.is_none() && parts.version >= Version::HTTP_11 => {
            return Err(host_problem("send a Host header: HTTP/1.1 asks for one"));
        }
        None => None,
    };
    // A proxy of HTTP/1.1 that sends both is asked to make `Host` say what the target says; over HTTP/2 nobody may differ.
    if parts.version >= Version::HTTP_2
        && host.is_some()
        && named.is_some_and(|named| host.as_ref() != Some(named))
    {
        return Err(host_problem("Host and :authority differ: send one of them"));
    }
    // The target of a CONNECT is none of these.
    let names = [host.as_ref(), named.filter(|_| parts.method != Method::CONNECT)];
    if names.into_iter().flatten().any(|name| name.as_str().contains('@')) {
        return Err(host_problem("no user name or password belongs before a host name"));
    }
    Ok(())
}

/// hyper has refused whatever does not end in `chunked`. Who sends another coding before it, or `chunked` twice, means a
/// body that others would read differently.
fn check_framing(headers: &HeaderMap) -> Result<(), Problem> {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    let plain = lines.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if plain && lines.next().is_none() {
        return Ok(());
    }
    Err(Problem::malformed("invalid_framing", "the one transfer coding understood is chunked, once"))
}

fn host_problem(detail: &str) -> Problem {
    Problem::malformed("invalid_host", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn code(version: Version, target: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0).err().map(|problem| problem.code)
    }

    #[test]
    fn whom_a_request_is_for_is_said_once() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for (version, target, headers) in [
            (one, "/", &[("host", "localhost")] as &[_]),
            (one, "/", &[("host", "[::1]:80")]),
            (one, "/", &[("host", "")]),
            (one, "http://a/", &[("host", "b")]),
            (Version::HTTP_10, "/", &[]),
            (two, "http://a/", &[]),
            (two, "http://a/", &[("host", "a")]),
            (two, "/", &[("host", "a")]),
        ] {
            assert_eq!(code(version, target, headers), None, "{version:?} {target} {headers:?}");
        }
        for (version, target, headers) in [
            (one, "/", &[] as &[_]),
            (one, "/", &[("host", "a"), ("host", "a")]),
            (one, "/", &[("host", "a b")]),
            (one, "/", &[("host", "a/b")]),
            (one, "/", &[("host", "evil@localhost")]),
            (one, "http://evil@localhost/", &[("host", "localhost")]),
            (Version::HTTP_10, "/", &[("host", "a"), ("host", "b")]),
            (two, "/", &[]),
            (two, "http://a/", &[("host", "b")]),
            (two, "http://evil@localhost/", &[]),
        ] {
            let got = code(version, target, headers);
            assert_eq!(got, Some("invalid_host"), "{version:?} {target} {headers:?}");
        }
    }

    #[test]
    fn where_a_body_ends_is_said_once() {
        let of = |values: &[&str]| {
            let mut headers = vec![("host", "a")];
            headers.extend(values.iter().map(|value| ("transfer-encoding", *value)));
            code(Version::HTTP_11, "/", &headers)
        };
        assert_eq!((of(&[]), of(&["chunked"]), of(&["Chunked"])), (None, None, None));
        for values in
            [&["gzip, chunked"] as &[_], &["chunked, chunked"], &["chunked", "chunked"], &["gzip", "chunked"]]
        {
            assert_eq!(of(values), Some("invalid_framing"), "{values:?}");
        }
    }
}

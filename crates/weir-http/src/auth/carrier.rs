//! Where a call carries its token.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::denial::Denial;
use crate::query::Query;

/// See the [module](self). Only the header is sent on purpose: a browser sends cookies along whoever made it call, and an
/// address is copied, shared and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Header,
    Cookie,
    Query,
}

/// The token of a call. The header wins over the cookie, that over the query.
pub(crate) fn carried(
    headers: &HeaderMap,
    query: Query<'_>,
    cookie: &str,
) -> Result<Option<(Carrier, String)>, Denial> {
    if let Some(token) = header(headers)? {
        return Ok(Some((Carrier::Header, token)));
    }
    if let Some(token) = cookies(headers).find_map(|(name, value)| (name == cookie).then_some(value)) {
        return Ok(Some((Carrier::Cookie, token.to_owned())));
    }
    let token = query.first("token").map_err(|_| Denial::Malformed("in the query it is given as it is"))?;
    Ok(token.filter(|token| !token.is_empty()).map(|token| (Carrier::Query, token)))
}

/// Another scheme than `Bearer` is for somebody else, such as a proxy that left it in.
fn header(headers: &HeaderMap) -> Result<Option<String>, Denial> {
    let mut bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, rest) = value.as_bytes().split_at_checked(6)?;
        let bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_none_or(|next| *next == b' ');
        bearer.then(|| rest.trim_ascii())
    });
    match (bearers.next(), bearers.next()) {
        (None, _) => Ok(None),
        (Some(token), None) => {
            let token = std::str::from_utf8(token).ok().filter(|token| !token.is_empty());
            Ok(Some(token.ok_or(Denial::Malformed("it follows the word Bearer"))?.to_owned()))
        }
        (Some(_), Some(_)) => Err(Denial::Malformed("Authorization is given twice")),
    }
}

/// An empty cookie is what a page leaves that has logged out.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(name, value)| (name, value.trim_matches('"'))).filter(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &'static str)], query: &str) -> Result<Option<(Carrier, String)>, Denial> {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        carried(&headers.collect(), Query(query), "weir_token")
    }

    fn found(carrier: Carrier, token: &str) -> Result<Option<(Carrier, String)>, Denial> {
        Ok(Some((carrier, token.to_owned())))
    }

    #[test]
    fn the_header_wins_over_the_cookie_and_that_over_the_query() {
        let (header, cookie) = (("authorization", "Bearer h"), ("cookie", "a=b; weir_token=c; x=y"));
        assert_eq!(of(&[header, cookie], "token=q"), found(Carrier::Header, "h"));
        assert_eq!(of(&[cookie], "token=q"), found(Carrier::Cookie, "c"));
        assert_eq!(of(&[], "session=a&token=q"), found(Carrier::Query, "q"));
        assert_eq!(of(&[], ""), Ok(None));
    }

    #[test]
    fn how_each_is_written() {
        for good in ["Bearer h", "bearer h", "BEARER   h ", "Bearer \th"] {
            assert_eq!(of(&[("authorization", good)], ""), found(Carrier::Header, "h"), "{good}");
        }
        for other in ["Basic aDpo", "Bearerh", "Bear", ""] {
            assert_eq!(of(&[("authorization", other)], "token=q"), found(Carrier::Query, "q"), "{other}");
        }
        for bad in ["Bearer", "Bearer ", "bearer  "] {
            assert!(matches!(of(&[("authorization", bad)], "token=q"), Err(Denial::Malformed(_))), "{bad}");
        }
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        assert!(matches!(of(&twice, ""), Err(Denial::Malformed(_))));
        for empty in ["weir_token=", "weir_token=\"\"", "Weir_Token=x", "weir_token", "xweir_token=y"] {
            assert_eq!(of(&[("cookie", empty)], "token="), Ok(None), "{empty}");
        }
        assert_eq!(of(&[("cookie", "weir_token=\"c\"")], ""), found(Carrier::Cookie, "c"));
        assert!(matches!(of(&[], "token=%F"), Err(Denial::Malformed(_))));
    }
}

//! Whether a caller has already what it asks for.

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// Whether `If-None-Match` names this tag. Compared weakly, as RFC 9110 wants it there.
pub(crate) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_list_is_enough() {
        let has = |value: &'static str| {
            matches(&[(IF_NONE_MATCH, value.parse().unwrap())].into_iter().collect(), "\"a\"")
        };
        assert!(has("\"a\"") && has("\"b\", W/\"a\"") && has("*"));
        assert!(!has("\"b\"") && !has("a") && !has("W/a"));
        assert!(!matches(&HeaderMap::new(), "\"a\""));
    }
}

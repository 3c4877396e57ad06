//! What a misspelt name may have meant.

/// The name nearest to `text`; none only where there are no names.
pub(crate) fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(text, name);
    names.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["listen", "admin-listen", "log", "heartbeat", "read-count"];
        for (text, want) in [("lisen", "listen"), ("heart-beat", "heartbeat"), ("read-cout", "read-count")] {
            assert_eq!(nearest(text, names), Some(want));
        }
        assert_eq!(nearest("x", []), None);
    }
}

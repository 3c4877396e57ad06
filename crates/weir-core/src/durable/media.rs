//! What a stream is made of.

use std::fmt;

/// What is done with the bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`: a sequence of JSON values, read back as one array.
    Json,
    /// `text/…`: bytes that are sent as text over SSE.
    Text,
    /// Anything else: bytes, sent as base64 over SSE.
    Bytes,
}

/// The content type of a stream, as it was given.
///
/// Invariant: 1 to 256 visible ASCII characters and spaces, with a `/` between two words.
#[derive(Clone, Debug)]
pub struct MediaType(Box<str>);

impl MediaType {
    /// Longest content type in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Checks and takes a content type. `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        let fits = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let word = |word: &str| !word.is_empty() && !word.contains([' ', '/', ',']);
        let (kind, sub) = essence(text).split_once('/')?;
        (fits && word(kind) && word(sub)).then(|| Self(text.into()))
    }

    /// What a stream is made of where nothing was said.
    pub fn octets() -> Self {
        Self("application/octet-stream".into())
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same kind of thing: parameters such as a charset do not count, nor does case.
    pub fn is_like(&self, other: &Self) -> bool {
        essence(&self.0).eq_ignore_ascii_case(essence(&other.0))
    }

    /// The kind without parameters, as kinds are compared: in lower case.
    pub fn essence(&self) -> String {
        essence(&self.0).to_ascii_lowercase()
    }

    /// What is done with it.
    pub fn media(&self) -> Media {
        let essence = essence(&self.0);
        if essence.eq_ignore_ascii_case("application/json") {
            return Media::Json;
        }
        let is_text = essence.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
        if is_text { Media::Text } else { Media::Bytes }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Without parameters.
fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_count() {
        let of = |text| MediaType::parse(text).unwrap();
        assert!(of("Application/JSON; charset=utf-8").is_like(&of("application/json")));
        assert_eq!(of("application/json;charset=utf-8").media(), Media::Json);
        assert_eq!(of("TEXT/plain").media(), Media::Text);
        assert_eq!(of("application/ndjson").media(), Media::Bytes);
        assert!(!of("text/plain").is_like(&of("text/html")));
        assert_eq!(of("Application/JSON ; charset=utf-8").essence(), "application/json");
    }

    #[test]
    fn what_is_none() {
        for bad in ["", " ", "text", "/", "text/", "a/b/c", "text/plain\n", "te xt/plain", &"x/".repeat(129)]
        {
            assert!(MediaType::parse(bad).is_none(), "{bad:?}");
        }
    }
}

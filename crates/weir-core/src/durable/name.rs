//! What streams are called.

use std::fmt;
use std::sync::Arc;

/// Why a name is refused. The text says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream's name is 1 to 512 bytes of UTF-8 without control characters")]
pub struct BadStreamName;

/// The name of a durable stream: its path below `/v1/stream/`, percent-decoded once. A `/` in it is a character like any
/// other.
///
/// Invariant: 1 to 512 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Longest name in bytes. Twice that of a session: paths of several segments are common.
    pub const MAX_BYTES: usize = 512;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// It is too short, too long, or has a control character.
    pub fn parse(text: &str) -> Result<Self, BadStreamName> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        if !fits || text.chars().any(char::is_control) {
            return Err(BadStreamName);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(StreamName::parse("agents/7/äöü").unwrap().as_str(), "agents/7/äöü");
        assert!(StreamName::parse(&"x".repeat(512)).is_ok());
        for bad in ["", "a\nb", "\0", &"x".repeat(513)] {
            assert_eq!(StreamName::parse(bad), Err(BadStreamName));
        }
    }
}

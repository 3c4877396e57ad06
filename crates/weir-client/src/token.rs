//! The bearer token.

use std::fmt;

use reqwest::header::HeaderValue;

/// A bearer token. It shows in no text: `Debug` and errors say only that there is one.
#[derive(Clone)]
pub struct Token(
    // Invariant: `Bearer …`, marked as sensitive.
    HeaderValue,
);

/// The text cannot be a token. It is not repeated here, because it may be one with a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is one line of visible ASCII characters without spaces")]
pub struct BadToken;

impl Token {
    /// Checks and takes a token; white space around it, such as the line end of a file, is not part of it.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadToken);
        }
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| BadToken)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// The value of `Authorization`.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_in_no_text() {
        let token = Token::parse(" secret\n").unwrap();
        assert_eq!(token.header().as_bytes(), b"Bearer secret");
        assert!(!format!("{token:?} {:?}", token.header()).contains("secret"));
        for bad in ["", " ", "a b", "a\nb", "é"] {
            assert_eq!(Token::parse(bad).err(), Some(BadToken), "{bad:?}");
        }
    }
}

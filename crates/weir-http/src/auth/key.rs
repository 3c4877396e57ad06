//! One key that tokens are checked with.

use std::fmt;

use jsonwebtoken::DecodingKey;

use super::crypto;

/// Fewest bytes of a secret: as many as the hash of HS256 has. What is shorter can be guessed from a single token.
pub const MIN_SECRET_BYTES: usize = 32;

/// The algorithms that weir knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever checks tokens can make them too.
    Hs256,
}

impl Algorithm {
    /// As it stands in a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
        }
    }

    /// Spelled exactly so: `none`, and whatever looks like one of these, is none of them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Hs256].into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

/// See the [module](self). It knows its algorithm, so that no token can choose another for it.
#[derive(Clone)]
pub struct Key {
    pub(super) id: Option<Box<str>>,
    pub(super) algorithm: Algorithm,
    decoding: DecodingKey,
}

/// Why some bytes are no key. They are not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// It could be guessed.
    #[error(
        "a secret has at least {MIN_SECRET_BYTES} bytes, this one has {0}: make one with `openssl rand -hex 32`"
    )]
    ShortSecret(usize),
    /// A public key is no secret: whoever knows it could sign with it.
    #[error("it is a PEM file and no secret: a public key is given with --jwt-public-key-file")]
    PemSecret,
}

impl Key {
    /// A secret for HS256. Line ends behind it are no part of it.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn secret(bytes: &[u8]) -> Result<Self, BadKey> {
        let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        let secret = &bytes[..end];
        if secret.is_empty() {
            return Err(BadKey::Empty);
        }
        if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(BadKey::PemSecret);
        }
        if secret.len() < MIN_SECRET_BYTES {
            return Err(BadKey::ShortSecret(secret.len()));
        }
        Ok(Self::new(Algorithm::Hs256, DecodingKey::from_secret(secret)))
    }

    fn new(algorithm: Algorithm, decoding: DecodingKey) -> Self {
        crypto::provide();
        Self { id: None, algorithm, decoding }
    }

    /// Whether this key signed a text. The algorithm is the key's own, whatever the token says. `None` where the signature is
    /// not even base64url.
    pub(super) fn verify(&self, signed: &str, signature: &str) -> Option<bool> {
        let algorithm = self.algorithm.library();
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.decoding, algorithm).ok()
    }

    /// Whether a token that was made with this algorithm, and names this key, may have been made with this one.
    pub(super) fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        let same = self.id.as_deref().zip(id).is_none_or(|(own, named)| own == named);
        self.algorithm == algorithm && same
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.algorithm.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_enough_and_ends_before_its_line_end() {
        assert_eq!(Key::secret(b"").err(), Some(BadKey::Empty));
        assert_eq!(Key::secret(b"\r\n\n").err(), Some(BadKey::Empty));
        assert_eq!(Key::secret(&[b'x'; 31]).err(), Some(BadKey::ShortSecret(31)));
        let with_line_end = [&[b'x'; 31][..], b"\n"].concat();
        assert_eq!(Key::secret(&with_line_end).err(), Some(BadKey::ShortSecret(31)));
        let pem = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n";
        assert_eq!(Key::secret(pem).err(), Some(BadKey::PemSecret));
        assert_eq!(format!("{:?}", Key::secret(&[b'x'; 32]).unwrap()), "Key(HS256, redacted)");
    }
}

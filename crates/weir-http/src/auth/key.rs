//! One key that tokens are checked with.

use std::fmt;

use jsonwebtoken::DecodingKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};

use super::{crypto, spki};

/// Fewest bytes of a secret: as many as the hash of HS256 has. What is shorter can be guessed from a single token.
pub const MIN_SECRET_BYTES: usize = 32;

/// The algorithms that weir knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever checks tokens can make them too.
    Hs256,
    /// RSA, PKCS#1 1.5, with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// As it stands in a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Spelled exactly so: `none`, and whatever looks like one of these, is none of them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let known = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];
        known.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    pub(super) fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// See the [module](self). It knows its algorithm, so that no token can choose another for it.
#[derive(Clone)]
pub struct Key {
    id: Option<Box<str>>,
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
    /// No PEM file of public keys.
    #[error(
        "it holds no public key in PEM (BEGIN PUBLIC KEY): `openssl pkey -in PRIVATE.pem -pubout` makes one of a private key, \
         `openssl x509 -in CERTIFICATE.pem -pubkey -noout` of a certificate"
    )]
    NoPublicKey,
    /// A private key is not to lie where only a public one is needed.
    #[error(
        "it holds a private key, which nobody needs here: `openssl pkey -in FILE -pubout` makes a public one of it"
    )]
    PrivateKey,
    /// A key of another kind.
    #[error("a public key is RSA, ECDSA on the curve P-256 (prime256v1), or Ed25519")]
    Kind,
    /// It could be broken.
    #[error("an RSA key has 2048 to 8192 bits, this one has {0}")]
    RsaBits(usize),
}

impl Key {
    /// A secret for HS256. Line ends behind it are no part of it.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn secret(bytes: &[u8]) -> Result<Self, BadKey> {
        let secret = Self::without_line_end(bytes);
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

    pub(super) fn without_line_end(bytes: &[u8]) -> &[u8] {
        let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        &bytes[..end]
    }

    /// Every public key of a PEM file. What each is for follows from the key.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn public(pem: &[u8]) -> Result<Vec<Self>, BadKey> {
        if pem.trim_ascii().is_empty() {
            return Err(BadKey::Empty);
        }
        if PrivateKeyDer::from_pem_slice(pem).is_ok() {
            return Err(BadKey::PrivateKey);
        }
        let keys: Vec<_> = SubjectPublicKeyInfoDer::pem_slice_iter(pem)
            .map(|der| der.map_err(|_| BadKey::NoPublicKey).and_then(|der| spki::read(&der)))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(BadKey::NoPublicKey) } else { Ok(keys) }
    }

    pub(super) fn new(algorithm: Algorithm, decoding: DecodingKey) -> Self {
        crypto::provide();
        Self { id: None, algorithm, decoding }
    }

    /// The same key, by its name.
    pub(super) fn named(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
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

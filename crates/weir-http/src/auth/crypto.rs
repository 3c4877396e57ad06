//! What signatures are checked and made with: ring, which speaks for TLS here already.
//!
//! Of the two providers that jsonwebtoken brings itself, one needs a C library of its own and the other an RSA that leaks
//! its private key by timing.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use ring::{error, hmac};

/// Makes ring the provider of the process. Whoever comes second finds it there.
pub(super) fn provide() {
    let _ = PROVIDER.install_default();
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Signing::new(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(Checking::new(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// A key that checks.
struct Checking {
    algorithm: Algorithm,
    key: Checks,
}

enum Checks {
    Secret(hmac::Key),
    Public(UnparsedPublicKey<Vec<u8>>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Checking {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, JwtError> {
        if key.family() != algorithm.family() {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        let public = |algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]| {
            Checks::Public(UnparsedPublicKey::new(algorithm, bytes.to_vec()))
        };
        let key = match (algorithm, key.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                Checks::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret))
            }
            (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => public(&RSA_PKCS1_2048_8192_SHA256, der),
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                Checks::Rsa(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                public(&ECDSA_P256_SHA256_FIXED, point)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => public(&ED25519, point),
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        Ok(Self { algorithm, key })
    }
}

impl Verifier<Vec<u8>> for Checking {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        let checked = match &self.key {
            Checks::Secret(key) => hmac::verify(key, message, signature),
            Checks::Public(key) => key.verify(message, signature),
            Checks::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        checked.map_err(|error::Unspecified| Error::new())
    }
}

impl JwtVerifier for Checking {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// A key that signs.
struct Signing {
    algorithm: Algorithm,
    key: Signs,
}

enum Signs {
    Secret(hmac::Key),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signing {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library knows more algorithms than are taken here"
    )]
    fn new(algorithm: Algorithm, key: &EncodingKey) -> Result<Self, JwtError> {
        if key.family() != algorithm.family() {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        let bytes = key.as_bytes();
        let bad = |_| JwtError::from(ErrorKind::InvalidKeyFormat);
        let key = match algorithm {
            Algorithm::HS256 => Signs::Secret(hmac::Key::new(hmac::HMAC_SHA256, bytes)),
            Algorithm::RS256 => {
                let pair = RsaKeyPair::from_pkcs8(bytes).or_else(|_| RsaKeyPair::from_der(bytes));
                Signs::Rsa(Box::new(pair.map_err(bad)?))
            }
            Algorithm::ES256 => {
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Signs::Ecdsa(EcdsaKeyPair::from_pkcs8(kind, bytes, &SystemRandom::new()).map_err(bad)?)
            }
            Algorithm::EdDSA => {
                Signs::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(bad)?)
            }
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        Ok(Self { algorithm, key })
    }
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |error::Unspecified| Error::new();
        match &self.key {
            Signs::Secret(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Signs::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Signs::Ecdsa(pair) => {
                Ok(pair.sign(&SystemRandom::new(), message).map_err(failed)?.as_ref().to_vec())
            }
            Signs::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

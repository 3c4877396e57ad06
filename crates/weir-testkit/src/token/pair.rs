//! A private key that signs tokens, and its public key as files and as JSON have it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// A key for tests alone: making one takes seconds, and ring makes none.
const RSA: &str = include_str!("rsa.pem");

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RS256. All of them are the same key.
    Rsa,
    /// ES256.
    P256,
    /// EdDSA.
    Ed25519,
    /// A curve that weir does not know.
    P384,
}

/// A key that signs, with its public half in a file of its own.
#[derive(Debug)]
pub struct Pair {
    kind: Kind,
    pair: KeyPair,
    public: NamedTempFile,
    private: NamedTempFile,
}

impl Pair {
    /// A pair.
    ///
    /// # Panics
    /// None can be made, or there is no room for its files.
    pub fn new(kind: Kind) -> Self {
        let pair = match kind {
            Kind::Rsa => KeyPair::from_pem(RSA),
            Kind::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Kind::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            Kind::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        };
        let pair = pair.expect("a key can be made");
        let (public, private) = (file(&pair.public_key_pem()), file(&pair.serialize_pem()));
        Self { kind, pair, public, private }
    }

    /// The file with the public key.
    pub fn public(&self) -> &Path {
        self.public.path()
    }

    /// The file with the private key.
    pub fn private(&self) -> &Path {
        self.private.path()
    }

    /// The public key as PEM.
    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_text(&format!(r#"{{"alg":{:?}}}"#, self.algorithm()), &claims.to_string())
    }

    /// A token with this header and these claims, JSON or not.
    ///
    /// # Panics
    /// The key does not sign.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = super::message(header, claims);
        let (der, random) = (self.pair.serialize_der(), SystemRandom::new());
        let signature = match self.kind {
            Kind::Rsa => {
                let pair = RsaKeyPair::from_pkcs8(&der).expect("a good key");
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).expect("it signs");
                signature
            }
            Kind::P256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
                let signature = pair.expect("a good key").sign(&random, message.as_bytes());
                signature.expect("it signs").as_ref().to_vec()
            }
            Kind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).expect("a good key");
                pair.sign(message.as_bytes()).as_ref().to_vec()
            }
            Kind::P384 => panic!("nobody takes a token of this kind"),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The public key as a set of keys has it.
    ///
    /// # Panics
    /// For a key of a kind that weir does not know.
    pub fn jwk(&self, id: &str) -> Value {
        let raw = self.pair.der_bytes();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self.kind {
            // The modulus lies between headers of a length that a key of 2048 bits always has, and the exponent 65537.
            Kind::Rsa => json!({"kty": "RSA", "n": encode(&raw[9..265]), "e": "AQAB"}),
            Kind::P256 => {
                json!({"kty": "EC", "crv": "P-256", "x": encode(&raw[1..33]), "y": encode(&raw[33..])})
            }
            Kind::Ed25519 => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(raw)}),
            Kind::P384 => panic!("nobody asks for a set with this kind"),
        };
        jwk["kid"] = id.into();
        jwk["alg"] = self.algorithm().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// As it stands in a token.
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Rsa => "RS256",
            Kind::P256 => "ES256",
            Kind::Ed25519 => "EdDSA",
            Kind::P384 => "ES384",
        }
    }
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("there is room for a temporary file");
    std::fs::write(file.path(), text).expect("a file of our own takes a key");
    file
}

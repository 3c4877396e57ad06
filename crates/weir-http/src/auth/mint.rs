//! Makes tokens, for development and for tests: whoever logs people in makes theirs with a library of its own.

use jsonwebtoken::{EncodingKey, Header};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::crypto;
use super::key::{Algorithm, BadKey, Key};

/// A key that signs.
pub struct SigningKey {
    algorithm: Algorithm,
    encoding: EncodingKey,
}

/// What a token is to say.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// `sub`
    pub subject: Option<String>,
    /// `weir.subscribe`
    pub subscribe: Vec<String>,
    /// `weir.publish`
    pub publish: Vec<String>,
    /// `weir.streams.read`
    pub read: Vec<String>,
    /// `weir.streams.append`
    pub append: Vec<String>,
    /// `weir.streams.manage`
    pub manage: Vec<String>,
    /// For how long it is good.
    pub lifetime_secs: u64,
    /// `aud`
    pub audience: Vec<String>,
    /// `iss`
    pub issuer: Option<String>,
    /// `kid` of the header
    pub key_id: Option<String>,
}

/// Why some bytes are no key that signs. They are not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    /// See [`BadKey`].
    #[error(transparent)]
    Secret(#[from] BadKey),
    /// No PEM file of a private key.
    #[error("it holds no private key in PEM (BEGIN PRIVATE KEY)")]
    NoPrivateKey,
    /// The form in which older tools write keys of elliptic curves.
    #[error(
        "its form is an old one: `openssl pkcs8 -topk8 -nocrypt -in FILE` makes the one that is read here"
    )]
    Form,
    /// A key of another kind.
    #[error("a private key is RSA of at least 2048 bits, ECDSA on the curve P-256 (prime256v1), or Ed25519")]
    Kind,
}

impl SigningKey {
    /// A secret for HS256, as [`Key::secret`] reads it.
    ///
    /// # Errors
    /// [`BadSigningKey`].
    pub fn secret(bytes: &[u8]) -> Result<Self, BadSigningKey> {
        Key::secret(bytes)?;
        let encoding = EncodingKey::from_secret(Key::without_line_end(bytes));
        Ok(Self { algorithm: Algorithm::Hs256, encoding })
    }

    /// The private key of a PEM file. What it is for follows from the key.
    ///
    /// # Errors
    /// [`BadSigningKey`].
    pub fn private(pem: &[u8]) -> Result<Self, BadSigningKey> {
        crypto::provide();
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| BadSigningKey::NoPrivateKey)?;
        if matches!(key, PrivateKeyDer::Sec1(_)) {
            return Err(BadSigningKey::Form);
        }
        let der = key.secret_der();
        let kinds = [
            (Algorithm::Rs256, EncodingKey::from_rsa_der(der)),
            (Algorithm::Es256, EncodingKey::from_ec_der(der)),
            (Algorithm::EdDsa, EncodingKey::from_ed_der(der)),
        ];
        let mut fitting = kinds.into_iter().filter(|(algorithm, encoding)| {
            jsonwebtoken::crypto::sign(b"", encoding, algorithm.library()).is_ok()
        });
        let (algorithm, encoding) = fitting.next().ok_or(BadSigningKey::Kind)?;
        Ok(Self { algorithm, encoding })
    }

    /// A token that says this.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn mint(&self, order: &Order, now_secs: u64) -> Result<String, jsonwebtoken::errors::Error> {
        let header = Header { kid: order.key_id.clone(), ..Header::new(self.algorithm.library()) };
        jsonwebtoken::encode(&header, &order.claims(now_secs), &self.encoding)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, redacted)", self.algorithm.as_str())
    }
}

impl Order {
    fn claims(&self, now_secs: u64) -> Value {
        let mut claims = json!({
            "iat": now_secs,
            "exp": now_secs.saturating_add(self.lifetime_secs),
            "weir": { "subscribe": self.subscribe, "publish": self.publish },
        });
        let streams = [("read", &self.read), ("append", &self.append), ("manage", &self.manage)];
        for (name, patterns) in streams.into_iter().filter(|(_, patterns)| !patterns.is_empty()) {
            claims["weir"]["streams"][name] = json!(patterns);
        }
        let audience = match &*self.audience {
            [] => None,
            [one] => Some(json!(one)),
            several => Some(json!(several)),
        };
        let texts = [("sub", &self.subject), ("iss", &self.issuer)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?))));
        for (name, value) in texts.chain(audience.map(|audience| ("aud", audience))) {
            claims[name] = value;
        }
        claims
    }
}

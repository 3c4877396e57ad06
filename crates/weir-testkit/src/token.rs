//! Makes tokens, good ones and forged ones. It signs whatever it is given, which no library for tokens does.

mod pair;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

pub use pair::{Kind, Pair};

/// A secret in a file of its own, for `--jwt-secret-file`.
#[derive(Debug)]
pub struct Secret {
    file: NamedTempFile,
    bytes: Vec<u8>,
}

impl Secret {
    /// A secret that nobody else has.
    ///
    /// # Panics
    /// There is no room for a temporary file.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(48).collect();
        Self::of(text.as_bytes())
    }

    /// A secret that the test chose.
    ///
    /// # Panics
    /// There is no room for a temporary file.
    pub fn of(bytes: &[u8]) -> Self {
        let file = NamedTempFile::new().expect("there is room for a temporary file");
        std::fs::write(file.path(), bytes).expect("a file of our own takes a secret");
        Self { file, bytes: bytes.to_vec() }
    }

    /// The file that holds it.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file that holds it, as a flag takes it.
    ///
    /// # Panics
    /// Temporary files are kept where the name is no UTF-8.
    pub fn flag(&self) -> &str {
        self.path().to_str().expect("the temporary directory has a name of UTF-8")
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_text(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string())
    }

    /// A token with this header and these claims, JSON or not.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        hs256(&self.bytes, header, claims)
    }

    /// A token for an hour. The lists are patterns of sessions.
    pub fn token(&self, subject: &str, subscribe: &[&str], publish: &[&str]) -> String {
        self.sign(&claims(subject, subscribe, publish))
    }
}

/// A token signed with any bytes as its secret.
pub fn hs256(secret: &[u8], header: &str, claims: &str) -> String {
    let message = message(header, claims);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What a token's signature is made of.
pub fn message(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// The claims of a good token for an hour.
pub fn claims(subject: &str, subscribe: &[&str], publish: &[&str]) -> Value {
    json!({
        "sub": subject,
        "iat": now_secs(),
        "exp": now_secs() + 3600,
        "weir": { "subscribe": subscribe, "publish": publish },
    })
}

/// Unix time.
pub fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

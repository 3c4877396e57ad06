//! What a token has to be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::claims::{self, object};
use super::denial::Denial;
use super::key::{Algorithm, Key};
use super::keyring::Keyring;
use super::token::Token;

/// Longest token in bytes; a request has no room for a longer one beside its other headers.
const MAX_BYTES: usize = 8 * 1024;

/// How tokens are checked.
#[derive(Debug, Default)]
pub struct Tokens {
    /// What signatures are checked with.
    pub keyring: Keyring,
    /// What tokens have to say besides.
    pub rules: Rules,
    /// The cookie that may carry one.
    pub cookie: String,
}

/// What tokens have to say, beside what all of them do.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// For whom: one of these, where there are any.
    pub audience: Vec<String>,
    /// By whom: one of these, where there are any.
    pub issuer: Vec<String>,
}

/// What is looked at in a token's header. Whatever else stands there, such as a key or the address of one, is for others.
#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    kid: Option<String>,
    crit: Option<Box<RawValue>>,
}

impl Tokens {
    /// Checks a token.
    ///
    /// # Errors
    /// [`Denial`].
    #[expect(clippy::unused_async, reason = "keys that come from elsewhere are waited for")]
    pub async fn check(&self, text: &str, now_secs: u64) -> Result<Token, Denial> {
        let claims = verify(&self.keyring.keys(), text)?;
        claims::check(&claims, &self.rules, now_secs)
    }
}

/// The claims of a token that was made with one of the keys.
fn verify(keys: &[Key], text: &str) -> Result<Box<RawValue>, Denial> {
    let header = header(text)?;
    let algorithm = header.alg.as_deref().and_then(Algorithm::parse).ok_or(Denial::Algorithm)?;
    if keys.is_empty() {
        return Err(Denial::NoKeys);
    }
    if !keys.iter().any(|key| key.algorithm == algorithm) {
        return Err(Denial::Algorithm);
    }
    let malformed = Denial::Malformed("its signature is base64url, its claims are JSON in it");
    let (signed, signature) = text.rsplit_once('.').ok_or(malformed)?;
    let mut denial = Denial::UnknownKey;
    for key in keys.iter().filter(|key| key.fits(algorithm, header.kid.as_deref())) {
        if key.verify(signed, signature).ok_or(malformed)? {
            let claims = signed.split_once('.').and_then(|(_, claims)| decode(claims));
            return claims.ok_or(malformed);
        }
        denial = Denial::Signature;
    }
    Err(denial)
}

fn decode(part: &str) -> Option<Box<RawValue>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn header(text: &str) -> Result<Header, Denial> {
    if text.len() > MAX_BYTES {
        return Err(Denial::Malformed("it is longer than 8 KiB"));
    }
    let parts: Vec<_> = text.split('.').collect();
    let [header, _, _] = *parts else {
        return Err(Denial::Malformed("it has three parts with dots between them"));
    };
    let header: Option<Header> = decode(header).and_then(|json| object(&json));
    let header = header.ok_or(Denial::Malformed("its header is one JSON object in base64url"))?;
    // An extension that must be understood, and none is.
    if header.crit.is_some() {
        return Err(Denial::Malformed("its header has `crit`, and this instance knows no extension"));
    }
    Ok(header)
}

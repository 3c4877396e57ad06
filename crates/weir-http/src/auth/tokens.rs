//! What a token has to be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::claims::{self, object};
use super::denial::Denial;
use super::key::Algorithm;
use super::keyring::{Again, Keyring};
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
    /// Checks a token. Where it names a key that a provider may have by now, that is waited for.
    ///
    /// # Errors
    /// [`Denial`].
    pub async fn check(&self, text: &str, now_secs: u64) -> Result<Token, Denial> {
        let parsed = Parsed::of(text)?;
        let mut claims = self.verify(&parsed);
        let is_missing = matches!(claims, Err(Denial::UnknownKey | Denial::KeysUnavailable));
        if is_missing && self.keyring.may_be_provided(parsed.algorithm) {
            let again = self.keyring.look_again().await;
            claims = match (self.verify(&parsed), again) {
                // A stranger's token that names a key that never was must not make a new key unknown for good to the one who
                // comes right after.
                (Err(Denial::UnknownKey), Again::NotNow) => Err(Denial::KeysUnavailable),
                (claims, Again::Fetched | Again::NotNow) => claims,
            };
        }
        claims::check(&claims?, &self.rules, now_secs)
    }

    /// The claims of a token that was made with one of the keys.
    fn verify(&self, token: &Parsed<'_>) -> Result<Box<RawValue>, Denial> {
        let (keys, Parsed { algorithm, id, .. }) = (self.keyring.keys(), token);
        let may_be_provided = self.keyring.may_be_provided(*algorithm);
        let mut denial = None;
        for key in keys.all().filter(|key| key.fits(*algorithm, id.as_deref())) {
            if key.verify(token.signed, token.signature).ok_or(MALFORMED)? {
                let claims = token.signed.split_once('.').and_then(|(_, claims)| decode(claims));
                return claims.ok_or(MALFORMED);
            }
            denial = Some(Denial::Signature);
        }
        let is_provided = keys.provided().any(|key| key.fits(*algorithm, id.as_deref()));
        Err(match denial {
            _ if may_be_provided && keys.are_awaited() => Denial::KeysUnavailable,
            _ if may_be_provided && !is_provided => Denial::UnknownKey,
            Some(denial) => denial,
            None if keys.all().any(|key| key.algorithm == *algorithm) => Denial::UnknownKey,
            None if keys.all().next().is_none() && !self.keyring.has_provider() => Denial::NoKeys,
            None => Denial::Algorithm,
        })
    }
}

/// The header and the claims of a token as they stand there, whoever made it: to be shown, never to be believed.
pub fn unchecked(text: &str) -> Option<[String; 2]> {
    let (header, rest) = text.split_once('.')?;
    let (claims, _) = rest.split_once('.')?;
    let json = |part| decode(part).map(|json| json.get().to_owned());
    Some([json(header)?, json(claims)?])
}

const MALFORMED: Denial = Denial::Malformed("its signature is base64url, its claims are JSON in it");

/// A token before its signature was checked.
struct Parsed<'a> {
    algorithm: Algorithm,
    /// The key that it names.
    id: Option<String>,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Parsed<'a> {
    fn of(text: &'a str) -> Result<Self, Denial> {
        let header = header(text)?;
        let algorithm = header.alg.as_deref().and_then(Algorithm::parse).ok_or(Denial::Algorithm)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(MALFORMED)?;
        Ok(Self { algorithm, id: header.kid, signed, signature })
    }
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

//! What a token says.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use weir_core::Session;
use weir_core::durable::StreamName;
use weir_core::revocation::AHEAD_SECS;

use super::denial::Denial;
use super::grants::{Grants, Pattern, StreamGrants};
use super::token::Token;
use super::tokens::Rules;

/// Latest time that makes sense, the end of the year 9999: it also keeps sums of times from overflowing.
const LATEST_SECS: u64 = 253_402_300_799;

/// Longest subject in bytes; as long as a session, whose name it may be part of.
const MAX_SUBJECT: usize = 256;

/// Each claim that is looked at, as it stands in the token. One that is given twice is an error.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: Option<Box<RawValue>>,
    exp: Option<Box<RawValue>>,
    nbf: Option<Box<RawValue>>,
    iat: Option<Box<RawValue>>,
    aud: Option<Box<RawValue>>,
    iss: Option<Box<RawValue>>,
    weir: Option<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
struct Weir {
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
    streams: Option<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
struct Streams {
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    append: Vec<String>,
    #[serde(default)]
    manage: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Checks what a token says, whose signature is good already.
pub(super) fn check(claims: &RawValue, rules: &Rules, now_secs: u64) -> Result<Token, Denial> {
    let bad = Denial::Malformed("its claims are one JSON object, with each claim once");
    let claims: Claims = object(claims).ok_or(bad)?;
    let expires_secs = time("exp", claims.exp.as_deref())?.ok_or(Denial::Missing("exp"))?;
    if expires_secs <= now_secs {
        return Err(Denial::Expired);
    }
    let issued_secs = time("iat", claims.iat.as_deref())?;
    // It lets nothing live longer: `exp` is taken as it stands.
    for (claim, begins) in [("nbf", time("nbf", claims.nbf.as_deref())?), ("iat", issued_secs)] {
        if begins.is_some_and(|begins| begins > now_secs + AHEAD_SECS) {
            return Err(Denial::NotYet(claim));
        }
    }
    check_audience(claims.aud.as_deref(), &rules.audience)?;
    check_issuer(claims.iss.as_deref(), &rules.issuer)?;
    let subject = subject(claims.sub.as_deref())?;
    let grants = grants(claims.weir.as_deref(), subject.as_deref())?;
    Ok(Token { subject, issued_secs, expires_secs, grants })
}

/// A JSON object. A list would be taken for one by position.
pub(super) fn object<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    json.get().starts_with('{').then(|| serde_json::from_str(json.get()).ok()).flatten()
}

fn value<T: DeserializeOwned>(
    claim: &'static str,
    json: Option<&RawValue>,
    right: &'static str,
) -> Result<Option<T>, Denial> {
    let parsed = json.map(|json| serde_json::from_str(json.get())).transpose();
    parsed.map_err(|_| Denial::Invalid { claim, right })
}

/// A time, in seconds. Fractions are allowed, and cut off.
fn time(claim: &'static str, json: Option<&RawValue>) -> Result<Option<u64>, Denial> {
    const RIGHT: &str = "a number of seconds since 1970, before the year 10000";
    let Some(secs) = value::<f64>(claim, json, RIGHT)? else { return Ok(None) };
    if !(0.0..=LATEST_SECS as f64).contains(&secs) {
        return Err(Denial::Invalid { claim, right: RIGHT });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range above")]
    let whole = secs as u64;
    Ok(Some(whole))
}

/// Where nobody said who we are, every audience will do.
fn check_audience(json: Option<&RawValue>, ours: &[String]) -> Result<(), Denial> {
    let given = value("aud", json, "a text or a list of texts")?;
    if ours.is_empty() {
        return Ok(());
    }
    let ours = |name: &String| ours.contains(name);
    let found = match given.ok_or(Denial::Missing("aud"))? {
        OneOrMore::One(name) => ours(&name),
        OneOrMore::More(names) => names.iter().any(ours),
    };
    if found { Ok(()) } else { Err(Denial::Audience) }
}

fn check_issuer(json: Option<&RawValue>, trusted: &[String]) -> Result<(), Denial> {
    let given: Option<String> = value("iss", json, "a text")?;
    if trusted.is_empty() || trusted.contains(&given.ok_or(Denial::Missing("iss"))?) {
        Ok(())
    } else {
        Err(Denial::Issuer)
    }
}

fn subject(json: Option<&RawValue>) -> Result<Option<Box<str>>, Denial> {
    const RIGHT: &str = "a text of 1 to 256 bytes without control characters";
    let subject: Option<Box<str>> = value("sub", json, RIGHT)?;
    let fits = |text: &str| (1..=MAX_SUBJECT).contains(&text.len()) && !text.chars().any(char::is_control);
    if subject.as_deref().is_some_and(|text| !fits(text)) {
        return Err(Denial::Invalid { claim: "sub", right: RIGHT });
    }
    Ok(subject)
}

fn grants(json: Option<&RawValue>, subject: Option<&str>) -> Result<Grants, Denial> {
    let right = "an object with the lists `subscribe` and `publish` of session patterns, and with `streams`, an object with \
                 the lists `read`, `append` and `manage` of stream patterns";
    let invalid = Denial::Invalid { claim: "weir", right };
    let Some(json) = json else { return Ok(Grants::default()) };
    let Weir { subscribe, publish, streams } = object(json).ok_or(invalid)?;
    let patterns = |templates: &[String], longest| {
        templates.iter().filter_map(|template| Pattern::new(template, subject, longest)).collect()
    };
    let streams = match streams {
        None => None,
        Some(json) => {
            let Streams { read, append, manage } = object(&json).ok_or(invalid)?;
            let [read, append, manage] =
                [read, append, manage].map(|templates| patterns(&templates, StreamName::MAX_BYTES));
            Some(Box::new(StreamGrants { read, append, manage }))
        }
    };
    let sessions = |templates| patterns(templates, Session::MAX_BYTES);
    Ok(Grants { subscribe: sessions(&subscribe), publish: sessions(&publish), streams })
}

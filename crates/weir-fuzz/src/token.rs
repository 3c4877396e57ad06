//! Tokens.

use std::future::Future as _;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use weir_http::auth::denial::Denial;
use weir_http::auth::jwks;
use weir_http::auth::key::Key;
use weir_http::auth::keyring::Keyring;
use weir_http::auth::token::Token;
use weir_http::auth::tokens::{Rules, Tokens, unchecked};
use weir_testkit::token::{Kind, Pair, hs256};

/// The moment at which tokens are looked at.
const NOW_SECS: u64 = 1_795_000_000;

/// Known to the target alone: no input can be signed with it but by the target itself.
const SECRET: &[u8] = b"nobody but the target knows this one";

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let public = [Kind::Rsa, Kind::P256, Kind::Ed25519].map(|kind| Pair::new(kind).public_pem());
    let public = public.iter().flat_map(|pem| Key::public(pem.as_bytes()).expect("a good key"));
    let keys = public.chain([Key::secret(SECRET).expect("a good secret")]).collect();
    Tokens { keyring: Keyring::new(keys), rules: Rules::default(), cookie: String::new() }
});

/// Tokens: no text is one that nobody signed. Of a header, LF and claims that are signed, only those are taken that name
/// the key's own algorithm and are still good. And a set of keys is what it is, or none.
pub fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _shown = unchecked(&text);
    assert!(check(&text).is_err(), "taken without a signature: {text:?}");
    let _keys = jwks::parse(input).map(|keys| assert!(keys.len() <= 32));
    // What may be a key is no business of the target; that it is read without harm is.
    let _read = (Key::secret(input).is_ok(), Key::public(input).is_ok());

    let (header, claims) = text.split_once('\n').unwrap_or((r#"{"alg":"HS256"}"#, &text));
    let Ok(token) = check(&hs256(SECRET, header, claims)) else { return };
    // What is nested deeper than anybody reads may stand in a claim that is not looked at.
    let (Ok(header), Ok(claims)) =
        (serde_json::from_str::<Value>(header), serde_json::from_str::<Value>(claims))
    else {
        return;
    };
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none_or(Value::is_null));
    let exp = claims["exp"].as_f64().expect("exp is a number");
    assert!(exp > NOW_SECS as f64 && token.expires_secs > NOW_SECS, "{exp}");
    assert_eq!(claims["sub"].as_str(), token.subject.as_deref());
    if claims["weir"].is_null() {
        assert!(token.grants.subscribe().is_empty() && token.grants.publish().is_empty());
        assert!(token.grants.streams().iter().all(Vec::is_empty));
    }
}

/// Nothing is waited for where there is no provider.
fn check(text: &str) -> Result<Token, Denial> {
    match pin!(TOKENS.check(text, NOW_SECS)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(checked) => checked,
        Poll::Pending => panic!("it waits for {text:?}"),
    }
}

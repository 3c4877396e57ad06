//! Public keys as their owner publishes them: a JSON Web Key Set (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use serde::Deserialize;

use super::key::{Algorithm, Key};
use super::spki::{bit_length, check_rsa_bits};

/// Most keys that are taken of a set: a token without `kid` is tried with each of its algorithm.
const MAX_KEYS: usize = 32;

/// Bytes of a coordinate, and of a public key, on the curves that are known.
const POINT_BYTES: usize = 32;

/// Why a text is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSet {
    /// Not even JSON.
    #[error("it is no set of keys: a JSON Web Key Set is {{\"keys\":[…]}}")]
    Shape,
    /// Nothing that a signature could be checked with. More likely a mistake than meant.
    #[error("it holds no public key for RS256, ES256 or EdDSA")]
    Empty,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// Takes the keys of a set that signatures can be checked with, and leaves the others, such as those to encrypt with. A
/// secret in a set that everybody can read is none, so none is taken.
///
/// # Errors
/// [`BadSet`].
pub fn parse(json: &[u8]) -> Result<Vec<Key>, BadSet> {
    let set: Set = serde_json::from_slice(json).map_err(|_| BadSet::Shape)?;
    let jwks = set.keys.into_iter().filter_map(|json| serde_json::from_value(json).ok());
    let keys: Vec<_> = jwks.filter_map(|jwk| key(&jwk)).take(MAX_KEYS).collect();
    if keys.is_empty() { Err(BadSet::Empty) } else { Ok(keys) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library may come to know more kinds of keys")]
fn key(jwk: &Jwk) -> Option<Key> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            check_rsa_bits(bit_length(&modulus)).ok()?;
            (Algorithm::Rs256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            is_point(&ec.x).then_some(())?;
            is_point(&ec.y).then_some(())?;
            (Algorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {
            is_point(&ed.x).then_some(())?;
            (Algorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if !is_for_signatures(&jwk.common, named) {
        return None;
    }
    let key = Key::new(algorithm, DecodingKey::from_jwk(jwk).ok()?);
    Some(match &jwk.common.key_id {
        Some(id) => key.named(id),
        None => key,
    })
}

fn is_point(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == POINT_BYTES)
}

/// Whether nothing that the key says of itself is against it.
fn is_for_signatures(common: &CommonParameters, algorithm: KeyAlgorithm) -> bool {
    let fits_use = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let fits_operations =
        common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    fits_use && fits_operations && common.key_algorithm.is_none_or(|named| named == algorithm)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_testkit::token::{Kind, Pair};

    use super::*;

    fn set(keys: &[Value]) -> Result<usize, BadSet> {
        parse(json!({ "keys": keys }).to_string().as_bytes()).map(|keys| keys.len())
    }

    fn but(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn keys_that_check_signatures_are_taken() {
        let jwks = [Kind::Rsa, Kind::P256, Kind::Ed25519].map(|kind| Pair::new(kind).jwk("a"));
        assert_eq!(set(&jwks), Ok(3));
        for mut jwk in jwks {
            for name in ["kid", "alg", "use"] {
                jwk.as_object_mut().unwrap().remove(name);
                assert_eq!(set(std::slice::from_ref(&jwk)), Ok(1), "{jwk}");
            }
            assert_eq!(set(&[but(jwk, "key_ops", json!(["verify"]))]), Ok(1));
        }
    }

    #[test]
    fn what_does_not_fit_is_left() {
        let [rsa, ec, ed] = [Kind::Rsa, Kind::P256, Kind::Ed25519].map(|kind| Pair::new(kind).jwk("a"));
        let bad = [
            but(rsa.clone(), "use", json!("enc")),
            but(rsa.clone(), "alg", json!("RS512")),
            but(rsa.clone(), "alg", json!("RSA-OAEP")),
            but(rsa.clone(), "alg", json!("HS256")),
            but(rsa.clone(), "n", json!("AQAB")),
            but(rsa.clone(), "n", json!("!")),
            but(rsa.clone(), "key_ops", json!(["encrypt"])),
            but(rsa, "kty", json!("oct")),
            but(ec.clone(), "crv", json!("P-384")),
            but(ec.clone(), "x", json!("AAAA")),
            but(ec, "alg", json!("ES384")),
            but(ed.clone(), "crv", json!("Ed448")),
            but(ed.clone(), "x", json!("")),
            json!({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"}),
            json!("x"),
            json!({}),
            Value::Null,
        ];
        for jwk in &bad {
            assert_eq!(set(std::slice::from_ref(jwk)), Err(BadSet::Empty), "{jwk}");
        }
        let with_a_good_one: Vec<_> = bad.into_iter().chain([ed.clone()]).collect();
        assert_eq!(set(&with_a_good_one), Ok(1));
        assert_eq!(set(&vec![ed; 100]), Ok(MAX_KEYS));
        assert_eq!(set(&[]), Err(BadSet::Empty));
        for text in ["", "[]", "{}", "{\"keys\":{}}", "<html>", "\u{feff}{\"keys\":[]}"] {
            assert_eq!(parse(text.as_bytes()).err(), Some(BadSet::Shape), "{text}");
        }
    }
}

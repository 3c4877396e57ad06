//! Public keys as files have them: what a key is for stands in the key.

use jsonwebtoken::DecodingKey;
use spki::SubjectPublicKeyInfo;
use spki::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use spki::der::{Decode, Reader, SliceReader};

use super::key::{Algorithm, BadKey, Key};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Sizes of RSA keys that signatures are checked with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Reads one key.
pub(super) fn read(der: &[u8]) -> Result<Key, BadKey> {
    let info =
        SubjectPublicKeyInfo::<AnyRef<'_>, BitStringRef<'_>>::from_der(der).map_err(|_| BadKey::Kind)?;
    let bits = info.subject_public_key.as_bytes().ok_or(BadKey::Kind)?;
    let algorithm = &info.algorithm;
    match algorithm.oid {
        RSA => {
            check_rsa_bits(rsa_bits(bits).ok_or(BadKey::Kind)?)?;
            Ok(Key::new(Algorithm::Rs256, DecodingKey::from_rsa_der(bits)))
        }
        EC if algorithm.parameters_oid() == Ok(P256) => {
            Ok(Key::new(Algorithm::Es256, DecodingKey::from_ec_der(bits)))
        }
        ED25519 if bits.len() == 32 => Ok(Key::new(Algorithm::EdDsa, DecodingKey::from_ed_der(bits))),
        _ => Err(BadKey::Kind),
    }
}

/// Whether signatures of such a key are checked at all.
pub(super) fn check_rsa_bits(bits: usize) -> Result<(), BadKey> {
    if RSA_BITS.contains(&bits) { Ok(()) } else { Err(BadKey::RsaBits(bits)) }
}

/// The bits of a big-endian number.
pub(super) fn bit_length(number: &[u8]) -> usize {
    let significant = number.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &number[first..]);
    let top = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    significant.len() * 8 - top
}

fn rsa_bits(der: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(der).ok()?;
    let modulus = reader.sequence(|fields: &mut SliceReader<'_>| {
        let modulus = UintRef::decode(fields)?;
        UintRef::decode(fields)?;
        Ok::<_, spki::der::Error>(modulus)
    });
    Some(bit_length(modulus.ok()?.as_bytes()))
}

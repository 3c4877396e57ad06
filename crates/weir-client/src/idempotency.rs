//! What makes the repeat of a publish harmless.

use reqwest::header::HeaderValue;
use rustls::crypto::CryptoProvider;

use crate::client::provide_crypto;

/// A key under which something is published once: a repeat with the same content within five minutes, on any instance, is
/// answered with the first id and publishes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(
    // Invariant: 1 to 128 visible ASCII characters.
    HeaderValue,
);

/// The text is no such key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to 128 visible ASCII characters")]
pub struct BadIdempotencyKey;

impl IdempotencyKey {
    /// One that nobody else has.
    ///
    /// # Panics
    /// Where the system has no randomness, without which there is no TLS either.
    pub fn random() -> Self {
        provide_crypto();
        let provider = CryptoProvider::get_default().expect("it was provided");
        let mut bytes = [0; 16];
        // Not of a generator that begins with the time since the machine was started: machines that are started alike would
        // have the same keys, and what one of them publishes would be a repeat of what the other did.
        provider.secure_random.fill(&mut bytes).expect("the system has randomness");
        Self::parse(&format!("{:032x}", u128::from_be_bytes(bytes))).expect("hexadecimal digits are visible")
    }

    /// One of the caller's own, such as the delivery id of a web hook that its sender repeats.
    ///
    /// # Errors
    /// [`BadIdempotencyKey`].
    pub fn parse(text: &str) -> Result<Self, BadIdempotencyKey> {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadIdempotencyKey);
        }
        HeaderValue::try_from(text).map(Self).map_err(|_| BadIdempotencyKey)
    }

    /// The value of `Idempotency-Key`.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_known_before_it_is_sent() {
        for bad in ["", "a b", "a\nb", "é", &"k".repeat(129)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(BadIdempotencyKey), "{bad:?}");
        }
        assert!(IdempotencyKey::parse(&"k".repeat(128)).is_ok());
    }

    #[test]
    fn nobody_else_has_it_whoever_began_alike() {
        fastrand::seed(7);
        let one = IdempotencyKey::random();
        fastrand::seed(7);
        assert_ne!(one, IdempotencyKey::random());
    }
}

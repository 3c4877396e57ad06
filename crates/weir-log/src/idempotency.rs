//! What a repeated publish is recognised by.

use sha2::{Digest, Sha256};
use weir_core::log::Idempotency;

/// Digest of scope and key. It has one size however long they are, so that what remembers it stays bounded, and it
/// separates the two, so that no scope can reach into another by choosing its name.
pub fn fingerprint(idempotency: &Idempotency) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((idempotency.scope.len() as u64).to_be_bytes());
    hash.update(&idempotency.scope);
    hash.update(&idempotency.key);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_and_key_do_not_run_together() {
        let of = |scope: &str, key: &str| {
            fingerprint(&Idempotency { scope: scope.to_owned(), key: key.to_owned(), digest: [0; 32] })
        };
        assert_ne!(of("a", "bc"), of("ab", "c"));
        assert_eq!(of("a", "b"), of("a", "b"));
    }
}

//! The names of everything in Redis.

use weir_core::name::Session;

/// The keys of one stream.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// The stream itself.
    pub(super) stream: String,
    /// Sorted set: when each group gave its last sign of life.
    pub(super) leases: String,
    /// Held by the instance that reaps and trims.
    pub(super) lock: String,
    /// Since when leases have been written without interruption.
    pub(super) since: String,
    /// The revocations that hold.
    pub(super) revoked: String,
    /// Sorted set: when each durable stream with a lifetime ends, at the earliest.
    pub(super) expiry: String,
    /// Which life of Redis this is, for the epochs of durable streams.
    pub(super) life: String,
    /// Stream: which durable streams have changed.
    pub(super) wake: String,
    /// Hash: what each instance tells of itself while somebody looks.
    pub(super) instances: String,
    /// There while somebody looks.
    pub(super) watched: String,
    /// What all of them but the stream begin with.
    pub(super) prefix: String,
}

impl Keys {
    pub(super) fn new(stream: &str) -> Self {
        let prefix = if has_hash_tag(stream) { stream.to_owned() } else { format!("{{{stream}}}") };
        Self {
            stream: stream.to_owned(),
            leases: format!("{prefix}:leases"),
            lock: format!("{prefix}:janitor"),
            since: format!("{prefix}:janitor:since"),
            revoked: format!("{prefix}:revoked"),
            expiry: format!("{prefix}:ds:expiry"),
            life: format!("{prefix}:ds:life"),
            wake: format!("{prefix}:wake"),
            instances: format!("{prefix}:instances"),
            watched: format!("{prefix}:instances:watched"),
            prefix,
        }
    }

    /// The session's snapshot.
    pub(super) fn snapshot(&self, session: &Session) -> String {
        format!("{}:snapshot:{session}", self.prefix)
    }

    /// A key like those of all snapshots.
    pub(super) fn a_snapshot(&self) -> String {
        format!("{}:snapshot:", self.prefix)
    }

    /// A publish remembered by the digest of its scope and key.
    pub(super) fn idempotency(&self, fingerprint: [u8; 32]) -> String {
        format!("{}:idem:{}", self.prefix, hex(&fingerprint))
    }

    /// Where an instance of weir, and it alone, keeps the number of its last addition to the totals.
    pub(super) fn new_mark(&self) -> String {
        format!("{}:stats:{:016x}", self.prefix, fastrand::u64(..))
    }

    /// A key of weir that nobody uses.
    pub(super) fn scratch(&self) -> String {
        format!("{}:doctor:{:016x}", self.prefix, fastrand::u64(..))
    }

    /// A new name for a group of this instance. Nobody ever had it before, so no two sockets share one.
    pub(super) fn new_group(instance: &str) -> String {
        format!("weir:{instance}:{:016x}", fastrand::u64(..))
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes every byte");
        out
    })
}

/// Whether Redis hashes only a part of the key: the first `{…}` that is not empty.
fn has_hash_tag(key: &str) -> bool {
    key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_share_the_slot_of_the_stream() {
        for stream in ["weir:events", "{app}:events", "a{b}c"] {
            let keys = Keys::new(stream);
            let slot = fred::util::redis_keyslot(stream.as_bytes());
            let snapshot = keys.snapshot(&Session::parse("{other}").unwrap());
            for key in
                [&keys.leases, &keys.lock, &keys.since, &keys.revoked, &keys.idempotency([7; 32]), &snapshot]
                    .into_iter()
                    .chain([&keys.expiry, &keys.life, &keys.wake, &keys.instances, &keys.watched])
            {
                assert_eq!(fred::util::redis_keyslot(key.as_bytes()), slot, "{key} of {stream}");
            }
        }
        assert_eq!(Keys::new("weir:events").leases, "{weir:events}:leases");
        assert_eq!(Keys::new("{a}:e").leases, "{a}:e:leases");
    }

    #[test]
    fn group_names_are_never_used_twice() {
        assert_ne!(Keys::new_group("a"), Keys::new_group("a"));
        assert!(Keys::new_group("a").starts_with("weir:a:"));
    }
}

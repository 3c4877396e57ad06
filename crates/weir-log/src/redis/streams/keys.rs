//! The names of what durable streams are in Redis. All are in the slot of the shared stream.

use weir_core::durable::StreamName;

use super::super::keys::Keys;

/// The keys of all streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamKeys<'a> {
    /// What all keys begin with.
    pub(super) prefix: &'a str,
    /// Sorted set: when each stream with a lifetime ends, at the earliest.
    pub(super) expiry: &'a str,
    /// Stream of announcements.
    pub(super) wake: &'a str,
    /// Hash: which life of Redis this is.
    pub(super) life: &'a str,
}

/// The keys of one stream.
#[derive(Debug)]
pub(super) struct OwnKeys {
    pub(super) head: String,
    pub(super) log: String,
    pub(super) producers: String,
}

impl<'a> StreamKeys<'a> {
    pub(super) fn new(keys: &'a Keys) -> Self {
        Self { prefix: &keys.prefix, expiry: &keys.expiry, wake: &keys.wake, life: &keys.life }
    }

    pub(super) fn own(&self, name: &StreamName) -> OwnKeys {
        let key = |kind| format!("{}:ds:{kind}:{name}", self.prefix);
        OwnKeys { head: key("head"), log: key("log"), producers: key("producers") }
    }
}

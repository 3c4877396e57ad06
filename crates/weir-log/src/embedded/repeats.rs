//! Publishes remembered by their idempotency keys.

use std::collections::{HashMap, VecDeque};

use weir_core::id::EventId;
use weir_core::log::{AppendError, IDEMPOTENCY_SECS};

/// Most ids remembered. It bounds memory (about 30 MiB) under a flood of keys; past it the oldest publish is forgotten
/// early, which at 300 s takes more than 800 keyed publishes a second.
const MAX_IDS: usize = 1 << 18;

/// Publishes of the last [`IDEMPOTENCY_SECS`].
// Invariant: `order` holds each key of `known` once, oldest first; `ids` is the sum of what they remember.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: HashMap<[u8; 32], Known>,
    order: VecDeque<[u8; 32]>,
    ids: usize,
    /// Those that were forgotten, where a database keeps them that has to forget them, too.
    gone: Option<Vec<(u64, [u8; 32])>>,
}

/// When a publish of `now` is forgotten.
pub(super) fn expiry(now: u64) -> u64 {
    now.saturating_add(IDEMPOTENCY_SECS * 1000)
}

#[derive(Debug)]
struct Known {
    digest: [u8; 32],
    ids: Vec<EventId>,
    expires_ms: u64,
}

impl Repeats {
    /// None, of which those are noted that are forgotten later.
    pub(super) fn remembering() -> Self {
        Self { gone: Some(Vec::new()), ..Self::default() }
    }

    /// What was forgotten since this was asked last: until when it was remembered, and its key.
    pub(super) fn take_gone(&mut self) -> Vec<(u64, [u8; 32])> {
        self.gone.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What was taken could not be forgotten in the database.
    pub(super) fn give_back(&mut self, taken: &[(u64, [u8; 32])]) {
        if let Some(gone) = &mut self.gone {
            gone.extend(taken);
        }
    }

    /// The ids of the same publish, if it was made before; a conflict where the content was another.
    pub(super) fn find(
        &mut self,
        now: u64,
        key: [u8; 32],
        digest: [u8; 32],
    ) -> Result<Option<Vec<EventId>>, AppendError> {
        self.forget_expired(now);
        match self.known.get(&key) {
            None => Ok(None),
            Some(known) if known.digest == digest => Ok(Some(known.ids.clone())),
            Some(_) => Err(AppendError::Conflict),
        }
    }

    /// Remembers until `expires_ms` a publish that [`Self::find`] did not know.
    pub(super) fn remember(&mut self, expires_ms: u64, key: [u8; 32], digest: [u8; 32], ids: Vec<EventId>) {
        self.ids += ids.len();
        self.known.insert(key, Known { digest, ids, expires_ms });
        self.order.push_back(key);
        while self.ids > MAX_IDS {
            self.forget_oldest();
        }
    }

    /// Forgets what is over.
    pub(super) fn forget_expired(&mut self, now: u64) {
        let is_over = |known: &Known| known.expires_ms <= now;
        while self.order.front().and_then(|key| self.known.get(key)).is_some_and(is_over) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(key) = self.order.pop_front() else { return };
        let Some(known) = self.known.remove(&key) else { return };
        self.ids -= known.ids.len();
        if let Some(gone) = &mut self.gone {
            gone.push((known.expires_ms, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_forgets_the_oldest_and_stays_bounded() {
        let mut repeats = Repeats::default();
        let ids = vec![EventId::ZERO; MAX_IDS / 2];
        for key in 0..3 {
            repeats.remember(expiry(0), [key; 32], [0; 32], ids.clone());
        }
        assert_eq!((repeats.known.len(), repeats.order.len(), repeats.ids), (2, 2, MAX_IDS));
        assert_eq!(repeats.find(1, [0; 32], [9; 32]), Ok(None));
        assert_eq!(repeats.find(1, [2; 32], [9; 32]), Err(AppendError::Conflict));
        assert_eq!(repeats.find(IDEMPOTENCY_SECS * 1000, [2; 32], [9; 32]), Ok(None));
        assert_eq!((repeats.known.len(), repeats.ids), (0, 0));
    }
}

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
}

#[derive(Debug)]
struct Known {
    digest: [u8; 32],
    ids: Vec<EventId>,
    expires_ms: u64,
}

impl Repeats {
    /// The ids of the same publish, if it was made before; a conflict where the content was another.
    pub(super) fn find(
        &mut self,
        now: u64,
        key: [u8; 32],
        digest: [u8; 32],
    ) -> Result<Option<Vec<EventId>>, AppendError> {
        self.forget(|known| known.expires_ms <= now);
        match self.known.get(&key) {
            None => Ok(None),
            Some(known) if known.digest == digest => Ok(Some(known.ids.clone())),
            Some(_) => Err(AppendError::Conflict),
        }
    }

    /// Remembers a publish that [`Self::find`] did not know.
    pub(super) fn remember(&mut self, now: u64, key: [u8; 32], digest: [u8; 32], ids: &[EventId]) {
        let expires_ms = now.saturating_add(IDEMPOTENCY_SECS * 1000);
        self.known.insert(key, Known { digest, ids: ids.to_vec(), expires_ms });
        self.order.push_back(key);
        self.ids += ids.len();
        while self.ids > MAX_IDS {
            self.forget_oldest();
        }
    }

    /// Forgets from the oldest on, as long as `gone` says so.
    fn forget(&mut self, gone: impl Fn(&Known) -> bool) {
        while self.order.front().and_then(|key| self.known.get(key)).is_some_and(&gone) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(known) = self.order.pop_front().and_then(|key| self.known.remove(&key)) {
            self.ids -= known.ids.len();
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
            repeats.remember(0, [key; 32], [0; 32], &ids);
        }
        assert_eq!((repeats.known.len(), repeats.order.len(), repeats.ids), (2, 2, MAX_IDS));
        assert_eq!(repeats.find(1, [0; 32], [9; 32]), Ok(None));
        assert_eq!(repeats.find(1, [2; 32], [9; 32]), Err(AppendError::Conflict));
        assert_eq!(repeats.find(IDEMPOTENCY_SECS * 1000, [2; 32], [9; 32]), Ok(None));
        assert_eq!((repeats.known.len(), repeats.ids), (0, 0));
    }
}

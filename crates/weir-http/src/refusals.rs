//! Why the log takes no events, for the operator. A publisher is told only that it does not.

use std::time::Instant;

use weir_core::log::AppendError;

use crate::seldom::Seldom;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Refusals(Seldom);

impl Refusals {
    /// An append failed. A conflict is the publisher's own fault and not told.
    pub(crate) fn note(&self, error: &AppendError, now: Instant) {
        let (AppendError::Unavailable(reason) | AppendError::OutcomeUnknown(reason)) = error else { return };
        if let Some(failed) = self.0.due(now) {
            tracing::warn!(reason, failed, "the log takes no events: publishers are answered 503");
        }
    }
}

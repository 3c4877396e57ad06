//! Why the log and the streams take nothing, for the operator. Whoever calls is told only that they do not.

use std::time::Instant;

use weir_core::durable;
use weir_core::log::AppendError;

use crate::seldom::Seldom;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    log: Seldom,
    streams: Seldom,
    full: Seldom,
}

/// What a store of streams says of why it did nothing.
pub(crate) enum Reason<'a> {
    /// It is for whoever called.
    Told,
    /// It could not be asked, or did not answer.
    Away(&'a str),
    /// There is no room.
    Full(&'a str),
}

impl Refusals {
    /// An append failed. A conflict is the publisher's own fault and not told.
    pub(crate) fn note(&self, error: &AppendError, now: Instant) {
        let (AppendError::Unavailable(reason) | AppendError::OutcomeUnknown(reason)) = error else { return };
        if let Some(failed) = self.log.due(now) {
            tracing::warn!(reason, failed, "the log takes no events: publishers are answered 503");
        }
    }

    /// Something was not done to a stream.
    pub(crate) fn note_stream<'a>(&self, error: impl Into<Reason<'a>>, now: Instant) {
        match error.into() {
            Reason::Told => {}
            Reason::Away(reason) => {
                if let Some(failed) = self.streams.due(now) {
                    tracing::warn!(reason, failed, "the streams cannot be reached: callers are answered 503");
                }
            }
            Reason::Full(reason) => {
                if let Some(failed) = self.full.due(now) {
                    tracing::warn!(
                        reason,
                        failed,
                        "the streams are full: callers are answered 507 until there is room again, by deleted streams, a higher \
                         --stream-bytes (in memory), a larger disk (--data-dir) or a higher maxmemory (--redis)"
                    );
                }
            }
        }
    }
}

impl<'a> From<&'a durable::AppendError> for Reason<'a> {
    fn from(error: &'a durable::AppendError) -> Self {
        use durable::AppendError::{Full, OutcomeUnknown, Unavailable};
        if let Full(reason) = error {
            return Self::Full(reason);
        }
        if let Unavailable(reason) | OutcomeUnknown(reason) = error { Self::Away(reason) } else { Self::Told }
    }
}

impl<'a> From<&'a durable::CreateError> for Reason<'a> {
    fn from(error: &'a durable::CreateError) -> Self {
        use durable::CreateError::{Full, OutcomeUnknown, Unavailable};
        if let Full(reason) = error {
            return Self::Full(reason);
        }
        if let Unavailable(reason) | OutcomeUnknown(reason) = error { Self::Away(reason) } else { Self::Told }
    }
}

impl<'a> From<&'a durable::DeleteError> for Reason<'a> {
    fn from(error: &'a durable::DeleteError) -> Self {
        use durable::DeleteError::{OutcomeUnknown, Unavailable};
        if let Unavailable(reason) | OutcomeUnknown(reason) = error { Self::Away(reason) } else { Self::Told }
    }
}

impl<'a> From<&'a durable::ReadError> for Reason<'a> {
    fn from(error: &'a durable::ReadError) -> Self {
        if let durable::ReadError::Unavailable(reason) = error { Self::Away(reason) } else { Self::Told }
    }
}

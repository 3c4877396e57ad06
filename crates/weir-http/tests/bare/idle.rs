//! A log that nobody asks for anything.

use std::sync::Arc;

use weir_core::log::{
    AppendError, Appended, BoxFuture, EventLog, Idempotency, LogFacts, LogUnavailable, NewEvent, RevokeError,
};
use weir_core::{Event, EventId, Revocation, Session};

#[derive(Debug)]
pub(crate) struct Idle;

impl EventLog for Idle {
    fn append<'a>(
        &'a self,
        _: &'a [NewEvent],
        _: Option<&'a Idempotency>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(std::future::pending())
    }

    fn revoke<'a>(&'a self, _: &'a Revocation) -> BoxFuture<'a, Result<EventId, RevokeError>> {
        Box::pin(std::future::pending())
    }

    fn lasts(&self) -> bool {
        false
    }

    fn snapshot<'a>(&'a self, _: &'a Session) -> BoxFuture<'a, Result<Option<Arc<Event>>, LogUnavailable>> {
        Box::pin(std::future::pending())
    }

    fn facts(&self) -> LogFacts {
        LogFacts { up: true, ..LogFacts::default() }
    }
}

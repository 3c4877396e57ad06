//! One request, and who makes it.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use weir_core::Session;

use crate::access::Action;
use crate::app::{App, Peer};
use crate::handover::Handover;
use crate::link::Link;
use crate::problem::Problem;

/// A request on the public listener; it may become a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) app: &'a Arc<App>,
    pub(crate) link: &'a Arc<Link>,
    pub(crate) handover: &'a Handover,
    pub(crate) parts: &'a Parts,
    pub(crate) peer: Peer,
}

impl Call<'_> {
    /// Who calls, where whoever that is may do this at all. Which sessions it may be done to, [`Caller::may`] tells.
    pub(crate) fn caller(&self, action: Action) -> Result<Caller, Problem> {
        self.app.gate.check(action, &self.parts.headers)?;
        Ok(Caller { address: self.peer.0 })
    }
}

/// Who makes a call, as far as weir knows.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
}

impl Caller {
    /// Who the caller says to be, and proved it.
    pub(crate) fn subject(&self) -> Option<&str> {
        None
    }

    /// When what proves that expires, as Unix time.
    pub(crate) fn expires_secs(&self) -> Option<u64> {
        None
    }

    /// Whether the caller may do this to all of these sessions; one that is forbidden refuses the whole call.
    #[expect(
        clippy::unused_self,
        reason = "whoever calls without a token may do it to every session or to none"
    )]
    pub(crate) fn may<'s>(
        &self,
        _action: Action,
        _sessions: impl IntoIterator<Item = &'s Session>,
    ) -> Result<(), Problem> {
        Ok(())
    }
}

//! One request, and who makes it.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use weir_core::Session;
use weir_core::durable::StreamName;

use crate::access::Action;
use crate::app::{App, Peer};
use crate::audit::Told;
use crate::auth::denial::Denial;
use crate::auth::token::Token;
use crate::handover::Handover;
use crate::link::Link;
use crate::path::Route;
use crate::problem::Problem;
use crate::subscribe::starting;
use crate::trace::Trace;

/// Which of several sessions is forbidden is not told, so that nobody can sound out what others have.
const NOT_GRANTED: &str = "the token does not allow this for every session of the call: ask for sessions that its claim \
                           `weir` lists, or for a token that lists these";
const NO_STREAM_GRANTED: &str = "the token does not allow this for this stream, or does not allow to read the one that it is to begin \
                                 as: ask for a token whose claim `weir.streams` lists them";
const NOTHING_GRANTED: &str = "the token allows nothing here: have it say what its holder may do, as in the claim \
                               \"weir\":{\"subscribe\":[\"user:{sub}\"],\"publish\":[]}";

/// A request on the public listener; it may become a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) app: &'a Arc<App>,
    pub(crate) link: &'a Arc<Link>,
    pub(crate) handover: &'a Handover,
    pub(crate) parts: &'a Parts,
    pub(crate) peer: Peer,
    pub(crate) trace: &'a Trace,
}

impl Call<'_> {
    /// What the audit may tell of it.
    pub(crate) fn told(&self) -> Told<'_> {
        let path = Route::parse(self.parts.uri.path()).map_or("other", |route| route.template());
        Told { trace: self.trace, address: self.peer.address, parts: self.parts, path }
    }

    /// Who calls, where whoever that is may do this at all. Which sessions it may be done to, [`Caller::may`] tells.
    pub(crate) async fn caller(&self, action: Action) -> Result<Caller, Problem> {
        let app = self.app;
        let now_ms = app.time().ms;
        let pass = app.gate.check(action, self.parts, now_ms / 1000).await?;
        if let Some(token) = &pass.token {
            self.trace.is_by(token);
            if app.revoked.refuse(token, now_ms) {
                return Err(Problem::revoked());
            }
            // A subscribe is held until it is known whose tokens are refused. What is answered at once cannot be.
            if action != Action::Subscribe && !app.broker.is_loaded() {
                return Err(starting());
            }
        }
        Ok(Caller { address: self.peer.address, token: pass.token, open: pass.open })
    }

    /// Who reads these sessions, where it may.
    pub(crate) async fn reader(&self, sessions: &[Session]) -> Result<Caller, Problem> {
        let caller = self.caller(Action::Subscribe).await?;
        caller.may(Action::Subscribe, sessions)?;
        Ok(caller)
    }
}

/// Who makes a call, as far as weir knows.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
    /// The token it showed, checked.
    pub(crate) token: Option<Arc<Token>>,
    /// What it does, anybody may do.
    pub(crate) open: bool,
}

impl Caller {
    /// Who the caller says to be, and proved it.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.token.as_ref()?.subject.as_deref()
    }

    /// When what proves that expires, as Unix time.
    pub(crate) fn expires_secs(&self) -> Option<u64> {
        Some(self.token.as_ref()?.expires_secs)
    }

    /// As an open stream keeps it.
    pub(crate) fn let_in(self) -> Self {
        let token = self.token.map(|token| Arc::new(token.without_grants()));
        Self { token, ..self }
    }

    /// Whether what it showed is good still: a body may come long after its head.
    pub(crate) fn stays(&self, app: &App) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let now_ms = app.time().ms;
        if token.expires_secs <= now_ms / 1000 {
            return Err(Denial::Expired.into());
        }
        if app.revoked.refuse(token, now_ms) { Err(Problem::revoked()) } else { Ok(()) }
    }

    /// Whether there is anything that the caller may do this to. What it says to do it to is only then worth reading.
    pub(crate) fn may_some(&self, action: Action) -> Result<(), Problem> {
        let some = self.token.as_ref().is_some_and(|token| token.grants.allow_some(action));
        if self.open || some { Ok(()) } else { Err(self.forbidden()) }
    }

    /// Whether the caller may do this to all of these sessions; one that is forbidden refuses the whole call.
    pub(crate) fn may<'s>(
        &self,
        action: Action,
        sessions: impl IntoIterator<Item = &'s Session>,
    ) -> Result<(), Problem> {
        if self.open {
            return Ok(());
        }
        let grants = self.token.as_ref().map(|token| &token.grants);
        let allowed = |session| grants.is_some_and(|grants| grants.allow(action, session));
        if sessions.into_iter().all(allowed) {
            return Ok(());
        }
        Err(self.forbidden())
    }

    /// Whether the caller may do this to a stream. Whether there is such a stream must not have been asked before.
    pub(crate) fn may_with(&self, action: Action, stream: &StreamName) -> Result<(), Problem> {
        let grants = self.token.as_ref().map(|token| &token.grants);
        if self.open || grants.is_some_and(|grants| grants.allow_with(action, stream)) {
            return Ok(());
        }
        Err(self.forbidden_for(NO_STREAM_GRANTED))
    }

    fn forbidden(&self) -> Problem {
        self.forbidden_for(NOT_GRANTED)
    }

    fn forbidden_for(&self, what: &str) -> Problem {
        let is_empty = self.token.as_ref().is_none_or(|token| token.grants.is_empty());
        Problem::forbidden(if is_empty { NOTHING_GRANTED } else { what })
    }
}

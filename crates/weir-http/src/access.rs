//! Who may call: with a token, and without.

use std::sync::Arc;

use http::Version;
use http::header::{FORWARDED, HeaderValue};
use http::request::Parts;

use crate::app::{AnonymousAccess, Way};
use crate::auth::carrier::{Carrier, carried};
use crate::auth::token::Token;
use crate::auth::tokens::Tokens;
use crate::cors::Cors;
use crate::local::{is_local, is_of_other_site};
use crate::problem::Problem;
use crate::query::Query;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Subscribe,
    Publish,
    /// Of a stream.
    Read,
    /// To a stream.
    Append,
    /// Make and delete a stream.
    Manage,
}

impl Action {
    /// Whether it changes nothing, so that nobody is harmed who is made to do it.
    pub(crate) fn only_reads(self) -> bool {
        match self {
            Self::Subscribe | Self::Read => true,
            Self::Publish | Self::Append | Self::Manage => false,
        }
    }
}

/// Who gets in: with a token that is good, and without one by [`AnonymousAccess`].
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) anonymous: AnonymousAccess,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) cors: Cors,
}

/// A call that may be made, to the sessions that the token is good for, or to all.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) token: Option<Arc<Token>>,
    /// Anybody may make it.
    pub(crate) open: bool,
}

impl Gate {
    /// Lets the call pass, or says how to go on. A token that is bad is refused where none would have been needed, too: its
    /// holder relies on it.
    pub(crate) async fn check(&self, action: Action, parts: &Parts, now_secs: u64) -> Result<Pass, Problem> {
        let open = self.is_open(action, parts);
        let query = Query(parts.uri.query().unwrap_or_default());
        match carried(&parts.headers, query, &self.tokens.cookie)? {
            None if open => self.anonymous(action, parts),
            None => Err(Problem::unauthorized()),
            Some((carrier, text)) => {
                let token = self.tokens.check(&text, now_secs).await?;
                if !action.only_reads() && carrier != Carrier::Header {
                    return match open {
                        true => self.anonymous(action, parts),
                        false => Err(Problem::cannot_publish()),
                    };
                }
                Ok(Pass { token: Some(Arc::new(token)), open })
            }
        }
    }

    /// What anybody may do, the page of a stranger may not have done by the browser of its visitor: that reaches where the
    /// page itself does not, and needs to be asked for nothing to send a `POST`.
    fn anonymous(&self, action: Action, parts: &Parts) -> Result<Pass, Problem> {
        let headers = &parts.headers;
        if !action.only_reads() && is_of_other_site(headers) && !self.cors.lists(headers) {
            return Err(Problem::cross_site());
        }
        Ok(Pass { token: None, open: true })
    }

    /// Whether anybody may do this, who calls like that.
    pub(crate) fn is_open(&self, action: Action, parts: &Parts) -> bool {
        match self.anonymous {
            // A proxy that adds no header may tell by the old version that it speaks, as nginx before 1.29.7 does. One that speaks
            // HTTP/1.1, names this machine and adds nothing cannot be told from a client.
            AnonymousAccess::Local => parts.version > Version::HTTP_10 && is_local(&parts.headers),
            AnonymousAccess::None => false,
            AnonymousAccess::Subscribe => action.only_reads(),
            AnonymousAccess::Publish => matches!(action, Action::Publish | Action::Append),
            AnonymousAccess::All => true,
        }
    }
}

/// Says in the request what was only said for the connection: that a proxy asks for somebody else.
pub(crate) fn settle_way(parts: &mut Parts, way: Way) {
    match way {
        Way::Direct => {}
        Way::Proxied => {
            parts.headers.insert(FORWARDED, HeaderValue::from_static("for=unknown"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting() {
        let request = http::Request::get("/").header("host", "weir.example").body(()).unwrap();
        let remote = request.into_parts().0;
        let gate = |anonymous| Gate { anonymous, tokens: Arc::default(), cors: Cors::default() };
        let passes = |anonymous, action| gate(anonymous).is_open(action, &remote);
        assert!(!passes(AnonymousAccess::Local, Action::Subscribe));
        assert!(!passes(AnonymousAccess::None, Action::Subscribe));
        assert!(passes(AnonymousAccess::Subscribe, Action::Subscribe));
        assert!(!passes(AnonymousAccess::Subscribe, Action::Publish));
        assert!(passes(AnonymousAccess::Publish, Action::Publish));
        assert!(passes(AnonymousAccess::All, Action::Publish));
        assert!(passes(AnonymousAccess::Subscribe, Action::Read));
        assert!(!passes(AnonymousAccess::Subscribe, Action::Append));
        assert!(passes(AnonymousAccess::Publish, Action::Append));
        for beyond in [Action::Read, Action::Manage] {
            assert!(!passes(AnonymousAccess::Publish, beyond) && passes(AnonymousAccess::All, beyond));
        }
        assert!(!passes(AnonymousAccess::Subscribe, Action::Manage));
    }
}

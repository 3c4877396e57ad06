//! Whose tokens are refused, and whose streams were ended.

use std::collections::HashSet;

use parking_lot::RwLock;
use smallvec::SmallVec;
use weir_core::EventId;
use weir_core::entry::{Content, Entry};
use weir_core::revocation::{Full, Revocation, Revocations};
use weir_core::subscription::End;

use crate::app::App;
use crate::auth::token::Token;
use crate::client::Client;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Revoked(RwLock<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    list: Revocations,
    /// The newest that came by the log.
    passed: EventId,
    /// Those that were done here already and are still to come by the log.
    ahead: SmallVec<[EventId; 1]>,
}

impl Revoked {
    /// Whether a token is refused at this time.
    pub(crate) fn refuse(&self, token: &Token, now_ms: u64) -> bool {
        let ledger = self.0.read();
        let subject = token.subject.as_deref().filter(|_| !ledger.list.is_empty());
        subject.is_some_and(|subject| ledger.list.refuse(subject, token.issued_secs, now_ms))
    }

    /// Subjects whose tokens are refused.
    pub(crate) fn len(&self, now_ms: u64) -> usize {
        self.0.read().list.in_force(now_ms).len()
    }
}

impl Ledger {
    fn add(&mut self, revocation: &Revocation, now_ms: u64) {
        if let Err(Full) = self.list.add(revocation, now_ms) {
            tracing::error!(
                "a revocation is not kept here: {Full}; the streams it means are ended all the same"
            );
        }
    }
}

impl App {
    /// Does what the entries of a batch revoke. It comes before the batch is handed out, so that what follows a revocation is
    /// not given to whom it means.
    pub fn revoke_live(&self, entries: &[Entry]) {
        let Some(first) = entries.iter().position(is_revocation) else { return };
        let now_ms = self.time().ms;
        let mut subjects = HashSet::new();
        let mut ledger = self.revoked.0.write();
        for (id, revocation) in revocations(&entries[first..]) {
            ledger.passed = ledger.passed.max(id);
            ledger.add(revocation, now_ms);
            match ledger.ahead.iter().position(|done| *done == id) {
                // Whoever came back since with another token stays.
                Some(nth) => drop(ledger.ahead.swap_remove(nth)),
                None => drop(subjects.insert(revocation.subject())),
            }
        }
        drop(ledger);
        self.end_streams(|client| client.caller.subject().is_some_and(|subject| subjects.contains(subject)));
    }

    /// Does what the entries of a window load revoke. They are of before, so only those streams end whose tokens are refused.
    pub fn revoke_loaded(&self, entries: &[Entry]) {
        self.revoke_kept(revocations(entries).map(|(_, revocation)| revocation));
    }

    /// Does what the log has kept of before.
    pub fn revoke_kept<'a>(&self, kept: impl Iterator<Item = &'a Revocation>) {
        let now_ms = self.time().ms;
        let mut ledger = self.revoked.0.write();
        kept.for_each(|revocation| ledger.add(revocation, now_ms));
        let idle = ledger.list.is_empty();
        drop(ledger);
        if !idle {
            self.end_streams(|client| client.is_revoked(self, now_ms));
        }
    }

    /// Does here what was written under this id, unless it came by the log already. It need not wait for the reader, and
    /// what it has done is not done again when that comes to it.
    pub(crate) fn revoke_written(&self, id: EventId, revocation: &Revocation) {
        let mut ledger = self.revoked.0.write();
        if ledger.passed >= id {
            return;
        }
        ledger.ahead.push(id);
        drop(ledger);
        self.revoke_here(revocation);
    }

    /// Does it on this instance alone.
    pub(crate) fn revoke_here(&self, revocation: &Revocation) {
        self.revoked.0.write().add(revocation, self.time().ms);
        self.end_streams(|client| client.caller.subject() == Some(revocation.subject()));
    }

    /// Streams and long-polls of a subject on this instance.
    pub(crate) fn streams_of(&self, subject: &str) -> usize {
        self.clients.iter().filter(|client| client.caller.subject() == Some(subject)).count()
    }

    fn end_streams(&self, whose: impl Fn(&Client) -> bool) {
        // No lock of the map is held while seats wake their tasks.
        let theirs: Vec<_> =
            self.clients.iter().filter(|client| whose(client)).map(|it| it.clone()).collect();
        theirs.iter().for_each(|client| client.seat.close(End::Revoked));
    }
}

fn is_revocation(entry: &Entry) -> bool {
    matches!(entry.content, Content::Revoked(_))
}

fn revocations(entries: &[Entry]) -> impl Iterator<Item = (EventId, &Revocation)> {
    entries.iter().filter_map(|entry| match &entry.content {
        Content::Revoked(revocation) => Some((entry.id, &**revocation)),
        Content::Event(_) | Content::Malformed(..) | Content::Internal => None,
    })
}

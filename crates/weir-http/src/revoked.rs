//! Whose tokens are refused, and whose streams were ended.

use std::collections::{HashSet, VecDeque};

use parking_lot::RwLock;
use smallvec::SmallVec;
use weir_core::EventId;
use weir_core::entry::{Content, Entry};
use weir_core::revocation::{Full, Revocation, Revocations};
use weir_core::subscription::End;

use crate::app::App;
use crate::auth::token::Token;
use crate::client::Client;

/// So many that came by the log are remembered: more do not come between a revocation and the answer to it.
const REMEMBERED: usize = 64;

/// Clients that are looked at before others get to run.
const SLICE: usize = 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Revoked(RwLock<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    list: Revocations,
    /// Those that came by the log last.
    came: VecDeque<EventId>,
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
        self.0.read().list.count(now_ms)
    }

    /// Takes what came by the log, and says whose streams are to end for it.
    fn take<'a>(&self, entries: &'a [Entry], now_ms: u64) -> HashSet<&'a str> {
        let mut ledger = self.0.write();
        ledger.add(revocations(entries).map(|(_, revocation)| revocation), now_ms);
        // Whoever came back with another token since it was done here stays.
        let to_do = revocations(entries).filter(|(id, _)| ledger.comes(*id));
        to_do.map(|(_, revocation)| revocation.subject()).collect()
    }

    /// Takes what was kept of before, and says whether any is to be heeded.
    fn keep<'a>(&self, kept: impl Iterator<Item = &'a Revocation>, now_ms: u64) -> bool {
        let mut ledger = self.0.write();
        ledger.add(kept, now_ms);
        !ledger.list.is_empty()
    }
}

impl Ledger {
    fn add<'a>(&mut self, revocations: impl Iterator<Item = &'a Revocation>, now_ms: u64) {
        let unkept = revocations.filter(|revocation| self.list.add(revocation, now_ms) == Err(Full)).count();
        if unkept > 0 {
            tracing::error!(
                count = unkept,
                "revocations are not kept here: {Full}; the streams they mean are ended all the same"
            );
        }
    }

    /// Whether what came by the log is still to be done here.
    fn comes(&mut self, id: EventId) -> bool {
        if self.came.len() == REMEMBERED {
            self.came.pop_front();
        }
        self.came.push_back(id);
        let is_done = self.ahead.contains(&id);
        // The log is in order: what has not come by now never will.
        self.ahead.retain(|done| *done > id);
        !is_done
    }
}

impl App {
    /// Does what the entries of a batch revoke. It comes before the batch is handed out, so that what follows a revocation is
    /// not given to whom it means.
    pub async fn revoke_live(&self, entries: &[Entry]) {
        let Some(first) = entries.iter().position(is_revocation) else { return };
        let subjects = self.revoked.take(&entries[first..], self.time().ms);
        self.end_in_slices(|client| {
            client.caller.subject().is_some_and(|subject| subjects.contains(subject))
        })
        .await;
    }

    /// Does what the entries of a window load revoke. They are of before, so only those streams end whose tokens are refused.
    pub async fn revoke_loaded(&self, entries: &[Entry]) {
        self.revoke_kept(revocations(entries).map(|(_, revocation)| revocation)).await;
    }

    /// Does what the log has kept of before.
    pub async fn revoke_kept<'a>(&self, kept: impl Iterator<Item = &'a Revocation>) {
        let now_ms = self.time().ms;
        if self.revoked.keep(kept, now_ms) {
            self.end_in_slices(|client| client.is_revoked(self, now_ms)).await;
        }
    }

    /// Entries were lost unread, so nobody knows which revocations came by the log.
    pub fn revocations_lost(&self) {
        let mut ledger = self.revoked.0.write();
        ledger.came.clear();
        ledger.ahead.clear();
    }

    /// Does here what was written under this id, unless it came by the log already. It need not wait for the reader, and
    /// what it has done is not done again when that comes to it.
    pub(crate) fn revoke_written(&self, id: EventId, revocation: &Revocation) {
        let mut ledger = self.revoked.0.write();
        if ledger.came.contains(&id) {
            return;
        }
        ledger.ahead.push(id);
        drop(ledger);
        self.revoke_here(revocation);
    }

    /// Does it on this instance alone. It is not put off: whoever called may hang up, and what was left then would stay.
    pub(crate) fn revoke_here(&self, revocation: &Revocation) {
        self.revoked.0.write().add(std::iter::once(revocation), self.time().ms);
        // No lock of the map is held while seats wake their tasks.
        let theirs = |client: &Client| client.caller.subject() == Some(revocation.subject());
        let theirs: Vec<_> =
            self.clients.iter().filter(|client| theirs(client)).map(|it| it.clone()).collect();
        theirs.iter().for_each(|client| client.seat.close(End::Revoked));
    }

    /// Streams and long-polls of a subject on this instance.
    pub(crate) fn streams_of(&self, subject: &str) -> usize {
        self.clients.iter().filter(|client| client.caller.subject() == Some(subject)).count()
    }

    /// Whoever comes while this goes on is told by the list.
    async fn end_in_slices(&self, whose: impl Fn(&Client) -> bool) {
        let ids: Vec<_> = self.clients.iter().map(|client| *client.key()).collect();
        for slice in ids.chunks(SLICE) {
            for id in slice {
                // No lock of the map is held while a seat wakes its tasks.
                let client = self.clients.get(id).map(|client| client.clone());
                if let Some(client) = client.filter(|client| whose(client)) {
                    client.seat.close(End::Revoked);
                }
            }
            tokio::task::yield_now().await;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ms: u64, subject: &str) -> Entry {
        let revocation = Revocation::new(subject, 1, None).unwrap();
        Entry { id: EventId::new(ms, 0), content: Content::Revoked(revocation.into()) }
    }

    #[test]
    fn what_was_done_here_is_not_done_again_and_not_remembered_for_ever() {
        let revoked = Revoked::default();
        revoked.0.write().ahead.extend([EventId::new(2, 0), EventId::new(3, 0), EventId::new(9, 0)]);
        // That of 2 was lost unread.
        let subjects = [entry(1, "ann"), entry(3, "bob"), entry(4, "cid")];
        assert_eq!(revoked.take(&subjects, 5), HashSet::from(["ann", "cid"]));
        assert_eq!(revoked.0.read().ahead.as_slice(), [EventId::new(9, 0)]);
        // Whether one came is known of each by itself.
        assert!(revoked.0.read().came.contains(&EventId::new(3, 0)));
        assert!(!revoked.0.read().came.contains(&EventId::new(2, 0)));
        let many: Vec<_> = (10..200).map(|ms| entry(ms, "dan")).collect();
        revoked.take(&many, 5);
        assert_eq!((revoked.0.read().came.len(), revoked.0.read().ahead.len()), (REMEMBERED, 0));
    }
}

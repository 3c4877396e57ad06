//! Where each session's events stand in the window, and what it has lost.

use std::collections::{HashMap, VecDeque};

use super::{Mark, Seq};
use crate::name::Session;

/// One session in the window.
#[derive(Debug, Default)]
pub(super) struct SessionIndex {
    /// Places of its events, rising.
    pub(super) seqs: VecDeque<Seq>,
    /// Its newest event that left the window.
    pub(super) evicted: Option<Mark>,
}

/// All sessions that have events in the window, and those of which an evicted id is remembered.
#[derive(Debug)]
pub(super) struct SessionIndexes {
    by_session: HashMap<Session, SessionIndex>,
    /// Sessions without events in the window, oldest eviction first. An entry is stale where the session has had an event
    /// since; `dormant` counts those that are not.
    resting: VecDeque<(Seq, Session)>,
    dormant: usize,
    most_dormant: usize,
    /// The newest eviction that was forgotten: it may concern any session that is not remembered.
    forgotten: Option<Mark>,
}

/// Stale entries tolerated before the list of resting sessions is swept, beside one for each that is not stale.
const STALE_ALLOWANCE: usize = 1024;

impl SessionIndexes {
    pub(super) fn new(most_dormant: usize) -> Self {
        Self {
            by_session: HashMap::new(),
            resting: VecDeque::new(),
            dormant: 0,
            most_dormant,
            forgotten: None,
        }
    }

    pub(super) fn get(&self, session: &Session) -> Option<&SessionIndex> {
        self.by_session.get(session)
    }

    /// The newest place below which something of this session is gone.
    pub(super) fn evicted(&self, session: &Session) -> Option<Mark> {
        self.get(session).map_or(self.forgotten, |index| index.evicted)
    }

    pub(super) fn push(&mut self, session: &Session, seq: Seq) {
        if let Some(index) = self.by_session.get_mut(session) {
            if index.seqs.is_empty() {
                self.dormant -= 1;
            }
            index.seqs.push_back(seq);
        } else {
            // It may be one of those that were forgotten.
            let index = SessionIndex { seqs: VecDeque::from([seq]), evicted: self.forgotten };
            self.by_session.insert(session.clone(), index);
        }
    }

    /// Its oldest event left the window.
    pub(super) fn evict(&mut self, session: &Session, mark: Mark) {
        let Some(index) = self.by_session.get_mut(session) else { return };
        index.seqs.pop_front();
        index.evicted = Some(mark);
        if index.seqs.is_empty() {
            index.seqs = VecDeque::new();
            self.resting.push_back((mark.seq, session.clone()));
            self.dormant += 1;
            self.forget_excess();
        }
    }

    fn forget_excess(&mut self) {
        while self.dormant > self.most_dormant
            && let Some((seq, session)) = self.resting.pop_front()
        {
            if !self.rests_since(seq, &session) {
                continue;
            }
            self.dormant -= 1;
            if let Some(index) = self.by_session.remove(&session) {
                self.forgotten = index.evicted;
            }
        }
        if self.resting.len() > 2 * self.dormant + STALE_ALLOWANCE {
            let mut resting = std::mem::take(&mut self.resting);
            resting.retain(|(seq, session)| self.rests_since(*seq, session));
            self.resting = resting;
        }
    }

    fn rests_since(&self, seq: Seq, session: &Session) -> bool {
        self.get(session)
            .is_some_and(|index| index.seqs.is_empty() && index.evicted.is_some_and(|mark| mark.seq == seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EventId;

    fn mark(n: u64) -> Mark {
        Mark { seq: Seq(n), id: EventId::new(n, 0) }
    }

    /// Every session has one event, which leaves the window when the next comes.
    fn flood(indexes: &mut SessionIndexes, from: u64, names: impl Iterator<Item = u64>) {
        for (n, name) in (from..).zip(names) {
            let session = Session::parse(&name.to_string()).unwrap();
            indexes.push(&session, Seq(n));
            indexes.evict(&session, mark(n));
        }
    }

    #[test]
    fn a_flood_of_names_costs_no_more_than_what_is_remembered() {
        let mut indexes = SessionIndexes::new(10);
        flood(&mut indexes, 1, 0..50_000);
        assert_eq!((indexes.by_session.len(), indexes.dormant), (10, 10));
        assert!(indexes.resting.len() <= 20 + STALE_ALLOWANCE);
        assert_eq!(indexes.evicted(&Session::parse("49999").unwrap()), Some(mark(50_000)));
        assert_eq!(
            indexes.evicted(&Session::parse("7").unwrap()),
            Some(mark(49_990)),
            "the newest forgotten"
        );
    }

    #[test]
    fn sessions_that_come_and_go_leave_no_trail() {
        let mut indexes = SessionIndexes::new(10);
        flood(&mut indexes, 1, (0..50_000).map(|n| n % 5));
        assert_eq!((indexes.by_session.len(), indexes.dormant, indexes.forgotten), (5, 5, None));
        assert!(indexes.resting.len() <= 20 + STALE_ALLOWANCE);
    }
}

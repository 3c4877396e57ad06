//! What the log must have held: all that was acknowledged, and all that somebody received.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weir_core::EventId;

use super::history::{Fact, History, Marker, Outcome, Publish, Session, Value};
use super::report::Report;
use super::violation::Violation;

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    pub(super) id: EventId,
    pub(super) value: Value,
}

/// Who has to get what.
#[derive(Debug)]
pub(super) struct Truth<'a> {
    history: &'a History,
    /// By session, in order.
    sessions: HashMap<Session, Vec<Known>>,
    /// By session, how many entries there may be that nobody knows of.
    untold: HashMap<Session, u64>,
    markers: HashMap<Value, &'a Marker>,
}

impl<'a> Truth<'a> {
    pub(super) fn of(history: &'a History, report: &mut Report) -> Self {
        let found = found(history);
        report.unknown_seen = found
            .keys()
            .filter(|value| history.published[**value as usize].outcome == Outcome::Unknown)
            .count();
        let mut sessions: HashMap<Session, Vec<Known>> = HashMap::new();
        let mut untold: HashMap<Session, u64> = HashMap::new();
        for (value, publish) in (0..).zip(&history.published) {
            let mut ids = found.get(&value).cloned().unwrap_or_default();
            if let Outcome::Acknowledged(id) = publish.outcome {
                ids.insert(id);
            }
            let (seen, copies) = (ids.len() as u64, u64::from(publish.copies));
            if seen > copies {
                let all = ids.iter().copied().collect();
                report.violations.push(Violation::Multiplied { value, ids: all, copies: publish.copies });
                // One fault is told once: what stands where it should not is owed to nobody.
                ids.retain(|id| publish.outcome == Outcome::Acknowledged(*id));
            }
            if publish.outcome != Outcome::Refused {
                *untold.entry(publish.session).or_default() += copies.saturating_sub(seen);
            }
            let known = ids.into_iter().map(|id| Known { id, value });
            sessions.entry(publish.session).or_default().extend(known);
        }
        for known in sessions.values_mut() {
            known.sort_unstable();
        }
        report_two_values(&sessions, report);
        let markers = history.markers.iter().map(|marker| (marker.value, marker)).collect();
        Self { history, sessions, untold, markers }
    }

    pub(super) fn publish(&self, value: Value) -> Option<&'a Publish> {
        self.history.published.get(value as usize)
    }

    pub(super) fn marker(&self, value: Value) -> Option<&'a Marker> {
        self.markers.get(&value).copied()
    }

    pub(super) fn markers(&self) -> &'a [Marker] {
        &self.history.markers
    }

    /// What stands in the log for a session, in order.
    pub(super) fn of_session(&self, session: Session) -> &[Known] {
        self.sessions.get(&session).map_or(&[], Vec::as_slice)
    }

    /// How many entries of a session there may be besides.
    pub(super) fn untold(&self, session: Session) -> u64 {
        self.untold.get(&session).copied().unwrap_or_default()
    }

    /// The newest end of a log that is no more, below `id`.
    pub(super) fn reset_below(&self, id: EventId) -> Option<EventId> {
        let resets = &self.history.resets;
        resets[..resets.partition_point(|reset| *reset < id)].last().copied()
    }
}

/// Where values stand besides the place that was acknowledged.
fn found(history: &History) -> BTreeMap<Value, BTreeSet<EventId>> {
    let mut found: BTreeMap<Value, BTreeSet<EventId>> = BTreeMap::new();
    let seen =
        history.clients.iter().flat_map(|client| &client.connections).flat_map(|connection| &connection.seen);
    for seen in seen {
        let Fact::Event { id, value } = seen.fact else { continue };
        match history.published.get(value as usize).map(|publish| publish.outcome) {
            Some(Outcome::Acknowledged(told)) if told == id => {}
            Some(Outcome::Acknowledged(_) | Outcome::Unknown) => {
                found.entry(value).or_default().insert(id);
            }
            // A phantom, where its client is followed.
            Some(Outcome::Refused) | None => {}
        }
    }
    found
}

fn report_two_values(sessions: &HashMap<Session, Vec<Known>>, report: &mut Report) {
    let mut all: Vec<Known> = sessions.values().flatten().copied().collect();
    all.sort_unstable();
    for pair in all.windows(2).filter(|pair| pair[0].id == pair[1].id) {
        report
            .violations
            .push(Violation::TwoValues { id: pair[0].id, values: [pair[0].value, pair[1].value] });
    }
}

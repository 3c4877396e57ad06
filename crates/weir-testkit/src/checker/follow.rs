//! One client, connection by connection: what it was told against what it was owed.

use std::collections::HashMap;
use std::sync::Arc;

use weir_core::EventId;
use weir_core::notice::GapReason;

use super::history::{ClientLog, Connection, Fact, Gap, Keeping, Millis, Outcome, Resume, Session, Value};
use super::report::Report;
use super::truth::{Known, Truth};
use super::violation::{At, Violation};

/// Adds to the report what is wrong with this client.
pub(super) fn follow(truth: &Truth<'_>, log: &ClientLog, report: &mut Report) {
    let mut follow = Follow {
        truth,
        log,
        report,
        place: At { client: log.name.clone(), connection: 0, instance: 0, at: 0 },
        lanes: Vec::new(),
        settled: None,
        told: None,
        gaps: Vec::new(),
        reset: false,
        repeats_to: None,
        newest: HashMap::new(),
        missing: Vec::new(),
        markers: HashMap::new(),
    };
    for (nth, connection) in log.connections.iter().enumerate() {
        follow.open(nth, connection);
        for seen in &connection.seen {
            follow.place.at = seen.at;
            follow.take(connection, &seen.fact);
        }
    }
    follow.close();
}

struct Follow<'a> {
    truth: &'a Truth<'a>,
    log: &'a ClientLog,
    report: &'a mut Report,
    place: At,
    /// For each session of the connection, how far into the log the client has been followed.
    lanes: Vec<(Session, usize)>,
    /// Everything up to here was received, announced, or before the client's time.
    settled: Option<EventId>,
    /// The last position on the wire, with which it should come back.
    told: Option<EventId>,
    /// Losses announced since something last moved the position.
    gaps: Vec<&'a Gap>,
    /// It was told that the log is another one, and has not been told a position in that one.
    reset: bool,
    /// A gap `unknown-id` took it back from here: what comes up to here may have come before.
    repeats_to: Option<EventId>,
    /// For a client that keeps the newest: the newest of each key that it got or knows to be missing.
    newest: HashMap<(Session, Option<u32>), EventId>,
    /// For a client that keeps the newest: what newer events must stand for.
    missing: Vec<(Known, Violation)>,
    /// When markers came.
    markers: HashMap<Value, Millis>,
}

impl<'a> Follow<'a> {
    fn open(&mut self, nth: usize, connection: &Connection) {
        self.place.connection = nth;
        self.place.instance = connection.instance;
        self.place.at = connection.opened;
        self.lanes = connection.sessions.iter().map(|session| (*session, 0)).collect();
        match connection.resume {
            // What an empty log told it means the beginning of any other: everything that is held there comes, again or not.
            Resume::After(id) if self.told == Some(id) && id == EventId::ZERO => {
                self.repeats_to = self.repeats_to.max(self.settled.take());
            }
            Resume::After(id) if self.told == Some(id) => {}
            Resume::After(id) => self.begin_at(Some(id)),
            Resume::Live | Resume::Earliest => self.begin_at(None),
        }
        self.find_lanes();
    }

    /// A position that the client chose: what was before does not count.
    fn begin_at(&mut self, position: Option<EventId>) {
        self.report.restarts += usize::from(self.told.is_some());
        (self.settled, self.told) = (position, position);
        self.gaps.clear();
        self.reset = false;
        self.repeats_to = self.repeats_to.max(self.settled);
    }

    fn find_lanes(&mut self) {
        for (session, next) in &mut self.lanes {
            let known = self.truth.of_session(*session);
            *next = self.settled.map_or(0, |settled| known.partition_point(|known| known.id <= settled));
        }
    }

    fn take(&mut self, connection: &Connection, fact: &'a Fact) {
        match fact {
            Fact::Event { id, value } => self.event(&connection.sessions, Known { id: *id, value: *value }),
            Fact::Altered(id, text) => {
                let (at, id, text) = (self.place.clone(), *id, text.clone());
                self.report.violations.push(Violation::Altered { at, id, text });
                self.arrive(id);
            }
            Fact::Position(id) => self.position(connection.resume, *id),
            Fact::Gap(gap) => self.gap(gap),
            Fact::Dirty(what) => {
                let violation = Violation::Dirty { at: self.place.clone(), what: what.clone() };
                self.report.violations.push(violation);
            }
        }
    }

    fn event(&mut self, sessions: &Arc<[Session]>, Known { id, value }: Known) {
        self.report.deliveries += 1;
        let at = self.place.clone();
        let Some(publish) = self.truth.publish(value).filter(|publish| publish.outcome != Outcome::Refused)
        else {
            self.report.violations.push(Violation::Phantom { at, id, value });
            return;
        };
        if !sessions.contains(&publish.session) {
            self.report.violations.push(Violation::Foreign { at, id, session: publish.session });
            return;
        }
        if self.truth.marker(value).is_some() {
            self.markers.entry(value).or_insert(self.place.at);
        }
        if self.arrive(id) {
            self.note_newest(publish.session, publish.key, id);
        }
    }

    /// The next event; whether it is in order.
    fn arrive(&mut self, id: EventId) -> bool {
        if let Some(position) = self.settled.filter(|settled| id <= *settled) {
            let at = self.place.clone();
            let violation = match self.came_before(id) {
                true => Violation::Twice { at, id },
                false => Violation::OutOfOrder { at, id, position },
            };
            self.report.violations.push(violation);
            return false;
        }
        self.report.repeated +=
            usize::from(self.repeats_to.is_some_and(|to| id <= to) && self.came_before(id));
        self.pass(id.prev(), id);
        self.settle(id);
        true
    }

    /// Whether this very event was received on an earlier occasion. Looked for only where something is odd.
    fn came_before(&self, id: EventId) -> bool {
        let seen =
            self.log.connections[..=self.place.connection].iter().flat_map(|connection| &connection.seen);
        seen.filter(|seen| matches!(seen.fact, Fact::Event { id: other, .. } if other == id)).nth(1).is_some()
    }

    fn position(&mut self, resume: Resume, id: EventId) {
        let announced = self.gaps.iter().any(|gap| gap.reason == GapReason::UnknownId);
        match self.settled {
            // The greeting of a connection that begins at the beginning, which is no entry's place.
            None if id == EventId::ZERO
                && matches!(resume, Resume::Earliest | Resume::After(EventId::ZERO)) =>
            {
                self.told = Some(id);
            }
            None => self.settle(id),
            Some(_) if self.told == Some(id) && self.gaps.is_empty() => {}
            Some(settled) if id >= settled => {
                self.pass(id, id);
                self.settle(id);
            }
            // Ids go on to rise: what is above will come, and what was before the log was replaced is announced.
            Some(_) if self.reset => {
                self.told = Some(id);
                self.gaps.clear();
            }
            Some(settled) if announced => {
                self.repeats_to = self.repeats_to.max(Some(settled));
                self.settle(id);
                self.find_lanes();
            }
            Some(position) => {
                let violation = Violation::WentBack { at: self.place.clone(), told: id, position };
                self.report.violations.push(violation);
                self.told = Some(id);
            }
        }
    }

    fn gap(&mut self, gap: &'a Gap) {
        let low = gap.after.max(self.settled).unwrap_or_default();
        let range = |known: &[Known]| {
            let from = known.partition_point(|known| known.id <= low);
            let to =
                gap.before.map_or(known.len(), |before| known.partition_point(|known| known.id < before));
            to.saturating_sub(from) as u64
        };
        let missing: u64 = self.lanes.iter().map(|(session, _)| range(self.truth.of_session(*session))).sum();
        let untold: u64 = self.lanes.iter().map(|(session, _)| self.truth.untold(*session)).sum();
        self.report.gap(gap.reason, missing + untold == 0);
        let low = if self.log.keeping == Keeping::Newest { 0 } else { missing };
        let high = missing + untold;
        if gap.missed.is_some_and(|missed| !(low..=high).contains(&missed)) {
            let at = self.place.clone();
            self.report.violations.push(Violation::Miscounted { at, gap: gap.clone(), missing: (low, high) });
        }
        self.reset |= gap.reason == GapReason::Reset;
        self.gaps.push(gap);
    }

    /// Everything up to `through` is over: what the client did not get must have been announced. `before` is what it was
    /// told next.
    fn pass(&mut self, through: EventId, before: EventId) {
        let truth = self.truth;
        let Some(settled) = self.settled else { return };
        let old = if self.reset { truth.reset_below(before) } else { None };
        for nth in 0..self.lanes.len() {
            let (session, next) = self.lanes[nth];
            let due = truth.of_session(session)[next..].iter().take_while(|known| known.id <= through);
            let mut passed = 0;
            for known in due.clone() {
                passed += 1;
                if self.gaps.iter().any(|gap| covers(gap, known.id)) || old.is_some_and(|old| known.id <= old)
                {
                    self.announced(session, *known);
                } else {
                    let Known { id, value } = *known;
                    let at = self.place.clone();
                    self.missing(*known, Violation::Hole { at, id, value, session, after: settled, before });
                }
            }
            self.lanes[nth].1 = next + passed;
        }
    }

    fn announced(&mut self, session: Session, known: Known) {
        self.report.announced += 1;
        self.excuse(known.value);
        let key = self.truth.publish(known.value).and_then(|publish| publish.key);
        self.note_newest(session, key, known.id);
    }

    /// A marker that does not have to come any more.
    fn excuse(&mut self, value: Value) {
        if let Some(marker) = self.truth.marker(value) {
            self.markers.entry(value).or_insert(marker.sent);
        }
    }

    fn missing(&mut self, known: Known, violation: Violation) {
        match self.log.keeping {
            Keeping::All => self.report.violations.push(violation),
            Keeping::Newest => self.missing.push((known, violation)),
        }
    }

    fn note_newest(&mut self, session: Session, key: Option<u32>, id: EventId) {
        if self.log.keeping == Keeping::Newest {
            let newest = self.newest.entry((session, key)).or_default();
            *newest = id.max(*newest);
        }
    }

    /// The client stands here.
    fn settle(&mut self, id: EventId) {
        (self.settled, self.told) = (Some(id), Some(id));
        self.gaps.clear();
        self.reset = false;
        for (session, next) in &mut self.lanes {
            let known = self.truth.of_session(*session);
            *next += known[*next..].iter().take_while(|known| known.id <= id).count();
        }
    }

    fn close(mut self) {
        for (known, violation) in std::mem::take(&mut self.missing) {
            let publish = self.truth.publish(known.value);
            let newest = publish.and_then(|publish| self.newest.get(&(publish.session, publish.key)));
            match newest {
                Some(newest) if *newest > known.id => {
                    self.report.superseded += 1;
                    self.excuse(known.value);
                }
                Some(_) | None => self.report.violations.push(violation),
            }
        }
        self.check_markers();
    }

    fn check_markers(&mut self) {
        let Some(first) = self.log.connections.first() else { return };
        for marker in self.truth.markers() {
            let Some(publish) = self.truth.publish(marker.value) else { continue };
            let until = marker.sent.saturating_add(marker.within);
            let asked = |connection: &Connection| {
                connection.opened <= until && connection.sessions.contains(&publish.session)
            };
            let stayed = self.log.retired.is_none_or(|retired| retired > until);
            if !stayed || first.opened > marker.sent || !self.log.connections.iter().any(asked) {
                continue;
            }
            self.report.markers += 1;
            let came = self.markers.get(&marker.value).copied();
            let took = came.map(|came| came.saturating_sub(marker.sent));
            self.report.slowest_marker = self.report.slowest_marker.max(took.unwrap_or_default());
            if took.is_none_or(|took| took > marker.within) {
                self.report.violations.push(Violation::Deaf {
                    client: self.log.name.clone(),
                    value: marker.value,
                    sent: marker.sent,
                    came,
                    within: marker.within,
                });
            }
        }
    }
}

/// Whether the loss of this entry stands in the gap.
fn covers(gap: &Gap, id: EventId) -> bool {
    gap.after.is_none_or(|after| after < id) && gap.before.is_none_or(|before| id < before)
}

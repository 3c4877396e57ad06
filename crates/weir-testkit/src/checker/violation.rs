//! What can be wrong.

use std::fmt;

use weir_core::EventId;

use super::history::{Balance, Gap, History, Invariant, Millis, Session, Value};

/// How many facts on each side of a violation are shown as evidence.
const SHOWN: usize = 8;

/// Where something was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Which client.
    pub client: String,
    /// Which of its connections, from 0.
    pub connection: usize,
    /// To which instance.
    pub instance: u16,
    /// When.
    pub at: Millis,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq)]
pub enum Violation {
    /// I1: an event below the one before it.
    OutOfOrder {
        /// Where.
        at: At,
        /// Its id.
        id: EventId,
        /// How far the client was.
        position: EventId,
    },
    /// I1: the client was told a position below what it had, without a gap.
    WentBack {
        /// Where.
        at: At,
        /// The position it was told.
        told: EventId,
        /// How far it was.
        position: EventId,
    },
    /// I2: an acknowledged event was passed over in silence.
    Hole {
        /// Where it became clear.
        at: At,
        /// What is missing.
        id: EventId,
        /// What it would have said.
        value: Value,
        /// Whose it is.
        session: Session,
        /// The last thing before it that the client was told.
        after: EventId,
        /// The first thing after it that the client was told.
        before: EventId,
    },
    /// I3: an event came twice.
    Twice {
        /// Where the second time.
        at: At,
        /// Its id.
        id: EventId,
    },
    /// I4: an id has two values.
    TwoValues {
        /// The id.
        id: EventId,
        /// Both.
        values: [Value; 2],
    },
    /// I4: an event says what nobody published.
    Altered {
        /// Where.
        at: At,
        /// Its id.
        id: EventId,
        /// What it says.
        text: Box<str>,
    },
    /// I5: an event of a session that the client did not ask for.
    Foreign {
        /// Where.
        at: At,
        /// Its id.
        id: EventId,
        /// Whose it is.
        session: Session,
    },
    /// I6: an event that no producer sent, or whose producer was told that it was not published.
    Phantom {
        /// Where.
        at: At,
        /// Its id.
        id: EventId,
        /// What it says.
        value: Value,
    },
    /// I6: an event stands in the log more often than it was sent.
    Multiplied {
        /// Which.
        value: Value,
        /// Where it stands.
        ids: Vec<EventId>,
        /// How often it was sent.
        copies: u32,
    },
    /// I7: a marker did not come in time.
    Deaf {
        /// Who.
        client: String,
        /// The marker.
        value: Value,
        /// When it was sent.
        sent: Millis,
        /// When it came, if it did.
        came: Option<Millis>,
        /// How long it was allowed to take.
        within: Millis,
    },
    /// I8: a gap counts wrongly.
    Miscounted {
        /// Where.
        at: At,
        /// The gap.
        gap: Gap,
        /// How many were missing: at least and at most.
        missing: (u64, u64),
    },
    /// I9, I10: a sum does not come out.
    OffBalance(Balance),
    /// A stream that a strict parser objects to.
    Dirty {
        /// Where.
        at: At,
        /// To what.
        what: Box<str>,
    },
}

impl Violation {
    /// The promise that is broken.
    pub fn invariant(&self) -> Invariant {
        match self {
            Self::OutOfOrder { .. } | Self::WentBack { .. } => Invariant::I1,
            Self::Hole { .. } => Invariant::I2,
            Self::Twice { .. } => Invariant::I3,
            Self::TwoValues { .. } | Self::Altered { .. } => Invariant::I4,
            Self::Foreign { .. } => Invariant::I5,
            Self::Phantom { .. } | Self::Multiplied { .. } => Invariant::I6,
            Self::Deaf { .. } => Invariant::I7,
            Self::Miscounted { .. } => Invariant::I8,
            Self::OffBalance(balance) => balance.invariant,
            Self::Dirty { .. } => Invariant::Wire,
        }
    }
}

impl Violation {
    /// Where it was seen, where that is one place.
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::OutOfOrder { at, .. }
            | Self::WentBack { at, .. }
            | Self::Hole { at, .. }
            | Self::Twice { at, .. }
            | Self::Altered { at, .. }
            | Self::Foreign { at, .. }
            | Self::Phantom { at, .. }
            | Self::Miscounted { at, .. }
            | Self::Dirty { at, .. } => Some(at),
            Self::TwoValues { .. } | Self::Multiplied { .. } | Self::Deaf { .. } | Self::OffBalance(_) => {
                None
            }
        }
    }

    /// What the client was told around it, for whoever has to find out why.
    pub fn evidence(&self, history: &History) -> String {
        let Some(at) = self.at() else { return String::new() };
        let Some(client) = history.clients.iter().find(|client| client.name == at.client) else {
            return String::new();
        };
        let mut told = String::new();
        let near = at.connection.saturating_sub(2)..=at.connection + 1;
        for (nth, connection) in client.connections.iter().enumerate().filter(|(nth, _)| near.contains(nth)) {
            let (instance, resume, ended) = (connection.instance, connection.resume, connection.ended);
            told.push_str(&format!(
                "connection {nth} to instance {instance} at {} ms, {resume:?}, ended {ended:?}\n",
                connection.opened
            ));
            let here = connection.seen.partition_point(|seen| seen.at < at.at);
            let shown = connection.seen.iter().skip(here.saturating_sub(SHOWN)).take(2 * SHOWN);
            told.extend(shown.map(|seen| format!("    {} ms {:?}\n", seen.at, seen.fact)));
        }
        told
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, connection, instance, at } = self;
        write!(f, "{client}, connection {connection} to instance {instance}, at {at} ms")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.invariant())?;
        match self {
            Self::OutOfOrder { at, id, position } => write!(f, "{at}: {id} comes after {position}"),
            Self::WentBack { at, told, position } => {
                write!(f, "{at}: told the position {told} after {position}")
            }
            Self::Hole { at, id, value, session, after, before } => write!(
                f,
                "{at}: between {after} and {before} the event {id} (value {value}, session {}) is missing in silence",
                session.0
            ),
            Self::Twice { at, id } => write!(f, "{at}: {id} comes a second time"),
            Self::TwoValues { id, values: [one, two] } => {
                write!(f, "{id} is both value {one} and value {two}")
            }
            Self::Altered { at, id, text } => write!(f, "{at}: {id} says what nobody published: {text:?}"),
            Self::Foreign { at, id, session } => {
                write!(f, "{at}: {id} belongs to session {}, which it did not ask for", session.0)
            }
            Self::Phantom { at, id, value } => {
                write!(f, "{at}: {id} says value {value}, which was not published")
            }
            Self::Multiplied { value, ids, copies } => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                write!(f, "value {value} was sent {copies} times and stands at {}", ids.join(", "))
            }
            Self::Deaf { client, value, sent, came, within } => {
                write!(f, "{client}: the marker {value}, sent at {sent} ms, ")?;
                match came {
                    Some(came) => {
                        write!(f, "came only after {} ms, not {within}", came.saturating_sub(*sent))
                    }
                    None => write!(f, "never came, neither within {within} ms nor later"),
                }
            }
            Self::Miscounted { at, gap, missing: (low, high) } => {
                write!(f, "{at}: {gap} is wrong, {low} to {high} are missing")
            }
            Self::OffBalance(Balance { what, have, want, .. }) => {
                write!(f, "{what}: {have}, not {} to {}", want.start(), want.end())
            }
            Self::Dirty { at, what } => write!(f, "{at}: not clean: {what}"),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |id: Option<EventId>| id.map_or_else(|| "?".to_owned(), |id| id.to_string());
        write!(f, "gap {} from {} to {}", self.reason.as_str(), id(self.after), id(self.before))?;
        match self.missed {
            Some(missed) => write!(f, " of {missed}"),
            None => write!(f, " of unknown size"),
        }
    }
}

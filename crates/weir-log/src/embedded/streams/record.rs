//! What is stored of a stream besides its chunks and its producers.

use serde::{Deserialize, Serialize};
use weir_core::durable::{
    AppendError, Branch, Branches, CreateError, DeleteError, Forked, Lifetime, MediaType, Offset, Producer,
    ReadError, State, StreamName,
};

/// A stream.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// What it is, by the rules of all backends.
    pub(super) state: State,
    /// The number under which its chunks and producers are kept.
    pub(super) number: u64,
    /// Whose chunks it begins with, oldest first: the number of a stream, and the last of them that is taken from there.
    pub(super) lineage: Vec<(u64, u64)>,
    /// How many producers are kept.
    pub(super) producers: u64,
    /// Under which time it stands in the table of expiries.
    pub(super) due_ms: Option<u64>,
}

/// What is stored as a stream is none. Whoever asks for it is refused, nobody else is, and the upkeep passes it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// As it is written: short names, and nothing that is as it mostly is.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    /// The number.
    i: u64,
    #[serde(borrow)]
    media: std::borrow::Cow<'a, str>,
    born: u64,
    epoch: u64,
    tail: u64,
    used: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<(u64, Box<str>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<(u64, u64)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    trimmed: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    closed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed_by: Option<(Box<str>, u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fork: Option<StoredFork>,
    #[serde(default, skip_serializing_if = "is_zero")]
    forks: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    deleted: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lineage: Vec<(u64, u64)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    producers: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredFork {
    of: Box<str>,
    at: (u64, u64),
    #[serde(default, skip_serializing_if = "is_zero")]
    units: u64,
    depth: usize,
    #[serde(default, skip_serializing_if = "is_false")]
    inherits: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Record {
    /// As it is stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        let state = &self.state;
        let (idle, until) = match &state.lifetime {
            Lifetime::Forever => (None, None),
            Lifetime::Idle(secs) => (Some(*secs), None),
            Lifetime::Until { at_ms, text } => (None, Some((*at_ms, text.clone()))),
        };
        let stored = Stored {
            i: self.number,
            media: state.media.as_str().into(),
            born: state.born,
            epoch: state.branches.epoch(),
            tail: state.branches.tail().n(),
            used: state.used_ms,
            idle,
            until,
            due: self.due_ms,
            past: state.branches.past().iter().map(|branch| (branch.epoch, branch.last)).collect(),
            trimmed: state.trimmed,
            closed: state.closed,
            closed_by: state.closed_by.as_ref().map(|by| (by.id.clone(), by.epoch, by.seq)),
            seq: state.seq.clone(),
            fork: state.fork.as_ref().map(StoredFork::of),
            forks: state.forks,
            deleted: state.deleted,
            lineage: self.lineage.clone(),
            producers: self.producers,
        };
        serde_json::to_vec(&stored).expect("numbers, texts and lists are JSON")
    }

    /// From what is stored.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let stored: Stored<'_> = serde_json::from_slice(bytes).map_err(|_| Damaged)?;
        let lifetime = match (stored.idle, stored.until) {
            (Some(secs), _) => Lifetime::Idle(secs),
            (None, Some((at_ms, text))) => Lifetime::Until { at_ms, text },
            (None, None) => Lifetime::Forever,
        };
        let past = stored.past.into_iter().map(|(epoch, last)| Branch { epoch, last }).collect();
        let fork = match stored.fork {
            Some(fork) => Some(fork.forked().ok_or(Damaged)?),
            None => None,
        };
        let state = State {
            media: MediaType::parse(&stored.media).ok_or(Damaged)?,
            lifetime,
            born: stored.born,
            branches: Branches::stored(past, stored.epoch, stored.tail),
            trimmed: stored.trimmed,
            closed: stored.closed,
            closed_by: stored.closed_by.map(|(id, epoch, seq)| Producer { id, epoch, seq }),
            seq: stored.seq,
            fork,
            forks: stored.forks,
            deleted: stored.deleted,
            used_ms: stored.used,
        };
        let Stored { i: number, lineage, producers, due: due_ms, .. } = stored;
        Ok(Self { state, number, lineage, producers, due_ms })
    }
}

impl Damaged {
    const WHY: &str = "what is stored of this stream is damaged: restore the file from a backup";
}

impl From<Damaged> for CreateError {
    fn from(_: Damaged) -> Self {
        Self::Unavailable(Damaged::WHY.into())
    }
}

impl From<Damaged> for AppendError {
    fn from(_: Damaged) -> Self {
        Self::Unavailable(Damaged::WHY.into())
    }
}

impl From<Damaged> for ReadError {
    fn from(_: Damaged) -> Self {
        Self::Unavailable(Damaged::WHY.into())
    }
}

impl From<Damaged> for DeleteError {
    fn from(_: Damaged) -> Self {
        Self::Unavailable(Damaged::WHY.into())
    }
}

impl StoredFork {
    fn of(forked: &Forked) -> Self {
        Self {
            of: forked.source.as_str().into(),
            at: (forked.offset.epoch(), forked.offset.n()),
            units: forked.units,
            depth: forked.depth,
            inherits: forked.inherits,
        }
    }

    fn forked(self) -> Option<Forked> {
        Some(Forked {
            source: StreamName::parse(&self.of).ok()?,
            offset: Offset::new(self.at.0, self.at.1),
            units: self.units,
            depth: self.depth,
            inherits: self.inherits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::durable::Create;

    #[test]
    fn what_files_hold_is_read_by_later_versions() {
        let media = MediaType::parse("text/plain");
        let state = State::new(&Create { media, ..Create::default() }, None, 7, 9);
        let plain = Record { state, number: 3, lineage: Vec::new(), producers: 0, due_ms: None };
        let text = r#"{"i":3,"media":"text/plain","born":7,"epoch":7,"tail":0,"used":9}"#;
        assert_eq!(std::str::from_utf8(&plain.encode()).unwrap(), text);

        let whole = concat!(
            r#"{"i":3,"media":"text/plain","born":7,"epoch":9,"tail":6,"used":9,"until":[99,"soon \"é\""],"due":99,"#,
            r#""past":[[5,2],[7,4]],"trimmed":1,"closed":true,"closed_by":["p",1,2],"seq":"s","#,
            r#""fork":{"of":"a/b","at":[5,2],"units":1,"depth":2,"inherits":true},"forks":4,"deleted":true,"#,
            r#""lineage":[[1,1],[2,2]],"producers":8}"#,
        );
        let record = Record::decode(whole.as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(&record.encode()).unwrap(), whole);
        assert_eq!(record.state.head().tail, Offset::new(9, 6));
        let idle = Record::decode(br#"{"i":3,"media":"a/b","born":7,"epoch":7,"tail":0,"used":9,"idle":5}"#);
        assert_eq!(idle.unwrap().state.lifetime, Lifetime::Idle(5));
        assert!(Record::decode(b"{}").is_err());
    }
}

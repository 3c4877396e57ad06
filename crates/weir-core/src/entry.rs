//! The fields of a log entry, decoded into an event or a reason why not.
//!
//! Any producer can write to the stream, so nothing here trusts a byte. The first field of a meaning wins, unknown
//! fields are ignored, and one bad entry harms no other.

use std::sync::Arc;

use crate::event::{Event, EventParts};
use crate::id::EventId;
use crate::name::{EventType, Key, Session};
use crate::revocation::Revocation;

/// One entry as a reader hands it on.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the log. It moves the head whatever the content is.
    pub id: EventId,
    /// What it says.
    pub content: Content,
}

/// What an entry turned out to be.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is delivered.
    Event(Arc<Event>),
    /// It cannot be delivered: counted and skipped. An oversize one with a readable session is announced to it.
    Malformed(Malformed, Option<Session>),
    /// It is a message between instances (field `weir`) that this one does not know, or cannot read; never delivered.
    Internal,
    /// It is a message between instances (`weir revoke`), never delivered.
    Revoked(Arc<Revocation>),
}

/// Why an entry cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// No session and no default session, or one that a publish would be refused for.
    Session,
    /// No data.
    Data,
    /// A field that weir reads is not UTF-8.
    Utf8,
    /// A type that a publish would be refused for, or one that would forge a control event.
    Type,
    /// A key that a publish would be refused for.
    Key,
    /// More data than `--max-event-bytes`.
    Oversize,
}

impl Malformed {
    /// Every reason, for metrics that start at 0.
    pub const ALL: [Self; 6] = [Self::Session, Self::Data, Self::Utf8, Self::Type, Self::Key, Self::Oversize];

    /// The value of the metric label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Data => "data",
            Self::Utf8 => "utf8",
            Self::Type => "type",
            Self::Key => "key",
            Self::Oversize => "oversize",
        }
    }
}

/// What decoding depends on besides the entry.
#[derive(Clone, Debug)]
pub struct DecodeRules {
    /// Session of entries that carry none.
    pub default_session: Option<Session>,
    /// Most bytes of data.
    pub max_event_bytes: usize,
}

impl DecodeRules {
    /// Decodes the fields of one entry, in the order they stand in the log.
    pub fn decode<'a>(
        &self,
        id: EventId,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Entry {
        let raw = Fields::collect(fields.clone());
        if let Some(kind) = raw.internal {
            return Entry { id, content: internal(kind, fields) };
        }
        let session = self.session(&raw);
        let content = match session.clone().and_then(|session| self.event(id, session, &raw)) {
            Ok(event) => Content::Event(Arc::new(event)),
            Err(reason) => Content::Malformed(reason, session.ok()),
        };
        Entry { id, content }
    }

    fn session(&self, raw: &Fields<'_>) -> Result<Session, Malformed> {
        match raw.session {
            Some(name) => Session::parse(utf8(name)?).map_err(|_| Malformed::Session),
            None => self.default_session.clone().ok_or(Malformed::Session),
        }
    }

    fn event(&self, id: EventId, session: Session, raw: &Fields<'_>) -> Result<Event, Malformed> {
        let data = raw.data.ok_or(Malformed::Data)?;
        if !fits(data, self.max_event_bytes) {
            return Err(Malformed::Oversize);
        }
        let kind = raw.kind.map(utf8).transpose()?;
        let kind = kind.map(EventType::parse).transpose().map_err(|_| Malformed::Type)?;
        let key = raw.key.map(utf8).transpose()?;
        let key = key.map(Key::parse).transpose().map_err(|_| Malformed::Key)?;
        let ts = raw.ts.and_then(parse_time);
        let snapshot = raw.snapshot.and_then(|secs| std::str::from_utf8(secs).ok()?.parse().ok());
        Ok(Event::new(EventParts { id, session, kind, key, ts, snapshot, data: utf8(data)? }))
    }
}

/// The first value of each field weir reads.
#[derive(Default)]
struct Fields<'a> {
    session: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    ts: Option<&'a [u8]>,
    snapshot: Option<&'a [u8]>,
    internal: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn collect(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut raw = Self::default();
        for (name, value) in fields {
            let slot = match name {
                b"session" => &mut raw.session,
                b"data" | b"payload" => &mut raw.data,
                b"type" | b"event" => &mut raw.kind,
                b"key" => &mut raw.key,
                b"ts" | b"timestamp" => &mut raw.ts,
                b"snapshot" => &mut raw.snapshot,
                b"weir" => &mut raw.internal,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        raw
    }
}

/// A message between instances. Kinds that are not known come from instances of another version.
fn internal<'a>(kind: &[u8], fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Content {
    let revocation = if kind == b"revoke" { Revocation::decode(fields) } else { None };
    revocation.map_or(Content::Internal, |revocation| Content::Revoked(Arc::new(revocation)))
}

/// Whether data is small enough: itself within the bound, and the `data:` lines of its frame within twice the bound, which
/// many line ends could exceed by far.
pub fn fits(data: &[u8], most: usize) -> bool {
    /// What each further line costs beside its text.
    const LINE: usize = b"data: \n".len();
    // Even of line ends alone it would fit.
    if data.len() <= 2 * most / (1 + LINE) {
        return true;
    }
    let line_ends = data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    data.len() <= most && data.len() + LINE * line_ends <= 2 * most
}

fn utf8(raw: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(raw).map_err(|_| Malformed::Utf8)
}

/// Milliseconds since the epoch, from milliseconds or ISO 8601. A time nobody can read is no reason to lose the event:
/// the id's time stands in.
fn parse_time(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?;
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(fields: &[(&str, &[u8])]) -> Content {
        let rules = DecodeRules { default_session: None, max_event_bytes: 16 };
        rules.decode(EventId::new(9, 1), fields.iter().map(|(name, value)| (name.as_bytes(), *value))).content
    }

    fn event(fields: &[(&str, &[u8])]) -> Arc<Event> {
        match decode(fields) {
            Content::Event(event) => event,
            other @ (Content::Malformed(..) | Content::Internal | Content::Revoked(_)) => panic!("{other:?}"),
        }
    }

    fn reason(fields: &[(&str, &[u8])]) -> Malformed {
        match decode(fields) {
            Content::Malformed(reason, _) => reason,
            other @ (Content::Event(_) | Content::Internal | Content::Revoked(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn own_fields_and_aliases() {
        let own = event(&[("session", b"a"), ("data", b"x"), ("type", b"t"), ("key", b"k"), ("ts", b"5")]);
        let alias = event(&[
            ("timestamp", b"1970-01-01T00:00:00.005Z"),
            ("event", b"t"),
            ("payload", b"x"),
            ("session", b"a"),
        ]);
        assert_eq!((own.data(), own.ts, own.key.as_ref().unwrap().as_str()), ("x", 5, "k"));
        assert_eq!(own.frame(), &"id: 9-1\nevent: t\ndata: x\n\n");
        assert_eq!(alias.frame(), own.frame());
        assert_eq!(alias.ts, 5);
    }

    #[test]
    fn first_field_of_a_meaning_wins_and_unknown_ones_are_ignored() {
        let event =
            event(&[("x", b"\xff"), ("session", b"a"), ("session", b"b"), ("payload", b"1"), ("data", b"2")]);
        assert_eq!((event.session.as_str(), event.data(), event.ts), ("a", "1", 9));
    }

    #[test]
    fn reasons() {
        assert_eq!(reason(&[("data", b"x")]), Malformed::Session);
        assert_eq!(reason(&[("session", b"a\n"), ("data", b"x")]), Malformed::Session);
        assert_eq!(reason(&[("session", b"a")]), Malformed::Data);
        assert_eq!(reason(&[("session", b"a"), ("data", b"\xff")]), Malformed::Utf8);
        assert_eq!(reason(&[("session", b"\xff"), ("data", b"x")]), Malformed::Utf8);
        assert_eq!(reason(&[("session", b"a"), ("data", b"x"), ("type", b"weir.gap")]), Malformed::Type);
        assert_eq!(reason(&[("session", b"a"), ("data", b"x"), ("event", b"a\nid: 1")]), Malformed::Type);
        assert_eq!(reason(&[("session", b"a"), ("data", b"x"), ("key", b"a\rb")]), Malformed::Key);
        assert_eq!(reason(&[("session", b"a"), ("data", &[b'x'; 17])]), Malformed::Oversize);
    }

    #[test]
    fn messages_between_instances_are_never_delivered() {
        let content = decode(&[("weir", b"new-kind"), ("session", b"a"), ("data", b"x")]);
        assert!(matches!(content, Content::Internal));
    }

    #[test]
    fn revocations_are_read_whole_or_not_at_all() {
        let whole: [(&str, &[u8]); 4] =
            [("subject", "Änn".as_bytes()), ("weir", b"revoke"), ("until", b"9"), ("at", b"5")];
        let Content::Revoked(revocation) = decode(&whole) else { panic!("{:?}", decode(&whole)) };
        assert_eq!(*revocation, Revocation::new("Änn", 5, Some(9)).unwrap());
        let Content::Revoked(revocation) = decode(&[whole[0], whole[1], whole[3]]) else { panic!("no end") };
        assert_eq!(revocation.until_ms, None);
        // It is an event for nobody, whatever else it says, and whoever cannot read it lets it be.
        let event: [(&str, &[u8]); 2] = [("session", b"a"), ("data", b"x")];
        assert!(matches!(decode(&[&whole[..], &event].concat()), Content::Revoked(_)));
        for (name, value) in [
            ("subject", b"" as &[u8]),
            ("subject", b"a\nb"),
            ("subject", b"\xff"),
            ("at", b"-5"),
            ("at", b"5.0"),
            ("at", b""),
            ("until", b"99999999999999999999"),
            ("until", b"soon"),
            ("weir", b"revoked"),
        ] {
            let mut garbled = whole;
            garbled.iter_mut().find(|(have, _)| *have == name).unwrap().1 = value;
            let content = decode(&[&garbled[..], &event].concat());
            assert!(matches!(content, Content::Internal), "{name}: {content:?}");
        }
        assert!(matches!(decode(&[("weir", b"revoke")]), Content::Internal));
    }

    #[test]
    fn the_event_pins_nothing_and_counts_a_second_copy() {
        let one = event(&[("session", b"a"), ("data", b"one line")]);
        let two = event(&[("session", b"a"), ("data", b"two\nline")]);
        assert!(two.cost() > one.cost() + 8);
        assert_eq!(two.data(), "two\nline");
    }
}

//! What the embedded log keeps in its database, and in which form.
//!
//! Fields that may be missing are empty or 0, which no field of its kind can be otherwise.

use std::sync::Arc;

use redb::TableDefinition;
use weir_core::Revocation;
use weir_core::entry::{Content, Entry};
use weir_core::event::{Event, EventParts};
use weir_core::id::EventId;
use weir_core::name::{EventType, Key, Session};

/// The form of all that follows. Another one is another number, which a weir that does not know it refuses to open.
pub(super) const FORM: u64 = 1;

/// Facts of the whole by name: [`FORM`] under `form`; the newest id under `newest`, which outlives its entry; and the id above
/// which no entry was ever dropped under `floor`.
pub(super) const FACTS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("events.facts");
/// See [`FACTS`].
pub(super) const FORM_FACT: &str = "form";
/// See [`FACTS`].
pub(super) const NEWEST_FACT: &str = "newest";
/// See [`FACTS`].
pub(super) const FLOOR_FACT: &str = "floor";

/// An id, by its two parts.
pub(super) type IdRow = (u64, u64);

/// An event is `(0, ts, seconds as a snapshot, session, type, key, data)`, a revocation `(1, at, until, subject, "", "", "")`.
pub(super) type EntryRow<'a> = (u8, u64, u64, &'a str, &'a str, &'a str, &'a str);
const EVENT: u8 = 0;
const REVOKED: u8 = 1;

/// The entries by their ids.
pub(super) const ENTRIES: TableDefinition<'_, IdRow, EntryRow<'_>> = TableDefinition::new("events.entries");

/// Snapshots by the ids of their events: when they expire, and the event. The newest of a session counts.
pub(super) const SNAPSHOTS: TableDefinition<'_, IdRow, (u64, EntryRow<'_>)> =
    TableDefinition::new("events.snapshots");

/// When a publish is forgotten, and what it is recognised by.
pub(super) type RepeatKey = (u64, [u8; 32]);

/// The digest of its content, and its ids.
pub(super) type RepeatRow = ([u8; 32], Vec<IdRow>);

/// Publishes that may be repeated.
pub(super) const REPEATS: TableDefinition<'_, RepeatKey, RepeatRow> = TableDefinition::new("events.repeats");

/// When a subject was revoked and until when its tokens are refused, by subject.
pub(super) const REVOCATIONS: TableDefinition<'_, &str, (u64, u64)> =
    TableDefinition::new("events.revocations");

/// The two parts of an id.
pub(super) fn id_row(id: EventId) -> IdRow {
    (id.ms, id.seq)
}

/// The id of two parts.
pub(super) fn id(row: IdRow) -> EventId {
    EventId::new(row.0, row.1)
}

/// An entry as a row. Those that cannot be delivered are none of the embedded log.
pub(super) fn entry_row(entry: &Entry) -> Option<EntryRow<'_>> {
    match &entry.content {
        Content::Event(event) => Some(event_row(event)),
        Content::Revoked(held) => {
            Some((REVOKED, held.at_ms, held.until_ms.unwrap_or(0), held.subject(), "", "", ""))
        }
        Content::Malformed(..) | Content::Internal => None,
    }
}

/// An event as a row.
pub(super) fn event_row(event: &Event) -> EntryRow<'_> {
    let kind = event.kind.as_ref().map_or("", EventType::as_str);
    let key = event.key.as_ref().map_or("", Key::as_str);
    let secs = u64::from(event.snapshot.unwrap_or(0));
    (EVENT, event.ts, secs, event.session.as_str(), kind, key, event.data())
}

/// The entry of a row; `None` where it is none that this weir writes.
pub(super) fn entry(id: EventId, row: EntryRow<'_>) -> Option<Entry> {
    let content = match row {
        (EVENT, ..) => Content::Event(Arc::new(event(id, row)?)),
        (REVOKED, at, until, subject, ..) => {
            Content::Revoked(Arc::new(Revocation::new(subject, at, (until > 0).then_some(until)).ok()?))
        }
        _ => return None,
    };
    Some(Entry { id, content })
}

/// The event of a row; `None` where it is none that this weir writes.
pub(super) fn event(id: EventId, row: EntryRow<'_>) -> Option<Event> {
    let (EVENT, ts, secs, session, kind, key, data) = row else { return None };
    let secs = u32::try_from(secs).ok()?;
    Some(Event::new(EventParts {
        id,
        session: Session::parse(session).ok()?,
        kind: given(kind).map(EventType::parse).transpose().ok()?,
        key: given(key).map(Key::parse).transpose().ok()?,
        ts: Some(ts),
        snapshot: (secs > 0).then_some(secs),
        data,
    }))
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use redb::Value as _;

    use super::*;

    const HEAD: [u8; 17] = *b"\x00\x09\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0";

    fn event() -> Event {
        Event::new(EventParts {
            id: EventId::new(7, 1),
            session: Session::parse("room").unwrap(),
            kind: Some(EventType::parse("t").unwrap()),
            key: Some(Key::parse("k").unwrap()),
            ts: Some(9),
            snapshot: Some(60),
            data: "a\nb",
        })
    }

    /// Numbers are little endian; the lengths of all texts but the last stand before everything.
    #[test]
    fn rows_have_these_bytes() {
        let whole = event();
        let row = [b"\x04\x01\x01" as &[u8], &HEAD, b"roomtka\nb"].concat();
        assert_eq!(EntryRow::as_bytes(&event_row(&whole)), row);
        let held = Revocation::new("ann", 5, Some(6)).unwrap();
        let told = Entry { id: EventId::new(7, 2), content: Content::Revoked(Arc::new(held)) };
        let row = b"\x03\0\0\x01\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0ann";
        assert_eq!(EntryRow::as_bytes(&entry_row(&told).unwrap()), row);
        let id = b"\x07\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0";
        assert_eq!(IdRow::as_bytes(&id_row(whole.id)), id);
        let repeat = RepeatRow::as_bytes(&([3; 32], vec![(7, 1)])).clone();
        assert_eq!(repeat, [&[3u8; 32] as &[u8], b"\x01", id].concat());
        let key = RepeatKey::as_bytes(&(7, [4; 32]));
        assert_eq!(key, [&id[..8], &[4; 32]].concat());
    }

    #[test]
    fn what_went_in_comes_out() {
        let whole = event();
        let back = super::event(whole.id, event_row(&whole)).unwrap();
        assert!(back.is_same_as(&whole));
        assert_eq!((back.ts, back.snapshot, back.kind, back.key), (9, Some(60), whole.kind, whole.key));
        for strange in [
            (2, 0, 0, "s", "", "", "x"),
            (0, 0, 1 << 32, "s", "", "", "x"),
            (0, 0, 0, "", "", "", "x"),
            (0, 0, 0, "s", "weir.gap", "", "x"),
            (0, 0, 0, "s", "", "a\n", "x"),
            (1, 0, 0, "", "", "", ""),
        ] {
            assert!(entry(EventId::new(1, 0), strange).is_none(), "{strange:?}");
        }
    }
}

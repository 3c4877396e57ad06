//! Entries of the stream, between what Redis sends and what the core understands.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use fred::types::Resp3Frame;
use weir_core::entry::{Content, DecodeRules, Entry};
use weir_core::id::EventId;

use super::fault::Fault;
use super::frame;

/// How much of a field goes into a [`Print`]. It bounds what the proof of identity costs on large entries.
const PRINT_BYTES: usize = 1024;

/// What tells an entry from another one under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) id: EventId,
    hash: u64,
}

/// Entries as Redis sent them, in order.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) entries: Vec<Entry>,
    /// Their ids as text, for the acknowledgement.
    pub(super) raw_ids: Vec<Bytes>,
    /// What identifies the last of them.
    pub(super) last: Option<Print>,
    /// Bytes of all fields.
    pub(super) bytes: usize,
}

/// Decodes the reply of `XRANGE` and its kind. One bad entry harms no other.
pub(super) fn chunk(reply: &Resp3Frame, rules: &DecodeRules) -> Result<Chunk, Fault> {
    let raw = frame::items(reply).ok_or(Fault::Garbled("entries are no array"))?;
    let mut chunk = Chunk { entries: Vec::with_capacity(raw.len()), ..Chunk::default() };
    for entry in raw {
        let id = frame::at(entry, 0, frame::id)?;
        chunk.raw_ids.push(frame::at(entry, 0, frame::bytes)?.clone());
        chunk.bytes += fields(entry).map(|(name, value)| name.len() + value.len()).sum::<usize>();
        chunk.entries.push(decode(id, entry, rules));
    }
    chunk.last = raw.last().and_then(print);
    Ok(chunk)
}

/// Decodes the reply of `XREADGROUP` on one stream; nil is nothing new.
pub(super) fn read(reply: &Resp3Frame, rules: &DecodeRules) -> Result<Chunk, Fault> {
    frame::first_value(reply)?.map_or(Ok(Chunk::default()), |entries| chunk(entries, rules))
}

/// What identifies an entry.
pub(super) fn print(entry: &Resp3Frame) -> Option<Print> {
    let id = frame::id(frame::items(entry)?.first()?)?;
    let mut hasher = DefaultHasher::new();
    for (name, value) in fields(entry) {
        for part in [name, value] {
            part.len().hash(&mut hasher);
            part[..part.len().min(PRINT_BYTES)].hash(&mut hasher);
        }
    }
    Some(Print { id, hash: hasher.finish() })
}

fn decode(id: EventId, entry: &Resp3Frame, rules: &DecodeRules) -> Entry {
    match frame::items(entry) {
        // Trimmed between delivery and now: it says nothing, and is nobody's fault.
        Some([_, Resp3Frame::Null]) => Entry { id, content: Content::Internal },
        Some(_) | None => rules.decode(id, fields(entry)),
    }
}

/// The fields of one entry, in order. What is no string counts as empty.
pub(super) fn fields(entry: &Resp3Frame) -> impl Iterator<Item = (&[u8], &[u8])> {
    let flat = frame::items(entry).and_then(|pair| frame::items(pair.get(1)?)).unwrap_or_default();
    let part = |frame| frame::bytes(frame).map_or(&[] as &[u8], AsRef::as_ref);
    flat.chunks_exact(2).map(move |pair| (part(&pair[0]), part(&pair[1])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_core::entry::Malformed;

    use super::*;

    fn string(text: impl AsRef<[u8]>) -> Resp3Frame {
        Resp3Frame::BlobString { data: Bytes::copy_from_slice(text.as_ref()), attributes: None }
    }

    fn array(data: Vec<Resp3Frame>) -> Resp3Frame {
        Resp3Frame::Array { data, attributes: None }
    }

    fn entry(id: &str, fields: &[&str]) -> Resp3Frame {
        array(vec![string(id), array(fields.iter().map(string).collect())])
    }

    fn rules() -> DecodeRules {
        DecodeRules { default_session: None, max_event_bytes: 16 }
    }

    #[test]
    fn a_bad_entry_harms_no_other() {
        let reply = array(vec![
            entry("1-0", &["session", "a", "data", "x"]),
            entry("2-0", &["foo", "bar"]),
            array(vec![string("3-0"), Resp3Frame::Null]),
            entry("4-0", &["session", "a", "data"]),
            entry("5-0", &["session", "a", "data", "y"]),
        ]);
        let chunk = read(&array(vec![array(vec![string("key"), reply])]), &rules()).unwrap();
        let kinds: Vec<_> = chunk
            .entries
            .iter()
            .map(|entry| match &entry.content {
                Content::Event(event) => event.data().to_owned(),
                Content::Malformed(reason, _) => reason.as_str().to_owned(),
                Content::Internal => "internal".to_owned(),
            })
            .collect();
        assert_eq!(kinds, ["x", Malformed::Session.as_str(), "internal", Malformed::Data.as_str(), "y"]);
        assert_eq!(chunk.raw_ids[4], "5-0");
        assert_eq!(chunk.last.unwrap().id, EventId::new(5, 0));
    }

    #[test]
    fn nothing_new_and_nonsense() {
        assert!(read(&Resp3Frame::Null, &rules()).unwrap().entries.is_empty());
        assert!(read(&string("x"), &rules()).is_err());
        assert!(chunk(&array(vec![entry("x", &[])]), &rules()).is_err());
        assert!(chunk(&array(vec![string("x")]), &rules()).is_err());
    }

    #[test]
    fn prints_tell_entries_apart() {
        let of = |fields: &[&str]| print(&entry("1-0", fields)).unwrap();
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }

    fn any_reply() -> impl Strategy<Value = Resp3Frame> {
        let text = proptest::sample::select(vec!["1-0", "session", "data", "weir", "-", ""]);
        let leaf = prop_oneof![
            Just(Resp3Frame::Null),
            any::<i64>().prop_map(|data| Resp3Frame::Number { data, attributes: None }),
            text.prop_map(string),
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(string),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| proptest::collection::vec(inner, 0..6).prop_map(array))
    }

    proptest::proptest! {
        #[test]
        fn no_reply_is_fatal(reply in any_reply()) {
            for read in [read(&reply, &rules()), chunk(&reply, &rules())].into_iter().flatten() {
                prop_assert_eq!(read.entries.len(), read.raw_ids.len());
            }
            let _ = (print(&reply), super::super::scripts::StreamState::parse(&reply));
        }
    }
}

//! Entries of the stream, between what Redis sends and what the core understands.

use std::hash::{DefaultHasher, Hash, Hasher};

use fred::types::Resp3Frame;
use smallvec::SmallVec;
use weir_core::entry::{Content, DecodeRules, Entry};
use weir_core::id::EventId;

use super::fault::Fault;
use super::frame;
use super::resp::{Walk, put_word};

/// How much of a field goes into a [`Print`]. It bounds what the proof of identity costs on large entries.
const PRINT_BYTES: usize = 1024;

/// What tells an entry from another one under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) id: EventId,
    hash: u64,
}

/// The fields of one entry, in order.
type Fields<'a> = SmallVec<[(&'a [u8], &'a [u8]); 8]>;

/// Entries as Redis sent them, in order.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) entries: Vec<Entry>,
    /// Their ids, as words of the request that acknowledges them.
    pub(super) acks: Acks,
    /// What identifies the first of them.
    pub(super) first: Option<Print>,
    /// What identifies the last of them.
    pub(super) last: Option<Print>,
    /// Bytes of all fields.
    pub(super) bytes: usize,
}

/// Ids of entries as words of a request.
#[derive(Debug, Default)]
pub(super) struct Acks {
    pub(super) count: usize,
    pub(super) words: Vec<u8>,
}

impl Acks {
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.words.clear();
    }
}

/// Decodes the reply of `XRANGE` and its kind. One bad entry harms no other.
pub(super) fn chunk(reply: &mut Walk<'_>, rules: &DecodeRules) -> Result<Chunk, Fault> {
    let count = reply.array()?.unwrap_or_default();
    let mut chunk = Chunk { entries: Vec::with_capacity(count.min(MOST_AT_ONCE)), ..Chunk::default() };
    let mut fields = Fields::new();
    for nth in 0..count {
        let [first, last] = [nth == 0, nth + 1 == count];
        let (raw, id) = entry_id(reply)?;
        put_word(&mut chunk.acks.words, raw);
        let said = fields_of(reply, &mut fields)?;
        chunk.bytes += fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if first || last {
            let print = Some(print_of(id, &fields));
            chunk.first = if first { print } else { chunk.first };
            chunk.last = print;
        }
        chunk.entries.push(match said {
            Said::Fields => rules.decode(id, fields.iter().copied()),
            // Trimmed between delivery and now: it says nothing, and is nobody's fault.
            Said::Nil => Entry { id, content: Content::Internal },
        });
    }
    chunk.acks.count = count;
    Ok(chunk)
}

/// Most entries that room is made for before they are there.
const MOST_AT_ONCE: usize = 4096;

/// Decodes the reply of `XREADGROUP` on one stream; nil is nothing new.
pub(super) fn read(reply: &[u8], rules: &DecodeRules) -> Result<Chunk, Fault> {
    let mut walk = Walk::new(reply);
    if walk.array()?.is_none_or(|streams| streams == 0) {
        return Ok(Chunk::default());
    }
    if walk.array()?.is_none_or(|pair| pair < 2) {
        return Err(Fault::Garbled("a pair is none"));
    }
    walk.text()?;
    chunk(&mut walk, rules)
}

/// Steps to the fields of an entry.
fn entry_id<'a>(walk: &mut Walk<'a>) -> Result<(&'a [u8], EventId), Fault> {
    if walk.array()? != Some(2) {
        return Err(Fault::Garbled("an entry is no pair"));
    }
    let raw = walk.text()?.unwrap_or_default();
    match std::str::from_utf8(raw).ok().and_then(|text| text.parse().ok()) {
        Some(id) => Ok((raw, id)),
        None => Err(Fault::Garbled("the id of an entry is none")),
    }
}

/// What stands in the place of an entry's fields.
enum Said {
    Fields,
    Nil,
}

/// Reads the fields of an entry into `fields`. What is no string counts as empty, and a name without a value as nothing.
fn fields_of<'a>(walk: &mut Walk<'a>, fields: &mut Fields<'a>) -> Result<Said, Fault> {
    fields.clear();
    let Some(words) = walk.array()? else { return Ok(Said::Nil) };
    for _ in 0..words / 2 {
        let (name, value) = (walk.text()?.unwrap_or_default(), walk.text()?.unwrap_or_default());
        fields.push((name, value));
    }
    if words % 2 == 1 {
        walk.text()?;
    }
    Ok(Said::Fields)
}

/// What identifies an entry.
pub(super) fn print(entry: &Resp3Frame) -> Option<Print> {
    let id = frame::id(frame::items(entry)?.first()?)?;
    Some(print_of(id, &fields(entry).collect::<Fields<'_>>()))
}

fn print_of(id: EventId, fields: &[(&[u8], &[u8])]) -> Print {
    let mut hasher = DefaultHasher::new();
    for (name, value) in fields {
        for part in [name, value] {
            part.len().hash(&mut hasher);
            part[..part.len().min(PRINT_BYTES)].hash(&mut hasher);
        }
    }
    Print { id, hash: hasher.finish() }
}

/// Decodes an entry that came as a frame.
pub(super) fn decode(entry: &Resp3Frame, rules: &DecodeRules) -> Result<Entry, Fault> {
    let id = frame::at(entry, 0, frame::id)?;
    Ok(match frame::items(entry) {
        Some([_, Resp3Frame::Null]) => Entry { id, content: Content::Internal },
        Some(_) | None => rules.decode(id, fields(entry)),
    })
}

/// The fields of an entry that came as a frame, in order. What is no string counts as empty.
pub(super) fn fields(entry: &Resp3Frame) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    let flat = frame::items(entry).and_then(|pair| frame::items(pair.get(1)?)).unwrap_or_default();
    let part = |frame| frame::bytes(frame).map_or(&[] as &[u8], AsRef::as_ref);
    flat.chunks_exact(2).map(move |pair| (part(&pair[0]), part(&pair[1])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_core::entry::Malformed;

    use super::*;

    fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        put_word(&mut out, text.as_ref());
        out
    }

    fn array(elements: &[Vec<u8>]) -> Vec<u8> {
        [format!("*{}\r\n", elements.len()).as_bytes(), &elements.concat()].concat()
    }

    fn entry(id: &str, fields: &[&str]) -> Vec<u8> {
        array(&[string(id), array(&fields.iter().map(string).collect::<Vec<_>>())])
    }

    fn nil() -> Vec<u8> {
        b"*-1\r\n".to_vec()
    }

    fn frame_of(reply: &[u8]) -> Resp3Frame {
        Walk::new(reply).frame().expect("a reply")
    }

    fn rules() -> DecodeRules {
        DecodeRules { default_session: None, max_event_bytes: 16 }
    }

    #[test]
    fn a_bad_entry_harms_no_other() {
        let reply = array(&[
            entry("1-0", &["session", "a", "data", "x"]),
            entry("2-0", &["foo", "bar"]),
            array(&[string("3-0"), nil()]),
            entry("4-0", &["session", "a", "data"]),
            entry("5-0", &["session", "a", "data", "y"]),
        ]);
        let chunk = read(&array(&[array(&[string("key"), reply.clone()])]), &rules()).unwrap();
        let kinds: Vec<_> = chunk
            .entries
            .iter()
            .map(|entry| match &entry.content {
                Content::Event(event) => event.data().to_owned(),
                Content::Malformed(reason, _) => reason.as_str().to_owned(),
                Content::Internal | Content::Revoked(_) => "internal".to_owned(),
            })
            .collect();
        assert_eq!(kinds, ["x", Malformed::Session.as_str(), "internal", Malformed::Data.as_str(), "y"]);
        let ids = ["1-0", "2-0", "3-0", "4-0", "5-0"].map(string).concat();
        assert_eq!((chunk.acks.count, &chunk.acks.words), (5, &ids));
        let ends = [chunk.first, chunk.last].map(|print| print.unwrap().id);
        assert_eq!(ends, [EventId::new(1, 0), EventId::new(5, 0)]);
        // What comes over the other connection is decoded alike.
        let frames = frame_of(&reply);
        let entries = frame::items(&frames).unwrap();
        for (one, other) in chunk.entries.iter().zip(entries) {
            assert_eq!(format!("{one:?}"), format!("{:?}", decode(other, &rules()).unwrap()));
        }
        assert_eq!(
            [entries.first(), entries.last()].map(|entry| print(entry.unwrap())),
            [chunk.first, chunk.last]
        );
    }

    #[test]
    fn nothing_new_and_nonsense() {
        assert!(read(&nil(), &rules()).unwrap().entries.is_empty());
        assert!(read(&string("x"), &rules()).is_err());
        for bad in [entry("x", &[]), array(&[string("1-0")]), string("x")] {
            assert!(chunk(&mut Walk::new(&array(&[bad])), &rules()).is_err());
        }
    }

    #[test]
    fn prints_tell_entries_apart() {
        let of = |fields: &[&str]| print(&frame_of(&entry("1-0", fields))).unwrap();
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }

    fn any_reply() -> impl Strategy<Value = Vec<u8>> {
        let text = proptest::sample::select(vec!["1-0", "session", "data", "weir", "-", ""]);
        let leaf = prop_oneof![
            Just(nil()),
            any::<i64>().prop_map(|data| format!(":{data}\r\n").into_bytes()),
            text.prop_map(string),
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(string),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            proptest::collection::vec(inner, 0..6).prop_map(|elements| array(&elements))
        })
    }

    proptest::proptest! {
        #[test]
        fn no_reply_is_fatal(reply in any_reply()) {
            let chunk = chunk(&mut Walk::new(&reply), &rules());
            for read in [read(&reply, &rules()), chunk].into_iter().flatten() {
                prop_assert_eq!(read.entries.len(), read.acks.count);
            }
            let frame = frame_of(&reply);
            let _ = (print(&frame), decode(&frame, &rules()), super::super::scripts::StreamState::parse(&frame));
        }
    }
}

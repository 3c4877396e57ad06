//! Raw replies, taken apart without believing in them.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of the many kinds of replies all but one or two are nonsense"
)]

use bytes::Bytes;
use fred::types::Resp3Frame;
use weir_core::id::EventId;

use super::fault::Fault;

/// The text of an error reply.
pub(super) fn error(frame: &Resp3Frame) -> Option<String> {
    match frame {
        Resp3Frame::SimpleError { data, .. } => Some(data.to_string()),
        Resp3Frame::BlobError { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
        _ => None,
    }
}

/// The elements of an array; of nil, none.
pub(super) fn items(frame: &Resp3Frame) -> Option<&[Resp3Frame]> {
    match frame {
        Resp3Frame::Array { data, .. } => Some(data),
        Resp3Frame::Null => Some(&[]),
        _ => None,
    }
}

/// The value of the first pair of a map or of an array of pairs, as which the versions of the protocol write the same; of
/// nil, none.
pub(super) fn first_value(frame: &Resp3Frame) -> Result<Option<&Resp3Frame>, Fault> {
    let garbled = Fault::Garbled("a pair is none");
    match frame {
        Resp3Frame::Map { data, .. } => Ok(data.values().next()),
        _ => match items(frame).ok_or(garbled.clone())?.first() {
            Some(pair) => items(pair).and_then(|pair| pair.get(1)).ok_or(garbled).map(Some),
            None => Ok(None),
        },
    }
}

/// The value of a name, of a map or of an array of names and values, as which the versions of the protocol write the same.
pub(super) fn field<'a>(frame: &'a Resp3Frame, name: &str) -> Option<&'a Resp3Frame> {
    match frame {
        Resp3Frame::Map { data, .. } => {
            data.iter().find(|(key, _)| text(key) == Some(name)).map(|pair| pair.1)
        }
        _ => {
            let items = items(frame)?;
            items.chunks_exact(2).find(|pair| text(&pair[0]) == Some(name)).map(|pair| &pair[1])
        }
    }
}

/// The bytes of a string.
pub(super) fn bytes(frame: &Resp3Frame) -> Option<&Bytes> {
    match frame {
        Resp3Frame::BlobString { data, .. }
        | Resp3Frame::SimpleString { data, .. }
        | Resp3Frame::VerbatimString { data, .. } => Some(data),
        _ => None,
    }
}

/// A number, or text that is one.
pub(super) fn number(frame: &Resp3Frame) -> Option<i64> {
    match frame {
        Resp3Frame::Number { data, .. } => Some(*data),
        _ => text(frame)?.parse().ok(),
    }
}

/// A string that is UTF-8.
pub(super) fn text(frame: &Resp3Frame) -> Option<&str> {
    std::str::from_utf8(bytes(frame)?).ok()
}

/// A string that is an id of the log.
pub(super) fn id(frame: &Resp3Frame) -> Option<EventId> {
    text(frame)?.parse().ok()
}

/// Element `place` of an array, read by `as_what`.
pub(super) fn at<'a, T>(
    frame: &'a Resp3Frame,
    place: usize,
    as_what: impl FnOnce(&'a Resp3Frame) -> Option<T>,
) -> Result<T, Fault> {
    items(frame)
        .and_then(|items| items.get(place))
        .and_then(as_what)
        .ok_or(Fault::Garbled("an element is missing"))
}

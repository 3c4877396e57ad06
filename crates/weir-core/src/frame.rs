//! The bytes of Server-Sent Events.
//!
//! Data is split on LF, CR and CRLF into `data:` lines with exactly one space after the colon, because a parser strips
//! exactly one. Types and ids cannot carry a line end: their types refuse it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use crate::event::Event;
use crate::id::EventId;

/// A comment that keeps proxies from closing a quiet stream. One LF, no blank line: nothing is dispatched.
pub const COMMENT: &[u8] = b":\n";

/// A frame, and where in it the data stands unbroken.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The whole frame, with its blank line.
    pub frame: Bytes,
    /// The range of the data within the frame, where it is one line.
    pub data: Option<Range<usize>>,
}

/// Encodes a data event for `format=raw`.
///
/// A type of `message` gets no `event:` line, which is what it means to a client.
pub fn encode(id: EventId, kind: Option<&str>, data: &str) -> Encoded {
    let lines = data.bytes().filter(|b| matches!(b, b'\n' | b'\r')).count() + 1;
    // 52 bytes bound the id line and the blank line, 8 the `event: ` line, 7 each `data: ` line.
    let mut out = BytesMut::with_capacity(60 + kind.map_or(0, str::len) + data.len() + 7 * lines);
    put_id(&mut out, id);
    if let Some(kind) = kind.filter(|kind| *kind != "message") {
        put(&mut out, &[b"event: ", kind.as_bytes(), b"\n"]);
    }
    let start = out.len() + b"data: ".len();
    if lines == 1 {
        put(&mut out, &[b"data: ", data.as_bytes(), b"\n"]);
    } else {
        put_data(&mut out, data);
    }
    out.extend_from_slice(b"\n");
    Encoded { frame: out.freeze(), data: (lines == 1).then(|| start..start + data.len()) }
}

/// Encodes an event for `format=json`: unnamed, its data an object that says all about it.
pub fn encode_json(event: &Event) -> Bytes {
    let body = json_body(event);
    let mut out = BytesMut::with_capacity(body.len() + 64);
    put_id(&mut out, event.id);
    put(&mut out, &[b"data: ", body.as_bytes(), b"\n\n"]);
    out.freeze()
}

/// The object of `format=json`, on one line.
pub fn json_body(event: &Event) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        id: String,
        session: &'a str,
        #[serde(rename = "type")]
        kind: Option<&'a str>,
        key: Option<&'a str>,
        data: &'a str,
        ts: u64,
    }
    serde_json::to_string(&Body {
        id: event.id.to_string(),
        session: event.session.as_str(),
        kind: event.kind.as_ref().map(|kind| kind.as_str()),
        key: event.key.as_ref().map(|key| key.as_str()),
        data: event.data(),
        ts: event.ts,
    })
    .expect("strings and numbers always serialise")
}

/// Appends a control event; its position, where it has one, stands in `id`.
pub fn put_control(out: &mut BytesMut, name: &str, id: Option<EventId>, data: &str) {
    put(out, &[b"event: ", name.as_bytes(), b"\n"]);
    if let Some(id) = id {
        put_id(out, id);
    }
    put_data(out, data);
    out.extend_from_slice(b"\n");
}

/// Appends the line that sets the client's reconnection time in milliseconds.
pub fn put_retry(out: &mut BytesMut, ms: u64) {
    put(out, &[b"retry: ", ms.to_string().as_bytes(), b"\n"]);
}

fn put_id(out: &mut BytesMut, id: EventId) {
    use std::fmt::Write;
    writeln!(out, "id: {id}").expect("a growing buffer takes every byte");
}

fn put_data(out: &mut BytesMut, data: &str) {
    let mut rest = data;
    loop {
        let end = rest.find(['\n', '\r']);
        put(out, &[b"data: ", rest.as_bytes().get(..end.unwrap_or(rest.len())).unwrap_or_default(), b"\n"]);
        let Some(end) = end else { break };
        let width = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + width..];
    }
}

fn put(out: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Option<&str>, data: &str) -> String {
        let encoded = encode(EventId::new(7, 0), kind, data);
        if let Some(range) = &encoded.data {
            assert_eq!(&encoded.frame[range.clone()], data.as_bytes());
        }
        String::from_utf8(encoded.frame.to_vec()).unwrap()
    }

    #[test]
    fn literal_frames() {
        assert_eq!(text(None, "hi"), "id: 7-0\ndata: hi\n\n");
        assert_eq!(text(Some("order.created"), "{}"), "id: 7-0\nevent: order.created\ndata: {}\n\n");
        assert_eq!(text(Some("message"), "hi"), "id: 7-0\ndata: hi\n\n");
        assert_eq!(text(None, ""), "id: 7-0\ndata: \n\n");
        assert_eq!(text(None, " a"), "id: 7-0\ndata:  a\n\n");
        assert_eq!(text(None, "a\nb"), "id: 7-0\ndata: a\ndata: b\n\n");
        assert_eq!(text(None, "a\r\nb\rc\n"), "id: 7-0\ndata: a\ndata: b\ndata: c\ndata: \n\n");
        assert_eq!(text(None, "\n\r"), "id: 7-0\ndata: \ndata: \ndata: \n\n");
        assert_eq!(text(None, "\u{feff}\0"), "id: 7-0\ndata: \u{feff}\0\n\n");
    }

    #[test]
    fn literal_control_events() {
        let mut out = BytesMut::new();
        put_retry(&mut out, 5231);
        put_control(&mut out, "weir.connected", Some(EventId::new(5, 3)), r#"{"heartbeat":15000}"#);
        put_control(&mut out, "weir.restored", None, "{}");
        assert_eq!(
            out,
            "retry: 5231\nevent: weir.connected\nid: 5-3\ndata: {\"heartbeat\":15000}\n\n\
             event: weir.restored\ndata: {}\n\n"
        );
    }
}

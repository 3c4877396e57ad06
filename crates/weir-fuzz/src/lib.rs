//! What must hold for any bytes. One function per target; a panic is a finding.

mod batch;
mod headers;
mod query;
mod token;

use bytes::BytesMut;
use weir_core::frame::{encode, encode_json, put_control};
use weir_core::{Content, DecodeRules, Event, EventId, EventParts, EventType, Position, Session};
use weir_http::path::decode_session;
use weir_testkit::sse::{self, Item, Parser};

pub use batch::batch;
pub use headers::headers;
pub use query::query;
pub use token::token;

/// Small, so that a fuzzer reaches entries above it.
const MAX_EVENT_BYTES: usize = 64;

/// Frames: whatever is encoded, a strict parser gets back. The input is a type, LF, data.
pub fn frame(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let (kind, data) = input.split_once('\n').unwrap_or(("", &input));
    let kind = EventType::parse(kind).ok();
    let name = kind.as_ref().map(EventType::as_str);
    let id = EventId::new(7, data.len() as u64);

    let encoded = encode(id, name, data);
    if let Some(range) = encoded.data {
        assert_eq!(&encoded.frame[range], data.as_bytes());
    }
    let event = one_event(&encoded.frame);
    assert_eq!(event.event, name.unwrap_or("message"));
    assert_eq!(event.id, Some(id.to_string()));
    assert_eq!(event.data, normalised(data));

    let session = Session::parse("any").expect("a good name");
    let parts = EventParts { id, session, kind, key: None, ts: None, snapshot: None, data };
    let json: serde_json::Value = serde_json::from_str(&one_event(&encode_json(&Event::new(parts))).data)
        .expect("the data of format=json is JSON");
    assert_eq!(json["data"], data);

    let mut control = BytesMut::new();
    put_control(&mut control, "weir.gap", None, data);
    assert_eq!(one_event(&control).data, normalised(data));
}

/// Positions: any bytes have a meaning, and a position that was understood is written and read alike.
pub fn last_event_id(input: &[u8]) {
    match Position::parse(input) {
        Position::After(id) => {
            assert_ne!(id, EventId::ZERO);
            assert_eq!(Position::parse(id.to_string().as_bytes()), Position::After(id));
        }
        Position::Earliest => assert!(input.is_ascii()),
        Position::Unknown => {}
    }
}

/// Entries: any fields are an event that a publish would have been allowed to make, or a reason why not. The input is
/// names and values, each ended by 0xFF; a name of one byte below 16 stands for one of those that weir reads.
pub fn entry(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0xff);
    let fields = std::iter::from_fn(|| Some((field_name(parts.next()?), parts.next().unwrap_or_default())));
    let fields: Vec<_> = fields.collect();
    let rules = DecodeRules { default_session: None, max_event_bytes: MAX_EVENT_BYTES };
    let id = EventId::new(7, 1);

    let entry = rules.decode(id, fields.iter().copied());
    assert_eq!(entry.id, id);
    if let Content::Revoked(revocation) = &entry.content {
        let subject = revocation.subject();
        assert!((1..=256).contains(&subject.len()) && !subject.chars().any(char::is_control), "{subject:?}");
        assert!(fields.contains(&(b"weir", b"revoke")), "{fields:?}");
    }
    let Content::Event(event) = entry.content else { return };
    assert!(fields.iter().all(|(name, _)| *name != b"weir"), "a message between instances is delivered");
    assert!(Session::parse(event.session.as_str()).is_ok());
    assert!(event.data().len() <= MAX_EVENT_BYTES);
    let seen = one_event(event.frame());
    assert!(!seen.event.starts_with("weir."), "a forged control event: {seen:?}");
    assert_eq!(seen.event, event.kind.as_ref().map_or("message", EventType::as_str));
    assert_eq!(seen.data, normalised(event.data()));
    assert_eq!(seen.id, Some(id.to_string()));
}

/// Sessions in a path: what is understood is a good name, and a client that encodes it strictly is understood too.
pub fn session_path(input: &[u8]) {
    let raw = String::from_utf8_lossy(input);
    let Ok(session) = decode_session(&raw) else { return };
    assert!(Session::parse(session.as_str()).is_ok());
    let encoded: String = session.as_str().bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(decode_session(&encoded).as_ref(), Ok(&session));
    let escaped = encoded.replace('%', "%25");
    assert_ne!(decode_session(&escaped).as_ref(), Ok(&session), "decoded twice: {raw:?}");
}

/// Runs `target` on the files named as arguments.
///
/// # Errors
/// One of them cannot be read.
pub fn replay(target: fn(&[u8])) -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        target(&std::fs::read(file)?);
    }
    Ok(())
}

fn field_name(raw: &[u8]) -> &[u8] {
    const KNOWN: [&str; 13] = [
        "session",
        "data",
        "payload",
        "type",
        "event",
        "key",
        "ts",
        "timestamp",
        "snapshot",
        "weir",
        "subject",
        "at",
        "until",
    ];
    match raw {
        [short @ ..16] => KNOWN.get(usize::from(*short)).map_or(raw, |known| known.as_bytes()),
        _ => raw,
    }
}

fn one_event(frame: &[u8]) -> sse::Event {
    match Parser::strict().push(frame).as_slice() {
        [Item::Event(event)] => event.clone(),
        other => panic!("not one clean event but {other:?}"),
    }
}

fn normalised(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the fuzzer starts from, and what it found once, holds on every toolchain.
    #[test]
    fn seeds() {
        for (name, target) in [
            ("frame", frame as fn(&[u8])),
            ("last_event_id", last_event_id),
            ("entry", entry),
            ("session_path", session_path),
            ("query", query),
            ("headers", headers),
            ("batch", batch),
            ("token", token),
        ] {
            let dir = format!("{}/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
            let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
            assert!(!files.is_empty(), "no seeds in {dir}");
            for file in files {
                target(&std::fs::read(&file).unwrap());
            }
        }
    }
}

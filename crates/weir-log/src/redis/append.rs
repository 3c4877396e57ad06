//! Adding events, and what is kept of them beside the stream.

use bytes::Bytes;
use fred::types::{Resp3Frame, Value};
use weir_core::entry::{Content, DecodeRules};
use weir_core::event::Event;
use weir_core::id::EventId;
use weir_core::log::{AppendError, Appended, IDEMPOTENCY_SECS, Idempotency, NewEvent};

use std::sync::Arc;

use super::fault::Fault;
use super::frame;
use super::keys::{Keys, hex};
use super::link::{Link, text};
use super::scripts;
use crate::idempotency::fingerprint;
use weir_metrics::Operation;

/// Where events go, and when.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) keys: &'a Keys,
    pub(super) maxlen: usize,
    /// Milliseconds since the Unix epoch, by the publisher's instance.
    pub(super) now_ms: u64,
}

/// Appends all events or none.
pub(super) async fn append(
    link: &Link,
    target: &Target<'_>,
    events: &[NewEvent],
    idempotency: Option<&Idempotency>,
) -> Result<Appended, AppendError> {
    let outcome = match (events, idempotency) {
        ([], None) => Ok(Appended::Written(Vec::new())),
        ([event], None) if event.snapshot.is_none() => add(link, target, event).await,
        _ => return run(link, target, events, idempotency).await,
    };
    outcome.map_err(|fault| append_error(&fault))
}

/// What a fault says about the fate of the events.
pub(super) fn append_error(fault: &Fault) -> AppendError {
    match fault {
        Fault::Away(_) | Fault::Refused(_) => AppendError::Unavailable(fault.to_string()),
        Fault::Late | Fault::Broken(_) | Fault::Garbled(_) => AppendError::OutcomeUnknown(fault.to_string()),
    }
}

async fn add(link: &Link, target: &Target<'_>, event: &NewEvent) -> Result<Appended, Fault> {
    let mut args =
        vec![text(&target.keys.stream), Value::from_static_str("MAXLEN"), Value::from_static_str("~")];
    args.push(count(target.maxlen));
    args.push(Value::from_static_str("*"));
    put_fields(&mut args, event, target.now_ms);
    let reply = link.call(Operation::Append, "XADD", args).await?;
    let id = frame::id(&reply).ok_or(Fault::Garbled("the id of an entry is none"))?;
    Ok(Appended::Written(vec![id]))
}

async fn run(
    link: &Link,
    target: &Target<'_>,
    events: &[NewEvent],
    idempotency: Option<&Idempotency>,
) -> Result<Appended, AppendError> {
    let remembered = idempotency.map_or([0; 32], fingerprint);
    let mut keys = vec![target.keys.stream.clone(), target.keys.idempotency(remembered)];
    let mut args = vec![count(target.maxlen)];
    args.push(Value::Integer(if idempotency.is_some() { IDEMPOTENCY_SECS.cast_signed() } else { 0 }));
    args.push(Value::from(hex(&idempotency.map_or([0; 32], |idempotency| idempotency.digest))));
    for event in events {
        put_event(&mut keys, &mut args, event, target);
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let reply = link.run(Operation::AppendBatch, scripts::APPEND, &keys, args).await;
    let reply = reply.map_err(|fault| append_error(&fault))?;
    outcome(&reply).unwrap_or_else(|fault| Err(append_error(&fault)))
}

fn put_event(keys: &mut Vec<String>, args: &mut Vec<Value>, event: &NewEvent, target: &Target<'_>) {
    let secs = event.snapshot.filter(|secs| *secs > 0);
    if secs.is_some() {
        keys.push(target.keys.snapshot(&event.session));
    }
    let head = args.len();
    args.extend([
        Value::Null,
        count(secs.map_or(0, |_| keys.len())),
        Value::Integer(secs.unwrap_or(0).into()),
    ]);
    put_fields(args, event, target.now_ms);
    args[head] = count(args.len() - head - 3);
}

/// The fields of the contract. The time is the publish's: the id's may run ahead of the clock.
fn put_fields(args: &mut Vec<Value>, event: &NewEvent, now_ms: u64) {
    let mut put = |name, value| args.extend([Value::from_static_str(name), value]);
    put("session", text(event.session.as_str()));
    put("data", text(&event.data));
    if let Some(kind) = &event.kind {
        put("type", text(kind.as_str()));
    }
    if let Some(key) = &event.key {
        put("key", text(key.as_str()));
    }
    put("ts", Value::Integer(i64::try_from(now_ms).unwrap_or(i64::MAX)));
    if let Some(secs) = event.snapshot {
        put("snapshot", Value::Integer(secs.into()));
    }
}

fn outcome(reply: &Resp3Frame) -> Result<Result<Appended, AppendError>, Fault> {
    match frame::at(reply, 0, frame::text)? {
        "conflict" => Ok(Err(AppendError::Conflict)),
        "written" => Ok(Ok(Appended::Written(ids(reply)?))),
        "duplicate" => Ok(Ok(Appended::Duplicate(ids(reply)?))),
        _ => Err(Fault::Garbled("the outcome of an append is none")),
    }
}

fn ids(reply: &Resp3Frame) -> Result<Vec<EventId>, Fault> {
    let all = frame::at(reply, 1, frame::text)?;
    all.split_ascii_whitespace()
        .map(|id| id.parse().map_err(|_| Fault::Garbled("the id of an entry is none")))
        .collect()
}

fn count(count: usize) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The event of a stored snapshot, `<id>\n` and the parts of its fields, each as `<length>:<bytes>`. What cannot be read,
/// or is larger than this instance lets pass, is no snapshot.
pub(super) fn snapshot(stored: &Bytes, rules: &DecodeRules) -> Option<Arc<Event>> {
    let end = stored.iter().position(|byte| *byte == b'\n')?;
    let id = std::str::from_utf8(&stored[..end]).ok()?.parse().ok()?;
    let mut parts = Vec::new();
    let mut rest = &stored[end + 1..];
    while !rest.is_empty() {
        let colon = rest.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
        let (part, tail) = rest[colon + 1..].split_at_checked(length)?;
        parts.push(part);
        rest = tail;
    }
    match rules.decode(id, parts.chunks_exact(2).map(|pair| (pair[0], pair[1]))).content {
        Content::Event(event) => Some(event),
        Content::Malformed(..) | Content::Internal | Content::Revoked(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stored: &'static [u8]) -> Option<Arc<Event>> {
        let rules = DecodeRules { default_session: None, max_event_bytes: 16 };
        snapshot(&Bytes::from_static(stored), &rules)
    }

    #[test]
    fn stored_snapshots_are_read_as_they_were_ever_written() {
        let event = read(b"7-1\n7:session1:s4:data4:a\n:b4:type1:t3:key1:k2:ts1:58:snapshot2:60").unwrap();
        assert_eq!((event.id, event.session.as_str(), event.data()), (EventId::new(7, 1), "s", "a\n:b"));
        assert_eq!((event.ts, event.snapshot), (5, Some(60)));
    }

    #[test]
    fn what_is_no_snapshot_is_none() {
        for bad in [
            b"" as &[u8],
            b"7-1",
            b"x\n1:a1:b",
            b"7-1\n9:session1:s",
            b"7-1\n7:session1:s4:data99:x",
            b"7-1\n7:session1:s4:datax",
            b"7-1\n7:session1:s4:data17:xxxxxxxxxxxxxxxxx",
            b"7-1\n99999999999999999999:a",
        ] {
            assert!(read(bad).is_none(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn only_a_refusal_says_that_nothing_was_written() {
        let refused = Fault::Refused("OOM command not allowed".to_owned());
        assert!(matches!(append_error(&refused), AppendError::Unavailable(_)));
        assert!(matches!(append_error(&Fault::Away(String::new())), AppendError::Unavailable(_)));
        for unknown in [Fault::Late, Fault::Broken(String::new()), Fault::Garbled("x")] {
            assert!(matches!(append_error(&unknown), AppendError::OutcomeUnknown(_)), "{unknown}");
        }
    }
}

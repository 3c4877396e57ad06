//! How a stream becomes a part of a history.
//!
//! Every payload begins with its value and is determined by it, so that whatever was changed on the way is seen.

use anyhow::{Context as _, ensure};
use serde_json::Value as Json;
use weir_core::EventId;
use weir_core::notice::GapReason;

use super::history::{Fact, Gap, Value};
use crate::sse::{Event, Item};

/// The payload of a value: its number, and filler that differs from value to value.
pub fn payload(value: Value) -> String {
    let mixed = value.wrapping_mul(2_654_435_761).rotate_left(7);
    let filler = char::from(b'a' + u8::try_from(mixed % 26).unwrap_or_default());
    // Most are short; some are long enough to fill what lies between a server and a client that does not read.
    let length = (mixed % 97) * if mixed.is_multiple_of(8) { 20 } else { 1 };
    let mut text = format!("{value} ");
    text.extend(std::iter::repeat_n(filler, length as usize));
    text
}

/// What an item of a stream tells a client; nothing for comments and the like.
pub fn fact(item: &Item) -> Option<Fact> {
    match item {
        Item::Event(event) => {
            of_event(event).unwrap_or_else(|error| Some(dirty(format!("{event:?}: {error:#}"))))
        }
        Item::Silent { .. } | Item::Violation(_) => Some(dirty(format!("{item:?}"))),
        Item::Comment(_) | Item::Retry(_) => None,
    }
}

/// What the answer to a long-poll tells a client.
///
/// # Errors
/// It is none.
pub fn poll_facts(answer: &Json) -> anyhow::Result<Vec<Fact>> {
    let mut facts = Vec::new();
    if !answer["gap"].is_null() {
        facts.push(gap(&answer["gap"])?);
    }
    for event in answer["events"].as_array().context("no events")? {
        facts.push(enveloped(event)?);
    }
    facts.push(Fact::Position(id(&answer["lastEventId"])?.context("no position")?));
    Ok(facts)
}

fn of_event(event: &Event) -> anyhow::Result<Option<Fact>> {
    match event.event.as_str() {
        "weir.connected" | "weir.ping" => {
            let id = event.id.as_deref().context("no position")?;
            Ok(Some(Fact::Position(id.parse()?)))
        }
        "weir.gap" => gap(&serde_json::from_str(&event.data)?).map(Some),
        "weir.degraded" | "weir.restored" | "weir.shutdown" | "weir.refused" => Ok(None),
        other => {
            ensure!(!other.starts_with("weir."), "an unknown control event");
            if event.data.starts_with('{') {
                return enveloped(&serde_json::from_str(&event.data)?).map(Some);
            }
            let id = event.id.as_deref().context("an event without id")?.parse()?;
            Ok(Some(of_payload(id, &event.data)))
        }
    }
}

/// An event of `format=json`.
fn enveloped(event: &Json) -> anyhow::Result<Fact> {
    let id = id(&event["id"])?.context("an event without id")?;
    Ok(of_payload(id, event["data"].as_str().context("an event without data")?))
}

fn of_payload(id: EventId, text: &str) -> Fact {
    let value = text.split_once(' ').and_then(|(value, _)| value.parse().ok());
    match value.filter(|value| payload(*value) == text) {
        Some(value) => Fact::Event { id, value },
        None => Fact::Altered(id, text.into()),
    }
}

fn gap(gap: &Json) -> anyhow::Result<Fact> {
    let reason = gap["reason"].as_str().context("a gap without reason")?;
    let reason = GapReason::ALL.into_iter().find(|known| known.as_str() == reason);
    Ok(Fact::Gap(Box::new(Gap {
        reason: reason.with_context(|| format!("unknown reason in {gap}"))?,
        missed: gap["missed"].as_u64(),
        after: id(&gap["after"])?,
        before: id(&gap["before"])?,
    })))
}

fn id(id: &Json) -> anyhow::Result<Option<EventId>> {
    id.as_str().map(|id| id.parse().with_context(|| format!("id {id:?}"))).transpose()
}

fn dirty(what: String) -> Fact {
    Fact::Dirty(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Parser;

    #[test]
    fn a_stream_becomes_facts() {
        let (one, two) = (payload(1), payload(70_001));
        let stream = format!(
            "retry: 5\nevent: weir.connected\nid: 5-3\ndata: {{\"heartbeat\":15000}}\n\n:\nid: 7-0\ndata: {one}\n\n\
             event: weir.gap\ndata: {{\"reason\":\"overflow\",\"session\":null,\"missed\":3,\"after\":\"7-0\",\"before\":null}}\n\n\
             event: weir.ping\nid: 9-0\ndata: {{\"ts\":1}}\n\n\
             id: 9-1\ndata: {{\"id\":\"9-1\",\"session\":\"s\",\"data\":\"{two}\"}}\n\n\
             id: 9-2\ndata: {one}x\n\nevent: weir.odd\ndata: 1\n\n"
        );
        let facts: Vec<Fact> = Parser::strict().push(stream.as_bytes()).iter().filter_map(fact).collect();
        let id = EventId::new;
        let gap = Gap { reason: GapReason::Overflow, missed: Some(3), after: Some(id(7, 0)), before: None };
        assert_eq!(
            facts[..6],
            [
                Fact::Position(id(5, 3)),
                Fact::Event { id: id(7, 0), value: 1 },
                Fact::Gap(Box::new(gap)),
                Fact::Position(id(9, 0)),
                Fact::Event { id: id(9, 1), value: 70_001 },
                Fact::Altered(id(9, 2), format!("{one}x").into()),
            ]
        );
        assert!(
            matches!(&facts[6], Fact::Dirty(what) if what.contains("unknown control event")),
            "{facts:?}"
        );
    }

    #[test]
    fn a_long_poll_becomes_facts() {
        let answer = serde_json::json!({
            "events": [{"id": "7-1", "data": payload(3)}],
            "lastEventId": "7-9",
            "gap": {"reason": "trimmed", "missed": null, "after": "1-0", "before": "7-0"},
        });
        let facts = poll_facts(&answer).unwrap();
        assert!(matches!(&facts[0], Fact::Gap(gap) if gap.reason == GapReason::Trimmed), "{facts:?}");
        assert_eq!(facts[1], Fact::Event { id: EventId::new(7, 1), value: 3 });
        assert_eq!(facts[2], Fact::Position(EventId::new(7, 9)));
        assert!(poll_facts(&serde_json::json!({"events": []})).is_err());
    }
}

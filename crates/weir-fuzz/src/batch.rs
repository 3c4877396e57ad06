//! Batches: what is taken is within its bounds and says what another reader of JSON reads, and written anew, as an array
//! or as lines, it is the same.

use serde_json::{Value, json};
use weir_core::entry::fits;
use weir_core::log::NewEvent;
use weir_http::fuzz;

/// Small, so that a fuzzer reaches events above it.
const MAX_EVENT_BYTES: usize = 64;

/// Most events of a batch.
const MOST: usize = 1000;

/// Any text as a batch: an array, or lines where it does not begin with a bracket.
pub fn batch(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let is_array = text.trim_start().starts_with('[');
    let events = match fuzz::batch(is_array, text, MAX_EVENT_BYTES) {
        Ok(events) => events,
        Err((status, code)) => {
            assert!(matches!(status, 400 | 413 | 422) && !code.is_empty(), "{status} {code}");
            return;
        }
    };
    assert!((1..=MOST).contains(&events.len()));
    for event in &events {
        assert!(fits(event.data.as_bytes(), MAX_EVENT_BYTES) && event.snapshot != Some(0));
        assert!(event.kind.as_ref().is_none_or(|kind| !kind.as_str().starts_with("weir.")));
    }
    said(is_array, text, &events);
    let written: Vec<_> = events.iter().map(|event| object(event).to_string()).collect();
    assert_eq!(fuzz::batch(true, &format!("[{}]", written.join(",")), MAX_EVENT_BYTES).as_ref(), Ok(&events));
    assert_eq!(fuzz::batch(false, &written.join("\n"), MAX_EVENT_BYTES).as_ref(), Ok(&events));
}

/// Another reader sees the same events, where it does not give up at what is nested deeply.
fn said(is_array: bool, text: &str, events: &[NewEvent]) {
    let values: Result<Vec<Value>, _> = if is_array {
        serde_json::from_str(text)
    } else {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(serde_json::from_str).collect()
    };
    let Ok(values) = values else { return };
    assert_eq!(values.len(), events.len());
    for (value, event) in values.iter().zip(events) {
        assert_eq!(value["session"], event.session.as_str());
        let kind = event.kind.as_ref().map(|kind| kind.as_str());
        let key = event.key.as_ref().map(|key| key.as_str());
        assert_eq!((value["type"].as_str(), value["key"].as_str()), (kind, key));
        if let Some(data) = value["data"].as_str() {
            assert_eq!(data, event.data);
        } else {
            let data: Value = serde_json::from_str(&event.data).expect("what is no string stays JSON");
            assert_eq!(data, value["data"]);
        }
    }
}

fn object(event: &NewEvent) -> Value {
    let kind = event.kind.as_ref().map(|kind| kind.as_str());
    let key = event.key.as_ref().map(|key| key.as_str());
    json!({ "session": event.session.as_str(), "data": event.data, "type": kind, "key": key, "snapshot": event.snapshot })
}

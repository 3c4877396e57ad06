//! Queries: what is understood is within its bounds, and understood alike when it is written strictly.

use std::collections::BTreeSet;
use std::time::Duration;

use http::request::Parts;
use weir_core::mailbox::Overflow;
use weir_core::subscription::{Format, Wants};
use weir_core::{EventType, Key, Position, Session};
use weir_http::fuzz;

/// Few, so that a fuzzer reaches one more.
const MOST_SESSIONS: usize = 4;

/// Most types, and most keys, that a client may filter by.
const MOST_FILTERS: usize = 64;

/// Any text as the query of a subscribe and of a publish.
pub fn query(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let none = http::Request::new(()).into_parts().0;
    subscribed(&text, &none);
    published(&text);
}

fn subscribed(text: &str, none: &Parts) {
    let (wants, wait) = match fuzz::subscribe(text, none, MOST_SESSIONS) {
        Ok(understood) => understood,
        Err((status, code)) => {
            assert!(matches!(status, 400 | 422) && !code.is_empty(), "{status} {code}");
            return;
        }
    };
    let sessions: BTreeSet<_> = wants.sessions.iter().map(Session::as_str).collect();
    assert!((1..=MOST_SESSIONS).contains(&sessions.len()) && sessions.len() == wants.sessions.len());
    assert!(sessions.iter().all(|name| Session::parse(name).is_ok()));
    assert!(wants.filter.kinds.len() <= MOST_FILTERS && wants.filter.keys.len() <= MOST_FILTERS);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(60)));
    assert!(wants.conflate.is_none_or(|time| !time.is_zero() && time <= Duration::from_secs(60)));
    let again = fuzz::subscribe(&written(&wants, wait), none, MOST_SESSIONS);
    assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, fuzz::Refused>((wants, wait))));
}

/// The query that asks for the same, every byte of every value escaped.
fn written(wants: &Wants, wait: Option<Duration>) -> String {
    let mut pairs = Vec::new();
    let mut pair = |name: &str, value: &str| pairs.push(format!("{name}={}", escaped(value)));
    wants.sessions.iter().for_each(|session| pair("session", session.as_str()));
    wants.filter.kinds.iter().for_each(|kind| pair("type", kind.as_str()));
    wants.filter.keys.iter().for_each(|key| pair("key", key.as_str()));
    pair("format", if wants.format == Format::Raw { "raw" } else { "json" });
    pair(
        "overflow",
        match wants.overflow {
            Overflow::CatchUp => "catch-up",
            Overflow::DropOldest => "drop-oldest",
            Overflow::Latest => "latest",
            Overflow::Disconnect => "disconnect",
        },
    );
    if let Some(time) = wants.conflate {
        pair("conflate", &time.as_millis().to_string());
    }
    if wants.snapshot {
        pair("snapshot", "1");
    }
    if wants.visible_beat {
        pair("heartbeat", "event");
    }
    if let Some(wait) = wait {
        pair("wait", &wait.as_secs().to_string());
    }
    match wants.from {
        None => {}
        Some(Position::Earliest) => pair("lastEventId", "earliest"),
        Some(Position::After(id)) => pair("lastEventId", &id.to_string()),
        Some(Position::Unknown) => pair("lastEventId", "unknown"),
    }
    pairs.join("&")
}

fn published(text: &str) {
    let (kind, key, snapshot) = match fuzz::labels(text) {
        Ok(labels) => labels,
        Err((status, code)) => {
            assert!(matches!(status, 400 | 422) && !code.is_empty(), "{status} {code}");
            return;
        }
    };
    assert!(kind.as_ref().is_none_or(|kind| EventType::parse(kind.as_str()).as_ref() == Ok(kind)));
    assert!(key.as_ref().is_none_or(|key| Key::parse(key.as_str()).as_ref() == Ok(key)));
    assert_ne!(snapshot, Some(0));
    let kinds = kind.iter().map(|kind| ("type", kind.as_str().to_owned()));
    let keys = key.iter().map(|key| ("key", key.as_str().to_owned()));
    let all = kinds.chain(keys).chain(snapshot.map(|secs| ("snapshot", secs.to_string())));
    let again: Vec<_> = all.map(|(name, value)| format!("{name}={}", escaped(&value))).collect();
    assert_eq!(fuzz::labels(&again.join("&")), Ok((kind, key, snapshot)));
}

fn escaped(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

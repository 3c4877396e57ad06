//! The parameters of a call.

use std::time::Duration;

use http::HeaderMap;
use weir_core::filter::Filter;
use weir_core::mailbox::Overflow;
use weir_core::subscription::{Format, Wants};
use weir_core::{EventType, Key, Position, Session};

use crate::path::{BadSession, decode, decode_session};
use crate::problem::Problem;

/// Longest wait of a long-poll: proxies close what is silent for longer.
const MAX_WAIT_SECS: u64 = 60;

/// Longest conflation: beyond it a stream would look dead.
const MAX_CONFLATE_MS: u64 = 60_000;

/// Most types, and most keys, one client may filter by: each event is compared with all of them.
const MAX_FILTER: usize = 64;

/// A raw query, parameter by parameter, decoded strictly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a>(pub(crate) &'a str);

impl<'a> Query<'a> {
    /// Every value of a parameter, as it was sent.
    fn raw(self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The first value of a parameter.
    pub(crate) fn first(self, name: &'a str) -> Result<Option<String>, Problem> {
        self.raw(name).next().map(|raw| text(name, raw)).transpose()
    }

    /// The value of a parameter that may not be given twice.
    pub(crate) fn once(self, name: &'a str) -> Result<Option<String>, Problem> {
        let mut given = self.raw(name);
        match (given.next(), given.next()) {
            (None, _) => Ok(None),
            (Some(raw), None) => text(name, raw).map(Some),
            (Some(_), Some(_)) => Err(invalid(name, "given once")),
        }
    }

    fn all(self, name: &'a str) -> Result<Vec<String>, Problem> {
        let values: Vec<_> = self.raw(name).map(|raw| text(name, raw)).collect::<Result<_, _>>()?;
        if values.len() > MAX_FILTER {
            return Err(Problem::malformed(
                "too_many_filters",
                format!("{name}= may be given {MAX_FILTER} times at most"),
            ));
        }
        Ok(values)
    }

    fn number(self, name: &'a str, most: u64) -> Result<Option<u64>, Problem> {
        let Some(value) = self.first(name)? else { return Ok(None) };
        match value.parse() {
            Ok(number) if number <= most => Ok(Some(number)),
            Ok(_) | Err(_) => Err(invalid(name, &format!("a whole number from 0 to {most}"))),
        }
    }

    /// The sessions of `/v1/events`, each once.
    pub(crate) fn sessions(self, most: usize) -> Result<Box<[Session]>, Problem> {
        let mut sessions: Vec<Session> = Vec::new();
        for raw in self.raw("session") {
            let session = decode_session(&raw.replace('+', "%20"))?;
            if !sessions.contains(&session) {
                sessions.push(session);
            }
            if sessions.len() > most {
                let detail =
                    format!("one connection takes {most} sessions at most: open another for the rest");
                return Err(Problem::malformed("too_many_sessions", detail));
            }
        }
        if sessions.is_empty() {
            let detail = "name at least one session: /v1/events?session=NAME";
            return Err(Problem::malformed("missing_session", detail));
        }
        Ok(sessions.into())
    }
}

/// What a subscribe asks for, and for how long a long-poll waits.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) wants: Wants,
    pub(crate) wait: Option<Duration>,
}

/// What the server takes where the client says nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) format: Format,
    pub(crate) overflow: Overflow,
}

impl Subscribe {
    pub(crate) fn parse(
        sessions: Box<[Session]>,
        query: Query<'_>,
        headers: &HeaderMap,
        defaults: Defaults,
    ) -> Result<Self, Problem> {
        let kinds = query.all("type")?.iter().map(|kind| EventType::parse(kind)).collect::<Result<_, _>>()?;
        let keys = query.all("key")?.iter().map(|key| Key::parse(key)).collect::<Result<_, _>>()?;
        let wants = Wants {
            sessions,
            filter: Filter { kinds, keys },
            format: format(query)?.unwrap_or(defaults.format),
            overflow: overflow(query)?.unwrap_or(defaults.overflow),
            conflate: conflate(query)?,
            snapshot: snapshot_wanted(query)?,
            from: position(query, headers),
            visible_beat: visible_beat(query)?,
            ..Wants::default()
        };
        let wait = query.number("wait", MAX_WAIT_SECS)?.map(Duration::from_secs);
        Ok(Self { wants, wait })
    }
}

/// Never an error: a client that is refused for its position once never comes back.
pub(crate) fn position(query: Query<'_>, headers: &HeaderMap) -> Option<Position> {
    if let Some(header) = headers.get("last-event-id") {
        return Some(Position::parse(header.as_bytes()));
    }
    let raw = query.raw("lastEventId").next()?;
    // An empty parameter is what a page sends that has no position yet.
    (!raw.is_empty()).then(|| decode(raw).map_or(Position::Unknown, |text| Position::parse(text.as_bytes())))
}

fn format(query: Query<'_>) -> Result<Option<Format>, Problem> {
    match query.first("format")?.as_deref() {
        None => Ok(None),
        Some("raw") => Ok(Some(Format::Raw)),
        Some("json") => Ok(Some(Format::Json)),
        Some(_) => Err(invalid("format", "raw or json")),
    }
}

fn overflow(query: Query<'_>) -> Result<Option<Overflow>, Problem> {
    match query.first("overflow")?.as_deref() {
        None => Ok(None),
        Some("catch-up") => Ok(Some(Overflow::CatchUp)),
        Some("drop-oldest") => Ok(Some(Overflow::DropOldest)),
        Some("latest") => Ok(Some(Overflow::Latest)),
        Some("disconnect") => Ok(Some(Overflow::Disconnect)),
        Some(_) => Err(invalid("overflow", "catch-up, drop-oldest, latest or disconnect")),
    }
}

fn conflate(query: Query<'_>) -> Result<Option<Duration>, Problem> {
    let ms = query.number("conflate", MAX_CONFLATE_MS)?;
    Ok(ms.filter(|ms| *ms > 0).map(Duration::from_millis))
}

fn snapshot_wanted(query: Query<'_>) -> Result<bool, Problem> {
    match query.first("snapshot")?.as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(invalid("snapshot", "1 or 0")),
    }
}

fn visible_beat(query: Query<'_>) -> Result<bool, Problem> {
    match query.first("heartbeat")?.as_deref() {
        None | Some("comment") => Ok(false),
        Some("event") => Ok(true),
        Some(_) => Err(invalid("heartbeat", "event, or leave it out")),
    }
}

/// What a publish says beside its data.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) kind: Option<EventType>,
    pub(crate) key: Option<Key>,
    pub(crate) snapshot: Option<u32>,
}

impl Labels {
    pub(crate) fn parse(query: Query<'_>) -> Result<Self, Problem> {
        let kind = query.first("type")?.map(|kind| EventType::parse(&kind)).transpose()?;
        let key = query.first("key")?.map(|key| Key::parse(&key)).transpose()?;
        let snapshot = query.number("snapshot", u64::from(u32::MAX))?;
        Ok(Self {
            kind,
            key,
            snapshot: snapshot.and_then(|secs| u32::try_from(secs).ok()).filter(|secs| *secs > 0),
        })
    }
}

fn text(name: &str, raw: &str) -> Result<String, Problem> {
    decode(&raw.replace('+', "%20")).map_err(|bad| match bad {
        BadSession::Escape => invalid(name, "percent-encoded: each % needs two hexadecimal digits"),
        BadSession::Utf8 | BadSession::Name(_) => invalid(name, "UTF-8, percent-encoded once"),
    })
}

pub(crate) fn invalid(name: &str, right: &str) -> Problem {
    Problem::malformed("invalid_parameter", format!("{name}= is {right}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Subscribe, Problem> {
        let sessions = Box::from([Session::parse("a").unwrap()]);
        let defaults = Defaults { format: Format::Raw, overflow: Overflow::CatchUp };
        Subscribe::parse(sessions, Query(query), &HeaderMap::new(), defaults)
    }

    #[test]
    fn every_parameter() {
        let all = parse(
            "type=a&type=b&key=k+1&format=json&overflow=latest&conflate=250&snapshot=1&heartbeat=event&wait=5&lastEventId=7-1",
        );
        let Subscribe { wants, wait } = all.unwrap();
        assert_eq!(wants.filter.kinds.len(), 2);
        assert_eq!(wants.filter.keys[0].as_str(), "k 1");
        assert_eq!((wants.format, wants.overflow), (Format::Json, Overflow::Latest));
        assert_eq!(wants.conflate, Some(Duration::from_millis(250)));
        assert!(wants.snapshot && wants.visible_beat);
        assert_eq!(wants.from, Some(Position::After(weir_core::EventId::new(7, 1))));
        assert_eq!(wait, Some(Duration::from_secs(5)));
    }

    #[test]
    fn bad_values_name_the_parameter_and_what_is_right() {
        for (query, name) in [
            ("format=xml", "format="),
            ("overflow=x", "overflow="),
            ("conflate=-1", "conflate="),
            ("wait=61", "wait="),
            ("snapshot=yes", "snapshot="),
            ("heartbeat=1", "heartbeat="),
            ("key=%F", "key="),
        ] {
            let problem = parse(query).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.detail.contains(name)), (400, true), "{query}");
        }
        assert_eq!(parse("type=weir.gap").unwrap_err().code, "reserved_type");
    }

    #[test]
    fn the_header_wins_and_no_position_is_an_error() {
        let sessions: Box<[Session]> = Box::from([Session::parse("a").unwrap()]);
        let defaults = Defaults { format: Format::Raw, overflow: Overflow::CatchUp };
        let from = |query: &str, header: Option<&[u8]>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("last-event-id", http::HeaderValue::from_bytes(header).unwrap());
            }
            Subscribe::parse(sessions.clone(), Query(query), &headers, defaults).unwrap().wants.from
        };
        assert_eq!(from("lastEventId=1-1", Some(b"earliest")), Some(Position::Earliest));
        assert_eq!(from("lastEventId=%ff", None), Some(Position::Unknown));
        assert_eq!(from("lastEventId=", None), None);
        assert_eq!(from("", Some(b"\xff\xfe")), Some(Position::Unknown));
    }
}

//! The events of a batch, from NDJSON or a JSON array.

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;
use weir_core::log::NewEvent;
use weir_core::{EventType, Key, Session};

use crate::problem::Problem;

/// Most bytes of a batch.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// Most events of a batch: they are appended at once, while others wait.
const MAX_EVENTS: usize = 1000;

/// Most characters that are repeated of what was wrong with a batch.
const MAX_SAID: usize = 200;

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Array,
    Lines,
}

impl Syntax {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let declared = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = declared.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Array)
        } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
            Ok(Self::Lines)
        } else {
            let detail = "a batch has the content type application/json or application/x-ndjson";
            Err(Problem::media_type(detail))
        }
    }
}

/// Checks and takes every event, or none.
pub(crate) fn parse(syntax: Syntax, text: &str, max_event_bytes: usize) -> Result<Vec<NewEvent>, Problem> {
    let items = match syntax {
        Syntax::Array => array(text)?,
        Syntax::Lines => lines(text)?,
    };
    if items.is_empty() {
        return Err(Problem::malformed(
            "batch_size",
            format!("a batch has 1 to {MAX_EVENTS} events, this one has none"),
        ));
    }
    if items.len() > MAX_EVENTS {
        return Err(Problem::too_large(format!(
            "a batch has {MAX_EVENTS} events at most, this one has more"
        )));
    }
    let events = items.into_iter().enumerate();
    events
        .map(|(nth, Object(item))| item.check(max_event_bytes).map_err(|problem| problem.of_event(nth)))
        .collect()
}

/// Reads no further than it takes to know that there are too many.
fn array(text: &str) -> Result<Vec<Object<'_>>, Problem> {
    let mut items = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize_seq(Items(&mut items)).and_then(|()| reader.end());
    match read {
        Err(error) if items.len() <= MAX_EVENTS => Err(not_json(&error)),
        Ok(()) | Err(_) => Ok(items),
    }
}

struct Items<'i, 'a>(&'i mut Vec<Object<'a>>);

impl<'a> Visitor<'a> for Items<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        while self.0.len() <= MAX_EVENTS
            && let Some(item) = list.next_element()?
        {
            self.0.push(item);
        }
        Ok(())
    }
}

fn lines(text: &str) -> Result<Vec<Object<'_>>, Problem> {
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    let parsed = filled
        .take(MAX_EVENTS + 1)
        .enumerate()
        .map(|(nth, line)| serde_json::from_str(line).map_err(|error| not_json(&error).of_event(nth)));
    parsed.collect()
}

/// The library repeats a field that it does not know, however long it is.
fn not_json(error: &serde_json::Error) -> Problem {
    let mut said = error.to_string();
    if said.len() > MAX_SAID {
        let (line, column) = (error.line(), error.column());
        said = said.chars().take(MAX_SAID).collect();
        said.push_str(&format!("… at line {line} column {column}"));
    }
    let detail =
        format!("a batch is a list of {{\"session\",\"data\",\"type\"?,\"key\"?,\"snapshot\"?}}: {said}");
    Problem::malformed("invalid_batch", detail)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    session: String,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(rename = "type")]
    kind: Option<String>,
    key: Option<String>,
    snapshot: Option<Number>,
}

/// An item that is written as an object: serde would take its fields as a list, too.
#[derive(Debug)]
struct Object<'a>(Item<'a>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<'de>, M::Error> {
        Item::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

impl Item<'_> {
    fn check(self, max_event_bytes: usize) -> Result<NewEvent, Problem> {
        let data = text(self.data)?;
        if !weir_core::entry::fits(data.as_bytes(), max_event_bytes) {
            return Err(Problem::too_large(format!("an event's data is at most {max_event_bytes} bytes")));
        }
        Ok(NewEvent {
            session: Session::parse(&self.session)?,
            data,
            kind: self.kind.as_deref().map(EventType::parse).transpose()?,
            key: self.key.as_deref().map(Key::parse).transpose()?,
            snapshot: self.snapshot.map(|secs| seconds(&secs)).transpose()?.filter(|secs| *secs > 0),
        })
    }
}

/// JSON has one kind of number: a program that writes all of them with a point means the same.
fn seconds(number: &Number) -> Result<u32, Problem> {
    let whole =
        number.as_f64().filter(|secs| secs.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(secs));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within bounds")]
    whole.map(|secs| secs as u32).ok_or_else(|| {
        let detail = format!("snapshot is a whole number of seconds from 0 to {}", u32::MAX);
        Problem::malformed("invalid_batch", detail)
    })
}

/// A JSON string is its text; anything else stays JSON, without the white space between its tokens and with every digit.
fn text(data: &RawValue) -> Result<String, Problem> {
    let raw = data.get();
    if raw.starts_with('"') {
        return serde_json::from_str(raw).map_err(|error| not_json(&error));
    }
    let (mut quoted, mut escaped) = (false, false);
    Ok(raw
        .chars()
        .filter(|char| {
            let keep = quoted || !char.is_ascii_whitespace();
            if *char == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = quoted && *char == '\\' && !escaped;
            keep
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_not_repeated_at_length() {
        for syntax in [Syntax::Array, Syntax::Lines] {
            let item = format!(r#"{{"{}":1}}"#, "ä".repeat(100_000));
            let batch = if syntax == Syntax::Array { format!("[{item}]") } else { item };
            let (status, detail) = refused(syntax, &batch);
            assert!(
                status == 400 && detail.len() < 600 && detail.contains("… at line 1 column "),
                "{detail}"
            );
        }
    }

    fn data(batch: &str) -> Vec<String> {
        let events = parse(Syntax::Array, batch, 64).unwrap();
        events.into_iter().map(|event| event.data).collect()
    }

    fn refused(syntax: Syntax, batch: &str) -> (u16, String) {
        let problem = parse(syntax, batch, 8).unwrap_err();
        (problem.status.as_u16(), format!("{}: {}", problem.code, problem.detail))
    }

    #[test]
    fn strings_are_text_and_the_rest_is_compact_json() {
        assert_eq!(
            data(
                r#"[{"session":"a","data":"x\ny"},
                    {"session":"a","data":{"b" : [1, 1.10, 12345678901234567890 ], "c \" d": "e \\"}},
                    {"session":"a","data": null }]"#
            ),
            ["x\ny", r#"{"b":[1,1.10,12345678901234567890],"c \" d":"e \\"}"#, "null"]
        );
    }

    #[test]
    fn lines_may_be_blank_and_end_in_crlf() {
        let events =
            parse(Syntax::Lines, "{\"session\":\"a\",\"data\":1}\r\n\n{\"session\":\"b\",\"data\":2}", 8);
        assert_eq!(events.unwrap().len(), 2);
    }

    #[test]
    fn seconds_are_whole_however_they_are_written() {
        let batch = r#"[{"session":"a","data":1,"snapshot":60},{"session":"a","data":1,"snapshot":6.0e1},
                        {"session":"a","data":1,"snapshot":0},{"session":"a","data":1,"snapshot":null}]"#;
        let events = parse(Syntax::Array, batch, 64).unwrap();
        let seconds: Vec<_> = events.iter().map(|event| event.snapshot).collect();
        assert_eq!(seconds, [Some(60), Some(60), None, None]);
    }

    #[test]
    fn an_event_that_is_refused_is_named() {
        let (status, text) =
            refused(Syntax::Lines, "{\"session\":\"a\",\"data\":1}\n{\"session\":\"\",\"data\":1}");
        assert_eq!((status, text.starts_with("invalid_session: event 2:")), (400, true), "{text}");
        for (batch, status, code) in [
            ("[]", 400, "batch_size"),
            ("{}", 400, "invalid_batch"),
            (r#"[{"session":"a"}]"#, 400, "invalid_batch"),
            (r#"[["a",1,null,null,null]]"#, 400, "invalid_batch"),
            (r#"[{"session":"a","data":1,"tpye":"x"}]"#, 400, "invalid_batch"),
            (r#"[{"session":"a","data":"\ud800"}]"#, 400, "invalid_batch"),
            (r#"[{"session":"a","data":1,"snapshot":1.5}]"#, 400, "invalid_batch"),
            (r#"[{"session":"a","data":1,"snapshot":-1}]"#, 400, "invalid_batch"),
            (r#"[{"session":"a","data":1,"snapshot":4294967296}]"#, 400, "invalid_batch"),
            (r#"[{"session":"a","data":1,"type":"weir.x"}]"#, 422, "reserved_type"),
            (r#"[{"session":"a","data":1,"key":""}]"#, 422, "invalid_key"),
            (r#"[{"session":"a","data":"123456789"}]"#, 413, "too_large"),
        ] {
            let (got, text) = refused(Syntax::Array, batch);
            assert_eq!((got, text.starts_with(code)), (status, true), "{batch}: {text}");
        }
        let many = format!("[{}]", vec![r#"{"session":"a","data":1}"#; 1001].join(","));
        assert_eq!(refused(Syntax::Array, &many).0, 413);
    }
}

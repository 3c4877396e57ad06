//! What a body becomes in a stream.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use weir_core::durable::{Media, MediaType, Payload};

use crate::problem::Problem;

/// Deepest nesting of a value that is taken. A value that its readers cannot read would end the stream for all of them, and
/// many readers of JSON go no deeper than some hundreds.
const MAX_DEPTH: usize = 128;

/// What is appended. `None` where that is nothing: an empty body, or an empty array.
pub(super) fn of(body: Bytes, media: &MediaType) -> Result<Option<Payload>, Problem> {
    match media.media() {
        _ if body.is_empty() => Ok(None),
        Media::Json => values(&body),
        Media::Text | Media::Bytes => Ok(Some(Payload { units: body.len() as u64, bytes: body })),
    }
}

/// One value, or those of an array, as they were written.
fn values(body: &Bytes) -> Result<Option<Payload>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| {
        Problem::malformed("invalid_utf8", "a stream of application/json takes JSON in UTF-8")
    })?;
    if depth(text) > MAX_DEPTH {
        let detail = format!("a value is nested {MAX_DEPTH} levels deep at most");
        return Err(Problem::malformed("invalid_json", detail));
    }
    let is_array = text.trim_ascii_start().starts_with('[');
    if !is_array {
        let value: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        return Ok(Some(Payload { bytes: body.slice_ref(value.get().as_bytes()), units: 1 }));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = reader.deserialize_seq(Joined { text: String::with_capacity(text.len()), units: 0 });
    let joined = read.and_then(|joined| reader.end().map(|()| joined)).map_err(|error| not_json(&error))?;
    let bytes = Bytes::from(joined.text);
    Ok((joined.units > 0).then_some(Payload { bytes, units: joined.units }))
}

/// The values of an array, which are not kept one by one: an array of many small ones would take many times its size.
struct Joined {
    text: String,
    units: u64,
}

impl<'de> Visitor<'de> for Joined {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<Self, A::Error> {
        while let Some(value) = values.next_element::<&RawValue>()? {
            if self.units > 0 {
                self.text.push(',');
            }
            self.text.push_str(value.get());
            self.units += 1;
        }
        Ok(self)
    }
}

/// How deep arrays and objects are nested, the array around all values included.
fn depth(text: &str) -> usize {
    let (mut now, mut most, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Without the text of the body, which the error does not repeat.
fn not_json(error: &serde_json::Error) -> Problem {
    let detail = format!("the body is not JSON (line {}, column {})", error.line(), error.column());
    Problem::malformed("invalid_json", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str) -> Result<Option<(String, u64)>, &'static str> {
        let media = MediaType::parse("application/json").unwrap();
        let payload = of(Bytes::copy_from_slice(body.as_bytes()), &media).map_err(|problem| problem.code)?;
        Ok(payload.map(|payload| (String::from_utf8(payload.bytes.to_vec()).unwrap(), payload.units)))
    }

    #[test]
    fn one_level_of_array_is_opened_and_every_digit_kept() {
        let some = |text: &str, units| Ok(Some((text.to_owned(), units)));
        assert_eq!(json(" {\"a\" : 1.0}\n"), some("{\"a\" : 1.0}", 1));
        assert_eq!(json("[1, 2 ,\n3]"), some("1,2,3", 3));
        assert_eq!(json("[[1,2]]"), some("[1,2]", 1));
        assert_eq!(json(" [ [] ] "), some("[]", 1));
        assert_eq!(json("[\"a,]\", null]"), some("\"a,]\",null", 2));
        assert_eq!(json("123456789012345678901234567890.10"), some("123456789012345678901234567890.10", 1));
        assert_eq!(json("[]"), Ok(None));
        assert_eq!(json(""), Ok(None));
    }

    #[test]
    fn what_is_none_is_refused_whole() {
        for bad in ["{", "[1", "[1,]", "[1]x", "1 2", " ", "{ invalid json }", "[1] [2]", "\u{feff}1", "nul"]
        {
            assert_eq!(json(bad), Err("invalid_json"), "{bad:?}");
        }
        let media = MediaType::parse("application/json").unwrap();
        assert_eq!(of(Bytes::from_static(b"\"\xff\""), &media).unwrap_err().code, "invalid_utf8");
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(json(&nested(MAX_DEPTH + 1)), Err("invalid_json"));
        assert!(json(&format!("\"\\\"{}\"", "[".repeat(500))).is_ok());
        assert!(json(&format!("[{}0]", "[],".repeat(500))).is_ok());
    }

    #[test]
    fn bytes_are_taken_as_they_are() {
        let media = MediaType::octets();
        let payload = of(Bytes::from_static(b"\xff\0["), &media).unwrap().unwrap();
        assert_eq!((&payload.bytes[..], payload.units), (&b"\xff\0["[..], 3));
        assert_eq!(of(Bytes::new(), &media), Ok(None));
    }
}

//! The headers of an answer.

use std::fmt::Display;

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use weir_core::durable::{Head, Lifetime, MediaType, Offset};

use super::fields;

pub(super) const NEXT_OFFSET: &str = "stream-next-offset";

/// What is appended to a stream is anybody's, so a browser that is shown it as a page runs nothing and sends nothing.
const SANDBOX: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// Writes into the headers of an answer.
#[derive(Debug)]
pub(super) struct Told<'a>(pub(super) &'a mut HeaderMap);

impl Told<'_> {
    pub(super) fn put(&mut self, name: &'static str, value: impl Display) {
        let value =
            HeaderValue::try_from(value.to_string()).expect("offsets, numbers and checked texts are ASCII");
        self.0.insert(name, value);
    }

    pub(super) fn media(&mut self, media: &MediaType) {
        self.put(CONTENT_TYPE.as_str(), media);
        self.0.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    }

    pub(super) fn next(&mut self, next: Offset) {
        self.put(NEXT_OFFSET, next);
    }

    /// Nothing comes after this.
    pub(super) fn closed(&mut self, closed: bool) {
        if closed {
            self.0.insert(fields::CLOSED, HeaderValue::from_static("true"));
        }
    }

    pub(super) fn up_to_date(&mut self) {
        self.0.insert("stream-up-to-date", HeaderValue::from_static("true"));
    }

    /// How long the stream is kept, as it was said.
    pub(super) fn lifetime(&mut self, lifetime: &Lifetime) {
        match lifetime {
            Lifetime::Forever => {}
            Lifetime::Idle(secs) => self.put(fields::TTL, secs),
            Lifetime::Until { text, .. } => self.put(fields::EXPIRES_AT, text),
        }
    }

    /// Caches keep it for nobody else, and ask before they use it again.
    pub(super) fn asked_again(&mut self, tag: &str) {
        self.put(ETAG.as_str(), tag);
        self.0.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

/// What a part of a stream is known by. It has nothing of the name: what was made anew under an old name is not the same.
pub(super) fn tag(head: &Head, start: Offset, end: Offset) -> String {
    let is_all = head.closed && end == head.tail;
    format!("\"{:x}-{start}-{end}{}\"", head.born, if is_all { "-c" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_apart_what_differs() {
        let head = |born, tail, closed| Head {
            media: MediaType::octets(),
            lifetime: Lifetime::Forever,
            tail: Offset::new(born, tail),
            closed,
            born,
        };
        let tag =
            |born, tail, closed, end| tag(&head(born, tail, closed), Offset::BEGIN, Offset::new(born, end));
        let open = tag(7, 3, false, 3);
        assert_eq!(open, "\"7-0000000000000000_0000000000000000-0000000000000007_0000000000000003\"");
        // Closing changes what the end says, and nothing before it.
        assert_ne!(open, tag(7, 3, true, 3));
        assert_eq!(tag(7, 3, true, 2), tag(7, 3, false, 2));
        assert_ne!(open, tag(8, 3, false, 3));
        assert_ne!(tag(7, 0, false, 0), tag(8, 0, false, 0));
    }
}

//! The headers of a request.

use http::HeaderMap;
use weir_core::durable::{MediaType, Producer};

use crate::problem::Problem;

pub(super) const CLOSED: &str = "stream-closed";
pub(super) const EXPIRES_AT: &str = "stream-expires-at";
pub(super) const FORKED_FROM: &str = "stream-forked-from";
pub(super) const FORK_OFFSET: &str = "stream-fork-offset";
pub(super) const FORK_SUB_OFFSET: &str = "stream-fork-sub-offset";
const MEDIA: &str = "content-type";
pub(super) const PRODUCER_EPOCH: &str = "producer-epoch";
pub(super) const PRODUCER_ID: &str = "producer-id";
pub(super) const PRODUCER_SEQ: &str = "producer-seq";
pub(super) const SEQ: &str = "stream-seq";
pub(super) const TTL: &str = "stream-ttl";

/// Longest text that is compared or kept, in bytes.
const MAX_TEXT: usize = 256;

/// Largest number that every language can count to.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// See the [module](self). Each may be given once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a HeaderMap);

impl<'a> Fields<'a> {
    /// What a header says.
    fn raw(self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        let mut given = self.0.get_all(name).iter();
        match (given.next(), given.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                value.to_str().map(Some).map_err(|_| invalid(name, "visible ASCII characters"))
            }
            (Some(_), Some(_)) => Err(invalid(name, "given once")),
        }
    }

    /// A text.
    pub(super) fn text(self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        match self.raw(name)? {
            Some(text) if !(1..=MAX_TEXT).contains(&text.len()) => {
                Err(invalid(name, "1 to 256 visible ASCII characters"))
            }
            text @ (Some(_) | None) => Ok(text),
        }
    }

    /// A text that is longer.
    pub(super) fn path(self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        self.raw(name)
    }

    /// A number, written in one way.
    pub(super) fn number(self, name: &'static str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.raw(name)? else { return Ok(None) };
        let is_number =
            text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let number = text.parse().ok().filter(|number| is_number && *number <= MAX_NUMBER);
        number
            .map(Some)
            .ok_or_else(|| invalid(name, "a whole number in decimal digits, 9007199254740991 at most"))
    }

    /// Whether the stream is to be closed.
    pub(super) fn closes(self) -> Result<bool, Problem> {
        match self.raw(CLOSED)? {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(invalid(CLOSED, "true, or left out")),
        }
    }

    /// What the body is made of. Some clients send an empty header where they have nothing to say.
    pub(super) fn media(self) -> Result<Option<MediaType>, Problem> {
        match self.raw(MEDIA)? {
            None | Some("") => Ok(None),
            Some(text) => match MediaType::parse(text) {
                Some(media) => Ok(Some(media)),
                None => Err(invalid(MEDIA, "a media type such as application/json, of 256 bytes at most")),
            },
        }
    }

    /// Who appends, all of it or nothing.
    pub(super) fn producer(self) -> Result<Option<Producer>, Problem> {
        let id = self.text(PRODUCER_ID)?;
        match (id, self.number(PRODUCER_EPOCH)?, self.number(PRODUCER_SEQ)?) {
            (None, None, None) => Ok(None),
            (Some(id), Some(epoch), Some(seq)) => Ok(Some(Producer { id: id.into(), epoch, seq })),
            (_, _, _) => Err(invalid(
                PRODUCER_ID,
                "given together with Producer-Epoch and Producer-Seq, or not at all",
            )),
        }
    }
}

pub(super) fn invalid(name: &str, right: &str) -> Problem {
    Problem::malformed("invalid_header", format!("{name} is {right}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        let number = |value| Fields(&headers(&[(TTL, value)])).number(TTL).map_err(|problem| problem.code);
        assert_eq!(number("0"), Ok(Some(0)));
        assert_eq!(number("3600"), Ok(Some(3600)));
        assert_eq!(number("9007199254740991"), Ok(Some(MAX_NUMBER)));
        for bad in ["", "00", "03600", "+1", "-1", "1.0", "1e3", "0x1", " 1", "1abc", "9007199254740992"] {
            assert_eq!(number(bad), Err("invalid_header"), "{bad:?}");
        }
        assert_eq!(Fields(&HeaderMap::new()).number(TTL), Ok(None));
        assert!(Fields(&headers(&[(TTL, "1"), (TTL, "1")])).number(TTL).is_err());
    }

    #[test]
    fn a_producer_says_all_or_nothing() {
        let all = [(PRODUCER_ID, "a"), (PRODUCER_EPOCH, "1"), (PRODUCER_SEQ, "2")];
        let known = Producer { id: "a".into(), epoch: 1, seq: 2 };
        assert_eq!(Fields(&headers(&all)).producer(), Ok(Some(known)));
        assert_eq!(Fields(&HeaderMap::new()).producer(), Ok(None));
        for some in 1..7_u8 {
            let some: Vec<_> = (0..3).filter(|nth| some >> nth & 1 == 1).map(|nth| all[nth]).collect();
            assert!(Fields(&headers(&some)).producer().is_err(), "{some:?}");
        }
        assert!(Fields(&headers(&[(PRODUCER_ID, ""), all[1], all[2]])).producer().is_err());
    }

    #[test]
    fn closing_is_said_in_words() {
        let closes = |value| Fields(&headers(&[(CLOSED, value)])).closes().ok();
        assert_eq!(
            ["true", "True", "false", "1", ""].map(closes),
            [Some(true), Some(true), Some(false), None, None]
        );
    }
}

//! What every published event carries, so that its way can be judged by whoever gets it.

use std::io::Write;

/// The mark that a stamp begins with.
const MARK: &[u8] = b"w1 ";

/// Brings an event to the size of a small JSON object, which is what such systems carry.
const PADDING: &str = "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"}}";

/// What fills an event of another size: no newline, and no two neighbours alike, so that damage shows.
static FILLING: [u8; LARGE_BYTES] = {
    let mut filling = [0; LARGE_BYTES];
    let mut at = 0;
    while at < LARGE_BYTES {
        filling[at] = b'a' + (at % 23) as u8;
        at += 1;
    }
    filling
};

const TINY_BYTES: usize = 32;
const LARGE_BYTES: usize = 64 * 1024;

/// How long the text of an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// A small JSON object, which is what such systems carry.
    #[default]
    Usual,
    /// 32 bytes.
    Tiny,
    /// 64 KiB.
    Large,
}

impl Size {
    /// As a number, where it is always the same.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::Usual => None,
            Self::Tiny => Some(TINY_BYTES),
            Self::Large => Some(LARGE_BYTES),
        }
    }
}

/// Which event it is and when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the session.
    pub session: u32,
    /// Number of the event within its session, from 0.
    pub number: u64,
    /// When it was given to the publisher's socket, in ns of [`crate::clock::now_ns`].
    pub sent_ns: u64,
}

impl Stamp {
    /// Appends the text of the event.
    pub fn put(self, out: &mut Vec<u8>) {
        self.put_sized(out, Size::Usual);
    }

    /// Appends a text of this size.
    pub fn put_sized(self, out: &mut Vec<u8>, size: Size) {
        let Self { session, number, sent_ns } = self;
        out.extend_from_slice(MARK);
        let start = out.len() - MARK.len();
        write!(out, "{session} {number} {sent_ns} ").expect("a growing buffer takes every byte");
        match size.bytes() {
            None => out.extend_from_slice(PADDING.as_bytes()),
            Some(bytes) => out.extend_from_slice(&FILLING[..(start + bytes).saturating_sub(out.len())]),
        }
    }

    /// Reads it back; `None` where the text is no event of the generator or was damaged.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.strip_prefix(MARK)?.splitn(4, |byte| *byte == b' ');
        let mut number = || words.next().and_then(decimal);
        let (session, number, sent_ns) = (number()?, number()?, number()?);
        let rest = words.next()?;
        let of_size = |size: Size| size.bytes() == Some(text.len()) && rest == &FILLING[..rest.len()];
        let whole = rest == PADDING.as_bytes() || of_size(Size::Tiny) || of_size(Size::Large);
        whole.then_some(Self { session: u32::try_from(session).ok()?, number, sent_ns })
    }
}

fn decimal(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_and_a_damaged_one_does_not() {
        let stamp = Stamp { session: 7, number: 8, sent_ns: 9 };
        let mut text = Vec::new();
        stamp.put(&mut text);
        assert_eq!(Stamp::parse(&text), Some(stamp));
        text.pop();
        assert_eq!(Stamp::parse(&text), None);
        assert_eq!(Stamp::parse(b"{\"heartbeat\":15000}"), None);
    }

    #[test]
    fn an_event_of_a_size_has_it_and_no_byte_of_it_may_change() {
        let stamp = Stamp { session: 0, number: 199, sent_ns: 13_606_004_637_074 };
        for size in [Size::Tiny, Size::Large] {
            let mut text = b"before".to_vec();
            stamp.put_sized(&mut text, size);
            let text = &mut text[6..];
            assert_eq!(Some(text.len()), size.bytes());
            assert_eq!(Stamp::parse(text), Some(stamp));
            assert_eq!(Stamp::parse(&text[..text.len() - 1]), None);
            *text.last_mut().unwrap() += 1;
            assert_eq!(Stamp::parse(text), None);
        }
    }
}

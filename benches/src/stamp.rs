//! What every published event carries, so that its way can be judged by whoever gets it.

use std::io::Write;

/// The mark that a stamp begins with.
const MARK: &[u8] = b"w1 ";

/// Brings an event to the size of a small JSON object, which is what such systems carry.
const PADDING: &str = "{\"type\":\"order.updated\",\"id\":\"ord_42\",\"patch\":{\"status\":\"shipped\"}}";

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
        let Self { session, number, sent_ns } = self;
        out.extend_from_slice(MARK);
        write!(out, "{session} {number} {sent_ns} {PADDING}").expect("a growing buffer takes every byte");
    }

    /// Reads it back; `None` where the text is no event of the generator or was damaged.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.strip_prefix(MARK)?.splitn(4, |byte| *byte == b' ');
        let mut number = || words.next().and_then(decimal);
        let (session, number, sent_ns) = (number()?, number()?, number()?);
        let whole = words.next() == Some(PADDING.as_bytes());
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
}

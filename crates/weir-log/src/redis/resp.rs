//! The protocol of Redis on the connection that entries come over: requests written as bytes, replies walked over in place.
//!
//! Nothing is believed: a reply that is none is a fault and never a panic, and no number in it makes room for anything.

use bytes::Bytes;
use fred::types::Resp3Frame;
use smallvec::SmallVec;

use super::fault::Fault;

/// How deep arrays may lie in arrays. It bounds the stack of a walk; the deepest reply of Redis that is asked for has five.
const MOST_DEEP: usize = 16;

/// Longest string, which is the bound of Redis itself.
const MOST_BYTES: i64 = 512 << 20;

/// Begins a request of so many words.
pub(super) fn put_head(out: &mut Vec<u8>, words: usize) {
    put_line(out, b'*', words);
}

/// Appends a word.
pub(super) fn put_word(out: &mut Vec<u8>, word: &[u8]) {
    put_line(out, b'$', word.len());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

fn put_line(out: &mut Vec<u8>, kind: u8, mut number: usize) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push(kind);
    out.extend_from_slice(&digits[first..]);
    out.extend_from_slice(b"\r\n");
}

/// Finds the end of a reply that comes in pieces, and looks at no piece twice.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Up to here all is known. It may lie beyond what has come.
    at: usize,
    /// How many elements are missing from each array that is open, the outermost first.
    open: SmallVec<[i64; MOST_DEEP]>,
    /// Everything is known but the end of a last string.
    closed: bool,
}

impl Scan {
    /// The length of the reply that `input` begins with, once it is there. Until then the same bytes are to come again, and
    /// more of them.
    pub(super) fn end(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        while !self.closed {
            let Some(Line { kind, text, length }) = line(input.get(self.at..).unwrap_or_default())? else {
                return Ok(None);
            };
            self.at += length;
            match kind {
                b'*' => {
                    let elements = integer(text)?;
                    if elements > 0 {
                        if self.open.len() == MOST_DEEP {
                            return Err(Fault::Garbled("arrays lie too deep in each other"));
                        }
                        self.open.push(elements);
                        continue;
                    }
                }
                b'$' => self.at += string_bytes(integer(text)?)?.map_or(0, |bytes| bytes + 2),
                _ => {}
            }
            self.close();
        }
        if self.at > input.len() {
            return Ok(None);
        }
        Ok(Some(std::mem::take(self).at))
    }

    /// An element has ended, and with it the arrays of which it was the last.
    fn close(&mut self) {
        while let Some(missing) = self.open.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                return;
            }
            self.open.pop();
        }
        self.closed = true;
    }
}

/// Walks over a whole reply, element by element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    pub(super) fn new(reply: &'a [u8]) -> Self {
        Self(reply)
    }

    /// Steps into an array, and says how many elements follow; `None` is nil.
    pub(super) fn array(&mut self) -> Result<Option<usize>, Fault> {
        let Line { kind, text, .. } = self.line()?;
        if kind != b'*' {
            return Err(Fault::Garbled("something is no array"));
        }
        Ok(usize::try_from(integer(text)?).ok())
    }

    /// Steps over an element: its bytes where it is a string.
    pub(super) fn text(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if self.0.first() == Some(&b'$') {
            let Line { text, .. } = self.line()?;
            return self.string(string_bytes(integer(text)?)?);
        }
        let mut scan = Scan::default();
        let end = scan.end(self.0)?.ok_or(SHORT)?;
        let (element, rest) = self.0.split_at(end);
        self.0 = rest;
        Ok(element.strip_prefix(b"+").and_then(|line| line.strip_suffix(b"\r\n")))
    }

    /// Steps over an element and takes it apart, with copies of what it holds.
    pub(super) fn frame(&mut self) -> Result<Resp3Frame, Fault> {
        let Line { kind, text, .. } = self.line()?;
        let attributes = None;
        Ok(match kind {
            b'*' => match usize::try_from(integer(text)?) {
                Ok(elements) => {
                    let data = (0..elements).map(|_| self.frame()).collect::<Result<_, _>>()?;
                    Resp3Frame::Array { data, attributes }
                }
                Err(_) => Resp3Frame::Null,
            },
            b'$' => match self.string(string_bytes(integer(text)?)?)? {
                Some(string) => Resp3Frame::BlobString { data: Bytes::copy_from_slice(string), attributes },
                None => Resp3Frame::Null,
            },
            b':' => Resp3Frame::Number { data: integer(text)?, attributes },
            b'-' => {
                let data = String::from_utf8_lossy(text).into_owned().into();
                Resp3Frame::SimpleError { data, attributes }
            }
            _ => Resp3Frame::SimpleString { data: Bytes::copy_from_slice(text), attributes },
        })
    }

    fn line(&mut self) -> Result<Line<'a>, Fault> {
        let Some(line) = line(self.0)? else { return Err(SHORT) };
        self.0 = &self.0[line.length..];
        Ok(line)
    }

    fn string(&mut self, bytes: Option<usize>) -> Result<Option<&'a [u8]>, Fault> {
        let Some(bytes) = bytes else { return Ok(None) };
        let (string, Some(rest)) = (self.0.get(..bytes), self.0.get(bytes + 2..)) else { return Err(SHORT) };
        self.0 = rest;
        Ok(string)
    }
}

/// The text of a reply that is an error.
pub(super) fn error(reply: &[u8]) -> Option<String> {
    let text = reply.strip_prefix(b"-")?;
    Some(String::from_utf8_lossy(text.trim_ascii_end()).into_owned())
}

const SHORT: Fault = Fault::Garbled("a reply ends too early");

/// The line that every element begins with.
struct Line<'a> {
    kind: u8,
    text: &'a [u8],
    /// Of all of it.
    length: usize,
}

/// The first line of `input`, once it is there.
fn line(input: &[u8]) -> Result<Option<Line<'_>>, Fault> {
    let Some((kind, rest)) = input.split_first() else { return Ok(None) };
    if !matches!(kind, b'*' | b'$' | b':' | b'+' | b'-') {
        return Err(Fault::Garbled("a reply begins like none"));
    }
    let Some(end) = rest.iter().position(|byte| *byte == b'\r') else { return Ok(None) };
    let length = end + 3;
    Ok((input.len() >= length).then(|| Line { kind: *kind, text: &rest[..end], length }))
}

fn integer(text: &[u8]) -> Result<i64, Fault> {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    let value = digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    match value {
        Some(value) if !digits.is_empty() => Ok(if negative { -value } else { value }),
        Some(_) | None => Err(Fault::Garbled("a number is none")),
    }
}

/// How long a string is; `None` is nil.
fn string_bytes(length: i64) -> Result<Option<usize>, Fault> {
    match length {
        0..=MOST_BYTES => Ok(usize::try_from(length).ok()),
        -1 => Ok(None),
        _ => Err(Fault::Garbled("a string is too long")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame;
    use super::*;

    #[test]
    fn requests() {
        let mut out = Vec::new();
        put_head(&mut out, 3);
        for word in [&b"XACK"[..], b"", &[b'x'; 120]] {
            put_word(&mut out, word);
        }
        let long = "x".repeat(120);
        assert_eq!(out, format!("*3\r\n$4\r\nXACK\r\n$0\r\n\r\n$120\r\n{long}\r\n").as_bytes());
    }

    const REPLY: &[u8] = b"*5\r\n$2\r\n\r\n\r\n:-12\r\n*-1\r\n*2\r\n$-1\r\n*0\r\n+OK\r\n";

    #[test]
    fn the_end_is_found_however_it_comes() {
        let mut more = REPLY.to_vec();
        more.extend_from_slice(b"-NOGROUP gone\r\n");
        for first in 0..=REPLY.len() {
            for second in first..=more.len() {
                let mut scan = Scan::default();
                let ends = [&more[..first], &more[..second], &more].map(|input| scan.end(input));
                let end = ends.into_iter().find_map(|end| end.expect("it is a reply"));
                assert_eq!(end, Some(REPLY.len()), "{first} {second}");
            }
        }
        assert_eq!(error(&more[REPLY.len()..]).as_deref(), Some("NOGROUP gone"));
    }

    #[test]
    fn elements_are_told_apart() {
        let mut walk = Walk::new(REPLY);
        assert_eq!(walk.array(), Ok(Some(5)));
        assert_eq!(walk.text(), Ok(Some(&b"\r\n"[..])));
        assert_eq!((walk.text(), walk.array(), walk.text()), (Ok(None), Ok(None), Ok(None)));
        assert_eq!((walk.text(), walk.text()), (Ok(Some(&b"OK"[..])), Err(SHORT)));
        let frame = Walk::new(REPLY).frame().unwrap();
        assert_eq!(frame::at(&frame, 1, frame::number), Ok(-12));
        assert_eq!(frame::at(&frame, 2, |nil| frame::items(nil).map(<[_]>::len)), Ok(0));
        assert_eq!(frame::at(&frame, 4, frame::text), Ok("OK"));
    }

    #[test]
    fn nonsense_is_a_fault() {
        for text in ["x\r\n", "*x\r\n", "$-2\r\n", "$99999999999999999999\r\n", "*1\r\n$\r\n", "*1\r\n+"] {
            let end = Scan::default().end(text.as_bytes());
            assert!(matches!(end, Err(Fault::Garbled(_)) | Ok(None)), "{text:?} {end:?}");
            assert!(Walk::new(text.as_bytes()).frame().is_err(), "{text:?}");
        }
        let deep = "*1\r\n".repeat(MOST_DEEP + 1);
        assert!(matches!(Scan::default().end(deep.as_bytes()), Err(Fault::Garbled(_))));
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let part = proptest::sample::select(vec![
            "*2\r\n", "*-1\r\n", "$3\r\n", "1-0", "\r\n", ":7\r\n", "+", "-", "9",
        ]);
        proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn no_bytes_are_fatal(bytes in any_bytes(), cut in 0usize..40) {
            let whole = Scan::default().end(&bytes);
            let mut scan = Scan::default();
            let early = scan.end(&bytes[..cut.min(bytes.len())]);
            if early == Ok(None) {
                prop_assert_eq!(scan.end(&bytes), whole.clone());
            }
            if let Ok(Some(end)) = whole {
                prop_assert!(Walk::new(&bytes[..end]).frame().is_ok());
            }
            let mut walk = Walk::new(&bytes);
            let _ = (walk.array(), walk.text(), walk.text(), Walk::new(&bytes).frame());
        }
    }
}

//! Finds stamps in the bytes of a response, as they come.
//!
//! It reads just enough of HTTP/1.1 and SSE to be cheap, and stops at anything it does not expect: a generator that
//! forgives would hide faults.

use crate::stamp::Stamp;

/// Longest response head, chunk-size line or SSE line, in bytes; a server that sends a longer one is broken.
const LINE_BYTES_MAX: usize = 128 * 1024;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The head of a good response.
    Open,
    /// An event of the generator.
    Stamp(Stamp),
    /// A control event of weir.
    Control(Control),
    /// The clean end of the response.
    End,
}

/// The control events that a measurement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The stream is open.
    Connected,
    /// A loss was announced.
    Gap,
    /// The subscribe was turned away.
    Refused,
    /// Any other.
    Other,
}

/// What a response must not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not `200` with a body that goes on.
    #[error("the answer to a subscribe is not 200 with a body that goes on")]
    Head,
    /// An event that nobody could resume from.
    #[error("an event has no id")]
    Id,
    /// Not the framing of chunks.
    #[error("the framing of chunks is broken")]
    Chunk,
    /// Longer than a line may be.
    #[error("a line does not end")]
    Line,
    /// Bytes after the end.
    #[error("bytes after the end of the response")]
    AfterEnd,
}

/// Reads one response.
#[derive(Debug, Default)]
pub struct Scanner {
    place: Place,
    /// The head, or what was read of an unfinished line. Empty most of the time, so that an idle connection is cheap.
    carry: Vec<u8>,
    pending: Option<Found>,
    has_id: bool,
}

/// Where in the response the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Head,
    Framing(Framing),
    Data(usize),
    /// In a body without chunks, which ends with the connection.
    Plain,
    End,
}

/// Where between the data of two chunks.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Size(usize),
    SizeLf(usize),
    DataCr,
    DataLf,
    LastCr,
    LastLf,
}

impl Scanner {
    /// For a body that another has taken out of its response already.
    pub fn of_body() -> Self {
        Self { place: Place::Data(usize::MAX), ..Self::default() }
    }

    /// Reads on and reports what was found, in order.
    ///
    /// # Errors
    /// [`Broken`]; nothing can be read after it.
    pub fn feed(&mut self, mut bytes: &[u8], found: &mut impl FnMut(Found)) -> Result<(), Broken> {
        while let Some(first) = bytes.first() {
            let used = match self.place {
                Place::Head => self.head(bytes, found)?,
                Place::Plain => {
                    self.lines(bytes, found)?;
                    bytes.len()
                }
                Place::Data(left) => {
                    let here = left.min(bytes.len());
                    self.lines(&bytes[..here], found)?;
                    let rest = Place::Data(left - here);
                    self.place = if here == left { Place::Framing(Framing::DataCr) } else { rest };
                    here
                }
                Place::Framing(framing) => {
                    self.place = framing.after(*first)?;
                    if matches!(self.place, Place::End) {
                        found(Found::End);
                    }
                    1
                }
                Place::End => return Err(Broken::AfterEnd),
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// Reads the head to its end, and says how many bytes of these belong to it.
    fn head(&mut self, bytes: &[u8], found: &mut impl FnMut(Found)) -> Result<usize, Broken> {
        let before = self.carry.len();
        self.keep(bytes)?;
        let Some(end) = find(&self.carry, b"\r\n\r\n") else { return Ok(bytes.len()) };
        let head = std::mem::take(&mut self.carry);
        let head = head[..end].to_ascii_lowercase();
        let has = |what| find(&head, what).is_some();
        if !head.starts_with(b"http/1.1 200 ") || has(b"\r\ncontent-length:") {
            return Err(Broken::Head);
        }
        let chunked = has(b"\r\ntransfer-encoding: chunked");
        self.place = if chunked { Place::Framing(Framing::Size(0)) } else { Place::Plain };
        found(Found::Open);
        Ok(end + 4 - before)
    }

    fn lines(&mut self, mut bytes: &[u8], found: &mut impl FnMut(Found)) -> Result<(), Broken> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            if self.carry.is_empty() {
                self.line(&bytes[..end], found)?;
            } else {
                self.keep(&bytes[..end])?;
                let line = std::mem::take(&mut self.carry);
                self.line(&line, found)?;
            }
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes)
    }

    /// An event counts at its blank line, as it does for a client.
    fn line(&mut self, line: &[u8], found: &mut impl FnMut(Found)) -> Result<(), Broken> {
        if line.is_empty() {
            let has_id = std::mem::take(&mut self.has_id);
            match self.pending.take() {
                Some(Found::Stamp(_)) if !has_id => return Err(Broken::Id),
                Some(event) => found(event),
                None => {}
            }
        } else if let Some(text) = line.strip_prefix(b"data: ") {
            self.pending = self.pending.or_else(|| Stamp::parse(text).map(Found::Stamp));
        } else if let Some(name) = line.strip_prefix(b"event: weir.") {
            self.pending = Some(Found::Control(Control::named(name)));
        } else if line.len() > b"id: ".len() && line.starts_with(b"id: ") {
            self.has_id = true;
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.carry.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(Broken::Line);
        }
        self.carry.extend_from_slice(bytes);
        Ok(())
    }
}

impl Framing {
    /// Where the byte after this one stands.
    fn after(self, byte: u8) -> Result<Place, Broken> {
        let next = match (self, byte) {
            (Self::Size(size), b'\r') => Self::SizeLf(size),
            (Self::Size(size), digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Broken::Chunk)? as usize;
                Self::Size(size.checked_mul(16).ok_or(Broken::Chunk)? + digit)
            }
            (Self::SizeLf(0), b'\n') => Self::LastCr,
            (Self::SizeLf(size), b'\n') => return Ok(Place::Data(size)),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0),
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => return Ok(Place::End),
            (Self::SizeLf(_) | Self::DataCr | Self::DataLf | Self::LastCr | Self::LastLf, _) => {
                return Err(Broken::Chunk);
            }
        };
        Ok(Place::Framing(next))
    }
}

impl Control {
    fn named(name: &[u8]) -> Self {
        match name {
            b"connected" => Self::Connected,
            b"gap" => Self::Gap,
            b"refused" => Self::Refused,
            _ => Self::Other,
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    const PLAIN: &str = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n";

    fn stamp(number: u64) -> Stamp {
        Stamp { session: 3, number, sent_ns: 5 }
    }

    fn event(number: u64) -> String {
        let mut text = Vec::new();
        stamp(number).put(&mut text);
        format!("id: 7-{number}\ndata: {}\n\n", String::from_utf8(text).unwrap())
    }

    fn chunk(text: &str) -> String {
        format!("{:x}\r\n{text}\r\n", text.len())
    }

    fn scan(bytes: &[u8], step: usize) -> Result<Vec<Found>, Broken> {
        let (mut scanner, mut all) = (Scanner::default(), Vec::new());
        for piece in bytes.chunks(step) {
            scanner.feed(piece, &mut |found| all.push(found))?;
        }
        Ok(all)
    }

    #[test]
    fn finds_the_same_however_the_bytes_are_cut() {
        let connected = "retry: 5000\nevent: weir.connected\nid: 7-0\ndata: {\"heartbeat\":15000}\n\n";
        let (one, two) = (event(0), event(1));
        let (front, back) = two.split_at(9);
        let text =
            [HEAD, &chunk(connected), &chunk(&(one + front)), &chunk(back), &chunk(":\n"), "0\r\n\r\n"]
                .concat();
        let expected = [
            Found::Open,
            Found::Control(Control::Connected),
            Found::Stamp(stamp(0)),
            Found::Stamp(stamp(1)),
            Found::End,
        ];
        for step in 1..=text.len() {
            assert_eq!(scan(text.as_bytes(), step).as_deref(), Ok(&expected[..]), "in steps of {step}");
        }
    }

    #[test]
    fn a_body_without_chunks_goes_on_to_the_end_of_the_connection() {
        let text = [PLAIN, ": hi\n\n", &event(0), "event: ping\n\n", &event(1)].concat();
        let expected = [Found::Open, Found::Stamp(stamp(0)), Found::Stamp(stamp(1))];
        for step in 1..=text.len() {
            assert_eq!(scan(text.as_bytes(), step).as_deref(), Ok(&expected[..]), "in steps of {step}");
        }
    }

    #[test]
    fn an_id_may_follow_its_data_and_holds_for_one_event() {
        let mut data = b"data: ".to_vec();
        stamp(0).put(&mut data);
        let data = String::from_utf8(data).unwrap();
        let expected = [Found::Open, Found::Stamp(stamp(0))];
        assert_eq!(scan(format!("{PLAIN}{data}\nid: 7-1\n\n").as_bytes(), 9).as_deref(), Ok(&expected[..]));
        for text in [format!("{data}\n\n"), format!("{data}\nid: \n\n"), format!("id: 7-1\n\n{data}\n\n")] {
            assert_eq!(scan(format!("{PLAIN}{text}").as_bytes(), 9), Err(Broken::Id), "{text}");
        }
    }

    #[test]
    fn an_event_without_its_blank_line_does_not_count() {
        let cut = event(0);
        let text = [HEAD, &chunk(&cut[..cut.len() - 1])].concat();
        assert_eq!(scan(text.as_bytes(), 64), Ok(vec![Found::Open]));
    }

    #[test]
    fn faults_are_not_forgiven() {
        for (text, fault) in [
            ("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), Broken::Head),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_owned(), Broken::Head),
            ([HEAD, "2\r\nabc\r\n"].concat(), Broken::Chunk),
            ([HEAD, "x\r\n"].concat(), Broken::Chunk),
            ([HEAD, "0\r\n\r\nmore"].concat(), Broken::AfterEnd),
            ([HEAD, &chunk(&"x".repeat(LINE_BYTES_MAX + 1))].concat(), Broken::Line),
        ] {
            assert_eq!(scan(text.as_bytes(), 7), Err(fault), "{text:.60}");
        }
    }
}

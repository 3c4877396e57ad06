//! A parser of Server-Sent Events, written from the WHATWG text alone, so that it shares no mistake with the encoder.
//!
//! It dispatches what a browser dispatches. As [`Parser::strict`] it also reports what a clean server never sends.

/// What a stream said, in the order it said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A block that a client dispatches.
    Event(Event),
    /// A block that ended without data: it is not dispatched, but its id, where it has one, becomes the last id.
    Silent {
        /// The id line of the block.
        id: Option<String>,
    },
    /// A comment line, without its colon.
    Comment(String),
    /// A `retry` line that counts, in ms.
    Retry(u64),
    /// Something a clean server never sends; only from a strict parser, before what else the line or block means.
    Violation(Violation),
}

/// A dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name it is dispatched under; `message` where the block gives none.
    pub event: String,
    /// Whether the block had an `event` line.
    pub named: bool,
    /// Its data lines, joined by LF.
    pub data: String,
    /// The id line of this very block.
    pub id: Option<String>,
    /// What a client would resume with from here on.
    pub last_event_id: String,
}

/// Something a clean server never sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The stream begins with a byte order mark.
    ByteOrderMark,
    /// A line ended with CR or CRLF.
    CarriageReturn,
    /// A line is not UTF-8.
    InvalidUtf8(Vec<u8>),
    /// A field that clients ignore.
    UnknownField(String),
    /// A line with a field name alone.
    NoColon(String),
    /// A value without the space that a parser strips: a value that begins with one would lose it.
    NoSpace(String),
    /// A second `id` or `event` line in one block.
    Repeated(String),
    /// An id with NUL in it, which clients ignore.
    NulInId(String),
    /// A `retry` that is not digits alone or does not fit 64 bits.
    BadRetry(String),
    /// A blank line that dispatches nothing.
    NoData,
    /// The stream ended within a line or a block.
    Unfinished(String),
}

/// The state between two chunks of a stream.
#[derive(Debug, Default)]
pub struct Parser {
    strict: bool,
    tight: bool,
    line: Vec<u8>,
    after_cr: bool,
    past_first_line: bool,
    block: Block,
    last_event_id: String,
    retry: Option<u64>,
    items: Vec<Item>,
}

#[derive(Debug, Default)]
struct Block {
    lines: usize,
    event: Option<String>,
    // As in the standard: every data line adds its value and one LF, and the last LF goes at dispatch.
    data: String,
    id: Option<String>,
}

impl Parser {
    /// Understands what a browser understands and reports nothing.
    pub fn lenient() -> Self {
        Self::default()
    }

    /// Understands the same, and reports every [`Violation`].
    pub fn strict() -> Self {
        Self { strict: true, ..Self::default() }
    }

    /// Strict, but for the space behind `data:`, which the Durable Streams protocol leaves out.
    pub fn tight() -> Self {
        Self { tight: true, ..Self::strict() }
    }

    /// Takes the next bytes, cut anywhere, and says what they complete.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Item> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(rest) = bytes.strip_prefix(b"\n")
            {
                bytes = rest;
                continue;
            }
            let Some(end) = bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            self.line.extend_from_slice(&bytes[..end]);
            if bytes[end] == b'\r' {
                self.after_cr = true;
                self.report(Violation::CarriageReturn);
            }
            self.take_line();
            bytes = &bytes[end + 1..];
        }
        std::mem::take(&mut self.items)
    }

    /// Ends the stream. What is left of an unfinished block is thrown away, as clients do.
    ///
    /// # Errors
    /// [`Violation::Unfinished`] if something was left.
    pub fn finish(self) -> Result<(), Violation> {
        let left = String::from_utf8_lossy(&self.line).into_owned();
        // A retry line or a comment that ends the stream without a blank line has already done its work.
        let open = self.block.event.is_some() || self.block.id.is_some() || !self.block.data.is_empty();
        if left.is_empty() && !open {
            return Ok(());
        }
        Err(Violation::Unfinished(format!("{:?} {left:?}", self.block)))
    }

    /// What a client would send as `Last-Event-ID` now.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The last `retry` that counted, in ms.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    fn take_line(&mut self) {
        let raw = std::mem::take(&mut self.line);
        let mut raw = raw.as_slice();
        if !std::mem::replace(&mut self.past_first_line, true)
            && let Some(rest) = raw.strip_prefix("\u{feff}".as_bytes())
        {
            self.report(Violation::ByteOrderMark);
            raw = rest;
        }
        if std::str::from_utf8(raw).is_err() {
            self.report(Violation::InvalidUtf8(raw.to_vec()));
        }
        let line = String::from_utf8_lossy(raw);
        match line.split_once(':') {
            None if line.is_empty() => self.dispatch(),
            None => {
                self.report(Violation::NoColon(line.clone().into_owned()));
                self.field(&line, "");
            }
            Some(("", comment)) => self.items.push(Item::Comment(comment.to_owned())),
            Some((name, value)) => {
                let may_be_tight = self.tight && name == "data";
                if !may_be_tight && !value.starts_with(' ') {
                    self.report(Violation::NoSpace(line.clone().into_owned()));
                }
                self.field(name, value.strip_prefix(' ').unwrap_or(value));
            }
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        self.block.lines += 1;
        match name {
            "data" => self.block.data.extend([value, "\n"]),
            "event" => {
                if self.block.event.replace(value.to_owned()).is_some() {
                    self.report(Violation::Repeated(name.to_owned()));
                }
            }
            "id" if value.contains('\0') => self.report(Violation::NulInId(value.to_owned())),
            "id" => {
                if self.block.id.replace(value.to_owned()).is_some() {
                    self.report(Violation::Repeated(name.to_owned()));
                }
            }
            "retry" => self.set_retry(value),
            unknown => self.report(Violation::UnknownField(unknown.to_owned())),
        }
    }

    fn set_retry(&mut self, value: &str) {
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        match value.parse().ok().filter(|_| digits) {
            Some(ms) => {
                self.retry = Some(ms);
                self.items.push(Item::Retry(ms));
            }
            None => self.report(Violation::BadRetry(value.to_owned())),
        }
    }

    fn dispatch(&mut self) {
        let block = std::mem::take(&mut self.block);
        if let Some(id) = &block.id {
            self.last_event_id.clone_from(id);
        }
        let Some(data) = block.data.strip_suffix('\n') else {
            self.report(Violation::NoData);
            if block.lines > 0 {
                self.items.push(Item::Silent { id: block.id });
            }
            return;
        };
        let named = block.event.is_some();
        let event = block.event.filter(|name| !name.is_empty()).unwrap_or_else(|| "message".to_owned());
        let last_event_id = self.last_event_id.clone();
        self.items.push(Item::Event(Event {
            event,
            named,
            data: data.to_owned(),
            id: block.id,
            last_event_id,
        }));
    }

    fn report(&mut self, violation: Violation) {
        if self.strict {
            self.items.push(Item::Violation(violation));
        }
    }
}

#[cfg(test)]
mod tests;

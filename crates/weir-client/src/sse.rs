//! An incremental parser of Server-Sent Events, as the HTML standard describes it, with bounded memory.

use std::time::Duration;

/// What a stream said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// An event.
    Event {
        /// Its name; `message` where it has none.
        name: String,
        /// Its lines, joined by LF.
        data: String,
        /// The last id of the stream up to and with this event; none where it is empty.
        last_id: Option<String>,
    },
    /// The pause that the server wants before a reconnection.
    Retry(Duration),
    /// An event larger than the bound was skipped; its id counts as seen.
    Oversize {
        /// As in [`Said::Event`].
        last_id: Option<String>,
    },
}

/// The parser. Bytes come in as the network cuts them.
#[derive(Debug)]
pub(crate) struct Parser {
    limit: usize,
    line: Vec<u8>,
    line_is_cut: bool,
    after_cr: bool,
    first_line: bool,
    block: Block,
    last_id: String,
}

/// The event that is being read.
#[derive(Debug, Default)]
struct Block {
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
    oversize: bool,
}

impl Parser {
    /// A parser that keeps at most about `limit` bytes of one event.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            line_is_cut: false,
            after_cr: false,
            first_line: true,
            block: Block::default(),
            last_id: String::new(),
        }
    }

    /// Reads the next bytes and hands over what they complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut say: impl FnMut(Said)) {
        while let Some(first) = bytes.first() {
            if self.after_cr && *first == b'\n' {
                bytes = &bytes[1..];
                self.after_cr = false;
                continue;
            }
            self.after_cr = false;
            let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'));
            self.extend_line(&bytes[..end.unwrap_or(bytes.len())]);
            let Some(end) = end else { return };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if let Some(said) = self.end_line() {
                say(said);
            }
        }
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        if self.line_is_cut {
            return;
        }
        if self.line.len() + self.block.data.len() + bytes.len() > self.limit {
            self.line_is_cut = true;
            // A comment is no part of the event, however long.
            if self.line.first().or(bytes.first()) != Some(&b':') {
                self.block.oversize = true;
                self.block.data = String::new();
            }
            self.line = Vec::new();
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self) -> Option<Said> {
        let first_line = std::mem::take(&mut self.first_line);
        if std::mem::take(&mut self.line_is_cut) {
            return None;
        }
        let raw = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&raw);
        let line = if first_line { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        self.field(field, value.strip_prefix(' ').unwrap_or(value))
    }

    fn field(&mut self, field: &str, value: &str) -> Option<Said> {
        match field {
            "event" => value.clone_into(&mut self.block.name),
            "data" => {
                if std::mem::replace(&mut self.block.has_data, true) {
                    self.block.data.push('\n');
                }
                self.block.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.block.id = Some(value.to_owned()),
            "retry" if value.bytes().all(|b| b.is_ascii_digit()) => {
                return value.parse().ok().map(|ms| Said::Retry(Duration::from_millis(ms)));
            }
            // Comments have an empty field name; other fields are for later versions.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Said> {
        let block = std::mem::take(&mut self.block);
        if let Some(id) = block.id {
            self.last_id = id;
        }
        let last_id = Some(self.last_id.clone()).filter(|id| !id.is_empty());
        if block.oversize {
            return Some(Said::Oversize { last_id });
        }
        if !block.has_data {
            return None;
        }
        let name = if block.name.is_empty() { "message".to_owned() } else { block.name };
        Some(Said::Event { name, data: block.data, last_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64;

    fn parse_in(chunks: &[&[u8]]) -> Vec<Said> {
        let mut parser = Parser::new(LIMIT);
        let mut said = Vec::new();
        for chunk in chunks {
            parser.push(chunk, |s| said.push(s));
        }
        said
    }

    fn parse(text: &str) -> Vec<Said> {
        let whole = parse_in(&[text.as_bytes()]);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(parse_in(&bytes), whole, "cut into single bytes: {text:?}");
        for cut in 0..text.len() {
            let (left, right) = text.as_bytes().split_at(cut);
            assert_eq!(parse_in(&[left, right]), whole, "cut at {cut}: {text:?}");
        }
        whole
    }

    fn event(name: &str, data: &str, id: Option<&str>) -> Said {
        Said::Event { name: name.into(), data: data.into(), last_id: id.map(Into::into) }
    }

    #[test]
    fn events_of_a_weir() {
        let said = parse(
            "retry: 5231\nevent: weir.connected\nid: 5-3\ndata: {\"heartbeat\":1}\n\n:\nid: 6-0\ndata: x\n\n",
        );
        let connected = event("weir.connected", "{\"heartbeat\":1}", Some("5-3"));
        assert_eq!(
            said,
            [Said::Retry(Duration::from_millis(5231)), connected, event("message", "x", Some("6-0"))]
        );
    }

    #[test]
    fn all_line_ends_in_any_cut() {
        let want = [event("message", "a\nb", None), event("message", "c", None)];
        for end in ["\n", "\r", "\r\n"] {
            let text = ["data: a", "data: b", "", "data: c", "", ""].join(end);
            assert_eq!(parse(&text), want, "{end:?}");
        }
        assert_eq!(
            parse("data: a\r\rdata: b\n\r\n"),
            [event("message", "a", None), event("message", "b", None)]
        );
    }

    #[test]
    fn fields_by_the_standard() {
        assert_eq!(parse("data:a\ndata:  b\n\n"), [event("message", "a\n b", None)]);
        assert_eq!(parse("data\n\n"), [event("message", "", None)]);
        assert_eq!(parse("data:\ndata:\n\n"), [event("message", "\n", None)]);
        assert_eq!(parse("\u{feff}data: a\n\n\u{feff}data: b\n\n"), [event("message", "a", None)]);
        assert_eq!(parse("dataX: a\n data: b\nfoo\n: data: c\n\n"), []);
        assert_eq!(
            parse("event: e\n\ndata: a\n\n"),
            [event("message", "a", None)],
            "names do not carry over"
        );
        assert_eq!(parse("data: unfinished\n"), []);
    }

    #[test]
    fn ids_persist_and_count_only_with_the_blank_line() {
        let said =
            parse("id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid: x\0y\ndata: d\n\nid\ndata: e\n\n");
        let want = [("a", Some("1")), ("b", Some("1")), ("c", Some("2")), ("d", Some("2")), ("e", None)];
        assert_eq!(said, want.map(|(data, id)| event("message", data, id)));
    }

    #[test]
    fn retry_takes_digits_only() {
        for ignored in
            ["retry: +5\n", "retry: 5s\n", "retry\n", "retry: -1\n", "retry: 99999999999999999999999\n"]
        {
            assert_eq!(parse(ignored), [], "{ignored:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        assert_eq!(parse_in(&[b"data: \xc3", b"\xa9\xff\n\n"]), [event("message", "é\u{fffd}", None)]);
    }

    #[test]
    fn an_event_above_the_bound_is_skipped_and_its_id_counts() {
        let long = "x".repeat(LIMIT);
        let after = event("message", "b", Some("2"));
        for data in [format!("data: {long}\n"), "data: 0123456789\n".repeat(8)] {
            let said = parse(&format!("id: 2\n{data}\ndata: b\n\n"));
            assert_eq!(said.len(), 2, "{said:?}");
            assert_eq!(said[0], Said::Oversize { last_id: Some("2".into()) });
            assert_eq!(said[1], after);
        }
    }

    #[test]
    fn a_line_without_end_keeps_no_memory() {
        let mut parser = Parser::new(LIMIT);
        for _ in 0..1000 {
            parser.push(b"data: more and more and more", |said| panic!("{said:?}"));
            assert!(parser.line.capacity() <= 2 * LIMIT && parser.block.data.capacity() <= 2 * LIMIT);
        }
    }

    #[test]
    fn a_long_comment_harms_nothing() {
        let comment = format!(":{}\n", "x".repeat(3 * LIMIT));
        assert_eq!(parse(&format!("data: a\n{comment}data: b\n\n")), [event("message", "a\nb", None)]);
    }
}

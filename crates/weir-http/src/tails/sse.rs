//! A part of a stream as Server-Sent Events of the Durable Streams protocol: what there is, and where that ends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use weir_core::durable::{Media, Offset, Page};

/// Bytes of an event beside its lines, and of a line beside its text and its end.
const AROUND: usize = 128;
const LINE: usize = "data: ".len();

/// Whether there is something to tell.
pub(super) fn is_news(page: &Page) -> bool {
    !page.chunks.is_empty() || is_last(page)
}

/// Whether nothing comes after it.
pub(super) fn is_last(page: &Page) -> bool {
    page.head.closed && page.is_up_to_date()
}

/// Most bytes that the event of a page takes. Of text every end of a line becomes the begin of another.
pub(super) fn most(page: &Page) -> usize {
    let texts = || page.chunks.iter().map(|chunk| &chunk.bytes[..]);
    let bytes: usize = texts().map(|text| text.len() + 1).sum();
    let of = |text: &[u8], is: fn(&u8) -> bool| text.iter().filter(|byte| is(byte)).count();
    let more = |text: &[u8]| {
        let replaced = if std::str::from_utf8(text).is_ok() { 0 } else { of(text, |byte| !byte.is_ascii()) };
        LINE * of(text, |byte| matches!(byte, b'\n' | b'\r')) + 2 * replaced
    };
    let written = match page.head.media.media() {
        Media::Json | Media::Text => bytes + texts().map(more).sum::<usize>(),
        Media::Bytes => bytes.div_ceil(3) * 4,
    };
    written + AROUND
}

/// What is in a page, as one event, whose id is the place behind it. Empty where there is nothing.
pub(super) fn event(page: &Page) -> Bytes {
    if page.chunks.is_empty() {
        return Bytes::new();
    }
    let mut out = BytesMut::with_capacity(most(page));
    out.put_slice(b"event: data\n");
    let chunks = || page.chunks.iter().map(|chunk| &chunk.bytes[..]);
    match page.head.media.media() {
        Media::Json => {
            let values: Vec<_> = chunks().collect();
            put_lines(&mut out, &format!("[{}]", String::from_utf8_lossy(&values.join(&b","[..]))));
        }
        // What is no UTF-8 cannot be sent as text: it is replaced. Whoever reads without SSE gets what was appended.
        Media::Text => put_lines(&mut out, &String::from_utf8_lossy(&chunks().collect::<Vec<_>>().concat())),
        Media::Bytes => {
            put(
                &mut out,
                &[b"data:", STANDARD.encode(chunks().collect::<Vec<_>>().concat()).as_bytes(), b"\n"],
            );
        }
    }
    put_id(&mut out, page.next);
    out.put_slice(b"\n");
    out.freeze()
}

/// Where a page ends, for one follower. Where there was no event, it has the id that the event would have.
pub(super) fn control(page: &Page, cursor: u64) -> Bytes {
    let next = page.next;
    let rest = match (is_last(page), page.is_up_to_date()) {
        (true, _) => "\"streamClosed\":true".to_owned(),
        (false, true) => format!("\"streamCursor\":\"{cursor}\",\"upToDate\":true"),
        (false, false) => format!("\"streamCursor\":\"{cursor}\""),
    };
    let mut out = BytesMut::with_capacity(192);
    let control = format!("event: control\ndata:{{\"streamNextOffset\":\"{next}\",{rest}}}\n");
    out.put_slice(control.as_bytes());
    if page.chunks.is_empty() {
        put_id(&mut out, page.next);
    }
    out.put_slice(b"\n");
    out.freeze()
}

/// A parser takes LF, CR and both for the end of a line, and one space behind the colon away.
fn put_lines(out: &mut BytesMut, text: &str) {
    let mut rest = text;
    loop {
        let end = rest.find(['\n', '\r']);
        let (line, next) = rest.split_at(end.unwrap_or(rest.len()));
        let colon: &[u8] = if line.starts_with(' ') { b"data: " } else { b"data:" };
        put(out, &[colon, line.as_bytes(), b"\n"]);
        if end.is_none() {
            return;
        }
        rest = &next[if next.starts_with("\r\n") { 2 } else { 1 }..];
    }
}

fn put_id(out: &mut BytesMut, id: Offset) {
    put(out, &[b"id: ", id.to_string().as_bytes(), b"\n"]);
}

fn put(out: &mut BytesMut, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.put_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    use weir_core::durable::{Chunk, Head, Lifetime, MediaType};

    fn page(media: &str, chunks: &[&[u8]], closed: bool) -> Page {
        let end = Offset::new(7, chunks.len() as u64);
        let head = Head {
            media: MediaType::parse(media).unwrap(),
            lifetime: Lifetime::Forever,
            tail: end,
            closed,
            born: 7,
        };
        let chunk = |(nth, bytes): (usize, &&[u8])| Chunk {
            end: Offset::new(7, nth as u64 + 1),
            bytes: Bytes::copy_from_slice(bytes),
        };
        Page { head, chunks: chunks.iter().enumerate().map(chunk).collect(), next: end }
    }

    fn text(media: &str, chunks: &[&[u8]]) -> String {
        String::from_utf8(event(&page(media, chunks, false)).to_vec()).unwrap()
    }

    const ID: &str = "id: 0000000000000007_0000000000000001";

    #[test]
    fn literal_events() {
        let plain = |bytes: &[u8]| text("text/plain", &[bytes]);
        assert_eq!(plain(b"hi"), format!("event: data\ndata:hi\n{ID}\n\n"));
        assert_eq!(
            plain(b" a\r\nb\r\rc\n"),
            format!("event: data\ndata:  a\ndata:b\ndata:\ndata:c\ndata:\n{ID}\n\n")
        );
        assert_eq!(plain(b"\xe2\x82"), format!("event: data\ndata:\u{fffd}\n{ID}\n\n"));
        let two = ID.replace("1", "2");
        assert_eq!(
            text("text/plain", &[b"\xe2\x82", b"\xac"]),
            format!("event: data\ndata:\u{20ac}\n{two}\n\n")
        );
        assert_eq!(
            text("application/json", &[b"1,2", b"{\n}"]),
            format!("event: data\ndata:[1,2,{{\ndata:}}]\n{two}\n\n")
        );
        assert_eq!(text("image/png", &[b"Hel", b"lo"]), format!("event: data\ndata:SGVsbG8=\n{two}\n\n"));
        assert_eq!(text("text/plain", &[]), "");
    }

    #[test]
    fn an_event_is_as_large_as_it_can_be_expected_to_be() {
        let larger = |media: &str, chunks: &[&[u8]]| {
            let page = page(media, chunks, false);
            most(&page).checked_sub(event(&page).len()).unwrap()
        };
        let texts: [&[u8]; 7] = [b"", b"\n", b"\r", b" \n", b"\xff", b"\r\n", b"\xe2\x82"];
        for text in texts.map(|text| text.repeat(10_000)) {
            larger("text/plain", &[&text, b" ", &text]);
            larger("image/png", &[&text, b" ", &text]);
        }
        assert!(larger("application/json", &[&[b'1'; 9999], b"{\n}"]) < 2 * AROUND);
        assert!(larger("text/plain", &[&b"\n".repeat(60_000)]) < 60_000 + AROUND);
        assert!(larger("image/png", &[&[b'x'; 60_000]]) < 2 * AROUND);
    }

    #[test]
    fn literal_controls() {
        let told = |page: &Page| String::from_utf8(control(page, 5).to_vec()).unwrap();
        let one = page("text/plain", &[b"hi"], false);
        let next = "\"streamNextOffset\":\"0000000000000007_0000000000000001\"";
        let up_to_date =
            format!("event: control\ndata:{{{next},\"streamCursor\":\"5\",\"upToDate\":true}}\n\n");
        assert_eq!(told(&one), up_to_date);
        let mut behind = one.clone();
        behind.head.tail = Offset::new(7, 2);
        assert_eq!(told(&behind), format!("event: control\ndata:{{{next},\"streamCursor\":\"5\"}}\n\n"));
        let closed = page("text/plain", &[b"hi"], true);
        assert_eq!(told(&closed), format!("event: control\ndata:{{{next},\"streamClosed\":true}}\n\n"));
        let empty = told(&page("text/plain", &[], false));
        assert!(empty.ends_with("\"upToDate\":true}\nid: 0000000000000000_0000000000000000\n\n"), "{empty}");
    }
}

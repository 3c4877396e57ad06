use proptest::prelude::*;

use super::*;

fn items(mut parser: Parser, stream: &[u8]) -> Vec<Item> {
    parser.push(stream)
}

/// Name and data of what a browser dispatches.
fn dispatched(stream: &str) -> Vec<(String, String)> {
    let events = items(Parser::lenient(), stream.as_bytes()).into_iter().filter_map(|item| match item {
        Item::Event(event) => Some((event.event, event.data)),
        Item::Silent { .. } | Item::Comment(_) | Item::Retry(_) | Item::Violation(_) => None,
    });
    events.collect()
}

fn violations(stream: &[u8]) -> Vec<Violation> {
    let found = items(Parser::strict(), stream).into_iter().filter_map(|item| match item {
        Item::Violation(violation) => Some(violation),
        Item::Event(_) | Item::Silent { .. } | Item::Comment(_) | Item::Retry(_) => None,
    });
    found.collect()
}

/// The cases of the web platform tests for the format, by the name of their page.
#[test]
fn web_platform_cases() {
    let long = "x".repeat(2048);
    let comments = format!("data:1\r:\0\n:\r\ndata:2\n:{long}\rdata:3\n:data:fail\r:{long}\ndata:4\n\n");
    let message = |data: &str| ("message".to_owned(), data.to_owned());
    for (page, stream, want) in [
        ("bom", "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n", vec![message("1"), message("3")]),
        ("bom-2", "\u{feff}\u{feff}data:1\n\ndata:2\n\ndata:3\n\n", vec![message("2"), message("3")]),
        ("comments", &comments, vec![message("1\n2\n3\n4")]),
        (
            "data-before-final-empty-line",
            "retry:1000\ndata:test1\n\nid:test\ndata:test2",
            vec![message("test1")],
        ),
        (
            "field-data",
            "data:\n\ndata\ndata\n\ndata:test\n\n",
            vec![message(""), message("\n"), message("test")],
        ),
        ("field-event", "event:test\ndata:x\n\ndata:x\n\n", vec![("test".into(), "x".into()), message("x")]),
        ("field-event-empty", "event: \ndata:data\n\n", vec![message("data")]),
        (
            "field-parsing",
            "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
            vec![message("\0\n 2\n1\n3\n\n4")],
        ),
        (
            "field-unknown",
            "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:comment\ndata:test\n\n",
            vec![message("test\n\ntest")],
        ),
        ("leading-space", "data:\ttest\rdata: \ndata:test\n\n", vec![message("\ttest\n\ntest")]),
        ("newlines", "data:test\r\ndata\ndata:test\r\n\r", vec![message("test\n\ntest")]),
        ("null-character", "data:\0\n\n\n\n", vec![message("\0")]),
        ("utf-8", "data:ok…\n\n", vec![message("ok…")]),
    ] {
        assert_eq!(dispatched(stream), want, "{page}");
    }
}

#[test]
fn ids_live_on_until_another_one_comes() {
    let mut parser = Parser::lenient();
    let ids = |items: Vec<Item>| -> Vec<(Option<String>, String)> {
        let ids = items.into_iter().filter_map(|item| match item {
            Item::Event(event) => Some((event.id, event.last_event_id)),
            Item::Silent { .. } | Item::Comment(_) | Item::Retry(_) | Item::Violation(_) => None,
        });
        ids.collect()
    };
    let first = ids(parser.push(b"id: 1\ndata: a\n\ndata: b\n\nid: x\0\ndata: c\n\n"));
    assert_eq!(first, [(Some("1".into()), "1".into()), (None, "1".into()), (None, "1".into())]);

    assert_eq!(parser.push(b"id: 2\n\n"), [Item::Silent { id: Some("2".into()) }]);
    assert_eq!(parser.last_event_id(), "2");
    assert_eq!(ids(parser.push(b"data: d\n\n")), [(None, "2".into())]);

    assert_eq!(ids(parser.push(b"id\ndata: e\n\n")), [(Some(String::new()), String::new())]);
    parser.push(b"id: 3\ndata: never finished\n");
    assert_eq!(parser.last_event_id(), "");
}

#[test]
fn retry_is_digits_only() {
    for (line, want) in [
        ("retry: 3000", Some(3000)),
        ("retry:0", Some(0)),
        ("retry: 1000x", None),
        ("retry: -1", None),
        ("retry: +1", None),
        ("retry:  1", None),
        ("retry", None),
        ("retry: 18446744073709551616", None),
    ] {
        let mut parser = Parser::lenient();
        let items = parser.push(format!("{line}\n").as_bytes());
        assert_eq!(parser.retry(), want, "{line}");
        assert_eq!(items, want.map(Item::Retry).into_iter().collect::<Vec<_>>(), "{line}");
    }
}

#[test]
fn a_clean_stream_has_no_violations() {
    let stream = "retry: 5231\nevent: weir.connected\nid: 5-3\ndata: {\"heartbeat\":15000}\n\n\
                  :\nid: 7-0\ndata:  a\ndata: \ndata: \u{feff}\0\n\n";
    assert_eq!(
        items(Parser::strict(), stream.as_bytes()),
        [
            Item::Retry(5231),
            Item::Event(Event {
                event: "weir.connected".into(),
                named: true,
                data: "{\"heartbeat\":15000}".into(),
                id: Some("5-3".into()),
                last_event_id: "5-3".into(),
            }),
            Item::Comment(String::new()),
            Item::Event(Event {
                event: "message".into(),
                named: false,
                data: " a\n\n\u{feff}\0".into(),
                id: Some("7-0".into()),
                last_event_id: "7-0".into(),
            }),
        ]
    );
}

#[test]
fn every_violation_is_found() {
    use Violation::*;
    for (stream, want) in [
        (&b"\xef\xbb\xbfdata: 1\n\n"[..], ByteOrderMark),
        (b"data: 1\r", CarriageReturn),
        (b"data: 1\r\n", CarriageReturn),
        (b"data: \xff\n", InvalidUtf8(b"data: \xff".to_vec())),
        (b"Data: 1\n", UnknownField("Data".into())),
        (b"data:1\n", NoSpace("data:1".into())),
        (b"data\n", NoColon("data".into())),
        (b"id: 1\nid: 2\n", Repeated("id".into())),
        (b"event: a\nevent: b\n", Repeated("event".into())),
        (b"id: \0\n", NulInId("\0".into())),
        (b"retry: soon\n", BadRetry("soon".into())),
        (b"event: a\nid: 1\n\n", NoData),
        (b"\n", NoData),
    ] {
        assert_eq!(violations(stream), [want], "{:?}", String::from_utf8_lossy(stream));
    }
}

#[test]
fn what_is_left_at_the_end_is_unfinished() {
    for (stream, clean) in [
        ("data: 1\n\n", true),
        ("data: 1\n\n:\n", true),
        ("data: 1\n", false),
        ("id: 1\n", false),
        ("data: 1\n\n:", false),
        ("da", false),
    ] {
        let mut parser = Parser::strict();
        parser.push(stream.as_bytes());
        assert_eq!(parser.finish().is_ok(), clean, "{stream:?}");
    }
}

/// Pieces that meet in every order, with bytes that cut characters, line ends and the byte order mark.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"data"[..],
        b"id",
        b"event",
        b"retry",
        b":",
        b": ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"7",
        b"x",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xbb",
        "é".as_bytes(),
        b"\xc3",
        b"\xff",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn chunking_does_not_matter(stream in pieces(), cuts in prop::collection::vec(0_usize..80, 0..8)) {
        let mut whole = Parser::strict();
        let want = whole.push(&stream);

        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut parser = Parser::strict();
        let got: Vec<Item> = cuts.windows(2).flat_map(|cut| parser.push(&stream[cut[0]..cut[1]])).collect();

        prop_assert_eq!(got, want);
        prop_assert_eq!(parser.last_event_id(), whole.last_event_id());
        prop_assert_eq!(parser.finish(), whole.finish());
    }

    #[test]
    fn what_the_encoder_writes_comes_back(data in "[\\r\\n \\x00:a\u{feff}é]{0,40}", named in any::<bool>()) {
        let id = weir_core::EventId::new(7, 3);
        let frame = weir_core::frame::encode(id, named.then_some("order.created"), &data).frame;
        let want = Event {
            event: if named { "order.created" } else { "message" }.to_owned(),
            named,
            data: data.replace("\r\n", "\n").replace('\r', "\n"),
            id: Some("7-3".into()),
            last_event_id: "7-3".into(),
        };
        prop_assert_eq!(items(Parser::strict(), &frame), [Item::Event(want)]);
    }
}

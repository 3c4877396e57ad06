//! What HTTP/2 lets a peer do to a server: floods that cost the one who sends them less than the one who reads them, frames
//! and requests that break rules, and windows that never open.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_testkit::http2::{Ended, block, fields, flag, frame, get, kind, request};
use weir_testkit::{Beset, DEADLINE, Http2, eventually, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Error codes of RFC 9113.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What a flood may leave behind in the memory of a server that has not seen one yet.
const SLACK: u64 = 8 << 20;

const EVENTS: &str = "/v1/sessions/crowd/events";

/// The id of the nth stream of a client.
fn nth(nth: u32) -> u32 {
    2 * nth + 1
}

/// GOAWAY with this code, and a close.
async fn ends_with(beset: &Beset, bytes: &[u8], code: u32) -> anyhow::Result<()> {
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    // It may be closed before it has all of it.
    let _ = conn.send(bytes).await;
    let Ended { code: said, .. } = conn.ended(DEADLINE).await?;
    ensure!(said == Some(code), "{said:?} instead of {code}");
    Ok(())
}

/// Rapid reset (CVE-2023-44487), CONTINUATION floods, a small head that unpacks to a large one, and data that says nothing.
#[tokio::test]
async fn floods_end_their_connection() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let reset = |stream| frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let rapid = |path: &str| -> Vec<u8> {
        (0..1000).flat_map(|stream| [get(nth(stream), path), reset(nth(stream))].concat()).collect()
    };
    let head = frame(kind::HEADERS, 0, 1, &block(&fields("GET", "/livez", &[])));
    let more =
        |block: &[u8], times| [head.clone(), frame(kind::CONTINUATION, 0, 1, block).repeat(times)].concat();
    // A value of 4,000 bytes, to be remembered, and then named three thousand times by one byte each.
    let mut bomb = block(&fields("GET", "/livez", &[]));
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'a'; 4000]);
    bomb.extend([0xbe; 3000]);
    let post = request(1, &fields("POST", EVENTS, &[]), false);
    let nothing = [post, frame(kind::DATA, 0, 1, &[]).repeat(100_000)].concat();
    let streams: Vec<u8> = (0..1500).flat_map(|stream| get(nth(stream), EVENTS)).collect();
    let floods = [
        ("rapid reset of streams", rapid(EVENTS)),
        ("rapid reset of answers", rapid("/livez")),
        ("rapid reset of nothing", rapid("/nothing")),
        ("a head without end", more(&block(&[("x", &"y".repeat(8000))]), 1000)),
        ("a head of nothing without end", more(&[], 10_000)),
        ("a head that unpacks", frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &bomb)),
        ("data of nothing", nothing),
        ("streams beyond all bounds", streams),
    ];
    let before = beset.refusals().await?;
    for (name, flood) in &floods {
        ends_with(&beset, flood, ENHANCE_YOUR_CALM).await.with_context(|| (*name).to_owned())?;
    }
    beset.ensure_alone().await?;
    let memory = usage::resident(beset.weir.pid())?;
    for round in 0..10 {
        for (name, flood) in &floods {
            ends_with(&beset, flood, ENHANCE_YOUR_CALM).await.with_context(|| format!("{name}, {round}"))?;
        }
    }
    // What of them came through to be a request may be refused, too; how many, nobody can say.
    eventually(DEADLINE, async || {
        let refused = beset.refusals().await?.since(&before);
        ensure!(refused.0.get("request http2") == Some(&(11 * floods.len() as u64)), "{refused:?}");
        Ok(())
    })
    .await?;
    beset.ensure_alone().await?;
    let after = usage::resident(beset.weir.pid())?;
    ensure!(after < memory + SLACK, "{memory} bytes before, {after} after");
    beset.ensure_unharmed().await
}

/// What has to be answered is answered, and what means nothing is passed over; who does it goes on to be served.
#[tokio::test]
async fn small_frames_cost_no_more_than_they_are() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let floods = [
        ("settings", frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("pings", frame(kind::PING, 0, 0, &[0; 8])),
        ("windows", frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("priorities", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("frames of no known type", frame(77, 0, 1, &[0; 8])),
    ];
    let before = beset.refusals().await?;
    for (name, one) in floods {
        let mut conn = Http2::open(beset.weir.public(), &[]).await?;
        conn.send(&[one.repeat(20_000), get(1, "/livez")].concat()).await?;
        let status = conn.status(1, DEADLINE).await.context(name)?;
        ensure!(status == 200, "{name}: {status}");
        beset.ensure_unharmed().await?;
    }
    beset.ensure_refused(&before, &[]).await
}

/// Each ping wants an answer. Who does not read those is not read any further, so that they do not pile up.
#[tokio::test]
async fn who_does_not_read_is_not_read() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let memory = usage::resident(beset.weir.pid())?;
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    let pings = frame(kind::PING, 0, 0, &[0; 8]).repeat(4096);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(500), conn.send(&pings)).await.is_ok() {
        sent += pings.len();
        // The kernel holds some megabytes of it on either side.
        ensure!(sent < 64 << 20, "{sent} bytes were taken");
    }
    let after = usage::resident(beset.weir.pid())?;
    ensure!(after < memory + SLACK, "{memory} bytes before, {after} after");
    beset.ensure_unharmed().await
}

#[tokio::test]
async fn frames_that_break_a_rule_end_the_connection() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let before = beset.refusals().await?;
    let wide = frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    let cases = [
        ("data of no stream", frame(kind::DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("data of a stream that is none yet", frame(kind::DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        ("a stream of the server's", get(2, "/livez"), PROTOCOL_ERROR),
        ("a request of no stream", get(0, "/livez"), PROTOCOL_ERROR),
        ("streams backwards", [get(5, "/livez"), get(3, "/livez")].concat(), PROTOCOL_ERROR),
        ("a promise", frame(kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]), PROTOCOL_ERROR),
        ("half a setting", frame(kind::SETTINGS, 0, 0, &[0; 5]), PROTOCOL_ERROR),
        ("settings of a stream", frame(kind::SETTINGS, 0, 1, &[]), PROTOCOL_ERROR),
        ("a window of 2^32", frame(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]), PROTOCOL_ERROR),
        ("a short ping", frame(kind::PING, 0, 0, &[0; 7]), PROTOCOL_ERROR),
        ("a large frame", frame(kind::DATA, 0, 1, &[0; 20_000]), FRAME_SIZE_ERROR),
        ("a window that opens by nothing", frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL_ERROR),
        ("a window beyond all bounds", wide.repeat(2), FLOW_CONTROL_ERROR),
        ("a reset of nothing", frame(kind::RST_STREAM, 0, 1, &[0; 4]), PROTOCOL_ERROR),
        ("a head that goes on from none", frame(kind::CONTINUATION, 4, 1, &[]), PROTOCOL_ERROR),
        ("more padding than frame", frame(kind::HEADERS, 0xd, 1, &[200, 1, 2]), PROTOCOL_ERROR),
        ("a head that does not unpack", frame(kind::HEADERS, 5, 1, &[0xff; 6]), PROTOCOL_ERROR),
        ("a name in capitals", request(1, &fields("GET", "/livez", &[("X-Y", "z")]), true), PROTOCOL_ERROR),
        (
            "a value of two lines",
            request(1, &fields("GET", "/livez", &[("x", "a\r\nb: c")]), true),
            PROTOCOL_ERROR,
        ),
        ("a value with a NUL", request(1, &fields("GET", "/livez", &[("x", "a\0")]), true), PROTOCOL_ERROR),
        ("no frames at all", b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), FRAME_SIZE_ERROR),
    ];
    for (name, bytes, code) in &cases {
        ends_with(&beset, bytes, *code).await.with_context(|| (*name).to_owned())?;
    }
    beset.ensure_refused(&before, &[("request http2", cases.len() as u64)]).await?;
    beset.ensure_unharmed().await
}

/// A request that HTTP/2 forbids ends its stream; one that weir cannot take is answered. Either way the others of its
/// connection go on.
#[tokio::test]
async fn requests_that_break_a_rule_end_alone() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let method = (":method", "GET");
    let (scheme, path, authority) = ((":scheme", "http"), (":path", "/livez"), (":authority", "localhost"));
    let with = |more: &[(&'static str, &'static str)]| fields("GET", "/livez", more);
    let forbidden = [
        ("two paths", vec![method, scheme, path, (":path", "/readyz"), authority]),
        ("no path", vec![method, scheme, authority]),
        ("an empty path", vec![method, scheme, (":path", ""), authority]),
        ("a path without slash", fields("GET", "livez", &[])),
        ("a path with a space", fields("GET", "/liv ez", &[])),
        ("no method", vec![scheme, path, authority]),
        ("no scheme", vec![method, path, authority]),
        ("a host that is none", vec![method, scheme, path, (":authority", "a b")]),
        ("a status", with(&[(":status", "200")])),
        ("a path behind a header", vec![method, scheme, ("x", "y"), path, authority]),
        ("a protocol", vec![(":method", "CONNECT"), (":protocol", "websocket"), scheme, path, authority]),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "5")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("te", with(&[("te", "gzip")])),
        ("a length without a body", fields("POST", EVENTS, &[("content-length", "5")])),
    ];
    let answered = [
        ("nobody's", vec![method, scheme, path], 400),
        ("a user name", vec![method, scheme, path, (":authority", "a@localhost")], 400),
        ("two names for the host", with(&[("host", "evil.example")]), 400),
        ("two hosts", with(&[("host", "localhost"), ("host", "localhost")]), 400),
        ("a host instead of an authority", vec![method, scheme, path, ("host", "localhost")], 200),
        ("a connection to somebody else", vec![(":method", "CONNECT"), (":authority", "a:80")], 404),
        ("no resource", fields("OPTIONS", "*", &[]), 404),
        ("a path with dots", fields("GET", "/../livez", &[]), 404),
    ];
    let before = beset.refusals().await?;
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    let mut stream = 1;
    for (name, fields) in &forbidden {
        conn.send(&request(stream, fields, true)).await?;
        let reset = conn.status(stream, DEADLINE).await.err().with_context(|| format!("{name}: answered"))?;
        ensure!(reset.to_string().starts_with("reset"), "{name}: {reset:#}");
        conn.send(&get(stream + 2, "/livez")).await?;
        ensure!(conn.status(stream + 2, DEADLINE).await? == 200, "{name}: the next one");
        stream += 4;
    }
    for (name, fields, want) in &answered {
        let mut conn = Http2::open(beset.weir.public(), &[]).await?;
        conn.send(&request(1, fields, true)).await?;
        let status = conn.status(1, DEADLINE).await.with_context(|| (*name).to_owned())?;
        ensure!(status == *want, "{name}: {status} instead of {want}");
        conn.send(&get(3, "/livez")).await?;
        ensure!(conn.status(3, DEADLINE).await? == 200, "{name}: the next one");
    }
    // What ends a stream is h2's affair, and counts when it ends a connection.
    beset.ensure_refused(&before, &[("request head", 4), ("request path", 3)]).await?;
    beset.ensure_unharmed().await
}

/// A peer that asks for more streams than weir told it to is refused those beyond, and keeps the rest.
#[tokio::test]
async fn streams_beyond_the_bound_are_refused() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    let all: Vec<u8> = (0..300).flat_map(|stream| get(nth(stream), EVENTS)).collect();
    conn.send(&all).await?;
    let (mut streams, mut refused) = (0, 0);
    while streams + refused < 300 {
        let said = conn.next(DEADLINE).await?.map_err(|closed| anyhow::anyhow!("{closed:?}"))?;
        conn.acknowledge(&said).await?;
        match said.kind {
            kind::HEADERS => streams += 1,
            kind::RST_STREAM => {
                ensure!(said.payload == REFUSED_STREAM.to_be_bytes()[..], "{said:?}");
                refused += 1;
            }
            _ => {}
        }
    }
    assert_eq!((streams, refused), (200, 100));
    assert_eq!(beset.weir.metrics().await?.sum("weir_clients", &[]), 201.0);
    // One that goes makes room for one.
    conn.send(&frame(kind::RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await?;
    conn.send(&get(nth(300), "/livez")).await?;
    assert_eq!(conn.status(nth(300), DEADLINE).await?, 200);
    drop(conn);
    beset.ensure_alone().await?;
    beset.ensure_unharmed().await
}

/// A stream whose window does not open is a client that does not read. It ends its connection, and with it the windows, all
/// streams and all that waited in them.
#[tokio::test]
async fn a_window_that_never_opens_ends_its_connection() -> anyhow::Result<()> {
    const INITIAL_WINDOW: u16 = 4;
    let mut beset = Beset::start(WEIR, &["--stall-timeout", "1s", "--heartbeat", "500ms"]).await?;
    for window in [0, 1, 100] {
        let started = Instant::now();
        let mut conn = Http2::open(beset.weir.public(), &[(INITIAL_WINDOW, window)]).await?;
        for stream in 0..10 {
            conn.send(&get(nth(stream), EVENTS)).await?;
            ensure!(conn.status(nth(stream), DEADLINE).await? == 200, "no stream");
        }
        beset.weir.client().publish("crowd", "x".repeat(1000)).await?;
        beset.ensure_unharmed().await?;
        conn.ended(DEADLINE).await.with_context(|| format!("a window of {window}"))?;
        ensure!(started.elapsed() < Duration::from_secs(5), "{window}: {:?}", started.elapsed());
        beset.ensure_alone().await?;
    }
    let stalled = beset.weir.metrics().await?.value("weir_disconnections_total", &[("reason", "stalled")]);
    ensure!(stalled >= Some(3.0), "{stalled:?} stalled");
    eventually(DEADLINE, async || weir_testkit::expect::balance(&beset.weir).await).await?;
    Ok(())
}

/// An answer is held for as long as nobody reads it, so a connection of which nobody reads one ends, whatever else goes on there.
#[tokio::test]
async fn answers_that_nobody_reads_end_their_connection() -> anyhow::Result<()> {
    const INITIAL_WINDOW: u16 = 4;
    let mut beset = Beset::start(WEIR, &["--stall-timeout", "1s", "--heartbeat", "500ms"]).await?;
    let nothing = "/v1/nothing".to_owned() + &"x".repeat(100);
    for (window, streams) in [(0, 200), (1, 200), (100, 1)] {
        let started = Instant::now();
        let mut conn = Http2::open(beset.weir.public(), &[(INITIAL_WINDOW, window)]).await?;
        let gets: Vec<u8> = (0..streams)
            .flat_map(|stream| get(nth(stream), if window < 3 { "/livez" } else { &nothing }))
            .collect();
        conn.send(&gets).await?;
        conn.ended(DEADLINE).await.with_context(|| format!("a window of {window}"))?;
        ensure!(started.elapsed() < Duration::from_secs(5), "{window}: {:?}", started.elapsed());
    }
    // Who reads keeps the connection, with a stream or without.
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    conn.send(&get(1, EVENTS)).await?;
    for stream in 1..30 {
        conn.send(&get(nth(stream), "/livez")).await?;
        ensure!(conn.status(nth(stream), DEADLINE).await? == 200, "not answered");
        let _ = tokio::time::timeout(Duration::from_millis(100), conn.next(DEADLINE)).await;
    }
    beset.ensure_unharmed().await
}

/// A peer that asks for nothing has as long as a head has, however often it says that it is there.
#[tokio::test]
async fn who_asks_for_nothing_is_asked_to_end() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let started = Instant::now();
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    let Ended { code, .. } = conn.ended(DEADLINE * 2).await?;
    ensure!(code == Some(0), "{code:?}");
    let took = started.elapsed().as_secs_f64();
    ensure!((9.0..18.0).contains(&took), "closed after {took} s");
    beset.ensure_unharmed().await
}

/// A peer that has said the preface and then nothing, not even that it is there.
#[tokio::test]
async fn a_silent_peer_is_closed() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let started = Instant::now();
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    let mut head = Http2::open(beset.weir.public(), &[]).await?;
    head.send(&frame(kind::HEADERS, 0, 1, &block(&fields("GET", "/livez", &[])))).await?;
    for conn in [&mut conn, &mut head] {
        // Nothing is acknowledged.
        while conn.next(Duration::from_secs(50)).await?.is_ok() {}
    }
    let took = started.elapsed().as_secs_f64();
    ensure!((15.0..40.0).contains(&took), "closed after {took} s");
    beset.ensure_unharmed().await
}

/// A body that comes byte by byte has as long as any: then its stream is answered, and others go on.
#[tokio::test]
async fn a_slow_body_has_its_time() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let before = beset.refusals().await?;
    let mut conn = Http2::open(beset.weir.public(), &[]).await?;
    conn.send(&request(1, &fields("POST", EVENTS, &[]), false)).await?;
    let answered = tokio::time::timeout(Duration::from_secs(45), async {
        loop {
            if let Ok(answer) = tokio::time::timeout(Duration::from_secs(1), conn.status(1, DEADLINE)).await {
                return answer;
            }
            conn.send(&frame(kind::DATA, 0, 1, b"x")).await?;
        }
    });
    assert_eq!(answered.await??, 408);
    conn.send(&get(3, "/livez")).await?;
    assert_eq!(conn.status(3, DEADLINE).await?, 200);
    beset.ensure_refused(&before, &[("publish invalid", 1)]).await?;
    beset.ensure_unharmed().await
}

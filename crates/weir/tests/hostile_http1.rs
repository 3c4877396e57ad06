//! What HTTP/1.1 lets a peer say to a server: heads beyond all bounds, bodies that lie about themselves, targets in disguise,
//! peers that take their time. Each gets its status or its close and is counted under its reason, and nothing of it stays.
// sizes: one thing after the other that a peer may say, all judged by the same counts

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_testkit::beset::{After, statuses};
use weir_testkit::{Beset, DEADLINE, RawConn, eventually, usage};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What a flood may leave behind in the memory of a server that has seen one like it.
const SLACK: u64 = 8 << 20;

const POST: &str = "POST /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\n";

/// `GET` of a target, with more headers.
fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

fn batch(kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/{kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// The code of a problem, where the answer is one.
fn code(answer: &str) -> &str {
    answer.split_once("\"code\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

#[tokio::test]
async fn heads_beyond_all_bounds_leave_nothing() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let numbered = |count: usize, value: &str| -> String {
        (0..count).map(|nth| format!("x-{nth}: {value}\r\n")).collect()
    };
    let heads = [
        get("/livez", &numbered(101, "1")),
        get("/livez", &numbered(60, &"y".repeat(8 << 10))),
        get("/livez", &format!("x: {}\r\n", "y".repeat(500 << 10))),
        get("/livez", &format!("{}: y\r\n", "x".repeat(100 << 10))),
        get("/v1/sessions/s/events", &format!("cookie: weir_token={}\r\n", "y".repeat(100 << 10))),
        get("/v1/sessions/s/events", &format!("last-event-id: {}\r\n", "9".repeat(100 << 10))),
        get(&format!("/v1/events?session={}", "s".repeat(100 << 10)), ""),
        get(&format!("/v1/events?{}", "session=a&".repeat(10_000)), ""),
    ];
    let flood = async || -> anyhow::Result<()> {
        for head in &heads {
            beset.expect(head.as_bytes(), 431, After::Closed).await?;
        }
        Ok(())
    };
    let before = beset.refusals().await?;
    flood().await?;
    let memory = usage::resident(beset.weir.pid())?;
    for _ in 0..20 {
        flood().await?;
    }
    beset.ensure_refused(&before, &[("request head-size", 21 * heads.len() as u64)]).await?;
    let after = usage::resident(beset.weir.pid())?;
    ensure!(after < memory + SLACK, "{memory} bytes before, {after} after");
    // What is within the bounds is served: a hundred headers, one of 15 KiB, many parameters, one session named often.
    for good in [
        get("/livez", &numbered(99, "1")),
        get("/livez", &format!("x: {}\r\n", "y".repeat(15 << 10))),
        get(&format!("/v1/events?session=a{}&wait=0", "&a=b".repeat(3000)), ""),
        get(&format!("/v1/events?{}wait=0", "session=a&".repeat(1500)), ""),
    ] {
        beset.expect(good.as_bytes(), 200, After::Open).await?;
    }
    beset.ensure_unharmed().await
}

#[tokio::test]
async fn heads_that_are_none_are_refused() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let before = beset.refusals().await?;
    let heads: [&[u8]; 28] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n\r\n",
        b"GET /livez\r\n",
        b"GET /livez HTTP/1.2\r\nhost: localhost\r\n\r\n",
        b"GET /livez HTTP/2.0\r\nhost: localhost\r\n\r\n",
        b"GET /livez http/1.1\r\nhost: localhost\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1 \r\nhost: localhost\r\n\r\n",
        b"GET \\livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1/sessions/\xff/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"G@T /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: local host\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost/livez\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: somebody@localhost\r\n\r\n",
        b"GET http://somebody@localhost/livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n host: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost : localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: a\rb\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\rx: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx\0y: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\n: no name\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for head in heads {
        beset.expect(head, 400, After::Closed).await?;
    }
    beset.ensure_refused(&before, &[("request head", heads.len() as u64)]).await?;
    // Lines may end in LF alone, and before a request there may be some.
    for odd in
        ["\r\n\r\nGET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", "GET /livez HTTP/1.1\nhost: localhost\n\n"]
    {
        beset.expect(odd.as_bytes(), 200, After::Open).await?;
    }
    beset.ensure_unharmed().await
}

/// Targets that are no path of weir, however near they come.
const UNKNOWN: [&str; 17] = [
    "CONNECT example.com:443",
    "OPTIONS *",
    "GET livez",
    "GET //livez",
    "GET /livez/",
    "GET /../livez",
    "GET /./livez",
    "GET /v1/../livez",
    "GET /%6Civez",
    "GET /%2e%2e/livez",
    "GET /LIVEZ",
    "GET /livez;v=1",
    "GET /v1%2Fevents?session=a",
    "GET /v1/sessions/a/b/events",
    "GET /v1/sessions/../../livez",
    "GET /etc/passwd",
    "GET /metrics",
];

/// Whatever is asked of it, weir never becomes a proxy, a tunnel or another protocol, and decodes once.
#[tokio::test]
async fn targets_in_disguise_are_what_they_are() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let before = beset.refusals().await?;
    for target in UNKNOWN {
        let request = format!("{target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let answer = beset.expect(request.as_bytes(), 404, After::Open).await?;
        ensure!(code(&answer) == "unknown_path", "{target}: {answer}");
    }
    let methods =
        ["TRACE /livez", "BREW /v1/events", "get /livez", "CONNECT /v1/events", "PUT /v1/sessions/a/events"];
    for target in methods {
        let request = format!("{target} HTTP/1.1\r\nhost: localhost\r\nsecret: shown-to-nobody\r\n\r\n");
        let answer = beset.expect(request.as_bytes(), 405, After::Open).await?;
        ensure!(code(&answer) == "method_not_allowed" && !answer.contains("shown"), "{target}: {answer}");
    }
    let sessions = ["%", "%2", "%zz", "%00", "%0a", "%c0%af", "%ed%a0%80", "%f4%90%80%80", "%ff", ""];
    for session in sessions {
        let request = get(&format!("/v1/sessions/{session}/events"), "");
        let answer = beset.expect(request.as_bytes(), 400, After::Open).await?;
        ensure!(code(&answer) == "invalid_session", "{session}: {answer}");
    }
    for query in
        ["session=%ff", "session=a&type=%", "session=a&wait=1e9", "session=a&conflate=-1", "type=a", ""]
    {
        beset.expect(get(&format!("/v1/events?{query}"), "").as_bytes(), 400, After::Open).await?;
    }
    let expected = [
        ("request path", UNKNOWN.len() as u64),
        ("request method", methods.len() as u64),
        ("request parameter", sessions.len() as u64 + 6),
    ];
    beset.ensure_refused(&before, &expected).await?;
    // Names that look like paths are names; each is decoded once and is a session of its own.
    for name in ["..", "%2e%2e", "%2E%2e%2Fa", "%252F", "a%2Fb", "\u{fc}", "+", "%2B"] {
        let target = format!("/v1/sessions/{name}/snapshot");
        let answer = beset.expect(get(&target, "").as_bytes(), 404, After::Open).await?;
        ensure!(code(&answer) == "no_snapshot", "{name}: {answer}");
    }
    // Offers of another protocol are passed over.
    for upgrade in [
        "h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
        "websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    ] {
        let headers = format!("connection: upgrade\r\nupgrade: {upgrade}\r\n");
        beset.expect(get("/livez", &headers).as_bytes(), 200, After::Open).await?;
    }
    beset.ensure_unharmed().await
}

/// A publish that says no number, or another than it sends, publishes nothing that was not sent.
#[tokio::test]
async fn lengths_that_lie_publish_nothing() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let mut listener = beset.weir.client().subscribe("s").await?;
    let before = beset.refusals().await?;
    let none = [
        "",
        "+5",
        "-5",
        "5, 5",
        "5 5",
        "0x5",
        "5.0",
        "five",
        "99999999999999999999",
        "5\r\ncontent-length: 6",
    ];
    for length in none {
        let request = format!("{POST}content-length: {length}\r\n\r\nabcde");
        beset.expect(request.as_bytes(), 400, After::Closed).await?;
    }
    // The two largest numbers mean something else to hyper.
    let largest = ["18446744073709551615", "18446744073709551614"];
    for length in largest {
        let request = format!("{POST}content-length: {length}\r\n\r\nabcde");
        beset.expect(request.as_bytes(), 431, After::Closed).await?;
    }
    let expected = [("request head", none.len() as u64), ("request head-size", largest.len() as u64)];
    beset.ensure_refused(&before, &expected).await?;
    // A length that is too large is refused by itself; one who never sends the rest does not hold the connection for long.
    for length in ["300000", "4294967296", "18446744073709551613"] {
        let request = format!("{POST}content-length: {length}\r\n\r\nabcde");
        let answer = beset.expect(request.as_bytes(), 413, After::Closed).await?;
        ensure!(code(&answer) == "too_large", "{answer}");
        let request = format!("{POST}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
        beset.expect(request.as_bytes(), 413, After::Closed).await?;
    }
    // Who ends before the length, or within a chunk, has published nothing.
    for rest in ["content-length: 10\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n5\r\nabc"] {
        let mut conn = RawConn::open(beset.weir.public()).await?;
        conn.write(format!("{POST}{rest}").as_bytes()).await?;
        conn.finish_writing().await?;
        let (said, closed) = conn.read_until_close(DEADLINE).await?;
        let statuses = statuses(&String::from_utf8_lossy(&said));
        ensure!(closed.is_some() && statuses.iter().all(|status| *status == 400), "{rest}: {said:?}");
    }
    // What goes beyond the length is the next request, and none.
    let mut conn = RawConn::open(beset.weir.public()).await?;
    conn.write(format!("{POST}content-length: 4\r\n\r\ngoodbad\r\n\r\n").as_bytes()).await?;
    let (said, closed) = conn.read_until_close(DEADLINE).await?;
    let beyond = statuses(&String::from_utf8_lossy(&said));
    ensure!(closed.is_some() && beyond == [201, 400], "{said:?}");
    assert_eq!(listener.next_data(1).await?, ["good"]);
    // The same length twice is one.
    let twice = format!("{POST}content-length: 4\r\ncontent-length: 4\r\n\r\ngood");
    beset.expect(twice.as_bytes(), 201, After::Open).await?;
    assert_eq!(listener.next_data(1).await?, ["good"]);
    beset.ensure_unharmed().await
}

#[tokio::test]
async fn chunks_that_lie_publish_nothing() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &["--max-event-bytes", "16KiB"]).await?;
    let mut listener = beset.weir.client().subscribe("s").await?;
    let before = beset.refusals().await?;
    let bad = [
        "zz\r\nab\r\n0\r\n\r\n".to_owned(),
        "-1\r\nab\r\n0\r\n\r\n".to_owned(),
        "+2\r\nab\r\n0\r\n\r\n".to_owned(),
        "0x2\r\nab\r\n0\r\n\r\n".to_owned(),
        " 2\r\nab\r\n0\r\n\r\n".to_owned(),
        "1\r\nab\r\n0\r\n\r\n".to_owned(),
        "2\nab\n0\n\n".to_owned(),
        "\r\nab\r\n0\r\n\r\n".to_owned(),
        "ffffffffffffffff0\r\nab\r\n0\r\n\r\n".to_owned(),
        format!("2;{}\r\nab\r\n0\r\n\r\n", "x".repeat(100 << 10)),
        format!("{}0\r\n\r\n", "1;x=yyyyyyyyyyyyyyyy\r\na\r\n".repeat(20_000)),
        format!("2\r\nab\r\n0\r\n{}\r\n", "x: y\r\n".repeat(20_000)),
        format!("2\r\nab\r\n0\r\nx: {}\r\n\r\n", "y".repeat(100 << 10)),
    ];
    for body in &bad {
        let request = format!("{POST}transfer-encoding: chunked\r\n\r\n{body}");
        let answer = beset.expect(request.as_bytes(), 400, After::Closed).await?;
        ensure!(code(&answer) == "incomplete_body", "{answer}");
    }
    // Byte by byte is a way to say it, as far as the bound of an event.
    let endless = format!("{POST}transfer-encoding: chunked\r\n\r\n{}", "1\r\nx\r\n".repeat(20_000));
    beset.expect(endless.as_bytes(), 413, After::Closed).await?;
    beset.ensure_refused(&before, &[("publish invalid", bad.len() as u64 + 1)]).await?;
    for good in ["2;a=b\r\nok\r\n0\r\n\r\n", "1\r\no\r\n001\r\nk\r\n000\r\nx: trailer\r\n\r\n"] {
        let request = format!("{POST}transfer-encoding: chunked\r\n\r\n{good}");
        beset.expect(request.as_bytes(), 201, After::Open).await?;
        assert_eq!(listener.next_data(1).await?, ["ok"]);
    }
    beset.ensure_unharmed().await
}

/// What is compressed stays compressed, and is refused: ten kilobytes would be ten megabytes.
#[tokio::test]
async fn nothing_is_unpacked() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let (memory, before) = (usage::resident(beset.weir.pid())?, beset.refusals().await?);
    let codings = [
        "gzip",
        "GZIP",
        "x-gzip",
        "br",
        "zstd",
        "deflate",
        "identity, gzip",
        "gzip, identity",
        "aes128gcm",
        "\u{fc}",
    ];
    for coding in codings {
        for post in
            [POST, "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"]
        {
            let request = format!("{post}content-encoding: {coding}\r\ncontent-length: 2\r\n\r\n[]");
            let answer = beset.expect(request.as_bytes(), 415, After::Open).await?;
            ensure!(code(&answer) == "unsupported_content_encoding", "{answer}");
        }
    }
    beset.ensure_refused(&before, &[("publish invalid", 2 * codings.len() as u64)]).await?;
    ensure!(usage::resident(beset.weir.pid())? < memory + SLACK);
    for coding in ["identity", "Identity, identity", ""] {
        let request = format!("{POST}content-encoding: {coding}\r\ncontent-length: 2\r\n\r\nab");
        beset.expect(request.as_bytes(), 201, After::Open).await?;
    }
    // An expectation that nobody has heard of is passed over; the known one is met.
    for (expectation, status) in [("something else", 201), ("200-ok", 201)] {
        let request = format!("{POST}expect: {expectation}\r\ncontent-length: 2\r\n\r\nab");
        beset.expect(request.as_bytes(), status, After::Open).await?;
    }
    beset.ensure_unharmed().await
}

/// A small batch that is much work to read, or a large one that is nothing, is refused for what it is, and soon.
#[tokio::test]
async fn batches_cost_no_more_than_their_bytes() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let mut listener = beset.weir.client().subscribe("s").await?;
    let event = |data: &str| format!(r#"{{"session":"s","data":{data}}}"#);
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let bad = [
        (batch("json", &deep(1_000_000)), 400),
        (batch("json", &"[".repeat(4 << 20)), 400),
        (batch("json", &"{\"session\":".repeat(300_000)), 400),
        (batch("x-ndjson", &"\n".repeat(4 << 20)), 400),
        (batch("x-ndjson", &"1\n".repeat(1_000_000)), 400),
        (batch("x-ndjson", &format!("{}\n", event("1")).repeat(100_000)), 413),
        (batch("json", &format!("[{}1]", format!("{},", event("1")).repeat(100_000))), 413),
        (batch("json", &format!("[{}]", event(&format!("\"{}\"", "\\n".repeat(300_000))))), 413),
        (batch("json", &format!("[{}]", event(&format!("\"{}\"", "x".repeat(5 << 20))))), 413),
        (batch("json", r#"[{"session":"s","session":"t","data":1}]"#), 400),
        (batch("json", r#"[{"session":"s","data":1,"data":2}]"#), 400),
        (batch("json", r#"[{"session":"s","data":1,"snapshot":1e400}]"#), 400),
        (batch("json", r#"[{"session":"s","data":1,"snapshot":99999999999999999999}]"#), 400),
        (batch("json", r#"[{"session":"s","data":1,"snapshot":-1}]"#), 400),
        (batch("json", r#"[{"session":"s","data":"\ud800"}]"#), 400),
        (batch("json", r#"[{"session":["s"],"data":1}]"#), 400),
        (batch("json", r#"[{"session":"s","data":1}]]"#), 400),
        (batch("json", "\u{feff}[]"), 400),
    ];
    let (before, used) = (beset.refusals().await?, usage::cpu(beset.weir.pid())?);
    for (request, status) in &bad {
        beset.expect(request.as_bytes(), *status, After::Open).await?;
        beset.ensure_unharmed().await?;
    }
    // Time on a processor, which a busy machine does not make longer than some.
    let used = usage::cpu(beset.weir.pid())?.saturating_sub(used);
    ensure!(used < DEADLINE, "{used:?}");
    beset.ensure_refused(&before, &[("publish invalid", bad.len() as u64)]).await?;
    // Deep or long is what data may be: it is passed on as it is.
    let number = "1".repeat(10_000);
    for data in [deep(10_000), number] {
        let request = batch("json", &format!("[{}]", event(&data)));
        beset.expect(request.as_bytes(), 201, After::Open).await?;
        assert_eq!(listener.next_data(1).await?, [data]);
    }
    Ok(())
}

/// Whoever subscribes has nothing more to say. A body, or a request behind it, is read away and is nothing.
#[tokio::test]
async fn what_stands_behind_a_subscribe_is_nothing() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let mut smuggled = beset.weir.client().subscribe("smuggled").await?;
    let inner = "POST /v1/sessions/smuggled/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx";
    let (length, chunked) = (inner.len(), format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()));
    for (headers, body) in [
        (format!("content-length: {length}\r\n"), inner.to_owned()),
        ("transfer-encoding: chunked\r\n".to_owned(), chunked),
        ("content-length: 1\r\n".to_owned(), format!("y{inner}")),
        (String::new(), inner.repeat(100)),
        ("content-length: 1000000\r\n".to_owned(), "y".repeat(100_000)),
        ("expect: 100-continue\r\ncontent-length: 5\r\n".to_owned(), String::new()),
    ] {
        let mut conn = RawConn::open(beset.weir.public()).await?;
        let subscribe = get("/v1/sessions/honest/events", &headers);
        conn.write(format!("{subscribe}{body}").as_bytes()).await?;
        let head = conn.read_head(DEADLINE).await?;
        ensure!(head.header("content-type") == Some("text/event-stream"), "{headers}: {head:?}");
        beset.ensure_unharmed().await?;
        let mut said = String::new();
        eventually(DEADLINE, async || {
            let (part, closed) = conn.read_until_close(Duration::from_millis(20)).await?;
            said.push_str(&String::from_utf8_lossy(&part));
            ensure!(said.contains("\ndata: "), "{said:?} {closed:?}");
            Ok(())
        })
        .await
        .context(headers)?;
        ensure!(!said.contains("HTTP/1.1"), "{said}");
    }
    beset.weir.client().publish("smuggled", "the first").await?;
    assert_eq!(smuggled.next_data(1).await?, ["the first"]);
    Ok(())
}

/// Hundreds who begin and do not go on: each is closed at its time, is counted, and holds nothing afterwards.
#[tokio::test]
async fn a_crowd_that_takes_its_time_is_closed_in_time() -> anyhow::Result<()> {
    const EACH: usize = 100;
    weir_testkit::files::raise_limit();
    let mut beset = Beset::start(WEIR, &[]).await?;
    beset.ensure_unharmed().await?;
    let (files, before) = (usage::open_files(beset.weir.pid())?, beset.refusals().await?);
    let started = Instant::now();
    // What each says first, what it says each second from then on, and within what time it is closed.
    let kinds: [(&str, String, &[u8], f64); 5] = [
        ("silent", String::new(), b"", 10.0),
        ("head", get("/livez", "").trim_end().to_owned() + "\r\n", b"x: y\r\n", 10.0),
        ("letter by letter", "G".to_owned(), b"E", 10.0),
        ("between two requests", get("/livez", ""), b"", 10.0),
        ("body", format!("{POST}content-length: 1000\r\n\r\n"), b"x", 30.0),
    ];
    let mut crowd = Vec::new();
    for (name, first, more, seconds) in &kinds {
        for _ in 0..EACH {
            let mut conn = RawConn::open(beset.weir.public()).await?;
            conn.write(first.as_bytes()).await?;
            crowd.push((*name, conn, *more, *seconds));
        }
    }
    while !crowd.is_empty() {
        ensure!(started.elapsed() < Duration::from_secs(45), "{} are still there", crowd.len());
        beset.ensure_unharmed().await?;
        let mut left = Vec::new();
        for (name, mut conn, more, seconds) in crowd {
            let took = started.elapsed().as_secs_f64();
            let gone =
                conn.write(more).await.is_err() || conn.read_until_close(Duration::ZERO).await?.1.is_some();
            if gone {
                ensure!((seconds - 1.0..seconds + 10.0).contains(&took), "{name}: closed after {took} s");
            } else {
                left.push((name, conn, more, seconds));
            }
        }
        crowd = left;
        // Slowness is what they do: each says one thing in a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let each = EACH as u64;
    let expected = [("request silent", each), ("request head-timeout", 2 * each), ("publish invalid", each)];
    beset.ensure_refused(&before, &expected).await?;
    eventually(DEADLINE, async || {
        let now = usage::open_files(beset.weir.pid())?;
        ensure!(now <= files, "{files} files before, {now} after");
        Ok(())
    })
    .await?;
    beset.ensure_unharmed().await
}

/// Peers that are gone before they have said it, by FIN or by RST, leave nothing.
#[tokio::test]
async fn peers_that_vanish_leave_nothing() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    beset.ensure_unharmed().await?;
    let (files, before) = (usage::open_files(beset.weir.pid())?, beset.refusals().await?);
    let firsts = [
        String::new(),
        "GET /livez HTT".to_owned(),
        get("/v1/sessions/s/events", ""),
        format!("{POST}content-length: 10\r\n\r\nabc"),
        format!("{POST}transfer-encoding: chunked\r\n\r\n5\r\nab"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ];
    for nth in 0..300 {
        let mut conn = RawConn::open(beset.weir.public()).await?;
        conn.write(firsts[nth % firsts.len()].as_bytes()).await?;
        if nth % 2 == 0 {
            conn.reset()?;
        }
    }
    eventually(DEADLINE, async || {
        let now = usage::open_files(beset.weir.pid())?;
        ensure!(now <= files, "{files} files before, {now} after");
        Ok(())
    })
    .await?;
    beset.ensure_alone().await?;
    // A peer that is gone was not refused anything.
    let refused = beset.refusals().await?.since(&before);
    ensure!(refused.0.keys().all(|name| name == "publish invalid"), "{refused:?}");
    beset.ensure_unharmed().await
}

/// Answers that nobody takes pile up in the kernel and nowhere else: whoever does not read them is not read any further.
#[tokio::test]
async fn answers_that_nobody_reads_do_not_pile_up() -> anyhow::Result<()> {
    let mut beset = Beset::start(WEIR, &[]).await?;
    let memory = usage::resident(beset.weir.pid())?;
    let requests = get("/livez", "").repeat(1000);
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let mut conn = RawConn::open_narrow(beset.weir.public(), 4096).await?;
        let mut sent = 0;
        while tokio::time::timeout(Duration::from_millis(100), conn.write(requests.as_bytes())).await.is_ok()
        {
            sent += requests.len();
            ensure!(sent < 64 << 20, "{sent} bytes were taken");
        }
        crowd.push(conn);
    }
    let after = usage::resident(beset.weir.pid())?;
    ensure!(after < memory + SLACK, "{memory} bytes before, {after} after");
    beset.ensure_unharmed().await
}

//! The ways to do harm.

use fastrand::Rng;

use crate::http2::{self, PREFACE, block, fields, flag, frame, kind};

/// Requests that one connection carries where it may carry several.
const MANY: u64 = 10;

/// What a peer does on its connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Sends requests, all alike, and has each answered with this status.
    Request { text: fn() -> String, status: u16 },
    /// Floods a connection of HTTP/2 until it is closed.
    Flood { frames: fn() -> Vec<u8> },
    /// Says this and nothing more, until it is closed.
    Wait { text: &'static str },
    /// Says half of something and is gone.
    Vanish,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    /// How often, in proportion to the others.
    weight: u64,
    /// Most of its requests on one connection.
    pub(super) requests: u64,
    /// Under which name it is counted, unless nobody was refused.
    pub(super) counted: Option<&'static str>,
    pub(super) act: Act,
}

/// All but the slow ones.
pub(super) const WAYS: &[Way] = &[
    several("an unknown path", "request path", 404, || get("/../etc/passwd", "")),
    several("an unknown method", "request method", 405, || request("BREW /v1/events", "", "")),
    several("a session that is none", "request parameter", 400, || get("/v1/sessions/%ff/events", "")),
    several("a parameter that is none", "request parameter", 400, || get("/v1/events?session=a&wait=-1", "")),
    several("three thousand parameters", "request parameter", 400, || {
        get(&format!("/v1/events?{}", "a=b&".repeat(3000)), "")
    }),
    several("a publish to no session", "publish invalid", 400, || post("%c0%af", "", "")),
    several("a publish of a reserved type", "publish invalid", 422, || {
        post("s/events?type=weir.gap", "", "x")
    }),
    several("a compressed publish", "publish invalid", 415, || post("s", "content-encoding: gzip\r\n", "x")),
    several("a batch of brackets", "publish invalid", 400, || batch(&"[".repeat(20_000))),
    several("a batch of tiny events", "publish invalid", 413, || {
        batch(&format!("[{}1]", "{\"session\":\"s\",\"data\":1},".repeat(1001)))
    }),
    once("TLS on a plain port", "request head", 400, || {
        "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03".to_owned() + &"x".repeat(300) + "\r\n\r\n"
    }),
    once("no host", "request head", 400, || "GET /livez HTTP/1.1\r\n\r\n".to_owned()),
    once("two hosts", "request head", 400, || get("/livez", "host: localhost\r\n")),
    once("a folded header", "request head", 400, || get("/livez", "x: a\r\n b\r\n")),
    once("a header with NUL", "request head", 400, || get("/livez", "x: a\0b\r\n")),
    once("two lengths", "request head", 400, || {
        request("POST /v1/sessions/s/events", "content-length: 1\r\ncontent-length: 2\r\n", "xy")
    }),
    once("a coding that is none", "request head", 400, || {
        request(
            "POST /v1/sessions/s/events",
            "content-length: 4\r\ntransfer-encoding: xchunked\r\n",
            "0\r\n\r\n",
        )
    }),
    once("a hundred and one headers", "request head-size", 431, || get("/livez", &"x: y\r\n".repeat(101))),
    once("a large header", "request head-size", 431, || {
        get("/livez", &format!("x: {}\r\n", "y".repeat(50_000)))
    }),
    once("a large target", "request head-size", 431, || get(&format!("/{}", "x".repeat(50_000)), "")),
    once("chunks that lie", "publish invalid", 400, || {
        request("POST /v1/sessions/s/events", "transfer-encoding: chunked\r\n", "zz\r\nxy\r\n0\r\n\r\n")
    }),
    once("more than is taken", "publish invalid", 413, || {
        request("POST /v1/sessions/s/events", "expect: 100-continue\r\ncontent-length: 1000000000\r\n", "")
    }),
    flood("rapid reset", || {
        let stream = |nth: u32| 2 * nth + 1;
        let pair =
            |nth| [http2::get(stream(nth), "/livez"), frame(kind::RST_STREAM, 0, stream(nth), &[0, 0, 0, 8])];
        (0..100).flat_map(pair).flatten().collect()
    }),
    flood("a head without end", || {
        let head = frame(kind::HEADERS, 0, 1, &block(&fields("GET", "/livez", &[])));
        [head, frame(kind::CONTINUATION, 0, 1, &[]).repeat(1000)].concat()
    }),
    flood("a head that unpacks", || {
        let mut bomb = block(&fields("GET", "/livez", &[]));
        bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        bomb.extend([b'a'; 4000]);
        bomb.extend([0xbe; 3000]);
        frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &bomb)
    }),
    flood("no frames at all", || b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()),
    Way { name: "a peer that vanishes", weight: 2, requests: 1, counted: None, act: Act::Vanish },
];

/// Those that take their time. Each is a connection for ten seconds, so there are few.
pub(super) const SLOW: &[Way] = &[
    slow("silence", "request silent", ""),
    slow("half a head", "request head-timeout", "GET /livez HTTP/1.1\r\nhost: loc"),
    slow("half a preface", "request head-timeout", "PRI * HTTP/2.0\r\n"),
];

const fn several(name: &'static str, counted: &'static str, status: u16, text: fn() -> String) -> Way {
    // One connection carries many, so it is chosen as rarely.
    Way { name, weight: 1, requests: MANY, counted: Some(counted), act: Act::Request { text, status } }
}

const fn once(name: &'static str, counted: &'static str, status: u16, text: fn() -> String) -> Way {
    Way { name, weight: 4, requests: 1, counted: Some(counted), act: Act::Request { text, status } }
}

const fn flood(name: &'static str, frames: fn() -> Vec<u8>) -> Way {
    Way { name, weight: 1, requests: 1, counted: Some("request http2"), act: Act::Flood { frames } }
}

const fn slow(name: &'static str, counted: &'static str, text: &'static str) -> Way {
    Way { name, weight: 0, requests: 1, counted: Some(counted), act: Act::Wait { text } }
}

/// One of all but the slow ones, by weight.
pub(super) fn choose(rng: &mut Rng) -> &'static Way {
    let mut at = rng.u64(..WAYS.iter().map(|way| way.weight).sum::<u64>());
    let chosen = WAYS.iter().find(|way| match at.checked_sub(way.weight) {
        Some(rest) => {
            at = rest;
            false
        }
        None => true,
    });
    chosen.expect("the weights add up to more")
}

impl Way {
    /// What a connection says; after the last of several requests it is closed.
    pub(super) fn said(&self, requests: u64) -> Vec<u8> {
        match self.act {
            Act::Request { text, .. } => {
                let one = text();
                let last = one.replacen("\r\nhost:", "\r\nconnection: close\r\nhost:", 1);
                let before = usize::try_from(requests.saturating_sub(1)).unwrap_or_default();
                [one.repeat(before), last].concat().into_bytes()
            }
            Act::Flood { frames } => [PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), &frames()].concat(),
            Act::Wait { text } => text.as_bytes().to_vec(),
            Act::Vanish => b"POST /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\ncontent-le".to_vec(),
        }
    }
}

fn request(line: &str, headers: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{body}")
}

fn get(target: &str, headers: &str) -> String {
    request(&format!("GET {target}"), headers, "")
}

/// A publish; the path of its session may end in a query.
fn post(session: &str, headers: &str, body: &str) -> String {
    let path = if session.contains('?') { session.to_owned() } else { format!("{session}/events") };
    let headers = format!("{headers}content-length: {}\r\n", body.len());
    request(&format!("POST /v1/sessions/{path}"), &headers, body)
}

fn batch(body: &str) -> String {
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    request("POST /v1/events", &headers, body)
}

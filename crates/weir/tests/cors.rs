//! Pages of other origins, and what browsers are told by every answer. What Chromium makes of it is in `browser.rs`.

use std::process::Command;

use anyhow::ensure;
use weir_testkit::head::Head;
use weir_testkit::{Instance, Response};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const LISTED: &str = "https://app.example.com";
const OTHER: &str = "https://evil.example";
const EVENTS: &str = "/v1/sessions/s/events";

/// Calls of every kind: what answers them, and with which status.
const CALLS: [(&str, &str, u16); 13] = [
    ("GET", "/v1/sessions/s/events?wait=0", 200),
    ("POST", EVENTS, 201),
    ("GET", "/v1/sessions/s/snapshot", 404),
    ("GET", "/v1/sessions/kept/snapshot", 200),
    ("HEAD", "/v1/sessions/kept/snapshot", 200),
    ("GET", "/livez", 200),
    ("GET", "/readyz", 200),
    ("GET", "/nowhere", 404),
    ("GET", "/v1/sessions/%ff/events", 400),
    ("DELETE", EVENTS, 405),
    ("OPTIONS", EVENTS, 405),
    ("POST", "/v1/events", 415),
    ("POST", "/v1/sessions/s/events?type=weir.x", 422),
];

async fn call(
    weir: &Instance,
    (method, target): (&str, &str),
    origin: Option<&str>,
) -> anyhow::Result<Response> {
    let mut request = weir.client().request(method, target);
    if method == "POST" {
        request = request.body("x");
    }
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.send().await
}

async fn with_listed_origin() -> anyhow::Result<Instance> {
    let weir =
        Instance::start(WEIR, &["--cors-origin", LISTED, "--cors-origin", "http://localhost:3000"]).await?;
    weir.client().event("kept").query("snapshot", "60").body("x").send().await?;
    Ok(weir)
}

fn named<'a>(head: &'a Head, prefix: &str) -> Vec<&'a str> {
    head.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with(prefix)).collect()
}

#[tokio::test]
async fn a_listed_origin_sees_every_answer_and_no_other_does() -> anyhow::Result<()> {
    let weir = with_listed_origin().await?;
    for (method, target, status) in CALLS {
        for (origin, sees) in
            [(Some(LISTED), true), (Some(OTHER), false), (Some("null"), false), (None, false)]
        {
            let Response { head, .. } = call(&weir, (method, target), origin).await?;
            let shown = format!("{method} {target} from {origin:?}: {head:?}");
            // Without a token no page of a stranger publishes.
            let refused = method == "POST" && origin.is_some() && !sees;
            ensure!(head.status == if refused { 403 } else { status }, "{shown}");
            ensure!(head.header("vary") == Some("Origin"), "{shown}");
            let allowed = head.header("access-control-allow-origin");
            ensure!(allowed == origin.filter(|_| sees), "{shown}");
            ensure!(head.header("access-control-allow-credentials") == sees.then_some("true"), "{shown}");
            let exposed = "Weir-Event-Id, ETag, Retry-After, Weir-Duplicate, X-Request-Id";
            ensure!(head.header("access-control-expose-headers") == sees.then_some(exposed), "{shown}");
        }
    }
    Ok(())
}

/// A stream, a refusal that comes as one, and an answer without body.
#[tokio::test]
async fn streams_and_soft_refusals_and_304_are_seen_too() -> anyhow::Result<()> {
    let full = Instance::start(WEIR, &["--cors-origin", LISTED, "--max-connections", "1"]).await?;
    let open = full.client().events("s").header("origin", LISTED).subscribe().await?;
    let mut refused = full.client().events("s").header("origin", LISTED).subscribe().await?;
    ensure!(refused.next_event().await?.event == "weir.refused");
    let kept = full.client().event("kept").query("snapshot", "60").body("x").send().await?;
    let tag = format!("\"{}\"", kept.event_id()?);
    let snapshot = full.client().get("/v1/sessions/kept/snapshot").header("origin", LISTED);
    let unchanged = snapshot.header("if-none-match", tag).send().await?;
    ensure!(unchanged.status() == 304);
    for head in [&open.head, &refused.head, &unchanged.head] {
        ensure!(head.header("access-control-allow-origin") == Some(LISTED), "{head:?}");
        ensure!(head.header("vary") == Some("Origin"), "{head:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_listed_origins_nothing_is_said_of_them() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let Response { head, .. } = call(&weir, ("GET", "/livez"), Some(LISTED)).await?;
    ensure!(named(&head, "access-control-").is_empty() && head.header("vary").is_none(), "{head:?}");
    Ok(())
}

async fn preflight(weir: &Instance, target: &str, origin: &str) -> anyhow::Result<Response> {
    let ask = weir.client().request("OPTIONS", target).header("origin", origin);
    let ask = ask.header("access-control-request-method", "POST");
    ask.header("access-control-request-headers", "authorization,content-type").send().await
}

/// Whoever may ask is told, whatever the call itself would get and without a token.
#[tokio::test]
async fn preflights_need_no_token_and_no_right_path() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--anonymous", "none", "--cors-origin", LISTED]).await?;
    for target in [EVENTS, "/v1/events", "/v1/sessions/%ff/events"] {
        let Response { head, body, .. } = preflight(&weir, target, LISTED).await?;
        ensure!(head.status == 204 && body.is_empty(), "{head:?}");
        for (name, value) in [
            ("access-control-allow-origin", LISTED),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, HEAD, POST"),
            (
                "access-control-allow-headers",
                "Authorization, Content-Type, Last-Event-ID, Idempotency-Key, X-Request-Id, If-None-Match",
            ),
            ("access-control-max-age", "7200"),
            ("vary", "Origin"),
        ] {
            ensure!(head.header(name) == Some(value), "{name}: {head:?}");
        }
    }
    let refused = preflight(&weir, EVENTS, OTHER).await?;
    ensure!(refused.status() == 403 && refused.problem_code()? == "unlisted_origin", "{refused:?}");
    ensure!(named(&refused.head, "access-control-").is_empty(), "{refused:?}");
    let counted = weir.metrics().await?.value("weir_requests_rejected_total", &[("reason", "origin")]);
    ensure!(counted == Some(1.0), "{counted:?}");
    Ok(())
}

/// Of a stream whoever asks is told what the protocol sends, and a browser may go by it only for a page that is listed.
#[tokio::test]
async fn preflights_for_streams_open_nothing_to_others() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--anonymous", "none", "--cors-origin", LISTED]).await?;
    for (origin, sees) in [(LISTED, true), (OTHER, false), ("null", false)] {
        let head = preflight(&weir, "/v1/stream/a/b", origin).await?.head;
        ensure!(head.status == 204 && head.header("vary") == Some("Origin"), "{head:?}");
        let allowed = head.header("access-control-allow-origin");
        ensure!(allowed == sees.then_some(LISTED), "{head:?}");
        ensure!(head.header("access-control-allow-credentials") == sees.then_some("true"), "{head:?}");
        let named = head.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
        for name in ["if-none-match", "stream-closed", "producer-id", "authorization"] {
            ensure!(named.contains(name), "{named}");
        }
        ensure!(head.header("access-control-allow-methods") == Some("GET, HEAD, POST, PUT, DELETE"));
    }
    // And what a page of a stranger sends all the same changes nothing.
    let open = Instance::start(WEIR, &["--anonymous", "all", "--cors-origin", LISTED]).await?;
    for method in ["PUT", "POST", "DELETE"] {
        let answer = call(&open, (method, "/v1/stream/a"), Some(OTHER)).await?;
        ensure!(answer.status() == 403 && answer.problem_code()? == "cross_site", "{answer:?}");
        ensure!(named(&answer.head, "access-control-").is_empty(), "{answer:?}");
    }
    let listed = call(&open, ("PUT", "/v1/stream/a"), Some(LISTED)).await?.head;
    let exposed = listed.header("access-control-expose-headers").unwrap_or_default();
    ensure!(listed.status == 201 && exposed.contains("Stream-Next-Offset"), "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_must_not_do() -> anyhow::Result<()> {
    let weir = with_listed_origin().await?;
    let stream = weir.client().subscribe("s").await?;
    let mut heads = vec![stream.head.clone()];
    for (method, target, _) in CALLS {
        heads.push(call(&weir, (method, target), None).await?.head);
    }
    heads.push(preflight(&weir, EVENTS, LISTED).await?.head);
    for path in ["/livez", "/readyz", "/metrics", "/clients", "/nowhere"] {
        heads.push(weir.admin_client().get(path).send().await?.head);
    }
    for head in heads {
        for (name, value) in [
            ("x-content-type-options", Some("nosniff")),
            ("referrer-policy", Some("no-referrer")),
            ("content-security-policy", Some("default-src 'none'; frame-ancestors 'none'")),
            ("cross-origin-resource-policy", Some("same-origin")),
            ("strict-transport-security", None),
            ("server", None),
        ] {
            ensure!(head.header(name) == value, "{name}: {head:?}");
        }
        let cache = head.header("cache-control");
        let kept = ["no-store", "no-cache, no-transform", "private, no-cache"];
        ensure!(cache.is_some_and(|cache| kept.contains(&cache)), "{head:?}");
    }
    // The head that clients know, and nothing that takes its meaning away.
    ensure!(stream.head.header("content-type") == Some("text/event-stream"));
    ensure!(stream.head.header("cache-control") == Some("no-cache, no-transform"));
    ensure!(stream.head.header("content-length").is_none());
    Ok(())
}

#[test]
fn what_is_no_origin_is_refused_at_start() {
    for (bad, says) in [
        ("*", "cookies"),
        ("null", "sandboxed"),
        ("https://app.example.com/", "slash"),
        ("https://App.example.com", "lower case"),
        ("https://app.example.com:443", "port"),
        ("app.example.com", "SCHEME://HOST"),
    ] {
        let refused = Command::new(WEIR).args(["serve", "--cors-origin", bad]).output().unwrap();
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{text}");
        assert!(text.contains(says) && text.contains("--cors-origin") && text.lines().count() == 1, "{text}");
    }
}

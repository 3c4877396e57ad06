//! The two files, and to whom they are given.

use anyhow::{Context as _, ensure};
use weir_testkit::http2::{self, Http2};
use weir_testkit::{Balancer, Client, DEADLINE, Instance, Response, Secret, balancer::Kind, expect, page};

use crate::WEIR;

/// Asks as somebody whose request has these headers.
async fn ask(client: &Client, headers: &[(&str, &str)]) -> anyhow::Result<Response> {
    headers.iter().fold(client.get("/"), |request, (name, value)| request.header(name, *value)).send().await
}

fn is_there(answer: &Response) -> bool {
    answer.status() == 200 && answer.head.header("content-type") == Some("text/html; charset=utf-8")
}

#[tokio::test]
async fn everybody_may_have_the_client() -> anyhow::Result<()> {
    let flags = ["--anonymous", "none", "--cors-origin", "https://app.example"];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let ask = |method: &'static str, origin: &'static str| {
        client.request(method, "/client.js").header("host", "weir.example").header("origin", origin)
    };
    let whole = ask("GET", "https://other.example").send().await?;
    let expected = [
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "public, max-age=300"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ];
    for (name, value) in expected {
        assert_eq!(whole.head.header(name), Some(value), "{name}");
    }
    assert_eq!(whole.text()?, page::read("crates/weir-web/client/dist/client.js"));
    // With `*` no browser sends or takes anything of its user.
    ensure!(whole.head.header("access-control-allow-credentials").is_none(), "{whole:?}");

    let tag = whole.head.header("etag").context("a tag")?.to_owned();
    let again = ask("GET", "https://other.example").header("if-none-match", &tag).send().await?;
    assert_eq!((again.status(), again.body.len(), again.head.header("etag")), (304, 0, Some(tag.as_str())));
    assert_eq!(again.head.header("access-control-allow-origin"), Some("*"));
    let head = ask("HEAD", "https://other.example").send().await?;
    assert_eq!((head.status(), head.body.len(), head.head.header("etag")), (200, 0, Some(tag.as_str())));
    assert_eq!(head.head.header("content-length"), whole.head.header("content-length"));

    let listed = ask("GET", "https://app.example").send().await?.head;
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://app.example"));
    let post = ask("POST", "https://app.example").send().await?;
    expect::problem(&post, 405, "method_not_allowed")?;
    assert_eq!(post.head.header("allow"), Some("GET, HEAD"));
    Ok(())
}

/// Its own style and script, and no frame, form, markup of texts or other origin.
#[tokio::test]
async fn the_page_allows_nothing_but_itself() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--instance", "secret-name"]).await?;
    let found = ask(&weir.client(), &[]).await?;
    ensure!(is_there(&found), "{found:?}");
    let text = found.text()?;
    ensure!(!text.contains("secret-name") && !text.contains(env!("CARGO_PKG_VERSION")), "it tells");
    let policy = expect::strict_policy(&found)?;
    let script = policy.split("; ").find(|part| part.starts_with("script-src ")).context("of scripts")?;
    ensure!(script.matches('\'').count() == 4 && script.ends_with(" 'self'"), "{script}");
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(found.head.header(name), Some(value), "{name}");
    }
    ensure!(found.head.header("access-control-allow-origin").is_none(), "{found:?}");

    let tag = found.head.header("etag").context("a tag")?;
    let again = ask(&weir.client(), &[("if-none-match", tag)]).await?;
    assert_eq!((again.status(), again.body.len()), (304, 0));
    let head = weir.client().request("HEAD", "/").send().await?;
    assert_eq!((head.status(), head.body.len(), head.head.header("etag")), (200, 0, Some(tag)));
    let post = weir.client().post("/").send().await?;
    expect::problem(&post, 405, "method_not_allowed")
}

/// By each setting: only where its calls would be answered.
#[tokio::test]
async fn it_is_there_where_it_works() -> anyhow::Result<()> {
    let secret = Secret::new();
    let keys = ["--jwt-secret-file", secret.flag()];
    for (flags, there) in [
        (&["--anonymous", "all"][..], true),
        (&["--jwt-secret-file", secret.flag(), "--anonymous", "all"], true),
        (&["--anonymous", "none"], false),
        (&["--anonymous", "subscribe"], false),
        (&["--anonymous", "publish"], false),
        (&["--trusted-proxy", "192.0.2.1"], false),
        (&keys, false),
    ] {
        let weir = Instance::start(WEIR, flags).await?;
        for host in ["localhost", "weir.example"] {
            let answer = ask(&weir.client(), &[("host", host)]).await?;
            ensure!(is_there(&answer) == there, "{flags:?} {host}: {answer:?}");
            if !there {
                expect::problem(&answer, 404, "unknown_path")?;
            }
        }
        // A token makes no difference: the page has none.
        if flags == keys {
            let bearer = format!("Bearer {}", secret.token("7", &["*"], &["*"]));
            expect::problem(&ask(&weir.client(), &[("authorization", &bearer)]).await?, 404, "unknown_path")?;
        }
    }
    Ok(())
}

/// By default it is for whoever sits at this machine: not for a page that rebound its name, nor through a proxy.
#[tokio::test]
async fn it_is_for_this_machine_alone() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let client = weir.client();
    for host in ["localhost", "127.0.0.1:8080", "[::1]"] {
        ensure!(is_there(&ask(&client, &[("host", host)]).await?), "{host}");
    }
    for headers in [
        [("host", "weir.example"), ("accept", "*/*")],
        [("host", "localhost.evil.example"), ("accept", "*/*")],
        [("host", "localhost"), ("x-forwarded-for", "127.0.0.1")],
        [("host", "localhost"), ("forwarded", "for=127.0.0.1")],
        [("host", "localhost"), ("via", "1.1 localhost")],
    ] {
        expect::problem(&ask(&client, &headers).await?, 404, "unknown_path")?;
    }
    for (authority, status) in [("localhost", 200), ("evil.example", 404)] {
        let mut conn = Http2::open(weir.public(), &[]).await?;
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", authority)];
        conn.send(&http2::request(1, &fields, true)).await?;
        assert_eq!(conn.status(1, DEADLINE).await?, status, "{authority}");
    }
    for kind in [Kind::Nginx, Kind::HaProxy] {
        let shipped = Balancer::start(kind, &[weir.public()]).await?;
        expect::problem(&ask(&shipped.client(), &[("host", "localhost")]).await?, 404, "unknown_path")?;
    }
    Ok(())
}

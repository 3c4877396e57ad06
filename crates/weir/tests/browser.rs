//! Pages in Chromium: what their browser lets them do with weir, and what it keeps from them.
//!
//! `.ci/setup test` installs Chromium, and what drives it beside the build.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weir_testkit::browser::{browse, step};
use weir_testkit::certificates::Authority;
use weir_testkit::{Instance, Secret};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A server of pages that say nothing, for every path.
struct Pages {
    port: u16,
    _served: JoinSet<()>,
}

impl Pages {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let mut served = JoinSet::new();
        served.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                open.spawn(answer(tcp));
            }
        });
        Ok(Self { port, _served: served })
    }

    fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }
}

async fn answer(mut tcp: TcpStream) -> io::Result<()> {
    let mut request = [0; 4096];
    let _some = tcp.read(&mut request).await?;
    let page = "<!doctype html><title>a page</title>";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
    tcp.write_all(format!("{head}content-length: {}\r\n\r\n{page}", page.len()).as_bytes()).await
}

/// Where pages find weir, under a name of the same site as the pages of `app.shop.example`.
fn weir_at(scheme: &str, public: SocketAddr) -> String {
    format!("{scheme}://events.shop.example:{}", public.port())
}

async fn published(weir: &Instance) -> anyhow::Result<f64> {
    weir.metrics().await?.value("weir_publishes_total", &[("result", "ok")]).context("a series")
}

async fn streams(weir: &Instance) -> anyhow::Result<f64> {
    weir.metrics().await?.value("weir_connections_total", &[("transport", "sse")]).context("a series")
}

#[tokio::test]
async fn pages_of_a_listed_origin_work_and_others_see_nothing() -> anyhow::Result<()> {
    let pages = Pages::start().await?;
    let listed = pages.origin("app.shop.example");
    let weir = Instance::start(WEIR, &["--anonymous", "all", "--cors-origin", &listed]).await?;
    let at = weir_at("http", weir.public());
    let publish = format!(
        r#"const publish = (key) => call('{at}/v1/sessions/s/events?snapshot=60', {{
            method: 'POST', body: 'hello', credentials: 'include',
            headers: {{ 'content-type': 'application/json', 'idempotency-key': key }}
        }});"#
    );
    let works = format!(
        r#"{publish}
        let published;
        const stream = await subscribe('{at}/v1/sessions/s/events', {{
            credentials: true,
            once: () => {{ published = publish('k').then(async (first) => [first, await publish('k')]) }}
        }});
        const snapshot = await call('{at}/v1/sessions/s/snapshot', {{ credentials: 'include' }});
        const missing = await call('{at}/v1/sessions/none/snapshot');
        return {{ stream, published: await published, snapshot, missing }};"#
    );
    let sees_nothing = format!(
        r#"{publish}
        return {{
            stream: await subscribe('{at}/v1/sessions/s/events', {{ credentials: true }}),
            open: await call('{at}/livez'),
            published: await publish('other')
        }};"#
    );
    let steps = [step(&listed, &works), step(pages.origin("evil.example"), &sees_nothing)];
    let results = browse(&steps).await?;

    let works = &results[0];
    let (first, again) = (&works["published"][0], &works["published"][1]);
    ensure!(first["status"] == 201 && again["status"] == 201, "{works}");
    ensure!(
        first["headers"]["weir-duplicate"].is_null() && again["headers"]["weir-duplicate"] == "true",
        "{works}"
    );
    let id: Value = serde_json::from_str(first["text"].as_str().context("a text")?)?;
    ensure!(works["stream"]["seen"] == json!([{ "data": "hello", "id": id["id"] }]), "{works}");
    ensure!(
        works["snapshot"]["text"] == "hello" && works["snapshot"]["headers"]["weir-event-id"] == id["id"],
        "{works}"
    );
    ensure!(works["snapshot"]["headers"]["etag"].is_string(), "{works}");
    ensure!(works["missing"]["status"] == 404, "{works}");
    ensure!(works["missing"]["text"].as_str().is_some_and(|text| text.contains("no_snapshot")), "{works}");

    let other = &results[1];
    ensure!(other["stream"] == json!({ "seen": [], "open": false, "closed": true }), "{other}");
    ensure!(other["open"] == json!({ "error": "TypeError" }), "{other}");
    ensure!(other["published"] == json!({ "error": "TypeError" }), "{other}");
    ensure!(published(&weir).await? == 1.0);
    Ok(())
}

/// A page whose name was given the address of this machine after it was loaded is of the same origin as weir, as far as its
/// browser can tell.
#[tokio::test]
async fn a_page_that_rebound_its_name_gets_nothing() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let port = weir.public().port();
    let script = "return {
        published: await call('/v1/sessions/s/events', { method: 'POST', body: 'x' }),
        polled: await call('/v1/sessions/s/events?wait=0'),
        stream: await subscribe('/v1/sessions/s/events', { count: 0 })
    };";
    let page = |host: &str| step(format!("http://{host}:{port}/livez"), script);
    let results = browse(&[page("evil.example"), page("localhost")]).await?;
    let evil = &results[0];
    ensure!(evil["published"]["status"] == 401 && evil["polled"]["status"] == 401, "{evil}");
    ensure!(evil["stream"] == json!({ "seen": [], "open": false, "closed": true }), "{evil}");
    // The same page under the name of this machine shows that it would have worked.
    let honest = &results[1];
    ensure!(honest["published"]["status"] == 201 && honest["polled"]["status"] == 200, "{honest}");
    ensure!(honest["stream"]["open"] == true, "{honest}");
    ensure!(published(&weir).await? == 1.0 && streams(&weir).await? == 1.0);
    Ok(())
}

/// Over HTTP/1.1 a browser opens six connections to a host, and the seventh stream waits.
#[tokio::test]
async fn by_tls_a_page_has_many_streams_on_one_connection() -> anyhow::Result<()> {
    let authority = Authority::new();
    let pair = authority.issue(&["events.shop.example"]);
    let file = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let (certificate, key) = (file(&pair.certificate), file(&pair.key));
    let flags = ["--anonymous", "all", "--tls-cert", &certificate, "--tls-key", &key];
    let weir = Instance::start(WEIR, &flags).await?;
    let script = "
        let open = 0;
        const streams = Array.from({ length: 10 }, (_, nth) => subscribe(`/v1/sessions/${nth % 2}/events`, {
            once: async () => {
                open += 1;
                if (open < 10) return;
                for (const session of [0, 1]) {
                    await call(`/v1/sessions/${session}/events`, { method: 'POST', body: `to ${session}` });
                }
            }
        }));
        const [{ nextHopProtocol }] = performance.getEntriesByType('navigation');
        return { protocol: nextHopProtocol, streams: await Promise.all(streams) };";
    let results = browse(&[step(format!("{}/livez", weir_at("https", weir.public())), script)]).await?;
    ensure!(results[0]["protocol"] == "h2", "{}", results[0]);
    let streams = results[0]["streams"].as_array().context("streams")?;
    for (nth, stream) in streams.iter().enumerate() {
        ensure!(stream["seen"][0]["data"] == format!("to {}", nth % 2), "{nth}: {}", results[0]);
    }
    ensure!(streams.len() == 10);
    let handshakes = weir.metrics().await?.sum("weir_tls_handshakes_total", &[("result", "ok")]);
    // Chromium opens one in reserve now and then. By HTTP/1.1 ten streams would take six.
    ensure!(handshakes < 6.0, "{handshakes} connections");
    Ok(())
}

/// `EventSource` cannot send a header, so its token comes by cookie or in the address, and is good for reading alone.
#[tokio::test]
async fn a_user_reads_what_is_his_by_cookie_and_by_query() -> anyhow::Result<()> {
    let pages = Pages::start().await?;
    let listed = pages.origin("app.shop.example");
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag(), "--cors-origin", &listed]).await?;
    let at = weir_at("http", weir.public());
    let token = secret.token("alice", &["user:{sub}"], &["*"]);
    let mine = format!("{at}/v1/sessions/user%3Aalice/events");
    let others = format!("{at}/v1/sessions/user%3Abob/events");
    let script = |by_cookie: bool| {
        let query = if by_cookie { String::new() } else { format!("?token={token}") };
        format!(
            r#"
            const publish = (url, headers) => call(url, {{ method: 'POST', body: 'x', credentials: 'include', headers }});
            let published;
            const stream = await subscribe('{mine}{query}', {{
                credentials: {by_cookie},
                once: () => {{ published = publish('{mine}', {{ authorization: 'Bearer {token}' }}) }}
            }});
            return {{
                stream, published: await published,
                others: await subscribe('{others}{query}', {{ count: 0, credentials: {by_cookie} }}),
                polled: await call('{others}{query}{}wait=0', {{ credentials: 'include' }}),
                refused: await publish('{mine}{query}', {{}}),
                without: await subscribe('{mine}', {{ count: 0, credentials: false }})
            }};"#,
            if by_cookie { '?' } else { '&' }
        )
    };
    let mut by_cookie = step(&listed, &script(true));
    by_cookie["cookies"] = json!([
        { "name": "weir_token", "value": token, "url": at, "httpOnly": true, "sameSite": "Lax" }
    ]);
    let results = browse(&[by_cookie, step(&listed, &script(false))]).await?;
    for (result, by) in results.iter().zip(["cookie", "query"]) {
        ensure!(result["published"]["status"] == 201, "{by}: {result}");
        ensure!(result["stream"]["seen"][0]["data"] == "x", "{by}: {result}");
        let nothing = json!({ "seen": [], "open": false, "closed": true });
        ensure!(result["others"] == nothing && result["without"] == nothing, "{by}: {result}");
        ensure!(result["polled"]["status"] == 403, "{by}: {result}");
        ensure!(result["refused"]["status"] == 403, "{by}: {result}");
        let code = result["refused"]["text"].as_str().unwrap_or_default();
        ensure!(code.contains("token_cannot_publish"), "{by}: {result}");
    }
    ensure!(published(&weir).await? == 2.0);
    Ok(())
}

/// A form or a script of any page can post without asking first, and to the address of this machine too.
#[tokio::test]
async fn a_page_of_another_site_publishes_nothing() -> anyhow::Result<()> {
    let pages = Pages::start().await?;
    let weir = Instance::start(WEIR, &[]).await?;
    let open = Instance::start(WEIR, &["--anonymous", "all"]).await?;
    let script = |public: SocketAddr| {
        format!(
            "const url = 'http://{public}/v1/sessions/s/events';
            const post = (options) => call(url, {{ method: 'POST', body: 'x', ...options }});
            const form = document.createElement('form');
            Object.assign(form, {{ action: url, method: 'post', enctype: 'text/plain', target: 'answer' }});
            form.innerHTML = '<input name=x value=y>';
            const answer = document.createElement('iframe');
            answer.name = 'answer';
            document.body.append(answer, form);
            const answered = new Promise((resolve) => {{ answer.onload = () => resolve(true); setTimeout(resolve, 5000, false) }});
            form.submit();
            await answered;
            return {{ silent: await post({{ mode: 'no-cors' }}), seen: await post({{}}) }};"
        )
    };
    let evil = pages.origin("evil.example");
    let results = browse(&[step(&evil, &script(weir.public())), step(&evil, &script(open.public()))]).await?;
    for (result, weir) in results.iter().zip([&weir, &open]) {
        // The page is not even told that there was an answer, and each of the three calls was made.
        let nothing = json!({ "error": "TypeError" });
        ensure!(result["silent"] == nothing && result["seen"] == nothing, "{result}");
        let refused = weir.metrics().await?.sum("weir_publishes_total", &[("result", "denied")]);
        ensure!(published(weir).await? == 0.0 && refused == 3.0, "{refused} refused: {result}");
    }
    Ok(())
}

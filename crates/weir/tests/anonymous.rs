//! Without a token and without a setting only whoever is at this machine gets in.

use std::net::SocketAddr;
use std::time::Duration;

use weir_testkit::balancer::Kind;
use weir_testkit::http2::{self, Http2};
use weir_testkit::{Balancer, Closed, DEADLINE, Instance, RawConn, Response, expect};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Sends a head as it is and says which status came back.
async fn status(addr: SocketAddr, head: &str) -> anyhow::Result<String> {
    let mut conn = RawConn::open(addr).await?;
    conn.write(head.as_bytes()).await?;
    let (said, _closed): (_, Option<Closed>) = conn.read_until_close(DEADLINE).await?;
    Ok(String::from_utf8_lossy(&said).chars().skip(9).take(3).collect())
}

/// A page that had its own name point here after it was loaded still says its own name.
#[tokio::test]
async fn a_rebound_name_opens_nothing() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let addr = weir.public();
    let post = |version: &str, target: &str, headers: &str| {
        format!("POST {target} HTTP/{version}\r\n{headers}content-length: 1\r\nconnection: close\r\n\r\nx")
    };
    let path = "/v1/sessions/s/events";
    for host in ["localhost", "127.0.0.1", "[::1]:80", "[::ffff:127.0.0.1]", "LOCALHOST:1"] {
        let said = status(addr, &post("1.1", path, &format!("host: {host}\r\n"))).await?;
        assert_eq!(said, "201", "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "localhost.",
        "0.0.0.0",
        "10.0.0.1",
        "127.1",
        "[::]",
    ] {
        let said = status(addr, &post("1.1", path, &format!("host: {host}\r\n"))).await?;
        assert_eq!(said, "401", "{host}");
    }
    // Two readers could take these for different hosts.
    for host in ["a@localhost", "localhost@evil.example", "localhost:80@evil.example"] {
        let said = status(addr, &post("1.1", path, &format!("host: {host}\r\n"))).await?;
        assert_eq!(said, "400", "{host}");
    }
    // The target counts, whatever `Host` says.
    let absolute = |name: &str| format!("http://{name}{path}");
    assert_eq!(status(addr, &post("1.1", &absolute("evil.example"), "host: localhost\r\n")).await?, "401");
    assert_eq!(status(addr, &post("1.1", &absolute("localhost:8080"), "host: localhost\r\n")).await?, "201");
    assert_eq!(status(addr, &post("1.0", path, "host: localhost\r\n")).await?, "401");
    assert_eq!(status(addr, &post("1.0", path, "")).await?, "401");
    Ok(())
}

#[tokio::test]
async fn the_authority_of_http2_is_its_host() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    for (authority, want) in
        [("localhost:8080", 404), ("[::1]", 404), ("evil.example", 401), ("localhost.", 401)]
    {
        let mut conn = Http2::open(weir.public(), &[]).await?;
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/v1/sessions/s/snapshot"),
            (":authority", authority),
        ];
        conn.send(&http2::request(1, &fields, true)).await?;
        assert_eq!(conn.status(1, DEADLINE).await?, want, "{authority}");
    }
    Ok(())
}

/// Who says that it asks for somebody else is taken at its word, in whatever way it says so.
#[tokio::test]
async fn forwarding_headers_are_not_local() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    for (name, value) in [
        ("Forwarded", "for=127.0.0.1"),
        ("FORWARDED", ""),
        ("X-Forwarded-For", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Real-IP", "::1"),
        ("Via", "1.1 localhost"),
        ("True-Client-IP", "127.0.0.1"),
    ] {
        let client = weir.client();
        let publish =
            client.event("s").header("host", "localhost").header(name, value).body("x").send().await?;
        expect::problem(&publish, 401, "unauthorized")?;
        let poll = client.events("s").header("host", "localhost").header(name, value).query("wait", "0");
        expect::problem(&poll.send().await?, 401, "unauthorized")?;
    }
    Ok(())
}

/// Proxies on the same machine: as they are shipped with weir, and with each of the ways to say for whom one asks. One that has none
/// of these passes for a client, SECURITY.md.
#[tokio::test]
async fn a_proxy_that_says_for_whom_it_asks_opens_nothing() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    for kind in [Kind::Nginx, Kind::HaProxy] {
        let shipped = Balancer::start(kind, &[weir.public()]).await?;
        refused(&shipped, "weir.example").await?;
        refused(&shipped, "localhost").await?;
    }
    let haproxy = format!(
        "global\n maxconn @CONNECTIONS@\n\
         defaults\n mode http\n option forwardfor\n timeout connect 2s\n timeout client 9s\n timeout server 9s\n\
         listen weir\n bind @LISTEN@\n server weir {}\n",
        weir.public()
    );
    refused(&Balancer::with(Kind::HaProxy, &haproxy).await?, "localhost").await?;
    for (way, host) in [
        ("proxy_http_version 1.0;", "localhost"),
        ("proxy_http_version 1.1; proxy_set_header Host $host;", "weir.example"),
        ("proxy_http_version 1.1; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", "localhost"),
        ("proxy_http_version 1.1; proxy_set_header X-Real-IP $remote_addr;", "localhost"),
    ] {
        let text = format!(
            "events {{}}\nhttp {{ @LOCAL@ access_log off; server {{ listen @LISTEN@; location / {{ {way} proxy_pass http://{}; }} }} }}\n",
            weir.public()
        );
        refused(&Balancer::with(Kind::Nginx, &text).await?, host).await?;
    }
    Ok(())
}

async fn refused(proxy: &Balancer, host: &str) -> anyhow::Result<()> {
    let client = proxy.client();
    let publish: Response = client.event("s").header("host", host).body("x").send().await?;
    expect::problem(&publish, 401, "unauthorized")?;
    let poll = client.events("s").header("host", host).query("wait", "0").deadline(Duration::from_secs(5));
    expect::problem(&poll.send().await?, 401, "unauthorized")
}

/// Whoever names a proxy, or lets others reach the admin listener, is not alone with this machine.
#[tokio::test]
async fn a_proxy_or_a_listener_for_others_ends_the_privilege() -> anyhow::Result<()> {
    let token = tempfile::NamedTempFile::new()?;
    std::fs::write(token.path(), "0123456789abcdef0123456789abcdef")?;
    let token = token.path().display().to_string();
    for flags in [
        &["--trusted-proxy", "192.0.2.1"][..],
        &["--admin-listen", "0.0.0.0:0", "--admin-token-file", &token],
    ] {
        let mut weir = std::process::Command::new(WEIR);
        let config = weir.args(["config", "--listen", "127.0.0.1:0"]).args(flags).output()?;
        let warned = String::from_utf8_lossy(&config.stderr);
        anyhow::ensure!(warned.starts_with("weir: nobody may publish or subscribe: "), "{flags:?}: {warned}");
    }
    let weir = Instance::start(WEIR, &["--trusted-proxy", "192.0.2.1"]).await?;
    let publish = weir.client().event("s").header("host", "localhost").body("x").send().await?;
    expect::problem(&publish, 401, "unauthorized")
}

/// A page of the world can have a browser post to this machine without asking.
#[tokio::test]
async fn pages_of_other_sites_do_not_publish() -> anyhow::Result<()> {
    for flags in [&[][..], &["--anonymous", "all"]] {
        let flags = [flags, &["--cors-origin", "https://app.example"]].concat();
        let weir = Instance::start(WEIR, &flags).await?;
        let post = |headers: &[(&str, &str)]| {
            let request = weir.client().event("s").header("host", "localhost:8080");
            let request = request.header("content-type", "text/plain").body("x");
            headers.iter().fold(request, |request, (name, value)| request.header(name, *value)).send()
        };
        for headers in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
            &[("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("origin", "https://evil.example"), ("cookie", "weir_token=")],
        ] {
            expect::problem(&post(headers).await?, 403, "cross_site")?;
        }
        for headers in [
            &[][..],
            &[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")],
            &[("origin", "http://localhost:8080")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
        ] {
            post(headers).await?.event_id()?;
        }
        let metrics = weir.metrics().await?;
        assert_eq!(metrics.value("weir_publishes_total", &[("result", "denied")]), Some(6.0));
    }
    Ok(())
}

//! Whose address a request comes from: by its connection, by `X-Forwarded-For` and by the PROXY protocol, through the real
//! nginx and HAProxy. What is counted for an address shows which one it was.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use weir_testkit::balancer::Kind;
use weir_testkit::{
    Balancer, Client, Closed, DEADLINE, Instance, RawConn, SseStream, eventually, expect, loopback,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// One client for each address, so that a second one tells which it is. The balancers live on 127.64.0.0/10.
const ONE_EACH: [&str; 8] = [
    "--anonymous",
    "all",
    "--refuse",
    "503",
    "--max-connections-per-ip",
    "1",
    "--trusted-proxy",
    "127.0.0.0/8",
];

async fn one_each(more: &[&str]) -> anyhow::Result<Instance> {
    Instance::builder(WEIR).flags(&ONE_EACH).flags(more).start().await
}

/// A client that says, truly or not, for whom it asks.
async fn forwarded(client: Client, lines: &[&str]) -> anyhow::Result<SseStream> {
    let request = client.events("s");
    lines.iter().fold(request, |request, line| request.header("x-forwarded-for", *line)).subscribe().await
}

async fn is_served(client: Client, lines: &[&str]) -> anyhow::Result<SseStream> {
    let mut stream = forwarded(client, lines).await?;
    ensure!(stream.next_event().await?.event == "weir.connected");
    Ok(stream)
}

async fn is_refused(client: Client, lines: &[&str]) -> anyhow::Result<()> {
    let request = client.get("/v1/sessions/s/events?wait=0");
    let request = lines.iter().fold(request, |request, line| request.header("x-forwarded-for", *line));
    expect::problem(&request.send().await?, 429, "ip")
}

#[tokio::test]
async fn a_header_is_believed_from_a_trusted_proxy_only() -> anyhow::Result<()> {
    let weir = one_each(&[]).await?;
    let client = weir.client();
    let _first = is_served(client, &["192.0.2.1"]).await?;
    is_refused(client, &["192.0.2.1"]).await?;
    // Whatever stands before what the trusted proxy saw is hearsay.
    is_refused(client, &["198.51.100.1, 192.0.2.1"]).await?;
    is_refused(client, &["198.51.100.1", "192.0.2.1, 127.0.0.9"]).await?;
    is_refused(client, &["::ffff:192.0.2.1"]).await?;
    let _second = is_served(client, &["192.0.2.2"]).await?;
    // One /64 is one.
    let _third = is_served(client, &["2001:db8::1"]).await?;
    is_refused(client, &["2001:db8::ffff:1"]).await?;
    let _fourth = is_served(client, &["2001:db8:0:1::1"]).await?;

    // From anybody else it is only a header.
    let strangers = Instance::start(WEIR, &["--anonymous", "all", "--max-connections-per-ip", "1"]).await?;
    let _only = is_served(strangers.client(), &["192.0.2.1"]).await?;
    is_refused(strangers.client(), &["192.0.2.2"]).await
}

#[tokio::test]
async fn through_nginx_and_haproxy() -> anyhow::Result<()> {
    for kind in [Kind::Nginx, Kind::HaProxy] {
        let weir = one_each(&["--trusted-proxy", "::1"]).await?;
        let balancer = Balancer::start(kind, &[weir.public()]).await?;
        let (through, direct) = (balancer.client(), weir.client());
        // The balancer itself, which is trusted, adds the address of the test, which is, too: so the one before counts.
        let _first = is_served(through, &["192.0.2.1"]).await?;
        is_refused(direct, &["192.0.2.1"]).await?;
        is_refused(through, &["198.51.100.1, 192.0.2.1"]).await?;
        let _second = is_served(through, &["192.0.2.2"]).await?;
    }
    Ok(())
}

/// HAProxy as a balancer of connections, which asks for health as it passes connections on.
async fn haproxy(weir: SocketAddr, send: &str) -> anyhow::Result<Balancer> {
    let configuration = format!(
        "global\n maxconn @CONNECTIONS@\n\
         defaults\n mode tcp\n timeout connect 2s\n timeout client 75s\n timeout server 75s\n\
         listen weir\n bind @LISTEN@\n option httpchk GET /readyz\n http-check expect status 200\n\
         server weir {weir} {send} check inter 100ms fall 1 rise 1\n"
    );
    Balancer::with(Kind::HaProxy, &configuration).await
}

#[tokio::test]
async fn the_proxy_protocol_through_haproxy() -> anyhow::Result<()> {
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"] {
        // The balancer connects from 127.0.0.1, as the test does, so the test's own address is another one.
        let weir = Instance::start(
            WEIR,
            &[
                "--proxy-protocol",
                "--trusted-proxy",
                "127.0.0.1",
                "--max-connections-per-ip",
                "1",
                "--anonymous",
                "all",
            ],
        )
        .await?;
        let balancer = haproxy(weir.public(), send).await?;
        let through = async |from: [u8; 4]| balancer.client().events("s").from(from.into()).subscribe().await;
        let mut first = through([127, 0, 0, 2]).await?;
        ensure!(first.next_event().await?.event == "weir.connected", "{send}");
        let mut again = through([127, 0, 0, 2]).await?;
        ensure!(again.next_event().await?.event == "weir.refused", "{send}");
        let mut other = through([127, 0, 0, 3]).await?;
        ensure!(other.next_event().await?.event == "weir.connected", "{send}");
        // What is no trusted proxy is not believed, however it comes in.
        let forged =
            balancer.client().events("s").from([127, 0, 0, 3].into()).header("x-forwarded-for", "192.0.2.9");
        ensure!(forged.subscribe().await?.next_event().await?.event == "weir.refused", "{send}");
        let publish = balancer.client().event("s").from([127, 0, 0, 2].into()).body("x").send().await?;
        ensure!(publish.status() == 201, "{publish:?}");
        assert_eq!(
            (first.next_data(1).await?, other.next_data(1).await?),
            (vec!["x".to_owned()], vec!["x".to_owned()])
        );
    }
    Ok(())
}

/// A balancer on the same machine connects from the loopback, and its clients may send any `Host`.
#[tokio::test]
async fn a_header_of_the_proxy_protocol_is_no_loopback_access() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--proxy-protocol", "--trusted-proxy", "127.0.0.1"]).await?;
    let answer = async |first: &str| -> anyhow::Result<_> {
        let mut conn = RawConn::open(weir.public()).await?;
        let request = "GET /v1/sessions/s/events?wait=0 HTTP/1.1\r\nhost: localhost\r\n\r\n";
        conn.write(format!("{first}{request}").as_bytes()).await?;
        Ok(conn.read_head(DEADLINE).await?.status)
    };
    for first in [
        "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n",
        "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
        "PROXY UNKNOWN\r\n",
    ] {
        assert_eq!(answer(first).await?, 401, "{first:?}");
    }
    // Where a proxy is named, whoever comes directly needs a token, too.
    let direct = weir.client().get("/v1/sessions/s/events?wait=0").from([127, 0, 0, 2].into()).send().await?;
    assert_eq!(direct.status(), 401);
    Ok(())
}

#[tokio::test]
async fn what_does_not_begin_as_agreed() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--proxy-protocol", "--trusted-proxy", "127.0.0.1"]).await?;
    let say = async |from: [u8; 4], bytes: &[u8]| -> anyhow::Result<_> {
        let mut conn = RawConn::open_from(from.into(), weir.public()).await?;
        conn.write(bytes).await?;
        let (answer, closed) = conn.read_until_close(DEADLINE * 2).await?;
        Ok((String::from_utf8_lossy(&answer).into_owned(), closed))
    };
    let (balancer, stranger) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".as_slice();
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".as_slice();
    let v1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n".as_slice();
    // From a balancer: with its header, or not at all.
    let none = [request, b"PROXY TCP4 localhost 127.0.0.1 1 2\r\n", b"PROXY", b""];
    for (answer, closed) in try_join_all(none.map(|none| say(balancer, none))).await? {
        assert!(answer.is_empty() && closed.is_some(), "{answer:?} {closed:?}");
    }
    for header in [v1, v2] {
        let (answer, _) = say(balancer, &[header, request].concat()).await?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    }
    // From anybody else: without.
    let (answer, _) = say(stranger, request).await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    for header in [v1, v2] {
        let (answer, closed) = say(stranger, &[header, request].concat()).await?;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer:?}");
        assert!(matches!(closed, Some(Closed::Eof | Closed::Reset)), "{closed:?}");
    }
    expect::sockets(&weir, 0).await
}

/// Header and first bytes have one time together, so that who comes late with the one has less for the other.
#[tokio::test]
async fn one_deadline_for_all_that_comes_first() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--proxy-protocol", "--trusted-proxy", "127.0.0.1"]).await?;
    let started = Instant::now();
    let mut conn = RawConn::open(weir.public()).await?;
    conn.write(b"PROXY UNKN").await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    conn.write(b"OWN\r\n").await?;
    let (_, closed) = conn.read_until_close(DEADLINE).await?;
    let took = started.elapsed().as_secs_f64();
    ensure!(closed.is_some() && (9.0..15.0).contains(&took), "{closed:?} after {took} s");
    Ok(())
}

/// Health checks of HAProxy come with `LOCAL`, or `UNKNOWN`. What it has found dead comes back only by such a check.
#[tokio::test]
async fn health_checks_are_the_balancers_own() -> anyhow::Result<()> {
    for send in ["send-proxy", "send-proxy-v2"] {
        let address = loopback::own_address()?;
        let balancer = haproxy(address, send).await?;
        eventually(DEADLINE, async || {
            ensure!(balancer.tail().contains("DOWN"), "{}", balancer.tail());
            Ok(())
        })
        .await?;
        let flags = ["--proxy-protocol", "--trusted-proxy", "127.0.0.1", "--anonymous", "none"];
        let _weir = Instance::builder(WEIR).flags(&flags).listen(address).start().await?;
        eventually(DEADLINE, async || {
            let status = balancer.client().get("/livez").send().await?.status();
            ensure!(status == 200, "{status}: {}", balancer.tail());
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_to_believe() -> anyhow::Result<()> {
    let error = Instance::start(WEIR, &["--proxy-protocol"]).await.unwrap_err();
    assert!(format!("{error:#}").contains("--proxy-protocol needs --trusted-proxy"), "{error:#}");
    Ok(())
}

/// A balancer's connections are its clients', so it may have more of them than an address may.
#[tokio::test]
async fn a_balancer_may_have_any_number_of_connections() -> anyhow::Result<()> {
    let weir = one_each(&[]).await?;
    let open = async |from: [u8; 4]| RawConn::open_from(from.into(), weir.public()).await;
    let mut conns = Vec::new();
    for _ in 0..50 {
        conns.push(open([127, 0, 0, 1]).await?);
    }
    expect::sockets(&weir, 50).await?;
    drop(conns);
    expect::sockets(&weir, 0).await
}

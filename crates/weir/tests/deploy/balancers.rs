//! The load balancers as they are shipped, each in front of two instances on one Redis.
// sizes: what is asked of each balancer, one function for each demand

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use weir_testkit::balancer::{Balancer, Kind, Shipped};
use weir_testkit::certificates::Authority;
use weir_testkit::loopback::own_address;
use weir_testkit::redis::RedisServer;
use weir_testkit::tools::tool;
use weir_testkit::{
    Client, DEADLINE, EventSource, Instance, Output, Program, Signal, SseStream, eventually, page,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Its name holds what balancers take for a path.
const SESSION: &str = "a/b c";

/// What both instances are started with.
const FLAGS: [&str; 18] = [
    "--anonymous",
    "all",
    "--refuse",
    "503",
    "--retry",
    "300ms",
    "--heartbeat",
    "500ms",
    "--stall-timeout",
    "2s",
    "--maxlen",
    "100000",
    "--window-bytes",
    "256MiB",
    "--drain-delay",
    "3s",
    "--drain-window",
    "1s",
];

/// A balancer and what stands behind it.
struct Site {
    redis: RedisServer,
    balancer: Balancer,
    weirs: Vec<Option<Instance>>,
    addresses: [SocketAddr; 2],
    /// Says for Traefik what that cannot say itself.
    _later: Option<Balancer>,
}

impl Site {
    async fn start(kind: Kind) -> anyhow::Result<Self> {
        Self::of(kind, &[], |shipped| shipped).await
    }

    /// With more flags for the instances, and a configuration that differs.
    async fn of(
        kind: Kind,
        flags: &[&str],
        differs: impl FnOnce(Shipped<'_>) -> Shipped<'_>,
    ) -> anyhow::Result<Self> {
        let redis = RedisServer::start().await;
        let addresses = [own_address()?, own_address()?];
        let later = match kind {
            Kind::Traefik => Some(Balancer::start(Kind::Nginx, &[own_address()?]).await?),
            Kind::Nginx | Kind::HaProxy | Kind::Envoy | Kind::Caddy => None,
        };
        let shipped = Balancer::shipped(kind, &addresses);
        let shipped = match &later {
            Some(later) => shipped.change("127.0.0.1:8079", later.address().to_string()),
            None => shipped,
        };
        let balancer = differs(shipped).start().await?;
        let mut site = Self { redis, balancer, weirs: vec![None, None], addresses, _later: later };
        for nth in 0..2 {
            site.bring_up(nth, flags).await?;
        }
        Ok(site)
    }

    /// Starts an instance and waits until the balancer sends it something.
    async fn bring_up(&mut self, nth: usize, flags: &[&str]) -> anyhow::Result<()> {
        let url = self.redis.url();
        let weir = Instance::builder(WEIR).listen(self.addresses[nth]).flags(&["--redis", &url]);
        let weir = weir.flags(&FLAGS).flags(flags).start().await?;
        self.balancer.notices(&weir).await.with_context(|| format!("instance {nth}"))?;
        self.weirs[nth] = Some(weir);
        Ok(())
    }

    fn client(&self) -> Client {
        self.balancer.client()
    }

    fn weir(&self, nth: usize) -> anyhow::Result<&Instance> {
        self.weirs[nth].as_ref().with_context(|| format!("instance {nth} is down"))
    }

    async fn kill(&mut self, nth: usize) -> anyhow::Result<()> {
        let mut weir = self.weirs[nth].take().context("it is up")?;
        weir.signal(Signal::KILL)?;
        weir.wait_exit(DEADLINE).await?;
        Ok(())
    }

    async fn clients(&self, nth: usize) -> anyhow::Result<f64> {
        Ok(self.weir(nth)?.metrics().await?.sum("weir_clients", &[("transport", "sse")]))
    }

    async fn publish(&self, number: usize) -> anyhow::Result<()> {
        // Whichever instance takes it, and however often it is tried, it stands in the log once.
        eventually(DEADLINE, async || {
            let event = self.client().event(SESSION).header("idempotency-key", format!("number {number}"));
            event.body(number.to_string()).send().await?.event_id()
        })
        .await?;
        Ok(())
    }
}

/// Listeners that come back as browsers do.
struct Audience(Vec<EventSource>);

impl Audience {
    async fn open(site: &Site, count: usize) -> anyhow::Result<Self> {
        let sources = (0..count).map(|_| EventSource::open(site.client(), SESSION)).collect();
        let audience = Self(sources);
        audience.connected(1).await?;
        Ok(audience)
    }

    /// Waits until each was served so often.
    async fn connected(&self, times: usize) -> anyhow::Result<()> {
        eventually(DEADLINE * 2, async || {
            for source in &self.0 {
                let history = source.history();
                ensure!(history.connected.len() >= times, "{history:?}");
            }
            Ok(())
        })
        .await
    }

    /// Waits until each has what was published, numbered from 0, once and in order, and was never told of a loss.
    async fn has_all(&self, published: usize) -> anyhow::Result<()> {
        eventually(DEADLINE * 2, async || {
            for source in &self.0 {
                let history = source.history();
                ensure!(history.gave_up.is_none() && history.gaps.is_empty(), "{history:?}");
                let numbers: Vec<usize> =
                    history.events.iter().filter_map(|(_, data)| data.parse().ok()).collect();
                ensure!(numbers == (0..published).collect::<Vec<_>>(), "{numbers:?} of {published}");
                ensure!(history.after_goodbye == 0, "{history:?}");
            }
            Ok(())
        })
        .await
    }

    fn count(&self, of: impl Fn(&weir_testkit::event_source::History) -> usize) -> usize {
        self.0.iter().map(|source| of(&source.history())).sum()
    }
}

/// Events come at once and with their ids; other calls keep their status; durable streams pass, too.
async fn passes_all(site: &Site) -> anyhow::Result<()> {
    let client = site.client();
    let mut stream = client.subscribe(SESSION).await?;
    for nth in 0..5 {
        let id = client.publish(SESSION, nth.to_string()).await?;
        let event = stream.next_published().await?;
        assert_eq!((event.last_event_id, event.data), (id.to_string(), nth.to_string()));
    }
    assert_eq!(client.events(SESSION).query("wait", "1").send().await?.status(), 200);
    assert_eq!(client.get("/v1/sessions/%00/events").send().await?.status(), 400);
    let stream = "/v1/stream/a/b";
    let made = client.request("PUT", stream).header("content-type", "text/plain").send().await?;
    assert_eq!(made.status(), 201, "{made:?}");
    let mut tail = client.get(&format!("{stream}?offset=-1&live=sse")).follow().await?;
    let poll = client.get(&format!("{stream}?offset=-1&live=long-poll")).send();
    let append = async {
        // The poll has to wait for it, or finds it there: both are right.
        client.post(stream).header("content-type", "text/plain").body("kept").send().await
    };
    let (poll, append) = tokio::join!(poll, append);
    let (poll, append) = (poll?, append?);
    assert_eq!((poll.status(), poll.text()?), (200, "kept"));
    ensure!(append.status() < 300, "{append:?}");
    loop {
        let event = tail.next_event().await?;
        if event.event == "data" {
            assert_eq!(event.data, "kept");
            return Ok(());
        }
    }
}

/// One instance lets its clients go: they are told, come back to the other, and nothing is missing.
async fn drains(site: &Site, audience: &Audience, published: &mut usize) -> anyhow::Result<()> {
    let (leaving, told) = (site.clients(0).await?, audience.count(|history| history.shutdowns.len()));
    ensure!(leaving > 0.0, "nobody is on the instance that is drained");
    let drain = site.weir(0)?.admin_client().post("/drain").header("weir-admin", "1").send().await?;
    ensure!(drain.status() == 200, "{drain:?}");
    eventually(DEADLINE * 2, async || {
        site.publish(*published).await?;
        *published += 1;
        let left = site.clients(0).await?;
        ensure!(left == 0.0 && site.clients(1).await? == audience.0.len() as f64, "{left} are left");
        Ok(())
    })
    .await?;
    audience.has_all(*published).await?;
    let goodbyes = audience.count(|history| history.shutdowns.len()) - told;
    assert_eq!((goodbyes as f64, audience.count(|history| history.cuts + history.broken)), (leaving, 0));
    // Nobody else is sent there.
    let more: SseStream = site.client().subscribe(SESSION).await?;
    assert_eq!(site.clients(0).await?, 0.0);
    drop(more);
    let undrain = site.weir(0)?.admin_client().post("/undrain").header("weir-admin", "1").send().await?;
    ensure!(undrain.status() == 200, "{undrain:?}");
    Ok(())
}

/// An instance is gone without a word, and then all are: whoever listens comes back by itself and has everything.
async fn survives(site: &mut Site, audience: &Audience, published: &mut usize) -> anyhow::Result<()> {
    site.kill(1).await?;
    site.publish(*published).await?;
    *published += 1;
    audience.connected(2).await?;
    audience.has_all(*published).await?;
    let refused = audience.count(|history| history.refused);
    site.kill(0).await?;
    eventually(DEADLINE * 2, async || {
        ensure!(
            audience.count(|history| history.refused) >= refused + audience.0.len(),
            "too few were told to come back"
        );
        Ok(())
    })
    .await?;
    for answer in [
        site.client().event("a").body("x").send().await?,
        site.client().events("a").query("wait", "1").send().await?,
        // No subscribe, but a durable stream.
        site.client().get("/v1/stream/a/events").send().await?,
    ] {
        assert!(matches!(answer.status(), 502..=504), "{answer:?}");
    }
    let page = site.client().events("a").header("origin", "https://app.example.com").subscribe().await?;
    assert_eq!(
        page.head.header("access-control-allow-origin"),
        Some("https://app.example.com"),
        "{:?}",
        page.head
    );
    assert_eq!(page.head.header("access-control-allow-credentials"), Some("true"), "{:?}", page.head);
    site.bring_up(0, &[]).await?;
    site.publish(*published).await?;
    *published += 1;
    audience.has_all(*published).await
}

/// The instance with the fewest clients has room for one, and refuses the others: they are served by the other, and see nothing of it.
async fn goes_on_to_another(site: &mut Site) -> anyhow::Result<()> {
    site.bring_up(1, &["--max-connections", "1"]).await?;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = site.client().events(SESSION).subscribe().await?;
        assert_eq!(stream.next_event().await?.event, "weir.connected");
        streams.push(stream);
    }
    assert_eq!(site.clients(1).await?, 1.0);
    Ok(())
}

/// What is sent through the balancer to a client that does not read, until weir notices.
async fn passes_on_slowness(site: &Site, kind: Kind) -> anyhow::Result<()> {
    let before = bytes(site).await?;
    let mut stalled = site.client().events("slow").receive_buffer(4096).subscribe().await?;
    stalled.next_event().await?;
    let line = format!("{{\"session\":\"slow\",\"data\":\"{}\"}}\n", "x".repeat(64 * 1024));
    for _ in 0..8 {
        let batch = site.client().post("/v1/events").header("content-type", "application/x-ndjson");
        assert_eq!(batch.body(line.repeat(60)).send().await?.status(), 201);
    }
    eventually(DEADLINE * 2, async || {
        let mut ended = 0.0;
        for weir in site.weirs.iter().flatten() {
            ended += weir.metrics().await?.sum("weir_disconnections_total", &[("reason", "stalled")]);
        }
        ensure!(ended == 1.0, "{ended} clients are known to be stalled");
        Ok(())
    })
    .await?;
    let swallowed = (bytes(site).await? - before) / 1e6;
    report(kind, swallowed);
    ensure!(swallowed < 28.0, "{swallowed} MB were taken in for a client that does not read");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "figures for docs/load-balancers.md")]
fn report(kind: Kind, swallowed: f64) {
    println!("{kind}: {swallowed:.1} MB for a client that does not read");
}

async fn bytes(site: &Site) -> anyhow::Result<f64> {
    let mut bytes = 0.0;
    for weir in site.weirs.iter().flatten() {
        bytes += weir.metrics().await?.sum("weir_delivered_bytes_total", &[]);
    }
    Ok(bytes)
}

/// Instances that take a request, read it, and are gone: who publishes is told, and it is not sent twice.
async fn repeats_no_publish(kind: Kind) -> anyhow::Result<()> {
    let (first, second) =
        (TcpListener::bind(own_address()?).await?, TcpListener::bind(own_address()?).await?);
    let addresses = [first.local_addr()?, second.local_addr()?];
    let balancer = Balancer::start(kind, &addresses).await?;
    let posts = async {
        let mut posts = 0;
        loop {
            let (mut tcp, _) = tokio::select! {
                accepted = first.accept() => accepted?,
                accepted = second.accept() => accepted?,
            };
            let mut request = vec![0; 4096];
            let read = tcp.read(&mut request).await?;
            let request = String::from_utf8_lossy(&request[..read]);
            if request.starts_with("POST") {
                posts += 1;
            } else if read > 0 {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
                let _ = tcp.write_all(answer).await;
            }
            if posts > 1 {
                return anyhow::Ok(());
            }
        }
    };
    let publish = async {
        let client = balancer.client();
        // First of all they have to be well.
        eventually(DEADLINE, async || {
            let answer = client.get("/livez").send().await?;
            ensure!(answer.status() == 200, "{answer:?}");
            Ok(())
        })
        .await?;
        anyhow::Ok(client.event("s").body("x").send().await?.status())
    };
    tokio::select! {
        twice = posts => { twice?; anyhow::bail!("it was sent twice") }
        status = publish => { ensure!(matches!(status?, 502..=504)); Ok(()) }
    }
}

/// Five heartbeats fit the timeout of idle connections, and without them it would cut. The seconds are scaled down.
async fn is_kept_open_by_heartbeats(kind: Kind) -> anyhow::Result<()> {
    let site = Site::of(kind, &[], |shipped| shipped.change("75s", "3s")).await?;
    let mut stream = site.client().subscribe(SESSION).await?;
    let beats = stream.comments();
    while stream.comments() < beats + 10 {
        stream.next().await?;
    }
    site.client().publish(SESSION, "still here").await?;
    assert_eq!(stream.next_data(1).await?, ["still here"]);
    Ok(())
}

/// Weir takes whoever calls the balancer for the client, whatever he says of himself. Who is refused by one instance is sent to the
/// other, and who is refused by both is told softly.
async fn tells_whom_it_asks_for(
    (kind, flags): (Kind, &[&str]),
    differs: impl FnOnce(Shipped<'_>) -> Shipped<'_>,
) -> anyhow::Result<()> {
    let ours = ["--trusted-proxy", "127.0.0.1", "--max-connections-per-ip", "1"];
    let site = Site::of(kind, &[&ours[..], flags].concat(), differs).await?;
    let subscribe = async |from: u8, says: &str| {
        let request = site.client().events("s").from(Ipv4Addr::new(127, 0, 0, from));
        let mut stream = request.header("x-forwarded-for", says).subscribe().await?;
        anyhow::Ok((stream.next_event().await?.event, stream))
    };
    // One on each instance, and no more.
    let (first, _one) = subscribe(2, "192.0.2.1").await?;
    let (second, _two) = subscribe(2, "192.0.2.2").await?;
    let (third, _three) = subscribe(2, "192.0.2.3").await?;
    let (other, _four) = subscribe(3, "192.0.2.1").await?;
    let want = ["weir.connected", "weir.connected", "weir.refused", "weir.connected"];
    assert_eq!([first, second, third, other], want, "{kind}");
    Ok(())
}

/// Many streams of one browser share a connection.
async fn speaks_http2(kind: Kind) -> anyhow::Result<()> {
    let (authority, secure) = (Authority::new(), own_address()?);
    let pair = authority.issue(&["localhost"]);
    let (certificate, key) = (pair.certificate.display().to_string(), pair.key.display().to_string());
    let site = Site::of(kind, &[], |shipped| {
        let shipped = shipped.variant("tls");
        match kind {
            Kind::Nginx => shipped
                .change("listen 443 ", format!("listen {secure} "))
                .change("/etc/nginx/tls/weir.pem", certificate)
                .change("/etc/nginx/tls/weir.key", key),
            Kind::HaProxy => {
                // It wants both in one file.
                let both = [&pair.certificate, &pair.key]
                    .map(|file| fs::read_to_string(file).expect("a file of PEM"));
                fs::write(&pair.certificate, both.concat()).expect("a file of the test");
                shipped
                    .change("bind :443 ", format!("bind {secure} "))
                    .change("/etc/haproxy/weir.pem", certificate)
            }
            Kind::Envoy => shipped
                .change(
                    "address: 0.0.0.0, port_value: 443 ",
                    format!("address: {}, port_value: {} ", secure.ip(), secure.port()),
                )
                .change("/etc/envoy/tls/weir.pem", certificate)
                .change("/etc/envoy/tls/weir.key", key),
            Kind::Caddy | Kind::Traefik => shipped,
        }
    })
    .await?;
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/balancers/http2.cjs"));
    node.arg(secure.to_string()).arg(authority.file());
    let mut node = Program::start(node, Output::Stdout)?;
    let ended = node.wait_exit(DEADLINE * 2).await.with_context(|| site.balancer.tail())?;
    ensure!(ended.success() && node.lines() == ["12 streams over h2"], "{ended}: {}", node.tail());
    Ok(())
}

/// All of it, for one balancer.
async fn is_right(kind: Kind) -> anyhow::Result<()> {
    let mut site = Site::start(kind).await?;
    passes_all(&site).await.context("what is passed on")?;
    let audience = Audience::open(&site, 6).await?;
    // What was published to the session before nobody of them has heard.
    let mut published = 0;
    site.publish(published).await?;
    published += 1;
    drains(&site, &audience, &mut published).await.context("a drain")?;
    // The instance that was drained is empty; some have to be there for the next.
    survives(&mut site, &audience, &mut published).await.context("an outage")?;
    // Traefik may ask the one with the fewest clients again, which is the one that refused.
    if kind != Kind::Traefik {
        goes_on_to_another(&mut site).await.context("an instance that is full")?;
    }
    passes_on_slowness(&site, kind).await.context("a client that does not read")?;
    repeats_no_publish(kind).await.context("a publish that fails")
}

#[test]
fn the_page_leads_to_each_configuration() {
    let page = page::read("docs/load-balancers.md");
    for folder in ["nginx", "haproxy", "envoy", "caddy", "traefik"] {
        let files = fs::read_dir(page::root().join("deploy").join(folder)).expect("a folder of deploy/");
        for file in files {
            let name = file.expect("a file of deploy/").file_name();
            let link = format!("(../deploy/{folder}/{})", name.to_string_lossy());
            assert!(page.contains(&link), "no {link}");
        }
    }
}

/// With names that nobody knows yet, as before the first instance is there.
#[test]
fn haproxy_takes_its_configuration_as_it_is_shipped() -> anyhow::Result<()> {
    let mut haproxy = Command::new(tool("haproxy")?);
    let checked =
        haproxy.arg("-c").arg("-f").arg(page::root().join("deploy/haproxy/haproxy.cfg")).output()?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make deploy-test"]
async fn nginx_is_right() -> anyhow::Result<()> {
    is_right(Kind::Nginx).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make deploy-test"]
async fn haproxy_is_right() -> anyhow::Result<()> {
    is_right(Kind::HaProxy).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make deploy-test"]
async fn envoy_is_right() -> anyhow::Result<()> {
    is_right(Kind::Envoy).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make deploy-test"]
async fn caddy_is_right() -> anyhow::Result<()> {
    is_right(Kind::Caddy).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make deploy-test"]
async fn traefik_is_right() -> anyhow::Result<()> {
    is_right(Kind::Traefik).await
}

#[tokio::test]
async fn nginx_and_haproxy_repeat_no_publish() -> anyhow::Result<()> {
    for kind in [Kind::Nginx, Kind::HaProxy] {
        repeats_no_publish(kind).await.with_context(|| kind.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn nginx_and_haproxy_speak_http2() -> anyhow::Result<()> {
    for kind in [Kind::Nginx, Kind::HaProxy] {
        speaks_http2(kind).await.with_context(|| kind.to_string())?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "make deploy-test"]
async fn envoy_speaks_http2() -> anyhow::Result<()> {
    speaks_http2(Kind::Envoy).await
}

#[tokio::test]
async fn nginx_and_haproxy_tell_whom_they_ask_for() -> anyhow::Result<()> {
    for kind in [Kind::Nginx, Kind::HaProxy] {
        tells_whom_it_asks_for((kind, &[]), |shipped| shipped).await.with_context(|| kind.to_string())?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "make deploy-test"]
async fn the_others_tell_whom_they_ask_for() -> anyhow::Result<()> {
    for kind in [Kind::Envoy, Kind::Caddy, Kind::Traefik] {
        tells_whom_it_asks_for((kind, &[]), |shipped| shipped).await.with_context(|| kind.to_string())?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "make deploy-test"]
async fn haproxy_and_envoy_tell_it_by_the_proxy_protocol() -> anyhow::Result<()> {
    for kind in [Kind::HaProxy, Kind::Envoy] {
        let told = tells_whom_it_asks_for((kind, &["--proxy-protocol"]), |shipped| shipped.variant("proxy"));
        told.await.with_context(|| kind.to_string())?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "make deploy-test"]
async fn heartbeats_keep_streams_open() -> anyhow::Result<()> {
    for kind in [Kind::Nginx, Kind::HaProxy, Kind::Envoy, Kind::Caddy] {
        is_kept_open_by_heartbeats(kind).await.with_context(|| kind.to_string())?;
    }
    Ok(())
}

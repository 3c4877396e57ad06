//! TLS on the public listener: what is agreed on, what is refused, and that a client by TLS is a client like any other.
// sizes: one thing after the other that TLS may go wrong in, all on the same certificates

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_testkit::certificates::{Authority, Pair};
use weir_testkit::expect::{balance, has_read};
use weir_testkit::http2::{Http2, frame, get, kind};
use weir_testkit::program::without_settings;
use weir_testkit::{
    Closed, DEADLINE, End, Instance, Next, RawConn, Signal, SseStream, Trust, Version, eventually, usage,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long a client may be silent before its first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// An instance that shows a certificate, and whom its clients believe.
struct Secured {
    weir: Instance,
    authority: Authority,
    pair: Pair,
}

impl Secured {
    async fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost", "127.0.0.1"]);
        let weir = Instance::builder(WEIR).flags(&tls_flags(&pair)).flags(flags).start().await?;
        Ok(Self { weir, authority, pair })
    }

    fn trust(&self, protocols: &[&str]) -> Trust {
        Trust::new(&self.authority, protocols)
    }

    fn client(&self) -> weir_testkit::Client {
        self.weir.secure_client(self.trust(&["http/1.1"]))
    }

    async fn connect(&self, protocols: &[&str]) -> anyhow::Result<RawConn> {
        RawConn::open(self.weir.public()).await?.secure(self.trust(protocols)).await
    }

    async fn handshakes(&self, result: &str) -> anyhow::Result<f64> {
        Ok(self.weir.metrics().await?.sum("weir_tls_handshakes_total", &[("result", result)]))
    }

    /// Runs curl, which says by which protocol it was answered.
    fn curl(&self, args: &[&str]) -> anyhow::Result<String> {
        let url = format!("https://localhost:{}/livez", self.weir.public().port());
        let address = format!("localhost:{}:127.0.0.1", self.weir.public().port());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "10", "--resolve", &address, "--cacert"]);
        let answer = curl.arg(self.authority.file()).args(args).arg(url).output()?;
        ensure!(answer.status.success(), "{answer:?}");
        Ok(String::from_utf8(answer.stdout)?)
    }
}

/// A connection may have ended before it is counted.
async fn counted(secured: &Secured, want: &[(&str, f64)]) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        for (result, want) in want {
            let have = secured.handshakes(result).await?;
            ensure!(have == *want, "{have} handshakes {result} instead of {want}");
        }
        Ok(())
    })
    .await
}

fn tls_flags(pair: &Pair) -> [&str; 4] {
    ["--tls-cert", path(&pair.certificate), "--tls-key", path(&pair.key)]
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[tokio::test]
async fn the_protocol_is_agreed_on_or_told_by_the_first_bytes() -> anyhow::Result<()> {
    let secured = Secured::start(&[]).await?;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let conn = secured.connect(offered).await?;
        ensure!(conn.agreed() == agreed, "{offered:?}: {:?}", conn.agreed());
    }
    for (args, version) in [(&["--http2"][..], "2"), (&["--http1.1"], "1.1"), (&["--no-alpn"], "1.1")] {
        let saw = secured.curl(&[args, &["-w", "%{http_version} %{http_code}"]].concat())?;
        ensure!(saw == format!("ok\n{version} 200"), "{args:?}: {saw}");
    }
    for version in ["1.2", "1.3"] {
        let saw = secured.curl(&[&format!("--tlsv{version}"), "--tls-max", version])?;
        ensure!(saw == "ok\n", "TLS {version}: {saw}");
    }
    // Nothing that both know, and nothing that keeps to it.
    ensure!(secured.connect(&["spdy/3"]).await.is_err());
    let mut lying = secured.connect(&["h2"]).await?;
    lying.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let (answer, closed) = lying.read_until_close(DEADLINE).await?;
    ensure!(answer.is_empty() && closed.is_some(), "{answer:?} {closed:?}");
    let metrics = secured.weir.metrics().await?;
    let refused = metrics.value("weir_requests_rejected_total", &[("reason", "head")]);
    ensure!(refused == Some(1.0), "{refused:?}");
    counted(&secured, &[("ok", 10.0), ("failed", 1.0)]).await
}

/// A session that is not taken up again needs no early data refused and outlives no certificate.
#[tokio::test]
async fn no_session_is_resumed() -> anyhow::Result<()> {
    let secured = Secured::start(&[]).await?;
    for version in [Version::Tls12, Version::Tls13] {
        let trust = Trust::with_version(&secured.authority, version);
        for _ in 0..2 {
            let mut conn = RawConn::open(secured.weir.public()).await?.secure(trust).await?;
            conn.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
            // Tickets come with the first answer.
            let (answer, closed) = conn.read_until_close(DEADLINE).await?;
            ensure!(answer.ends_with(b"ok\n") && closed == Some(Closed::Eof), "{answer:?} {closed:?}");
            ensure!(!conn.is_resumed());
        }
    }
    Ok(())
}

#[tokio::test]
async fn events_arrive_and_the_end_is_said() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "0s", "--drain-window", "100ms", "--max-event-bytes", "1MiB"];
    let secured = Secured::start(&flags).await?;
    let client = secured.client();
    let mut stream = client.subscribe("s").await?;
    let large = "x".repeat(1 << 20);
    for data in ["one", &large, "two"] {
        client.publish("s", data.to_owned()).await?;
    }
    ensure!(stream.next_data(3).await? == ["one", &large, "two"]);
    let mut raw = secured.connect(&[]).await?;
    raw.write(b"GET /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    raw.read_head(DEADLINE).await?;
    secured.weir.signal(Signal::TERM)?;
    let (_, end) = stream.read_to_end().await?;
    let (rest, closed) = raw.read_until_close(DEADLINE).await?;
    ensure!(end == End::Clean && rest.ends_with(b"0\r\n\r\n") && closed == Some(Closed::Eof), "{closed:?}");
    Ok(())
}

/// A stream that buffers little and is not read until the test does.
async fn paused(secured: &Secured, session: &str) -> anyhow::Result<SseStream> {
    let mut stream = secured.client().events(session).receive_buffer(4096).subscribe().await?;
    stream.next_event().await?;
    Ok(stream)
}

async fn stalled(secured: &Secured) -> anyhow::Result<f64> {
    Ok(secured.weir.metrics().await?.sum("weir_disconnections_total", &[("reason", "stalled")]))
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_and_others_do_not_notice() -> anyhow::Result<()> {
    const EVENTS: usize = 400;
    let secured = Secured::start(&["--stall-timeout", "2s", "--heartbeat", "500ms"]).await?;
    let mut honest = secured.client().subscribe("s").await?;
    let mut slow = paused(&secured, "s").await?;
    let started = Instant::now();
    let lines: Vec<_> =
        (0..EVENTS).map(|nth| format!(r#"{{"session":"s","data":"{nth} {}"}}"#, "x".repeat(4096))).collect();
    let batch = secured.client().post("/v1/events").header("content-type", "application/x-ndjson");
    ensure!(batch.body(lines.join("\n")).send().await?.status() == 201);
    for (nth, data) in honest.next_data(EVENTS).await?.iter().enumerate() {
        ensure!(data.starts_with(&format!("{nth} ")), "{nth}: {}", &data[..20]);
    }
    eventually(DEADLINE, async || {
        let cut = stalled(&secured).await?;
        ensure!(cut == 1.0, "{cut} cut");
        Ok(())
    })
    .await?;
    // Not before its time, and not after that of a wait.
    ensure!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    ensure!(slow.read_to_end().await?.1 == End::Cut);
    eventually(DEADLINE, async || balance(&secured.weir).await).await?;
    Ok(())
}

/// Over HTTP/2 a stream stalls where its window is closed, or where nobody reads the connection.
#[tokio::test]
async fn a_stream_of_http2_that_nobody_reads_ends_its_connection() -> anyhow::Result<()> {
    const INITIAL_WINDOW: u16 = 4;
    let secured = Secured::start(&["--stall-timeout", "1s"]).await?;
    let trust = secured.trust(&["h2"]);
    let mut conns = Vec::new();
    for window in [0, 1 << 24] {
        let tls = RawConn::open_narrow(secured.weir.public(), 4096).await?.secure(trust).await?;
        let mut conn = Http2::over(tls, &[(INITIAL_WINDOW, window)]).await?;
        conn.send(&frame(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes())).await?;
        conn.send(&get(1, "/v1/sessions/s/events")).await?;
        ensure!(conn.status(1, DEADLINE).await? == 200);
        conns.push(conn);
    }
    for _ in 0..40 {
        secured.client().publish("s", "x".repeat(16 << 10)).await?;
    }
    eventually(DEADLINE, async || {
        let cut = stalled(&secured).await?;
        ensure!(cut == 2.0, "{cut} cut");
        Ok(())
    })
    .await?;
    for mut conn in conns {
        conn.ended(DEADLINE).await?;
    }
    Ok(())
}

/// What TLS took and the kernel did not is still weir's: whoever is not cut has everything, even from an instance that
/// does not move any more.
#[tokio::test]
async fn what_tls_holds_counts_as_waiting() -> anyhow::Result<()> {
    const EACH: usize = 3;
    const CLIENTS: usize = 25 * EACH;
    let secured = Secured::start(&["--stall-timeout", "1s", "--heartbeat", "1h"]).await?;
    let mut clients = Vec::new();
    for nth in 0..CLIENTS {
        clients.push(paused(&secured, &nth.to_string()).await?);
    }
    // One event after the other, and some clients get one more than those before them: for some it is the last one that the
    // kernel does not take.
    let mut published = 0;
    for round in 0..CLIENTS / EACH {
        let lines: Vec<_> = (round * EACH..CLIENTS)
            .map(|nth| format!(r#"{{"session":"{nth}","data":"{}"}}"#, "x".repeat(1500)))
            .collect();
        let batch = secured.client().post("/v1/events").header("content-type", "application/x-ndjson");
        ensure!(batch.body(lines.join("\n")).send().await?.status() == 201);
        published += u32::try_from(lines.len())?;
        has_read(&secured.weir, published).await?;
    }
    // Since the last one was cut, whoever stalls would have done so for three times as long as it may.
    let mut before = (0.0, Instant::now());
    eventually(DEADLINE * 3, async || {
        let cut = stalled(&secured).await?;
        if cut != before.0 {
            before = (cut, Instant::now());
        }
        let quiet = before.1.elapsed() > Duration::from_secs(3);
        ensure!(cut > 0.0 && quiet, "{cut} cut, and more to come");
        Ok(())
    })
    .await?;
    let cut = before.0;
    usage::stop(secured.weir.pid()).await?;
    let mut whole = 0;
    for (nth, client) in clients.iter_mut().enumerate() {
        match whole_or_cut(client, nth / EACH + 1).await.with_context(|| format!("client {nth}"))? {
            End::Clean => whole += 1,
            End::Cut => {}
        }
    }
    ensure!(cut > 0.0 && whole > 0, "{cut} cut, {whole} whole");
    ensure!(cut as usize + whole == CLIENTS, "{cut} cut, {whole} whole");
    Ok(())
}

/// Reads so many events, or up to a cut.
async fn whole_or_cut(client: &mut SseStream, events: usize) -> anyhow::Result<End> {
    let mut seen = 0;
    while seen < events {
        match client.next().await? {
            Next::Item(item) => seen += usize::from(matches!(item, weir_testkit::sse::Item::Event(_))),
            Next::End(end) => return Ok(end),
        }
    }
    Ok(End::Clean)
}

#[tokio::test]
async fn silence_ends_at_every_step() -> anyhow::Result<()> {
    let secured = Secured::start(&[]).await?;
    let open = || RawConn::open(secured.weir.public());
    let (mut silent, mut half) = (open().await?, open().await?);
    // The beginning of a handshake that says it is longer.
    half.write(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await?;
    let (mut agreed, mut unagreed) = (secured.connect(&["h2"]).await?, secured.connect(&[]).await?);
    unagreed.write(b"GET /livez HT").await?;
    let limit = HEAD_TIMEOUT + DEADLINE;
    let ends = tokio::try_join!(
        silent.read_until_close(limit),
        half.read_until_close(limit),
        agreed.read_until_close(limit),
        unagreed.read_until_close(limit),
    )?;
    for (nth, (_, closed)) in [ends.0, ends.1, ends.2, ends.3].iter().enumerate() {
        ensure!(closed.is_some(), "{nth} is still open");
    }
    counted(&secured, &[("timeout", 2.0)]).await
}

#[tokio::test]
async fn http_without_tls_is_told_what_to_speak() -> anyhow::Result<()> {
    let secured = Secured::start(&[]).await?;
    let answer = secured.weir.client().get("/livez").send().await?;
    ensure!(
        answer.status() == 400 && answer.text()?.contains("TLS") && answer.end == End::Clean,
        "{answer:?}"
    );
    let mut noise = RawConn::open(secured.weir.public()).await?;
    noise.write(&[0xff; 100]).await?;
    let (_, closed) = noise.read_until_close(DEADLINE).await?;
    ensure!(closed.is_some());
    counted(&secured, &[("plain", 1.0), ("failed", 1.0)]).await?;
    ensure!(secured.curl(&[])? == "ok\n");
    Ok(())
}

#[tokio::test]
async fn browsers_are_kept_to_tls_where_it_is_spoken() -> anyhow::Result<()> {
    let secured = Secured::start(&[]).await?;
    let plain = Instance::start(WEIR, &[]).await?;
    for (client, host, told) in [
        (secured.client(), "events.example", Some("max-age=31536000")),
        (secured.client(), "localhost", None),
        (plain.client(), "events.example", None),
    ] {
        let answer = client.get("/livez").header("host", host).send().await?;
        ensure!(answer.head.header("strict-transport-security") == told, "{host}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_commands_believe_whom_they_are_told_to() -> anyhow::Result<()> {
    let secured = Secured::start(&[]).await?;
    let url = format!("https://localhost:{}", secured.weir.public().port());
    let run = |args: &[&str], authority: Option<&Path>| {
        let mut command = Command::new(WEIR);
        without_settings(command.args(args)).env("WEIR_URL", &url).stdin(Stdio::null());
        if let Some(authority) = authority {
            command.env("SSL_CERT_FILE", authority);
        }
        command.output()
    };
    let authority = secured.authority.file();
    let published = run(&["publish", "s", "by TLS"], Some(&authority))?;
    ensure!(published.status.success(), "{published:?}");
    let tailed = run(&["tail", "s", "--from", "earliest", "--count", "1"], Some(&authority))?;
    ensure!(tailed.stdout == b"by TLS\n", "{tailed:?}");
    let other = Authority::new();
    for stranger in [None, Some(other.file())] {
        let refused = run(&["publish", "s", "x"], stranger.as_deref())?;
        ensure!(!refused.status.success(), "{refused:?}");
        ensure!(String::from_utf8_lossy(&refused.stderr).contains("certificate"), "{refused:?}");
    }
    Ok(())
}

fn refused(flags: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = Command::new(WEIR);
    without_settings(command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]));
    let ended = command.args(flags).output()?;
    Ok((ended.status.code(), String::from_utf8(ended.stderr)?))
}

#[test]
fn a_certificate_that_cannot_be_shown_is_refused_at_start() -> anyhow::Result<()> {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["localhost"]), authority.issue(&["other"]));
    let (certificate, key) = (path(&one.certificate), path(&one.key));
    for (flags, status, says) in [
        (vec!["--tls-cert", certificate], 2, "--tls-key is missing"),
        (vec!["--tls-key", key], 2, "--tls-cert is missing"),
        (vec!["--tls-cert", "/nowhere/a.pem", "--tls-key", key], 1, "cannot read /nowhere/a.pem"),
        (vec!["--tls-cert", certificate, "--tls-key", "/"], 1, "cannot read /"),
        (vec!["--tls-cert", key, "--tls-key", key], 1, "holds no certificate"),
        (vec!["--tls-cert", certificate, "--tls-key", certificate], 1, "holds no private key"),
        (
            vec!["--tls-cert", certificate, "--tls-key", path(&other.key)],
            1,
            "is not that of the first certificate",
        ),
    ] {
        let (ended, text) = refused(&flags)?;
        ensure!(ended == Some(status) && text.contains(says), "{flags:?}: {ended:?} {text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_clients_or_neighbours_will_abuse_is_warned_about() -> anyhow::Result<()> {
    let authority = Authority::new();
    let pair = authority.issue_until(&["localhost"], 2021);
    fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o644))?;
    let weir = Instance::builder(WEIR).flags(&tls_flags(&pair)).start().await?;
    let log = weir.log().join("\n");
    ensure!(log.contains("has expired") && log.contains("can be read by every user"), "{log}");
    let expiry = weir.metrics().await?.value("weir_tls_certificate_expiry_timestamp_seconds", &[]);
    ensure!(expiry == Some(1_609_459_200.0), "{expiry:?}");

    let sound = Secured::start(&[]).await?;
    fs::set_permissions(&sound.pair.key, fs::Permissions::from_mode(0o600))?;
    let again = Instance::builder(WEIR).flags(&tls_flags(&sound.pair)).start().await?;
    ensure!(!again.log().join("\n").contains("can be read"), "{:?}", again.log());
    Ok(())
}

impl Secured {
    /// The certificate that a new connection is shown.
    async fn shown(&self) -> anyhow::Result<Vec<u8>> {
        self.connect(&[]).await?.certificate().context("a certificate")
    }

    async fn said(&self, what: &str, times: usize) -> anyhow::Result<()> {
        eventually(DEADLINE, async || {
            let log = self.weir.log();
            let said = log.iter().filter(|line| line.contains(what) && line.contains("certificate")).count();
            ensure!(said == times, "{said} of {times}: {}", log.join("\n"));
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_those_who_come_and_a_bad_one_to_nobody() -> anyhow::Result<()> {
    let secured = Secured::start(&[]).await?;
    let mut stream = secured.client().subscribe("s").await?;
    let first = secured.shown().await?;
    // Into the same files.
    secured.authority.issue(&["localhost", "127.0.0.1"]);
    ensure!(secured.shown().await? == first, "read before anybody asked");
    secured.weir.signal(Signal::HUP)?;
    secured.said("read anew", 1).await?;
    let second = secured.shown().await?;
    ensure!(second != first);

    // The file of the key is already that of another certificate, or is being written.
    let key = fs::read(&secured.pair.key)?;
    let bad = [fs::read(secured.authority.issue(&["other"]).key)?, key[..key.len() / 2].to_vec(), Vec::new()];
    for (nth, bad) in bad.into_iter().enumerate() {
        fs::write(&secured.pair.key, bad)?;
        secured.weir.signal(Signal::HUP)?;
        secured.said("kept as it was", nth + 1).await?;
        ensure!(secured.shown().await? == second);
    }
    fs::write(&secured.pair.key, key)?;
    secured.weir.signal(Signal::HUP)?;
    secured.said("\"read anew", 2).await?;

    // Whoever was there before all that has noticed nothing.
    secured.client().publish("s", "still here").await?;
    ensure!(stream.next_data(1).await? == ["still here"]);
    Ok(())
}

/// A balancer that passes TLS through says first for whom it connects.
#[tokio::test]
async fn a_header_of_the_proxy_protocol_comes_before_the_handshake() -> anyhow::Result<()> {
    let secured =
        Secured::start(&["--anonymous", "all", "--trusted-proxy", "127.0.0.1", "--proxy-protocol"]).await?;
    let mut conn = RawConn::open(secured.weir.public()).await?;
    conn.write(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n").await?;
    let mut conn = conn.secure(secured.trust(&["http/1.1"])).await?;
    conn.write(b"GET /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    ensure!(conn.read_head(DEADLINE).await?.status == 200);
    let clients = secured.weir.admin_client().get("/clients").header("weir-admin", "1").send().await?;
    ensure!(clients.json()?["clients"][0]["address"] == "192.0.2.7", "{clients:?}");
    Ok(())
}

//! Live tails of durable streams: they are clients like all others, and go on wherever they come back.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::browser::{browse, step};
use weir_testkit::chaos::Close;
use weir_testkit::client::Request;
use weir_testkit::http2::{Http2, fields, flag, frame, kind, request};
use weir_testkit::redis::RedisServer;
use weir_testkit::sse::Event;
use weir_testkit::token::{claims, now_secs};
use weir_testkit::{
    Client, DEADLINE, End, Instance, Proxy, Response, Secret, Signal, SseStream, eventually, expect,
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A stream over HTTP, and who may do everything with it.
struct Log {
    client: Client,
    path: String,
    token: Option<String>,
}

impl Log {
    async fn create(weir: &Instance, name: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let log = Self { token: token.map(str::to_owned), ..Self::of(weir, name) };
        let made = log.call("PUT").header("content-type", "text/plain").send().await?;
        ensure!(made.status() == 201, "{made:?}");
        Ok(log)
    }

    fn of(weir: &Instance, name: &str) -> Self {
        Self { client: weir.client(), path: format!("/v1/stream/{name}"), token: None }
    }

    fn call(&self, method: &str) -> Request {
        let call = self.client.request(method, &self.path);
        match &self.token {
            Some(token) => call.bearer(token),
            None => call,
        }
    }

    async fn append(&self, text: &str) -> anyhow::Result<String> {
        let call = self.call("POST").header("content-type", "text/plain").body(text.to_owned());
        next_offset(&call.send().await?)
    }

    fn sse(&self, offset: &str) -> Request {
        self.call("GET").query("offset", offset).query("live", "sse")
    }

    fn long_poll(&self, offset: &str) -> Request {
        self.call("GET").query("offset", offset).query("live", "long-poll")
    }
}

fn next_offset(answer: &Response) -> anyhow::Result<String> {
    ensure!(answer.status() < 300, "{answer:?}");
    Ok(answer.head.header("stream-next-offset").context("an offset")?.to_owned())
}

/// The next data, and what the control behind it says.
async fn next(stream: &mut SseStream) -> anyhow::Result<(String, Value)> {
    let data = stream.next_event().await?;
    ensure!(data.event == "data", "{data:?}");
    Ok((data.data, control(stream).await?))
}

async fn control(stream: &mut SseStream) -> anyhow::Result<Value> {
    let control = stream.next_event().await?;
    ensure!(control.event == "control", "{control:?}");
    Ok(serde_json::from_str(&control.data)?)
}

async fn ended(weir: &Instance, reason: &str) -> anyhow::Result<Option<f64>> {
    expect::clients(weir, 0).await?;
    Ok(weir.metrics().await?.value("weir_disconnections_total", &[("reason", reason)]))
}

#[tokio::test]
async fn a_thousand_get_what_is_appended_by_one_read() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let log = Log::create(&weir, "a/b", None).await?;
    let mut streams = Vec::new();
    for _ in 0..1000 {
        let mut stream = log.sse("now").follow().await?;
        control(&mut stream).await?;
        streams.push(stream);
    }
    let reads = async || weir.metrics().await?.value("weir_stream_tail_reads_total", &[]).context("a series");
    for n in 0..3 {
        let before = reads().await?;
        let offset = log.append(&format!("chunk {n}")).await?;
        for stream in &mut streams {
            let (data, told) = next(stream).await?;
            ensure!(data == format!("chunk {n}") && told["streamNextOffset"] == *offset, "{data} {told}");
        }
        // A look at all that are followed may come in between.
        let now = reads().await?;
        ensure!(now <= before + 2.0, "{before} and then {now}");
    }
    let metrics = weir.metrics().await?;
    ensure!(metrics.value("weir_clients", &[("transport", "durable")]) == Some(1000.0));
    drop(streams);
    ensure!(ended(&weir, "client").await? == Some(1000.0));
    Ok(())
}

#[tokio::test]
async fn a_drain_lets_them_go() -> anyhow::Result<()> {
    let flags = ["--drain-delay", "5s", "--drain-window", "1s", "--retry", "1s"];
    let mut weir = Instance::start(WEIR, &flags).await?;
    let log = Log::create(&weir, "a", None).await?;
    let mut stream = log.sse("-1").follow().await?;
    control(&mut stream).await?;
    let mut retries = Vec::new();
    let waits = log.long_poll("now").send();
    let signal = async {
        expect::clients(&weir, 2).await?;
        weir.signal(Signal::TERM)
    };
    let (waited, signalled) = tokio::join!(waits, signal);
    signalled?;
    // Whoever waits is sent elsewhere at once.
    let waited = waited?;
    ensure!(waited.status() == 204 && waited.head.header("stream-up-to-date") == Some("true"), "{waited:?}");
    let offset = log.append("during the delay").await?;
    ensure!(next(&mut stream).await?.0 == "during the delay");
    let (mut events, end) = stream.read_to_end().await?;
    let goodbye = events.pop().context("no goodbye")?;
    ensure!(end == End::Clean && goodbye.event == "weir.shutdown" && events.is_empty(), "{goodbye:?}");
    retries.extend(stream.retry());
    ensure!(retries.iter().all(|ms| (800..=1200).contains(ms)), "{retries:?}");
    ensure!(stream.last_event_id() == offset);
    let status = weir.wait_exit(DEADLINE).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// A token for all streams that lasts so long.
fn token(secret: &Secret, subject: &str, secs: u64) -> String {
    let mut claims = claims(subject, &["*"], &["*"]);
    claims["exp"] = json!(now_secs() + secs);
    claims["weir"]["streams"] = json!({ "read": ["*"], "append": ["*"], "manage": ["*"] });
    secret.sign(&claims)
}

#[tokio::test]
async fn it_lasts_no_longer_than_the_token() -> anyhow::Result<()> {
    let secret = Secret::new();
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let log = Log::create(&weir, "a", Some(&token(&secret, "owner", 600))).await?;
    let short = Log { token: Some(token(&secret, "ann", 12)), client: weir.client(), path: log.path.clone() };
    let taken_off =
        Log { token: Some(token(&secret, "bob", 600)), client: weir.client(), path: log.path.clone() };
    let mut expires = short.sse("now").follow().await?;
    control(&mut expires).await?;
    let mut revoked = taken_off.sse("now").follow().await?;
    control(&mut revoked).await?;

    let answer = weir
        .admin_client()
        .post("/disconnect?subject=bob&revoke=600")
        .header("weir-admin", "1")
        .send()
        .await?;
    ensure!(answer.json()?["ended"] == 1, "{answer:?}");
    let (events, end) = revoked.read_to_end().await?;
    ensure!(
        end == End::Clean && events.len() == 1 && events[0].data == "{\"reason\":\"revoked\"}",
        "{events:?}"
    );
    expect::problem(&taken_off.sse("now").send().await?, 401, "token_revoked")?;

    log.append("before").await?;
    let waited = short.long_poll("now").deadline(Duration::from_secs(30)).send().await?;
    ensure!(waited.status() == 204, "{waited:?}");
    let (events, end) = expires.read_to_end().await?;
    // On a slow machine half of the token's time is over before the append.
    let (own, others): (Vec<_>, Vec<_>) = events.iter().partition(|event| event.event.starts_with("weir."));
    let names = |events: &[&Event]| events.iter().map(|event| event.event.clone()).collect::<Vec<_>>();
    ensure!(end == End::Clean && names(&own) == ["weir.expiring", "weir.expired"], "{events:?}");
    ensure!(names(&others) == ["data", "control"] && others[0].data == "before", "{events:?}");
    ensure!(own.iter().all(|event| event.id.is_none()), "{events:?}");
    expect::problem(&short.sse("now").send().await?, 401, "token_expired")?;
    ensure!(ended(&weir, "expired").await? == Some(2.0));
    Ok(())
}

#[tokio::test]
async fn on_http2() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let log = Log::create(&weir, "a", None).await?;
    let large = "x".repeat(100 * 1024);
    log.append(&large).await?;
    let room = 1_u32 << 20;
    let mut conn = Http2::open(weir.public(), &[(4, room)]).await?;
    conn.send(&frame(kind::WINDOW_UPDATE, 0, 0, &room.to_be_bytes())).await?;
    let path = format!("{}?offset=-1&live=sse", log.path);
    conn.send(&request(1, &fields("GET", &path, &[]), true)).await?;
    let mut said = Vec::new();
    let mut closed = false;
    loop {
        let frame = conn.next(DEADLINE).await?.map_err(|closed| anyhow::anyhow!("closed: {closed:?}"))?;
        conn.acknowledge(&frame).await?;
        if frame.stream != 1 || frame.kind != kind::DATA {
            ensure!(frame.stream != 1 || frame.kind != kind::RST_STREAM, "{frame:?}");
            continue;
        }
        said.extend_from_slice(&frame.payload);
        if said.ends_with(b"\"upToDate\":true}\n\n") && !closed {
            closed = true;
            let close = log.call("POST").header("content-type", "text/plain").header("stream-closed", "true");
            ensure!(close.body("last").send().await?.status() == 204);
        }
        if frame.flags & flag::END_STREAM != 0 {
            break;
        }
    }
    let said = String::from_utf8(said)?;
    ensure!(said.contains(&format!("event: data\ndata:{large}\nid: ")), "{} bytes", said.len());
    ensure!(said.contains("event: data\ndata:last\nid: ") && said.ends_with("\"streamClosed\":true}\n\n"));
    ensure!(ended(&weir, "ended").await? == Some(1.0));
    Ok(())
}

/// A stream that is followed is not idle, and one whose time has come ends under those who follow it.
#[tokio::test]
async fn expiry_under_readers() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let (idle, until) = (Log::of(&weir, "idle"), Log::of(&weir, "until"));
    let made = idle.call("PUT").header("content-type", "text/plain").header("stream-ttl", "4").send().await?;
    ensure!(made.status() == 201, "{made:?}");
    let mut followed = idle.sse("now").follow().await?;
    control(&mut followed).await?;
    let at = rfc3339(now_secs() + 8);
    let made = until.call("PUT").header("content-type", "text/plain").header("stream-expires-at", at);
    ensure!(made.send().await?.status() == 201);
    let mut ends = until.sse("now").deadline(Duration::from_secs(30)).follow().await?;
    control(&mut ends).await?;
    ensure!(ends.read_to_end().await? == (vec![], End::Clean));
    ensure!(until.sse("now").send().await?.status() == 404);
    // The other one would be gone by now, were it not followed.
    eventually(DEADLINE, async || {
        let looks = weir.metrics().await?.value("process_start_time_seconds", &[]).context("a series")?;
        ensure!(now_secs() as f64 - looks > 7.0, "not long enough");
        Ok(())
    })
    .await?;
    idle.append("still there").await?;
    ensure!(next(&mut followed).await?.0 == "still there");
    Ok(())
}

/// As headers have it.
fn rfc3339(secs: u64) -> String {
    let day = secs % 86_400;
    // A date is not worth a package: the day comes from the machine's own `date`.
    let date =
        std::process::Command::new("date").args(["-u", "-d", &format!("@{secs}"), "+%Y-%m-%d"]).output();
    let date = String::from_utf8(date.expect("date runs").stdout).expect("a date");
    format!("{}T{:02}:{:02}:{:02}Z", date.trim(), day / 3600, day / 60 % 60, day % 60)
}

/// A page needs no client: its browser goes on by itself, with nothing twice and nothing missing, and stays away when all is
/// said.
#[tokio::test]
async fn a_native_event_source_goes_on_by_itself() -> anyhow::Result<()> {
    let flags = ["--max-connection-age", "1s", "--retry", "100ms"];
    let weir = Instance::start(WEIR, &flags).await?;
    let log = Log::create(&weir, "a", None).await?;
    let script = format!(
        r#"const source = new EventSource('{path}?offset=-1&live=sse');
        const seen = []; let opened = 0;
        source.onopen = () => {{ opened += 1; }};
        source.addEventListener('data', (event) => seen.push(event.data));
        const rest = (ms) => new Promise((done) => setTimeout(done, ms));
        for (let n = 0; n < 40; n++) {{
            await call('{path}', {{ method: 'POST', headers: {{ 'content-type': 'text/plain' }}, body: `${{n}};` }});
            await rest(100);
        }}
        await call('{path}', {{ method: 'POST', headers: {{ 'stream-closed': 'true' }} }});
        for (let n = 0; n < 100 && source.readyState !== EventSource.CLOSED; n++) await rest(100);
        return {{ seen: seen.join(''), opened, state: source.readyState }};"#,
        path = log.path
    );
    let page = format!("http://localhost:{}/livez", weir.public().port());
    let seen = browse(&[step(page, &script)]).await?.remove(0);
    let all: String = (0..40).map(|n| format!("{n};")).collect();
    ensure!(seen["seen"] == *all, "{seen}");
    ensure!(seen["opened"].as_u64() > Some(2), "{seen}");
    // It was told that nothing comes any more.
    ensure!(seen["state"] == 2, "{seen}");
    Ok(())
}

/// What follows at the end of a drain and in other connections is still bounded: a limit holds for tails as for all clients.
#[tokio::test]
async fn limits_hold_for_tails() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--max-connections", "1"]).await?;
    let log = Log::create(&weir, "a", None).await?;
    let mut stream = log.sse("now").follow().await?;
    control(&mut stream).await?;
    for refused in [log.sse("now").send().await?, log.long_poll("now").send().await?] {
        expect::problem(&refused, 503, "limit")?;
        ensure!(refused.head.header("retry-after").is_some());
    }
    drop(stream);
    expect::clients(&weir, 0).await?;
    let waits = log.long_poll("now").deadline(Duration::from_secs(30)).send();
    let appended = async {
        expect::clients(&weir, 1).await?;
        log.append("x").await
    };
    let (waited, offset) = tokio::join!(waits, appended);
    ensure!(waited?.head.header("stream-next-offset") == Some(&*offset?));
    Ok(())
}

async fn two(redis: &RedisServer) -> anyhow::Result<(Instance, Instance)> {
    let url = redis.url();
    let flags = ["--redis", &url];
    tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))
}

#[tokio::test]
async fn a_tail_gets_what_another_instance_appends_and_goes_on_there() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let (one, two) = two(&redis).await?;
    let (here, there) = (Log::create(&one, "a", None).await?, Log::of(&two, "a"));
    let mut stream = there.sse("-1").follow().await?;
    control(&mut stream).await?;
    for n in 0..20 {
        let offset = here.append(&format!("{n}")).await?;
        let (data, told) = next(&mut stream).await?;
        ensure!(data == format!("{n}") && told["streamNextOffset"] == *offset, "{data} {told}");
    }
    // It comes back elsewhere, by the address that it began with.
    let at = stream.last_event_id().to_owned();
    drop(stream);
    there.append("meanwhile").await?;
    let mut stream = here.sse("-1").header("last-event-id", at).follow().await?;
    ensure!(next(&mut stream).await?.0 == "meanwhile");
    let waits = there.long_poll("now").send();
    let closed = async {
        expect::clients(&two, 1).await?;
        let close = here.call("POST").header("content-type", "text/plain").header("stream-closed", "true");
        close.body("last").send().await
    };
    let (waited, closed) = tokio::join!(waits, closed);
    ensure!(closed?.status() == 204);
    let waited = waited?;
    ensure!(waited.text()? == "last" && waited.head.header("stream-closed") == Some("true"), "{waited:?}");
    ensure!(next(&mut stream).await?.1["streamClosed"] == true);
    ensure!(stream.read_to_end().await? == (vec![], End::Clean));
    Ok(())
}

/// An instance that is cut off hears no announcement, and nobody repeats one for it: what was appended comes late, and comes.
#[tokio::test]
async fn an_announcement_that_is_lost_costs_a_delay() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let at = SocketAddr::from(([127, 0, 0, 1], redis.port()));
    let proxy = Proxy::start(at).await?;
    let (direct, cut_off) = (redis.url(), format!("redis://{}", proxy.addr()));
    let one = Instance::start(WEIR, &["--redis", &direct]).await?;
    let two = Instance::start(WEIR, &["--redis", &cut_off]).await?;
    let (here, there) = (Log::create(&one, "a", None).await?, Log::of(&two, "a"));
    let mut stream = there.sse("now").follow().await?;
    control(&mut stream).await?;
    for n in 0..3 {
        proxy.point_at(None);
        proxy.close_all(Close::Reset);
        here.append(&format!("{n}")).await?;
        proxy.point_at(Some(at));
        let (data, _) = loop {
            // What it is told of the log is no concern of this.
            let event = stream.next_event().await?;
            if event.event == "data" {
                break (event.data, control(&mut stream).await?);
            }
        };
        ensure!(data == n.to_string(), "{data}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_deleted_elsewhere_ends_its_tails() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let (one, two) = two(&redis).await?;
    let (here, there) = (Log::create(&one, "a", None).await?, Log::of(&two, "a"));
    let mut stream = there.sse("now").follow().await?;
    control(&mut stream).await?;
    ensure!(here.call("DELETE").send().await?.status() == 204);
    ensure!(stream.read_to_end().await? == (vec![], End::Clean));
    expect::problem(&there.sse("now").send().await?, 404, "no_stream")?;
    ensure!(ended(&two, "ended").await? == Some(1.0));
    Ok(())
}

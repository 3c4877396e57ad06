//! Clients that others wrote, against the running binary: each gets what was published, and resumes on another instance.
//!
//! `.ci/setup test` installs them beside the build.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_core::EventId;
use weir_testkit::program::installed;
use weir_testkit::redis::RedisServer;
use weir_testkit::sse::{Item, Parser};
use weir_testkit::{Client, DEADLINE, Instance, Output, Program, Proxy, Signal, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const SESSION: &str = "room/1 ü";
const PATH: &str = "/v1/sessions/room%2F1%20%C3%BC/events";
const TYPE: &str = "order.updated";

/// Data that an encoder or a parser may get wrong.
fn hostile() -> Vec<String> {
    let short = [
        "plain",
        "",
        " one space before",
        "  two spaces before, two after  ",
        "\ttab",
        "a\nb",
        "a\rb",
        "a\r\nb",
        "\n",
        "\r\n\r",
        "line end at the end\n",
        "\u{feff}byte order mark",
        "nul \0 within",
        ": like a comment",
        "like: a field",
        "data: x\nid: 7\nevent: weir.gap\nretry: 1\n\ndata: y",
        "ünï 日本 🦀 e\u{301}",
        "line ends of Unicode, not of SSE: \u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}.",
        r#"{"json":"\u0000","path":"\\"}"#,
    ];
    let long = ["x".repeat(64 * 1024), "é\n".repeat(4096)];
    short.map(str::to_owned).into_iter().chain(long).collect()
}

/// What a client hands to its user.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    id: String,
    event: String,
    data: String,
}

impl Seen {
    /// What a client must show of an event that was published.
    fn published(id: EventId, kind: Option<&str>, data: &str) -> Self {
        let data = data.replace("\r\n", "\n").replace('\r', "\n");
        Self { id: id.to_string(), event: kind.unwrap_or("message").to_owned(), data }
    }

    fn from_json(line: &str) -> anyhow::Result<Self> {
        let line: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let text =
            |name: &str| line[name].as_str().map(str::to_owned).with_context(|| format!("{name} in {line}"));
        Ok(Self { id: text("id")?, event: text("event")?, data: text("data")? })
    }
}

#[tokio::test]
async fn node_eventsource() -> anyhow::Result<()> {
    let names = ["message", TYPE, "weir.connected", "weir.shutdown", "weir.gap"];
    receives_and_resumes(|url| node("node-eventsource.cjs", &[&[url], &names[..]].concat())).await
}

#[tokio::test]
async fn node_eventsource_client() -> anyhow::Result<()> {
    receives_and_resumes(|url| node("node-eventsource-client.cjs", &[url])).await
}

#[tokio::test]
async fn python_httpx_sse() -> anyhow::Result<()> {
    receives_and_resumes(|url| python("python-httpx-sse.py", url)).await
}

#[tokio::test]
async fn python_sseclient() -> anyhow::Result<()> {
    receives_and_resumes(|url| python("python-sseclient.py", url)).await
}

/// `curl` shows the bytes themselves, and leaves resuming to who calls it.
#[tokio::test]
async fn curl() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let url = format!("http://{}{PATH}", weir.public());
    let curl = |last_id: &str| {
        let mut command = Command::new("curl");
        command.args([
            "--no-buffer",
            "--silent",
            "--max-time",
            "60",
            "--header",
            &format!("Last-Event-ID: {last_id}"),
        ]);
        command.arg(&url);
        Program::start(command, Output::Stdout)
    };
    let live = curl("earliest")?;
    eventually(DEADLINE, async || {
        ensure!(!curl_saw(&live)?.is_empty(), "not connected: {}", live.tail());
        Ok(())
    })
    .await?;

    let sent = publish_all(&weir.client()).await?;
    eventually(DEADLINE, async || same(&data_events(curl_saw(&live)?), &sent)).await?;

    let resumed = curl(&sent[4].id)?;
    eventually(DEADLINE, async || same(&data_events(curl_saw(&resumed)?), &sent[5..])).await
}

/// The whole way of one client: everything arrives as it was published, the instance ends, and on another instance the
/// client goes on where it was.
async fn receives_and_resumes(start: impl Fn(&str) -> Command) -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let redis = redis.url();
    let flags = ["--redis", &redis, "--retry", "100ms", "--drain-delay", "0s", "--drain-window", "100ms"];
    let (mut first, second) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
    let relay = Proxy::start(first.public()).await?;

    let client = Program::start(start(&format!("http://{}{PATH}", relay.addr())), Output::Stdout)?;
    eventually(DEADLINE, async || connections(&client, 1)).await?;
    let mut sent = publish_all(&first.client()).await?;
    eventually(DEADLINE, async || same(&data_events(seen(&client)?), &sent)).await?;

    relay.point_at(None);
    first.signal(Signal::TERM)?;
    ensure!(first.wait_exit(DEADLINE).await?.success(), "no clean end: {}", first.log().join("\n"));
    sent.push(publish(&second.client(), None, "while nobody was connected").await?);

    relay.point_at(Some(second.public()));
    eventually(DEADLINE, async || connections(&client, 2)).await?;
    sent.push(publish(&second.client(), Some(TYPE), "live again").await?);
    eventually(DEADLINE, async || same(&data_events(seen(&client)?), &sent)).await?;

    let control: Vec<String> = seen(&client)?.into_iter().map(|seen| seen.event).collect();
    ensure!(control.iter().any(|event| event == "weir.shutdown"), "no goodbye among {control:?}");
    ensure!(!control.iter().any(|event| event == "weir.gap"), "a gap among {control:?}");
    Ok(())
}

async fn publish_all(to: &Client) -> anyhow::Result<Vec<Seen>> {
    let mut sent = Vec::new();
    for (nth, data) in hostile().iter().enumerate() {
        let kind = (nth % 3 == 1).then_some(TYPE);
        sent.push(publish(to, kind, data).await?);
    }
    Ok(sent)
}

async fn publish(to: &Client, kind: Option<&str>, data: &str) -> anyhow::Result<Seen> {
    let mut request = to.event(SESSION).body(data.to_owned());
    if let Some(kind) = kind {
        request = request.query("type", kind);
    }
    Ok(Seen::published(request.send().await?.event_id()?, kind, data))
}

/// All that a client has printed so far.
fn seen(client: &Program) -> anyhow::Result<Vec<Seen>> {
    client.lines().iter().map(|line| Seen::from_json(line)).collect()
}

/// All that stands on the standard output of `curl`. The parser is strict, so that it objects to what it should not get.
fn curl_saw(curl: &Program) -> anyhow::Result<Vec<Seen>> {
    let text = curl.lines().join("\n") + "\n";
    let mut events = Vec::new();
    for item in Parser::strict().push(text.as_bytes()) {
        match item {
            Item::Event(event) => {
                events.push(Seen { id: event.last_event_id, event: event.event, data: event.data })
            }
            Item::Retry(_) | Item::Comment(_) => {}
            Item::Silent { .. } | Item::Violation(_) => anyhow::bail!("not clean: {item:?}"),
        }
    }
    Ok(events)
}

fn data_events(seen: Vec<Seen>) -> Vec<Seen> {
    seen.into_iter().filter(|seen| !seen.event.starts_with("weir.")).collect()
}

fn connections(client: &Program, want: usize) -> anyhow::Result<()> {
    let have = seen(client)?.iter().filter(|seen| seen.event == "weir.connected").count();
    ensure!(have == want, "{have} connections instead of {want}; {}", client.tail());
    Ok(())
}

/// Equal, or the first difference: the whole would be unreadable.
fn same(got: &[Seen], want: &[Seen]) -> anyhow::Result<()> {
    for (got, want) in got.iter().zip(want) {
        ensure!(got == want, "got {got:?} instead of {want:?}");
    }
    ensure!(got.len() == want.len(), "{} events instead of {}", got.len(), want.len());
    Ok(())
}

fn node(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed("node_modules")).arg(source(script)).args(args);
    command
}

fn python(script: &str, url: &str) -> Command {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(source(script)).arg(url);
    command
}

fn source(script: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "foreign", script].iter().collect()
}

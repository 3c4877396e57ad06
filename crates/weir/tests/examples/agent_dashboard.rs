//! `docs/examples/agent-dashboard` in Chromium. Its packages are among those that `.ci/setup test` installs.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::kill_process;
use serde_json::{Value, json};
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::browser::{Browser, Kind as Engine, browse, step};
use weir_testkit::loopback::own_address;
use weir_testkit::program::installed;
use weir_testkit::{Client, DEADLINE, Instance, Output, Program, Signal, eventually};

use crate::application::{Application, WEIR, folder};
use crate::pictures::pictures;

const BALANCER: &str = include_str!("../stream_clients/haproxy.cfg");

const AGENTS: &str = "/v1/stream/agents";

/// Where the page says what it has seen, for the test to go on.
const SAID: &str = "/v1/stream/said";

/// What scripts of the page use.
const HELPERS: &str = "
    const text = (id) => document.getElementById(id).textContent;
    const states = [text('state')];
    const note = () => states.push(text('state') + ' by ' + text('transport'));
    new MutationObserver(note).observe(document.querySelector('header'), { subtree: true, childList: true });
    const until = async (condition) => {
        for (const end = Date.now() + 20000; Date.now() < end;) {
            if (condition()) return true;
            await new Promise((resolve) => setTimeout(resolve, 10));
        }
        return false;
    };
    const shows = (count) => until(() => text('count') === String(count) && text('state') === 'live');
    const seen = () => ({
        count: text('count'), state: text('state'), transport: text('transport'), states,
        tasks: [...document.querySelectorAll('article')].map((agent) => agent.querySelector('h2').textContent + ': ' + agent.querySelector('p').textContent)
    });";

/// The page's own server. It gets its address first, since weir is told of it.
struct Page {
    origin: String,
    _server: Program,
}

impl Page {
    async fn serve(at: SocketAddr, weir: &str) -> anyhow::Result<Self> {
        let mut command = Command::new("node");
        command.arg(example("start.cjs")).env("NODE_PATH", installed("node_modules"));
        command.env("HOST", at.ip().to_string()).env("PORT", at.port().to_string());
        command.env("WEIR_URL", weir).env("DAEMON", "off");
        let server = Program::start(command, Output::Stdout)?;
        eventually(DEADLINE, async || {
            ensure!(
                server.lines().iter().any(|line| line.contains("the dashboard is at")),
                "{}",
                server.tail()
            );
            Ok(())
        })
        .await?;
        Ok(Self { origin: origin(at), _server: server })
    }
}

fn origin(at: SocketAddr) -> String {
    format!("http://{at}")
}

fn example(file: &str) -> PathBuf {
    folder("agent-dashboard").join(file)
}

async fn create(client: &Client, stream: &str) -> anyhow::Result<()> {
    let answer = client.request("PUT", stream).header("content-type", "application/json").send().await?;
    ensure!(answer.status() == 201, "{answer:?}");
    Ok(())
}

/// Appends a change of the state of an agent for each of these numbers, one after the other.
async fn append(client: &Client, numbers: std::ops::Range<u32>) -> anyhow::Result<()> {
    for n in numbers {
        let value = json!({ "task": format!("task {n}"), "percent": n % 100, "at": 1_000 });
        let event = json!({ "type": "agent", "key": format!("agent {}", n % 3), "value": value, "headers": { "operation": "upsert" } });
        let request = client.post(AGENTS).header("content-type", "application/json");
        let answer = request.body(event.to_string()).send().await?;
        ensure!(answer.status() == 204, "{answer:?}");
    }
    Ok(())
}

/// Waits until the page has said this.
async fn said(client: &Client, what: &str) -> anyhow::Result<()> {
    eventually(DEADLINE * 3, async || {
        let answer = client.get(SAID).query("offset", "-1").send().await?;
        ensure!(answer.text()?.contains(what), "not said {what:?}: {answer:?}");
        Ok(())
    })
    .await
}

fn first(results: &[Value]) -> anyhow::Result<&Value> {
    results.first().context("a result")
}

/// What the page shows at the end: everything once, and of each agent the newest.
fn is_whole(result: &Value, count: u32) -> anyhow::Result<()> {
    ensure!(result["count"] == json!(count.to_string()) && result["state"] == "live", "{result}");
    let mut tasks: Vec<String> = (count - 3..count).map(|n| format!("agent {}: task {n}", n % 3)).collect();
    tasks.sort();
    ensure!(result["tasks"] == json!(tasks), "{result}");
    Ok(())
}

#[tokio::test]
async fn an_instance_that_is_killed_costs_the_page_nothing() -> anyhow::Result<()> {
    let (at, weir_at, data) = (own_address()?, own_address()?, tempfile::tempdir()?);
    let flags =
        ["--cors-origin", &origin(at), "--data-dir", data.path().to_str().context("a path in UTF-8")?];
    let start = async || Instance::builder(WEIR).listen(weir_at).flags(&flags).start().await;
    let mut weir = start().await?;
    let client = weir.client();
    create(&client, AGENTS).await?;
    create(&client, SAID).await?;
    append(&client, 0..10).await?;
    let page = Page::serve(at, &origin(weir_at)).await?;
    let script = format!(
        "{HELPERS}
        const say = (what) => call('http://{weir_at}{SAID}', {{ method: 'POST', body: JSON.stringify(what), headers: {{ 'content-type': 'application/json' }} }});
        await shows(10);
        await say('caught up by ' + text('transport'));
        await shows(20);
        await say('live');
        await shows(60);
        return seen();"
    );
    let play = async {
        said(&client, "caught up by SSE").await?;
        append(&client, 10..20).await?;
        said(&client, "live").await?;
        // In the middle of appends that were answered, none of which may be lost.
        append(&client, 20..40).await?;
        weir.signal(Signal::KILL)?;
        weir.wait_exit(DEADLINE).await?;
        weir = start().await?;
        append(&client, 40..60).await
    };
    let steps = [step(&page.origin, &script)];
    let (results, played) = tokio::join!(browse(&steps), play);
    let result = first(&results?)?.clone();
    played.with_context(|| result.to_string())?;
    is_whole(&result, 60)?;
    ensure!(result["transport"] == "SSE", "{result}");
    ensure!(result["states"].to_string().contains("lost"), "it was never lost: {result}");
    Ok(())
}

#[tokio::test]
async fn where_sse_is_blocked_the_page_goes_on_by_long_poll() -> anyhow::Result<()> {
    let at = own_address()?;
    let weir = Instance::start(WEIR, &["--cors-origin", &origin(at)]).await?;
    let line = format!("server weir {}", weir.public());
    let balancer = Balancer::with(Kind::HaProxy, &BALANCER.replace("@INSTANCES@", &line)).await?;
    let client = weir.client();
    create(&client, AGENTS).await?;
    create(&client, SAID).await?;
    append(&client, 0..10).await?;
    let page = Page::serve(at, &format!("http://{}/blocked", balancer.address())).await?;
    let script = format!(
        "{HELPERS}
        await until(() => text('transport') === 'long-poll');
        await call('http://{}{SAID}', {{ method: 'POST', body: '\"fallen back\"', headers: {{ 'content-type': 'application/json' }} }});
        await shows(30);
        return seen();",
        weir.public()
    );
    let play = async {
        said(&client, "fallen back").await?;
        append(&client, 10..30).await
    };
    let steps = [step(&page.origin, &script)];
    let (results, played) = tokio::join!(browse(&steps), play);
    let result = first(&results?)?.clone();
    played.with_context(|| result.to_string())?;
    is_whole(&result, 30)?;
    ensure!(result["transport"] == "long-poll", "{result}");
    Ok(())
}

/// A stream that is made anew is another one: what the page has of the old one goes.
#[tokio::test]
async fn of_a_stream_made_anew_only_the_new_is_shown() -> anyhow::Result<()> {
    let (at, weir_at) = (own_address()?, own_address()?);
    let flags = ["--cors-origin", &origin(at)];
    let start = async || Instance::builder(WEIR).listen(weir_at).flags(&flags).start().await;
    let mut weir = start().await?;
    let client = weir.client();
    create(&client, AGENTS).await?;
    create(&client, SAID).await?;
    append(&client, 0..10).await?;
    let page = Page::serve(at, &origin(weir_at)).await?;
    let script = format!(
        "{HELPERS}
        await shows(10);
        await call('http://{weir_at}{SAID}', {{ method: 'POST', body: '\"live\"', headers: {{ 'content-type': 'application/json' }} }});
        await shows(5);
        return seen();"
    );
    let play = async {
        said(&client, "live").await?;
        // Nothing is kept.
        weir.signal(Signal::KILL)?;
        weir.wait_exit(DEADLINE).await?;
        weir = start().await?;
        create(&client, AGENTS).await?;
        append(&client, 0..5).await
    };
    let steps = [step(&page.origin, &script)];
    let (results, played) = tokio::join!(browse(&steps), play);
    let result = first(&results?)?.clone();
    played.with_context(|| result.to_string())?;
    is_whole(&result, 5)
}

/// All of it as `npm start` starts it, in a copy of its folder: what weir keeps is kept there.
fn whole(dir: &Path, at: SocketAddr, weir_at: SocketAddr) -> anyhow::Result<Application> {
    for file in fs::read_dir(example(""))? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), dir.join(file.file_name()))?;
        }
    }
    symlink(installed("node_modules"), dir.join("node_modules"))?;
    let (host, port, weir) = (at.ip().to_string(), at.port().to_string(), weir_at.to_string());
    Application::start(
        dir,
        &[("HOST", &host), ("PORT", &port), ("WEIR_LISTEN", &weir), ("WEIR_ADMIN_LISTEN", "127.0.0.1:0")],
    )
}

/// As its README says: weir is started with it, and again when it was killed; the daemon and the page go on.
#[tokio::test]
async fn the_whole_of_it_outlives_a_weir_that_is_killed() -> anyhow::Result<()> {
    let (at, weir_at, dir) = (own_address()?, own_address()?, tempfile::tempdir()?);
    let whole = whole(dir.path(), at, weir_at)?;
    let client = Client::new(weir_at);
    let begun = eventually(DEADLINE * 3, async || create(&client, SAID).await).await;
    begun.with_context(|| whole.tail())?;
    let page = origin(at);
    let script = format!(
        "{HELPERS}
        const follows = (count) => until(() => Number(text('count')) >= count && text('state') === 'live');
        await follows(3);
        await call('http://{weir_at}{SAID}', {{ method: 'POST', body: '\"live\"', headers: {{ 'content-type': 'application/json' }} }});
        await until(() => states.some((state) => state.includes('lost')));
        const more = await follows(Number(text('count')) + 3);
        return {{ more, ...seen() }};"
    );
    let play = async {
        said(&client, "live").await?;
        kill_process(whole.weir()?, Signal::KILL)?;
        anyhow::Ok(())
    };
    let steps = [step(&page, &script)];
    let (results, played) = tokio::join!(browse(&steps), play);
    let result = first(&results?)?.clone();
    played.with_context(|| format!("{result}: {}", whole.tail()))?;
    ensure!(result["more"] == true, "{result}: {}", whole.tail());
    ensure!(result["states"].to_string().contains("lost"), "it was never lost: {result}");
    ensure!(result["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty()), "{result}");
    Ok(())
}

#[tokio::test]
async fn its_pictures() -> anyhow::Result<()> {
    let (at, weir_at, dir) = (own_address()?, own_address()?, tempfile::tempdir()?);
    let mut whole = whole(dir.path(), at, weir_at)?;
    whole.says("the dashboard is at").await?;
    let browser = Browser::start(Engine::Chromium).await?;
    let tab = browser.open(origin(at)).await?;
    tab.until(
        "return document.querySelectorAll('article').length === 8 && document.body.dataset.state === 'live'",
    )
    .await?;
    pictures(&tab, "agent-dashboard").await?;
    ensure!(tab.complaints().await?.is_empty(), "{}", whole.tail());
    Ok(())
}

/// The example's packages are those that the tests install, so that what is tested is what its README starts.
#[test]
fn the_example_has_the_packages_of_the_tests() -> anyhow::Result<()> {
    let read = |file: PathBuf| -> anyhow::Result<Value> { Ok(serde_json::from_slice(&fs::read(file)?)?) };
    let tests = [env!("CARGO_MANIFEST_DIR"), "tests", "foreign", "package.json"].iter().collect();
    let (example, tests) = (read(example("package.json"))?, read(tests)?);
    for (name, version) in example["dependencies"].as_object().context("dependencies")? {
        ensure!(tests["dependencies"][name] == *version, "{name}: {version}");
    }
    Ok(())
}

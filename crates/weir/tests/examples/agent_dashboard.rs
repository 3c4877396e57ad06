//! `docs/examples/agent-dashboard` in Chromium. Its packages are among those that `.ci/setup test` installs.

use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::kill_process;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use weir_testkit::balancer::{Balancer, Kind};
use weir_testkit::browser::{Browser, Kind as Engine, Tab};
use weir_testkit::certificates::Authority;
use weir_testkit::loopback::own_address;
use weir_testkit::program::installed;
use weir_testkit::{Client, DEADLINE, Instance, Output, Program, Signal, Trust, eventually};

use crate::application::{Application, WEIR, folder};
use crate::pictures::pictures;

const BALANCER: &str = include_str!("../stream_clients/haproxy.cfg");

const AGENTS: &str = "/v1/stream/agents";

/// Has the page keep what it says of its connection from now on.
const NOTE: &str = "window.states = []; const state = document.getElementById('state');
    new MutationObserver(() => states.push(state.textContent)).observe(state, { subtree: true, childList: true, characterData: true })";

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
            let served = server.lines().iter().any(|line| line.contains("the dashboard is at"));
            ensure!(served, "{}", server.tail());
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

/// Appends a change of the state of an agent for each of these numbers, one after the other. Each is repeated until it is answered,
/// as a producer does that has to know.
async fn append(client: &Client, numbers: Range<u32>, answered: &Sender<u32>) -> anyhow::Result<()> {
    for n in numbers {
        let value = json!({ "task": format!("task {n}"), "percent": n % 100, "at": 1_000 });
        let event = json!({ "type": "agent", "key": format!("agent {}", n % 3), "value": value, "headers": { "operation": "upsert" } });
        eventually(DEADLINE * 3, async || {
            let request = client.post(AGENTS).header("content-type", "application/json");
            let request = request.header("producer-id", "a test").header("producer-epoch", "0");
            let answer = request.header("producer-seq", n.to_string()).body(event.to_string()).send().await?;
            ensure!(matches!(answer.status(), 200 | 204), "{answer:?}");
            Ok(())
        })
        .await?;
        answered.send_replace(n + 1);
    }
    Ok(())
}

/// All the tasks that were appended, as they are read anew.
async fn tasks(client: &Client) -> anyhow::Result<Vec<String>> {
    let all = client.get(AGENTS).query("offset", "-1").send().await?.json()?;
    let all = all.as_array().context("a list")?;
    Ok(all.iter().filter_map(|event| event["value"]["task"].as_str().map(str::to_owned)).collect())
}

/// Waits until the page is live and has shown so many changes, each once, and of each agent the newest.
async fn shows(tab: &Tab, count: u32) -> anyhow::Result<()> {
    let text = "const text = (id) => document.getElementById(id).textContent;";
    tab.until(&format!("{text} return text('count') === '{count}' && text('state') === 'live'")).await?;
    let agents = "return [...document.querySelectorAll('article')].map((agent) =>
        agent.querySelector('h2').textContent + ': ' + agent.querySelector('p').textContent)";
    let mut newest: Vec<String> = (count - 3..count).map(|n| format!("agent {}: task {n}", n % 3)).collect();
    newest.sort();
    let shown = tab.run(agents).await?;
    ensure!(shown == json!(newest), "{shown}");
    Ok(())
}

async fn goes_by(tab: &Tab, transport: &str) -> anyhow::Result<()> {
    let script = format!("return document.getElementById('transport').textContent === '{transport}'");
    tab.until(&script).await.map(drop)
}

async fn was_lost(tab: &Tab) -> anyhow::Result<()> {
    tab.until("return states.some((state) => state.startsWith('lost'))").await.map(drop)
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_thousand_appends_loses_none() -> anyhow::Result<()> {
    let (at, weir_at, data) = (own_address()?, own_address()?, tempfile::tempdir()?);
    let flags =
        ["--cors-origin", &origin(at), "--data-dir", data.path().to_str().context("a path in UTF-8")?];
    let start = async || Instance::builder(WEIR).listen(weir_at).flags(&flags).start().await;
    let mut weir = start().await?;
    let client = weir.client();
    create(&client, AGENTS).await?;
    let answered = Sender::new(0);
    append(&client, 0..10, &answered).await?;
    let page = Page::serve(at, &origin(weir_at)).await?;
    let browser = Browser::start(Engine::Chromium).await?;
    let tab = browser.open(&page.origin).await?;
    shows(&tab, 10).await?;
    tab.run(NOTE).await?;
    let kill = async {
        answered.subscribe().wait_for(|&count| count >= 500).await?;
        weir.signal(Signal::KILL)?;
        weir.wait_exit(DEADLINE).await?;
        weir = start().await?;
        anyhow::Ok(())
    };
    tokio::try_join!(append(&client, 10..1000, &answered), kill)?;
    let all: Vec<String> = (0..1000).map(|n| format!("task {n}")).collect();
    ensure!(tasks(&client).await? == all, "each is kept, once and in order");
    shows(&tab, 1000).await?;
    goes_by(&tab, "SSE").await?;
    was_lost(&tab).await?;
    for health in ["/livez", "/readyz"] {
        let answer = client.get(health).send().await?;
        ensure!(answer.status() == 200, "{health}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn where_sse_is_blocked_the_page_goes_on_by_long_poll() -> anyhow::Result<()> {
    let at = own_address()?;
    let weir = Instance::start(WEIR, &["--cors-origin", &origin(at)]).await?;
    let line = format!("server weir {}", weir.public());
    let balancer = Balancer::with(Kind::HaProxy, &BALANCER.replace("@INSTANCES@", &line)).await?;
    let (client, answered) = (weir.client(), Sender::new(0));
    create(&client, AGENTS).await?;
    append(&client, 0..10, &answered).await?;
    let page = Page::serve(at, &format!("http://{}/blocked", balancer.address())).await?;
    let browser = Browser::start(Engine::Chromium).await?;
    let tab = browser.open(&page.origin).await?;
    goes_by(&tab, "long-poll").await?;
    append(&client, 10..30, &answered).await?;
    shows(&tab, 30).await?;
    goes_by(&tab, "long-poll").await
}

/// Stands on the way and breaks off every SSE at once, in the middle of the answer.
async fn break_off(listener: TcpListener, weir: SocketAddr) -> anyhow::Result<()> {
    let mut all = JoinSet::new();
    loop {
        let (mut page, _) = listener.accept().await?;
        all.spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && page.read_buf(&mut head).await? > 0 {}
            // One call for each connection, so that each is seen here.
            let head = String::from_utf8_lossy(&head).replace("keep-alive", "close");
            if head.contains("live=sse") {
                let begin = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\naccess-control-allow-origin: *\r\n\
                    transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n:\n\r\n";
                return page.write_all(begin.as_bytes()).await;
            }
            let mut server = TcpStream::connect(weir).await?;
            server.write_all(head.as_bytes()).await?;
            copy_bidirectional(&mut page, &mut server).await.map(drop)
        });
    }
}

#[tokio::test]
async fn where_sse_breaks_off_the_page_goes_on_by_long_poll() -> anyhow::Result<()> {
    let at = own_address()?;
    let weir = Instance::start(WEIR, &["--cors-origin", &origin(at)]).await?;
    let (client, answered) = (weir.client(), Sender::new(0));
    create(&client, AGENTS).await?;
    append(&client, 0..10, &answered).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let page = Page::serve(at, &origin(listener.local_addr()?)).await?;
    let play = async {
        let browser = Browser::start(Engine::Chromium).await?;
        let tab = browser.open(&page.origin).await?;
        goes_by(&tab, "long-poll").await?;
        append(&client, 10..30, &answered).await?;
        shows(&tab, 30).await
    };
    tokio::select! {
        played = play => played,
        broken = break_off(listener, weir.public()) => broken,
    }
}

/// A stream that is made anew is another one: what the page has of the old one goes.
#[tokio::test]
async fn of_a_stream_made_anew_only_the_new_is_shown() -> anyhow::Result<()> {
    let (at, weir_at) = (own_address()?, own_address()?);
    let flags = ["--cors-origin", &origin(at)];
    let start = async || Instance::builder(WEIR).listen(weir_at).flags(&flags).start().await;
    let mut weir = start().await?;
    let (client, answered) = (weir.client(), Sender::new(0));
    create(&client, AGENTS).await?;
    append(&client, 0..10, &answered).await?;
    let page = Page::serve(at, &origin(weir_at)).await?;
    let browser = Browser::start(Engine::Chromium).await?;
    let tab = browser.open(&page.origin).await?;
    shows(&tab, 10).await?;
    // Nothing is kept.
    weir.signal(Signal::KILL)?;
    weir.wait_exit(DEADLINE).await?;
    let weir = start().await?;
    create(&client, AGENTS).await?;
    append(&client, 0..5, &answered).await?;
    shows(&tab, 5).await?;
    drop(weir);
    Ok(())
}

/// A browser opens six connections to a host, and all streams of a page over HTTP/2 are on one.
#[tokio::test]
async fn many_streams_of_a_page_leave_it_connections_for_more() -> anyhow::Result<()> {
    let (at, authority) = (own_address()?, Authority::new());
    let pair = authority.issue(&["localhost", "127.0.0.1"]);
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
    let (certificate, key) = (text(&pair.certificate)?, text(&pair.key)?);
    let flags = ["--cors-origin", &origin(at), "--tls-cert", &certificate, "--tls-key", &key];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.secure_client(Trust::new(&authority, &["http/1.1"]));
    create(&client, AGENTS).await?;
    let address = format!("https://{}", weir.public());
    let page = Page::serve(at, &address).await?;
    let browser = Browser::start(Engine::Chromium).await?;
    let tab = browser.open(&page.origin).await?;
    let script = "
        const address = (nth) => `${given}/v1/stream/many/${nth}`;
        const call = (nth, method, body) =>
            fetch(address(nth), { method, body, headers: { 'content-type': 'application/json' } });
        const follow = async (nth) => {
            await call(nth, 'PUT');
            const answer = await fetch(`${address(nth)}?offset=-1&live=sse`);
            const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
            return async () => {
                for (let text = ''; ;) {
                    text += (await reader.read()).value;
                    if (text.includes(`hello ${nth}`)) return nth;
                }
            };
        };
        const all = [...Array(20).keys()];
        const streams = await Promise.all(all.map(follow));
        await Promise.all(all.map((nth) => call(nth, 'POST', `\"hello ${nth}\"`)));
        const heard = await Promise.all(streams.map((hear) => hear()));
        window.streams = streams;
        return heard.length;";
    let heard = tab.run_with(script, json!(address)).await?;
    ensure!(heard == 20, "{heard}");
    append(&client, 0..10, &Sender::new(0)).await?;
    shows(&tab, 10).await?;
    let metrics = weir.metrics().await?;
    let followers = metrics.sum("weir_clients", &[("transport", "durable")]);
    let sockets = metrics.sum("weir_sockets", &[]);
    ensure!(followers > 20.5 && sockets < 5.5, "{followers} followers on {sockets} connections");
    Ok(())
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
    let mut whole = whole(dir.path(), at, weir_at)?;
    whole.says("the dashboard is at").await?;
    let browser = Browser::start(Engine::Chromium).await?;
    let tab = browser.open(origin(at)).await?;
    let count = "const count = Number(document.getElementById('count').textContent);";
    let follows = |most: u64| {
        format!("{count} return count >= {most} && document.body.dataset.state === 'live' && count")
    };
    tab.until(&follows(3)).await.with_context(|| whole.tail())?;
    tab.run(NOTE).await?;
    kill_process(whole.weir()?, Signal::KILL)?;
    was_lost(&tab).await?;
    let before = tab.run(&format!("{count} return count")).await?.as_u64().context("a number")?;
    tab.until(&follows(before + 3)).await.with_context(|| whole.tail())?;
    // What the page has is what is kept, and nothing of it twice.
    let client = Client::new(weir_at);
    eventually(DEADLINE, async || {
        let (kept, shown) = (tasks(&client).await?.len(), tab.run(&format!("{count} return count")).await?);
        ensure!(shown == kept, "{shown} of {kept}");
        Ok(())
    })
    .await
}

#[tokio::test]
#[ignore = "make examples"]
async fn its_pictures() -> anyhow::Result<()> {
    let (at, weir_at, dir) = (own_address()?, own_address()?, tempfile::tempdir()?);
    let mut whole = whole(dir.path(), at, weir_at)?;
    whole.says("the dashboard is at").await?;
    let browser = Browser::start(Engine::Chromium).await?;
    let tab = browser.open(origin(at)).await?;
    // Where it shows something, everybody is to be seen.
    let enough = "return document.querySelectorAll('article').length === 8
        && document.querySelectorAll('#events li').length > 15 && document.body.dataset.state === 'live'";
    tab.until_within(DEADLINE * 4, enough).await?;
    pictures(&tab, "agent-dashboard").await?;
    let complaints = tab.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:?}");
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

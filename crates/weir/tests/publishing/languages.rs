//! The programs of `docs/publishing`, each through the same: nobody is there, then a 503, then an answer that gets lost. The event is
//! published once, and the program says its id.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::chaos::{Close, Flow, Way};
use weir_testkit::program::without_settings;
use weir_testkit::{DEADLINE, Instance, Output, Program, Proxy, Secret, Signal, eventually, page, tools};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What needs to be encoded on its way: blanks, a slash, letters beyond ASCII.
const SESSION: &str = "room/1 ü%";
const DATA: &str = "{\"text\":\"é & @ + ü\"}\nsecond line";

/// How a program is run, up to its arguments.
fn program(words: &[&str]) -> anyhow::Result<Command> {
    let (name, arguments) = words.split_first().context("a program")?;
    let mut command = Command::new(tools::tool(name)?);
    without_settings(&mut command).args(arguments).current_dir(page::root().join("docs/publishing"));
    Ok(command)
}

/// Answers the first that asks as a weir does whose log is away, and says so.
async fn unavailable() -> anyhow::Result<(SocketAddr, tokio::task::JoinHandle<anyhow::Result<()>>)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    #[expect(clippy::disallowed_methods, reason = "the test waits for its end")]
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await?;
        let mut bytes = Vec::new();
        while !bytes.ends_with(DATA.as_bytes()) {
            ensure!(socket.read_buf(&mut bytes).await? > 0, "the request broke off");
        }
        let body = r#"{"status":503,"code":"log_unavailable","detail":"nothing was published"}"#;
        let head = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-type: application/problem+json";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Ok(socket.write_all(answer.as_bytes()).await?)
    });
    Ok((address, task))
}

async fn publishes_once(words: &[&str]) -> anyhow::Result<()> {
    says_what_it_wants(program(words)?).await?;
    says_why_it_waits(program(words)?).await?;
    let secret = Secret::new();
    let token = secret.token("a program", &["*"], &["room/*"]);
    // As it may come out of a file.
    let told = format!("{}\n{}\r\n", &token[..40], &token[40..]);
    let weir = Instance::start(WEIR, &["--jwt-secret-file", secret.flag()]).await?;
    let proxy = Proxy::start(weir.public()).await?;
    proxy.point_at(None);

    let mut command = program(words)?;
    command.env("WEIR_URL", format!("http://{}", proxy.addr())).env("WEIR_TOKEN", &told);
    let mut refused = program(words)?;
    refused.env("WEIR_URL", format!("http://{}", weir.public())).env("WEIR_TOKEN", &told);
    command.args([SESSION, DATA, "guild.joined"]);
    let mut running = Program::start(command, Output::Stdout)?;
    // A compiler may come first.
    eventually(DEADLINE * 6, async || {
        ensure!(proxy.accepted() > 0, "it did not ask: {}", running.tail());
        Ok(())
    })
    .await?;
    let (away, answered) = unavailable().await?;
    proxy.point_at(Some(away));
    tokio::time::timeout(DEADLINE, answered).await.context("it did not ask again")???;
    // This answer is not the one that gets lost.
    eventually(DEADLINE, async || {
        ensure!(proxy.passed(Way::ToClient) > 0, "the 503 is still on its way");
        Ok(())
    })
    .await?;
    proxy.set(Way::ToClient, Flow::Swallow);
    proxy.point_at(Some(weir.public()));
    weir_testkit::expect::has_read(&weir, 1).await?;
    proxy.close_all(Close::Reset);
    proxy.heal();
    ensure!(running.wait_exit(DEADLINE * 2).await?.success(), "{}", running.tail());

    let poll = weir.client().events(SESSION).query("lastEventId", "earliest").query("wait", "0");
    let answer = poll.bearer(&token).send().await?.json()?;
    let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [event] = events else { anyhow::bail!("not one event: {answer}") };
    ensure!(event["data"] == DATA && event["type"] == "guild.joined", "{event}");
    ensure!(running.lines() == [event["id"].as_str().unwrap_or_default()], "{}: {event}", running.tail());
    let duplicates = weir.metrics().await?.value("weir_publishes_total", &[("result", "duplicate")]);
    ensure!(duplicates == Some(1.0), "the answer was not lost: {duplicates:?}");

    is_refused(refused).await
}

async fn says_what_it_wants(command: Command) -> anyhow::Result<()> {
    let mut running = Program::start(command, Output::Stderr)?;
    let ended = running.wait_exit(DEADLINE * 6).await?;
    let said = running.lines();
    ensure!(!ended.success() && said.first().is_some_and(|line| line.starts_with("usage: ")), "{said:?}");
    Ok(())
}

/// While nobody is there somebody may sit before it, who would see nothing for four minutes.
async fn says_why_it_waits(mut command: Command) -> anyhow::Result<()> {
    command
        .env("WEIR_URL", format!("http://{}", weir_testkit::loopback::own_address()?))
        .args([SESSION, DATA]);
    command.process_group(0);
    let running = Program::start(command, Output::Stderr)?;
    let told = eventually(DEADLINE * 6, async || {
        let said = running.lines().join("\n");
        ensure!(said.contains("not published yet: ") || said.contains("curl: (7) "), "{said}");
        Ok(())
    })
    .await;
    // What it started itself, as a shell does curl, would go on.
    running.signal_group(Signal::KILL)?;
    told
}

/// What is refused is not asked for again, and said in the words of weir: for this very session, which tools that tidy paths
/// would leave out.
async fn is_refused(mut command: Command) -> anyhow::Result<()> {
    command.args(["..", "x"]);
    let mut running = Program::start(command, Output::Stderr)?;
    ensure!(running.wait_exit(DEADLINE * 6).await?.code() == Some(1), "{}", running.tail());
    let said = running.lines().join("\n");
    let problem = said.find('{').map(|begin| &said[begin..=said.rfind('}').unwrap_or(begin)]);
    let problem: Value = serde_json::from_str(problem.with_context(|| said.clone())?)?;
    ensure!(said.contains("not published: ") && problem["code"] == "forbidden", "{said}");
    Ok(())
}

#[tokio::test]
async fn curl_publishes_once() -> anyhow::Result<()> {
    publishes_once(&["bash", "publish.sh"]).await
}

#[tokio::test]
async fn python_publishes_once() -> anyhow::Result<()> {
    publishes_once(&["python3", "publish.py"]).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn go_publishes_once() -> anyhow::Result<()> {
    publishes_once(&["go", "run", "publish.go"]).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn php_publishes_once() -> anyhow::Result<()> {
    publishes_once(&["php", "publish.php"]).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn java_publishes_once() -> anyhow::Result<()> {
    publishes_once(&["java", "Publish.java"]).await
}

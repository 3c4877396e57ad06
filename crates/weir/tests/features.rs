//! `docs/features.md` does what it says: what stands in it is run, in the order in which it stands there, in a shell and in a page in
//! Chromium, and shows what it says that it shows.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use weir_testkit::browser::{Browser, Kind, Tab};
use weir_testkit::{DEADLINE, Instance, eventually, page};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const PAGE: &str = "docs/features.md";

/// Conflation holds back what is not due.
const SHOWN: Duration = Duration::from_secs(20);

/// What the document has an application do.
const SHOW: &str = "window.shown = []; const show = (text) => window.shown.push(text);
    const live = (weir) => new Promise((resolve) => weir.on('status', ({ state }) => { if (state === 'live') resolve() }));";

/// The page does nothing but wait for an event.
const BUSY: &str = "const call = new XMLHttpRequest();
    call.open('GET', '/v1/sessions/enough/events?wait=50', false); call.send()";

/// The parts of a section that can be run, with their language.
fn parts(title: &str) -> Vec<(String, String)> {
    let text = page::read(PAGE);
    let section = text.split("\n## ").find(|part| part.lines().next() == Some(title));
    let blocks = section.unwrap_or_else(|| panic!("{PAGE} has no {title}")).split("\n```").skip(1).step_by(2);
    let parts = blocks.filter_map(|block| block.split_once('\n'));
    parts.map(|(language, text)| (language.to_owned(), text.to_owned())).collect()
}

/// In a page: until it is connected.
async fn in_page(tab: &Tab, script: &str) -> anyhow::Result<()> {
    let import = "import { Weir } from '/client.js'";
    ensure!(script.starts_with(import), "it says where the client is: {script}");
    let script = script.replace(import, "const { Weir } = await import('/client.js')");
    tab.run(&format!("{SHOW}{script}\nwindow.weir = weir; await live(weir)")).await.map(drop)
}

/// In a shell, as at the address of this instance.
fn in_shell(weir: &Instance, script: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let script = script.replace("127.0.0.1:8080", &weir.public().to_string());
    ensure!(!script.contains(":8080"), "{script}");
    let mut shell = Command::new("bash");
    shell
        .current_dir(folder.path())
        .args(["-euc", &script.replace("curl ", "curl -sS --fail-with-body --max-time 10 ")]);
    let ran = shell.output()?;
    ensure!(ran.status.success(), "{ran:?}");
    Ok(())
}

async fn shows(tab: &Tab, shown: &str) -> anyhow::Result<()> {
    let lines: Vec<_> = shown.lines().collect();
    let script = "return window.shown.length >= given.length";
    let end = tokio::time::Instant::now() + SHOWN;
    while tab.run_with(script, json!(lines)).await? != json!(true) {
        ensure!(tokio::time::Instant::now() < end, "never: {lines:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(tab.run("return window.shown").await?, json!(lines));
    Ok(())
}

/// A page of weir's own origin, whose policy lets the client in.
async fn start() -> anyhow::Result<(Instance, Browser, Tab)> {
    let weir = Instance::start(WEIR, &[]).await?;
    let browser = Browser::start(Kind::Chromium).await?;
    let tab = browser.open(format!("http://{}/", weir.public())).await?;
    Ok((weir, browser, tab))
}

async fn as_it_says(title: &str) -> anyhow::Result<(Instance, Browser, Tab)> {
    let (weir, browser, tab) = start().await?;
    let parts = parts(title);
    assert_eq!(parts.len(), 3, "{title}: {parts:?}");
    for (language, text) in parts {
        match language.as_str() {
            "js" => in_page(&tab, &text).await?,
            "sh" => in_shell(&weir, &text)?,
            "shown" => shows(&tab, &text).await?,
            other => anyhow::bail!("{other}: {text}"),
        }
    }
    assert_eq!(tab.complaints().await?, Vec::<String>::new());
    Ok((weir, browser, tab))
}

#[tokio::test]
async fn keys() -> anyhow::Result<()> {
    as_it_says("Keys").await.map(drop)
}

#[tokio::test]
async fn types() -> anyhow::Result<()> {
    as_it_says("Types").await.map(drop)
}

#[tokio::test]
async fn conflation() -> anyhow::Result<()> {
    as_it_says("Conflation").await.map(drop)
}

#[tokio::test]
async fn snapshots() -> anyhow::Result<()> {
    let (weir, _browser, tab) = as_it_says("Snapshots").await?;
    // And then what comes next.
    weir.client().publish("match", "2 : 1").await?;
    shows(&tab, "1 : 1\n2 : 1").await
}

/// All as it comes, and the newest of each key where the page is busy.
#[tokio::test]
async fn the_newest_of_each_key() -> anyhow::Result<()> {
    let (weir, _browser, tab) = as_it_says("The newest of each key, when it is too much").await?;
    let filler = " ".repeat(130_000);
    for _ in 0..5 {
        tab.run("window.shown.length = 0").await?;
        let client = weir.client();
        let busy = tab.run(BUSY);
        let burst = async {
            eventually(DEADLINE, async || {
                let waiting = weir.metrics().await?.sum("weir_clients", &[("transport", "long-poll")]);
                ensure!(waiting == 1.0, "the page is not busy");
                Ok(())
            })
            .await?;
            for nth in 0..60 {
                let name = ["ACME", "OMNI"][nth % 2];
                let body = format!("{name} {nth}{filler}");
                client.event("prices").query("key", name).body(body).send().await?.event_id()?;
            }
            client.publish("enough", "").await
        };
        let (busy, burst) = tokio::join!(busy, burst);
        busy?;
        burst?;
        tab.until("return window.shown.includes('ACME 58') && window.shown.includes('OMNI 59')").await?;
        let shown = tab.run("return window.shown").await?;
        let shown = shown.as_array().context("what was shown")?;
        assert_eq!(shown.last(), Some(&json!("OMNI 59")));
        if shown.len() < 60 {
            return Ok(());
        }
    }
    anyhow::bail!("the page was never too slow")
}

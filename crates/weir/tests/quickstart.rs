//! `docs/quickstart.md` as a newcomer carries it out: every command and every page of it, in its order.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use weir_testkit::browser::{Browser, Kind, Tab};
use weir_testkit::loopback::own_address;
use weir_testkit::page::{fenced, quoted, read};
use weir_testkit::{Client, DEADLINE, Shell, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What the page shows, one entry for each event.
const SHOWN: &str = "return [...document.querySelectorAll('#events li')].map((entry) => entry.textContent)";

/// What is built stands already: whoever builds is only asked whether that is what the page says.
const CARGO: &str = "#!/bin/sh\n[ \"$*\" = 'build --locked -p weir' ] || { echo \"not what builds weir: $*\" >&2; exit 1; }\n";

/// A newcomer: a clone beside which everything happens, and a place in the page.
struct Newcomer {
    shell: Shell,
    folder: TempDir,
    blocks: std::vec::IntoIter<(String, String)>,
    weir: SocketAddr,
    pages: SocketAddr,
}

impl Newcomer {
    fn begin() -> anyhow::Result<Self> {
        let (folder, weir, pages) = (tempfile::tempdir()?, own_address()?, own_address()?);
        let (clone, tools) = (folder.path().join("clone"), folder.path().join("tools"));
        fs::create_dir_all(clone.join("target/debug"))?;
        symlink(WEIR, clone.join("target/debug/weir"))?;
        fs::create_dir(&tools)?;
        fs::write(tools.join("cargo"), CARGO)?;
        fs::set_permissions(tools.join("cargo"), fs::Permissions::from_mode(0o755))?;
        // The page has ports that everybody has, and these are this test's own.
        let (at, admin) = (weir.to_string(), "127.0.0.1:0");
        let settings = [("WEIR_LISTEN", &*at), ("WEIR_ADMIN_LISTEN", admin)];
        let shell = Shell::start(&clone, &tools, &settings)?;
        let own = |text: &str| {
            let served = format!("http.server {} --bind {}", pages.port(), pages.ip());
            let text = text.replace("127.0.0.1:8080", &at).replace("127.0.0.1:8000", &pages.to_string());
            text.replace("http.server 8000 --bind 127.0.0.1", &served)
        };
        let page = read("docs/quickstart.md");
        let blocks = fenced(&page).into_iter().map(|(language, text)| (language.to_owned(), own(text)));
        let blocks: Vec<_> = blocks.collect();
        Ok(Self { shell, folder, blocks: blocks.into_iter(), weir, pages })
    }

    fn next(&mut self, language: &str) -> anyhow::Result<String> {
        let (is, text) = self.blocks.next().context("the page has no more")?;
        ensure!(is == language, "{is} where {language} was expected: {text}");
        Ok(text)
    }

    /// Carries out the next commands, which have to hold this, and gives what they print.
    async fn does(&mut self, what: &str) -> anyhow::Result<String> {
        let commands = self.next("sh")?;
        ensure!(commands.contains(what), "{what} was expected: {commands}");
        self.shell.run(&commands, DEADLINE).await
    }

    /// The same, after which weir answers before anybody can have read on.
    async fn serves(&mut self) -> anyhow::Result<()> {
        self.does("weir serve").await?;
        let client = Client::new(self.weir);
        let ready = eventually(DEADLINE, async || {
            let answer = client.get("/readyz").send().await?;
            ensure!(answer.status() == 200, "{answer:?}");
            Ok(())
        });
        ready.await.with_context(|| self.shell.complaints())
    }

    /// The same, after which it is gone.
    async fn kills(&mut self) -> anyhow::Result<()> {
        self.does("kill -9 $weir").await?;
        let gone = async || match TcpStream::connect(self.weir).await {
            Ok(_) => bail!("weir still listens"),
            Err(_) => Ok(()),
        };
        eventually(DEADLINE, gone).await
    }

    /// Saves the next page under the name that the document gives it.
    fn saves(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(quoted(&read("docs/quickstart.md")).any(|text| text == name), "nobody is told of {name}");
        let page = self.next("html")?;
        Ok(fs::write(self.beside().join(name), page)?)
    }

    /// Where it is saved.
    fn beside(&self) -> PathBuf {
        self.folder.path().join("weir-quickstart")
    }

    async fn opens(&self, browser: &Browser, address: &str) -> anyhow::Result<Tab> {
        let told = format!("<http://{address}>");
        ensure!(read("docs/quickstart.md").contains(&told), "nobody is told to open {told}");
        let (at, path) = match address.strip_prefix("127.0.0.1:8080") {
            Some(path) => (self.weir, path),
            None => (self.pages, address.strip_prefix("127.0.0.1:8000").context("one of both servers")?),
        };
        eventually(DEADLINE, async || Ok(TcpStream::connect(at).await?)).await?;
        browser.open(format!("http://{at}{path}")).await
    }
}

/// Waits until the page shows these events, and nothing else.
async fn shows(tab: &Tab, events: &[&str]) -> anyhow::Result<()> {
    let count = format!("return document.querySelectorAll('#events li').length >= {}", events.len());
    tab.until(&count).await?;
    let shown = tab.run(SHOWN).await?;
    ensure!(shown == json!(events), "{shown} rather than {events:?}");
    Ok(())
}

async fn says(tab: &Tab, state: &str) -> anyhow::Result<()> {
    tab.until(&format!("return document.querySelector('#state').textContent === '{state}'")).await.map(drop)
}

/// What the document shows of an answer: its form, since the numbers are others each time.
fn form(answer: &str) -> String {
    let mut form = answer.trim().replace(|character: char| character.is_ascii_digit(), "0");
    while form.contains("00") {
        form = form.replace("00", "0");
    }
    form
}

#[tokio::test]
async fn a_newcomer_sees_events_live_and_loses_none_to_a_broker_that_is_killed() -> anyhow::Result<()> {
    let mut newcomer = Newcomer::begin()?;
    let browser = Browser::start(Kind::Chromium).await?;
    newcomer.does("cargo build").await?;
    newcomer.serves().await?;
    let answer = newcomer.does("first").await?;
    let told = newcomer.next("json")?;
    ensure!(form(&answer) == form(&told), "{answer} rather than {told}");

    let demo = newcomer.opens(&browser, "127.0.0.1:8080/").await?;
    demo.until("return document.querySelector('h1').textContent.includes('weir')").await?;
    demo.close().await?;

    newcomer.saves("index.html")?;
    newcomer.does("http.server").await?;
    let tab = newcomer.opens(&browser, "127.0.0.1:8000/").await?;
    says(&tab, "live").await?;
    shows(&tab, &["first"]).await?;
    newcomer.does("second").await?;
    shows(&tab, &["first", "second", "third"]).await?;

    newcomer.kills().await?;
    says(&tab, "connecting").await?;
    newcomer.serves().await?;
    newcomer.does("fourth").await?;
    shows(&tab, &["first", "second", "third", "fourth"]).await?;
    says(&tab, "live").await?;
    tab.reload().await?;
    shows(&tab, &["first", "second", "third", "fourth"]).await?;

    newcomer.saves("plain.html")?;
    let plain = newcomer.opens(&browser, "127.0.0.1:8000/plain.html").await?;
    shows(&plain, &["first", "second", "third", "fourth"]).await?;
    newcomer.kills().await?;
    newcomer.serves().await?;
    newcomer.does("fifth").await?;
    shows(&plain, &["first", "second", "third", "fourth", "fifth"]).await?;

    newcomer.does("rm -r").await?;
    ensure!(!newcomer.beside().exists(), "something is left");
    ensure!(newcomer.blocks.next().is_none(), "the page goes on");
    Ok(())
}

/// Commands in running text would not be carried out.
#[test]
fn commands_stand_in_blocks() {
    let page = read("docs/quickstart.md");
    let prose: Vec<_> = page.split("\n```").step_by(2).collect();
    let prose = prose.join("\n");
    let commands: Vec<_> =
        quoted(&prose).filter(|text| text.starts_with("weir ") || text.starts_with("curl ")).collect();
    assert!(commands.is_empty(), "{commands:?}");
}

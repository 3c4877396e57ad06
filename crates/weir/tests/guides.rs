//! `docs/guides`: every command is carried out and prints what the page says, every script runs in Chromium, and every test that
//! is named is there; so is whatever any document links to, and no document shows a secret around.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use weir_testkit::loopback::own_address;
use weir_testkit::page::{fenced, names_a_test, quoted, read, root, rows};
use weir_testkit::redis::RedisServer;
use weir_testkit::{Client, DEADLINE, Shell, eventually};

#[path = "guides/auth.rs"]
mod auth;
#[path = "guides/links.rs"]
mod links;
#[path = "guides/scripts.rs"]
mod scripts;
#[path = "guides/secrets.rs"]
mod secrets;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long the commands of one block may take on a busy machine.
const BLOCK: Duration = Duration::from_secs(40);

/// The names of all guides.
fn names() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("docs/guides")).expect("a folder of guides");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name in UTF-8"));
    names
        .filter_map(|name| Some(name.strip_suffix(".md")?.to_owned()))
        .filter(|name| name != "README")
        .collect()
}

/// The blocks of a guide, each with its language.
fn blocks(guide: &str) -> Vec<(String, String)> {
    let page = read(&format!("docs/guides/{guide}.md"));
    fenced(&page).into_iter().map(|(language, text)| (language.to_owned(), text.to_owned())).collect()
}

/// Somebody who carries out a guide, at addresses that are this test's own instead of those that everybody has.
struct Reader {
    shell: Shell,
    folder: TempDir,
    own: Vec<(&'static str, String)>,
    weir: SocketAddr,
    pages: SocketAddr,
    _redis: RedisServer,
}

impl Reader {
    async fn begin() -> anyhow::Result<Self> {
        let (weir, admin, pages) = (own_address()?, own_address()?, own_address()?);
        let (folder, redis) = (tempfile::tempdir()?, RedisServer::start().await);
        let tools = Path::new(WEIR).parent().context("a folder")?;
        let (at, url) = (weir.to_string(), format!("http://{weir}"));
        let settings = [
            ("WEIR_LISTEN", at.clone()),
            ("WEIR_ADMIN_LISTEN", admin.to_string()),
            ("WEIR_URL", url),
            ("HOST", pages.ip().to_string()),
            ("PORT", pages.port().to_string()),
        ];
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
        let shell = Shell::start(folder.path(), tools, &settings)?;
        let own = vec![
            ("127.0.0.1:8080", at),
            ("127.0.0.1:8081", admin.to_string()),
            ("127.0.0.1:8000", pages.to_string()),
            ("redis://127.0.0.1:6379", redis.url()),
            ("redis-cli ", format!("redis-cli -p {} ", redis.port())),
        ];
        Ok(Self { shell, folder, own, weir, pages, _redis: redis })
    }

    fn adapt(&self, text: &str) -> String {
        self.own.iter().fold(text.to_owned(), |text, (everybody, own)| text.replace(everybody, own))
    }

    /// What these commands print. Whoever reads on does so when weir answers.
    async fn does(&mut self, commands: &str) -> anyhow::Result<String> {
        let printed = self.shell.run(&self.adapt(commands), BLOCK).await?;
        if commands.contains("weir serve") {
            self.ready().await.with_context(|| self.shell.complaints())?;
        }
        Ok(printed)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        eventually(DEADLINE, async || {
            let answer = Client::new(self.weir).get("/readyz").send().await?;
            ensure!(answer.status() == 200, "{answer:?}");
            Ok(())
        })
        .await
    }

    /// Carries out all commands of a guide, and holds what they print against what it shows.
    async fn follows(&mut self, guide: &str) -> anyhow::Result<usize> {
        let (mut printed, mut done) = (None, 0);
        for (language, text) in blocks(guide) {
            match language.as_str() {
                "sh" => {
                    printed = Some(self.does(&text).await.with_context(|| guide.to_owned())?);
                    done += 1;
                }
                "text" => {
                    let printed = printed.take().with_context(|| format!("nothing prints {text}"))?;
                    ensure!(form(&printed) == form(&text), "{guide}: {printed:?} rather than {text:?}");
                }
                _ => {}
            }
        }
        Ok(done)
    }
}

/// A text with every number the same, since ids and times are others each time.
fn form(text: &str) -> String {
    let mut form = String::new();
    for character in text.trim().chars() {
        let character = if character.is_ascii_digit() { '0' } else { character };
        if !(character == '0' && form.ends_with('0')) {
            form.push(character);
        }
    }
    form
}

/// What a guide is allowed to be made of, so that nothing in it goes without a test.
#[test]
fn every_block_is_carried_out_by_some_test() {
    for guide in names() {
        for (language, text) in blocks(&guide) {
            let is_run = match language.as_str() {
                "sh" => COMMANDS.contains(&&*guide),
                "text" => true,
                "js" | "html" => scripts::GUIDES.contains(&&*guide) || guide == auth::GUIDE,
                _ => false,
            };
            assert!(is_run, "{guide}: nobody runs this {language}: {text}");
        }
    }
}

/// Guides with commands, each of which has a test below or is the one on tokens.
const COMMANDS: [&str; 6] = [
    "overflow",
    "resume-and-gaps",
    "moving-from-polling",
    "moving-from-redis-pubsub",
    "moving-from-mercure",
    auth::GUIDE,
];

macro_rules! commands {
    ($($test:ident: $guide:literal),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                ensure!(COMMANDS.contains(&$guide));
                let done = Reader::begin().await?.follows($guide).await?;
                ensure!(done > 0, "there was nothing to do");
                Ok(())
            }
        )*
    };
}

commands! {
    an_overflow_with_each_policy_is_as_the_guide_shows_it: "overflow",
    a_resume_and_a_gap_are_as_the_guide_shows_them: "resume-and-gaps",
    the_way_from_polling_can_be_gone: "moving-from-polling",
    the_way_from_redis_can_be_gone: "moving-from-redis-pubsub",
    the_way_from_mercure_can_be_gone: "moving-from-mercure",
}

#[test]
fn the_index_names_every_guide() {
    let index = read("docs/guides/README.md");
    for guide in names() {
        assert!(index.contains(&format!("]({guide}.md)")), "{guide} is not in the index");
    }
}

/// Each guarantee names the tests that hold it.
#[test]
fn every_guarantee_has_tests_that_are_there() {
    let page = read("docs/guides/delivery-guarantees.md");
    let mut missing = Vec::new();
    for cells in rows(&page).iter().filter(|cells| cells.len() == 4) {
        let tests: Vec<_> = quoted(cells[3]).collect();
        assert!(!tests.is_empty(), "no test: {}", cells[0]);
        missing.extend(tests.into_iter().filter_map(|test| names_a_test(test).err()));
    }
    assert!(missing.is_empty(), "{missing:?}");
    assert!(rows(&page).len() >= 10, "the table is not read");
}

//! `make demo`, run as somebody runs it who has a terminal.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use weir_testkit::page::root;
use weir_testkit::{Output, Program, Prometheus, Signal, eventually};

/// How long it may take until all is up, with what is still to be built.
const UP: Duration = Duration::from_secs(600);

/// How long it may take until nothing is left.
const ENDED: Duration = Duration::from_secs(20);

/// What runs, and where it is.
pub(crate) struct Demo {
    terminal: Terminal,
    facts: Value,
    pub(crate) prometheus: Prometheus,
}

/// All processes of it; they end as by Ctrl-C when this is dropped.
struct Terminal {
    make: Program,
    dir: PathBuf,
    _parent: TempDir,
}

impl Demo {
    /// Starts it with these flags, and waits until it says that all is there.
    pub(crate) async fn start(flags: &str) -> anyhow::Result<Self> {
        let parent = tempfile::tempdir()?;
        let dir = parent.path().join("demo");
        let mut command = Command::new("make");
        // A group of its own, as a shell gives it: what a terminal says, all of it hears.
        command.args(["-s", "demo"]).current_dir(root()).process_group(0);
        // What cargo says to a test would have it build all dependencies anew that look at it.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
                command.env_remove(name);
            }
        }
        command.arg(format!("DEMO=--dir {} {flags}", dir.display()));
        let make = Program::start(command, Output::Stdout)?;
        let mut terminal = Terminal { make, dir, _parent: parent };
        let facts = eventually(UP, async || {
            // An end is an answer too.
            let ended = terminal.make.try_exit()?.is_some();
            fs::read_to_string(terminal.dir.join("demo.json"))
                .map(Some)
                .or(ended.then_some(None).context("it is not up"))
        });
        let facts = facts.await?.with_context(|| format!("it ended: {}", terminal.make.tail()))?;
        let facts: Value = serde_json::from_str(&facts)?;
        let address = facts["prometheus"].as_str().and_then(|url| url.strip_prefix("http://"));
        let prometheus = Prometheus::at(address.context("an address")?.parse()?);
        Ok(Self { terminal, facts, prometheus })
    }

    /// Tells it what to do, as from another terminal, and gives what it says.
    pub(crate) async fn order(&self, order: &str) -> anyhow::Result<String> {
        let mut command = Command::new(weir().with_file_name("weir-demo"));
        command.arg("--dir").arg(&self.terminal.dir).args(order.split(' '));
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{order}: {said}{}", String::from_utf8_lossy(&output.stderr));
        Ok(said)
    }

    /// Where something is, by its name in `demo.json`.
    pub(crate) fn url(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.facts))
    }

    /// The admin listener of an instance, by its number from 1 on.
    pub(crate) fn admin(&self, number: usize) -> &str {
        self.facts["instances"][number - 1]["admin"].as_str().expect("an instance has an admin listener")
    }

    /// What it printed so far.
    pub(crate) fn said(&self) -> String {
        self.terminal.make.lines().join("\n")
    }

    /// Ctrl-C. Nothing is left of it then, neither a process nor a file.
    pub(crate) async fn interrupt(mut self) -> anyhow::Result<()> {
        let group = self.terminal.make.pid();
        ensure!(members(group)?.len() > 7, "all of it is one group");
        self.terminal.make.signal_group(Signal::INT)?;
        self.terminal.make.wait_exit(ENDED).await?;
        let left = members(group)?;
        ensure!(left.is_empty(), "processes are left: {left:?}");
        ensure!(!self.terminal.dir.exists(), "its files are left");
        ensure!(self.said().contains("it has ended"), "it says so: {}", self.said());
        Ok(())
    }
}

#[tokio::test]
#[ignore = "make deploy-test"]
async fn no_process_survives_a_demo_that_is_killed() -> anyhow::Result<()> {
    let demo = Demo::start("--clients 20").await?;
    let group = demo.terminal.make.pid();
    let running = members(group)?;
    let own = running.iter().find(|(_, name)| name == "weir-demo").context("the demo itself")?.0;
    ensure!(running.len() > 7, "all of it is one group: {running:?}");
    kill_process(Pid::from_raw(own).context("a process id")?, Signal::KILL)?;
    eventually(ENDED, async || {
        let left = members(group)?;
        ensure!(left.is_empty(), "processes are left: {left:?}");
        Ok(())
    })
    .await?;
    // Files are: whoever was killed removes none. The next start does.
    fs::remove_dir_all(&demo.terminal.dir).context("its directory")
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where it was interrupted, nobody is left to hear this. What ends the group ends a test that failed, too.
        let _ = self.make.signal_group(Signal::INT);
        let end = Instant::now() + ENDED;
        while self.dir.exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.make.signal_group(Signal::KILL);
    }
}

/// The binary under test, beside which `make demo` puts its own.
pub(crate) fn weir() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_weir"))
}

/// The processes of a group by id, with their names; zombies are gone.
fn members(group: u32) -> anyhow::Result<Vec<(i32, String)>> {
    let processes = fs::read_dir("/proc")?.filter_map(Result::ok);
    let stats = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    Ok(stats.filter_map(|stat| member(&stat, group)).collect())
}

/// Of `pid (name) state parent group ...`, where the name may hold anything.
fn member(stat: &str, group: u32) -> Option<(i32, String)> {
    let (named, rest) = stat.rsplit_once(')')?;
    let (pid, name) = named.split_once(" (")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let is_own = fields[0] != "Z" && fields[2] == group.to_string();
    is_own.then_some((pid.parse().ok()?, name.to_owned()))
}

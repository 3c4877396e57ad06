//! Runs the suite, which is a package for Node.js.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;
use weir_testkit::program::installed;
use weir_testkit::{Output, Program};

use crate::killer::Killer;
use crate::outcome::Outcome;

/// Longest wait of a long-poll, here and in the servers: the suite waits for many.
pub(crate) const LONG_POLL_MS: u64 = 500;

/// How long one run may take; half a minute is usual.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often a test is tried whose connections are broken.
const RETRIES: u32 = 5;

const FILES: [(&str, &str); 3] = [
    ("suite.test.mjs", include_str!("suite.test.mjs")),
    ("vitest.config.mjs", include_str!("vitest.config.mjs")),
    ("connections.mjs", include_str!("connections.mjs")),
];

/// The suite, as `.ci/setup conformance` installed it.
#[derive(Debug)]
pub(crate) struct Suite {
    modules: PathBuf,
}

impl Suite {
    pub(crate) fn installed() -> anyhow::Result<Self> {
        Ok(Self { modules: installed("node_modules") })
    }

    /// Its package with its version.
    pub(crate) fn name(&self) -> anyhow::Result<String> {
        let file = self.modules.join("@durable-streams/server-conformance-tests/package.json");
        let package: Value = serde_json::from_slice(&fs::read(file)?)?;
        let text = |name: &str| package[name].as_str().context("a package has a name and a version");
        Ok(format!("{} {}", text("name")?, text("version")?))
    }

    /// Runs it against the server at `url`, whose instances `killer` may end meanwhile.
    pub(crate) async fn run(&self, url: &str, killer: Option<Arc<Killer>>) -> anyhow::Result<Outcome> {
        // Modules are looked for beside the file that names them.
        let beside = self.modules.parent().context("modules are in a directory")?;
        let dir = tempfile::Builder::new().prefix("conformance-").tempdir_in(beside)?;
        for (name, text) in FILES {
            fs::write(dir.path().join(name), text)?;
        }
        let begun = Instant::now();
        let mut vitest = Program::start(self.command(&dir, url, killer.is_some()), Output::Stdout)?;
        let broken = async {
            match &killer {
                Some(killer) => killer.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Its status tells less than its report.
            ended = vitest.wait_exit(PATIENCE) => { ended.context("the suite hangs")?; }
            error = broken => return Err(error),
        }
        let report = read(&report_of(dir.path())).with_context(|| format!("no report; {}", vitest.tail()))?;
        let mut outcome = Outcome::of(&serde_json::from_str(&report)?)?;
        outcome.seconds = begun.elapsed().as_secs_f64();
        if let Some(killer) = killer {
            outcome.excuse(&read(&tries_of(dir.path()))?, killer.kills().await)?;
        }
        Ok(outcome)
    }

    fn command(&self, dir: &TempDir, url: &str, breaks: bool) -> Command {
        let mut command = Command::new("node");
        command.arg(self.modules.join("vitest/vitest.mjs")).args(["run", "--root"]).arg(dir.path());
        command.env("CONFORMANCE_URL", url);
        command.env("CONFORMANCE_LONG_POLL_MS", LONG_POLL_MS.to_string());
        command.env("CONFORMANCE_RETRIES", if breaks { RETRIES } else { 0 }.to_string());
        command.env("CONFORMANCE_REPORT", report_of(dir.path()));
        command.env("CONFORMANCE_TRIES", tries_of(dir.path()));
        command
    }
}

fn report_of(dir: &Path) -> PathBuf {
    dir.join("report.json")
}

fn tries_of(dir: &Path) -> PathBuf {
    dir.join("tries.jsonl")
}

fn read(file: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) => bail!("{}: {error}", file.display()),
    }
}

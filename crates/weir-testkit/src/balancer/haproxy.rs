//! HAProxy.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Draft, Facts};
use crate::deadline::{DEADLINE, within};

/// In the foreground.
pub(super) fn start(file: &Path, command: &mut Command) {
    command.arg("-db").arg("-f").arg(file);
}

/// The shipped one where the test wants it, and open to what [`ask`] asks.
pub(super) fn fill(draft: &mut Draft, facts: &Facts<'_>) -> anyhow::Result<()> {
    draft.change("bind :80\n", &format!("bind {}\n", facts.listen))?;
    let socket = socket(facts.dir);
    draft.change("\nglobal\n", &format!("\nglobal\n    stats socket {} level admin\n", socket.display()))
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("runtime")
}

/// What it answers to a command of its runtime API.
pub(super) async fn ask(dir: &Path, command: &str) -> anyhow::Result<String> {
    within(DEADLINE, format!("ask HAProxy: {command}"), async {
        let mut socket = UnixStream::connect(socket(dir)).await.context("connect to the runtime API")?;
        socket.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    })
    .await
}

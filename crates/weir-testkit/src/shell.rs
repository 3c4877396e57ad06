//! A shell that carries out what a page says, block by block.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use crate::deadline::within;
use crate::program::without_settings;

/// What stands behind the output of each block.
const END: u8 = 0x1e;

/// How much of what was complained about is shown in an error.
const TAIL: usize = 2_000;

/// A `bash` that ends at the first command that fails, as who follows a page would. When it is dropped, whatever it started is
/// ended with it.
#[derive(Debug)]
pub struct Shell {
    process: Child,
    input: ChildStdin,
    outputs: mpsc::Receiver<Vec<u8>>,
    complaints: NamedTempFile,
}

impl Shell {
    /// Starts one in a folder, with these variables beside those of the test, which finds the programs of `tools` first.
    ///
    /// # Errors
    /// There is no `bash`.
    pub fn start(folder: &Path, tools: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths(std::iter::once(tools.to_owned()).chain(std::env::split_paths(&path)))?;
        let complaints = NamedTempFile::new()?;
        let mut command = Command::new("bash");
        without_settings(&mut command).args(["--norc", "--noprofile"]).current_dir(folder);
        command.env("PATH", path).envs(variables.iter().copied()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints.reopen()?);
        let mut process = command.spawn().context("start bash")?;
        let input = process.stdin.take().context("its input")?;
        let output = process.stdout.take().context("its output")?;
        let (told, outputs) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut block = Vec::new();
            while output.read_until(END, &mut block).is_ok() && block.pop() == Some(END) {
                if told.blocking_send(std::mem::take(&mut block)).is_err() {
                    return;
                }
            }
        });
        let mut this = Self { process, input, outputs, complaints };
        // The end of its input is the end of all that it started, also where the test was killed.
        writeln!(this.input, "set -euo pipefail; trap 'kill -KILL 0' EXIT")?;
        Ok(this)
    }

    /// Carries out a block, and gives what it printed. What it leaves running goes on.
    ///
    /// # Errors
    /// A command fails, or all of them take longer than `limit`; the error shows what was complained about last.
    pub async fn run(&mut self, block: &str, limit: Duration) -> anyhow::Result<String> {
        writeln!(self.input, "{block}\nprintf '\\036'").context("the shell has ended")?;
        let output = within(limit, "the commands", async {
            self.outputs.recv().await.context("a command failed, and the shell ended")
        });
        let output = output.await.with_context(|| format!("{block}\n{}", self.complaints()))?;
        Ok(String::from_utf8(output)?)
    }

    /// The end of what it and its programs wrote to their standard error.
    pub fn complaints(&self) -> String {
        let text = std::fs::read(self.complaints.path()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL)..]).into_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Neither can fail in a way that matters: they are gone already, or are gone after this.
        let group = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::DEADLINE;

    #[tokio::test]
    async fn blocks_share_what_they_set_and_the_first_failure_ends_them() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut shell = Shell::start(folder.path(), folder.path(), &[("GIVEN", "given")])?;
        assert_eq!(shell.run("sleep 60 & pid=$!\necho $GIVEN", DEADLINE).await?, "given\n");
        assert_eq!(shell.run("kill -9 $pid; printf no-end", DEADLINE).await?, "no-end");
        let failed = shell.run("echo why >&2; false; echo never", DEADLINE).await.unwrap_err();
        assert!(format!("{failed:#}").contains("why"), "{failed:#}");
        Ok(())
    }

    #[tokio::test]
    async fn what_it_started_ends_with_it() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut shell = Shell::start(folder.path(), folder.path(), &[])?;
        let pid = shell.run("sleep 60 & printf $!", DEADLINE).await?;
        drop(shell);
        crate::eventually(DEADLINE, async || {
            // Whoever takes in orphans may not have reaped it yet.
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            anyhow::ensure!(status.is_empty() || status.contains(") Z "), "{status}");
            Ok(())
        })
        .await
    }
}

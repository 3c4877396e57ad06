//! A program that a test runs beside itself.

use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, kill_process, kill_process_group};

use crate::deadline::eventually;
use crate::lines::Lines;

pub use rustix::process::Signal;

/// A running program and one of its outputs, line by line. It is killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    // Declared before the lines, so that the pipe that their thread reads is closed by the time it is joined.
    process: Process,
    lines: Lines,
}

/// Which output is kept; the other goes where the test's own goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// What it answers.
    Stdout,
    /// What it logs.
    Stderr,
}

/// Takes the environment of whoever runs the tests out of a command: it must not configure what they test.
pub fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command
}

/// What `.ci/setup test` installed beside the build, below `foreign` of the target directory.
///
/// # Panics
/// It is not there.
pub fn installed(path: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    let found = test.ancestors().map(|folder| folder.join("foreign").join(path)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("{path} is missing: run .ci/setup test"))
}

impl Program {
    /// Starts `command` without input.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, output: Output) -> anyhow::Result<Self> {
        command.stdin(Stdio::null());
        Self::spawn(command, output).map(|(program, _)| program)
    }

    /// The same with an input, by which it is told what to do.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_told(mut command: Command, output: Output) -> anyhow::Result<(Self, ChildStdin)> {
        command.stdin(Stdio::piped());
        let (program, input) = Self::spawn(command, output)?;
        Ok((program, input.context("its input is piped")?))
    }

    fn spawn(mut command: Command, output: Output) -> anyhow::Result<(Self, Option<ChildStdin>)> {
        match output {
            Output::Stdout => command.stdout(Stdio::piped()),
            Output::Stderr => command.stderr(Stdio::piped()),
        };
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let lines = match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), _) => Lines::drain(stdout),
            (None, stderr) => Lines::drain(stderr.context("an output is piped")?),
        };
        let input = child.stdin.take();
        Ok((Self { process: Process(child), lines }, input))
    }

    /// The lines it wrote so far, the newest of them where they are many.
    pub fn lines(&self) -> Vec<String> {
        self.lines.all()
    }

    /// The newest lines as a text to put into an error.
    pub fn tail(&self) -> String {
        self.lines.tail()
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It is gone already.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.id()?, signal).with_context(|| format!("send {signal:?}"))
    }

    /// Sends a signal to the whole group that it leads, as a terminal does; its command has to have made it one.
    ///
    /// # Errors
    /// There is no such group, or nobody is left in it.
    pub fn signal_group(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process_group(self.id()?, signal).with_context(|| format!("send {signal:?} to the group"))
    }

    fn id(&self) -> anyhow::Result<Pid> {
        i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("process id")
    }

    /// How it ended, once all that it wrote is here; `None` while it runs.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn try_exit(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let status = self.process.0.try_wait()?;
        Ok(status.filter(|_| self.lines.is_complete()))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `limit`; the error shows what it wrote last.
    pub async fn wait_exit(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let exited = eventually(limit, async || self.try_exit()?.context("it still runs")).await;
        exited.with_context(|| self.tail())
    }
}

/// A child that does not outlive the test.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail in a way that matters: the process is gone already, or is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

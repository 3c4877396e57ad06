//! An application of `docs/examples`, started as its README says.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, getpgid};
use weir_testkit::page::root;
use weir_testkit::program::without_settings;
use weir_testkit::{DEADLINE, Output, Program, Signal, eventually};

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// All that `npm start` starts, each part of which would outlive npm. It ends when this is dropped.
pub(crate) struct Application(Program);

impl Application {
    /// `npm start` in its folder, or in a copy of it. The weir in its path is the one that is built; where that listens and what is
    /// written is for `env` to say, since tests run beside each other.
    pub(crate) fn start(folder: &Path, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        ensure!(
            folder.join("node_modules").exists(),
            "{folder:?} has no packages yet: run .ci/setup examples"
        );
        let mut command = Command::new("npm");
        without_settings(&mut command).arg("start").env("npm_config_update_notifier", "false");
        command.current_dir(folder).envs(env.iter().copied());
        Ok(Self::run(command)?.0)
    }

    /// Any command that starts one, and what its user may type.
    pub(crate) fn run(mut command: Command) -> anyhow::Result<(Self, ChildStdin)> {
        command.process_group(0).env("PATH", path()?);
        let (program, orders) = Program::start_told(command, Output::Stdout)?;
        Ok((Self(program), orders))
    }

    /// Waits until it has said this on its standard output, and gives the line.
    pub(crate) async fn says(&mut self, text: &str) -> anyhow::Result<String> {
        let said = eventually(DEADLINE * 3, async || {
            let line = self.0.lines().into_iter().find(|line| line.contains(text));
            match (line, self.0.try_exit()?) {
                (Some(line), _) => Ok(Some(line)),
                (None, Some(_)) => Ok(None),
                (None, None) => bail!("it does not say {text:?}"),
            }
        });
        let line = said.await.with_context(|| self.tail())?;
        line.with_context(|| format!("it ended before it said {text:?}: {}", self.tail()))
    }

    /// The weir that it started.
    pub(crate) fn weir(&self) -> anyhow::Result<Pid> {
        let group = i32::try_from(self.0.pid()).ok().and_then(Pid::from_raw);
        for process in fs::read_dir("/proc")? {
            let process = process?;
            let id = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(id) = id else { continue };
            let command = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            if command.starts_with("weir\0serve\0") && getpgid(Some(id)).ok() == group {
                return Ok(id);
            }
        }
        bail!("it runs no weir: {}", self.tail())
    }

    /// Ends it as Ctrl-C does, and waits until all of it is gone.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.0.signal_group(Signal::INT)?;
        let ended = self.0.wait_exit(DEADLINE * 4).await?;
        ensure!(ended.success(), "{ended}: {}", self.tail());
        let left = eventually(DEADLINE, async || {
            ensure!(self.0.signal_group(Signal::CONT).is_err(), "somebody is left");
            Ok(())
        });
        left.await
    }

    /// What it said last, to put into an error.
    pub(crate) fn tail(&self) -> String {
        self.0.tail()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // It cannot fail in a way that matters: they are gone already, or are gone after this.
        let _ = self.0.signal_group(Signal::KILL);
    }
}

/// The weir that is built comes first, and servers stand where only root has them in the path.
pub(crate) fn path() -> anyhow::Result<OsString> {
    let weir = Path::new(WEIR).parent().context("a folder")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(weir).chain(std::env::split_paths(&path)).chain([PathBuf::from("/usr/sbin")]);
    Ok(std::env::join_paths(all)?)
}

/// Where an example is.
pub(crate) fn folder(example: &str) -> PathBuf {
    root().join("docs/examples").join(example)
}

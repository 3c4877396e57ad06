//! An application of `docs/examples` that needs no packages, started by the command that its README names.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;
use weir_testkit::loopback::own_address;
use weir_testkit::page::read;
use weir_testkit::program::without_settings;
use weir_testkit::{Client, DEADLINE, Output, Program, Signal, eventually};

use crate::application::{WEIR, folder};

/// What an example listens on beside the port of its page.
const PORTS: u16 = 50;

/// No two of one process have ports in common; the address is the process's own.
static NEXT: AtomicU16 = AtomicU16::new(4000);

/// It and all that it started end when this is dropped.
pub(crate) struct Started {
    program: Program,
    orders: Option<ChildStdin>,
    host: String,
    port: u16,
    _data: TempDir,
}

impl Started {
    /// Starts it as its README says, and waits until it says where its page is.
    pub(crate) async fn start(example: &str, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = folder(example);
        let readme = read(&format!("docs/examples/{example}/README.md"));
        let line = readme.split("```\n").nth(1).context("a command in its README")?.trim();
        let (program, argument) = line.split_once(' ').context("a program and its argument")?;
        let (host, data) = (own_address()?.ip().to_string(), tempfile::tempdir()?);
        let port = NEXT.fetch_add(PORTS, Ordering::Relaxed);
        let mut command = Command::new(program);
        without_settings(&mut command).arg(argument).current_dir(folder).process_group(0);
        command.env("PATH", path()?).env("HOST", &host).env("PORT", port.to_string());
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("DATA", data.path());
        command.envs(env.iter().copied());
        let (program, orders) = Program::start_told(command, Output::Stdout)?;
        let mut started = Self { program, orders: Some(orders), host, port, _data: data };
        started.says(" at http://").await?;
        Ok(started)
    }

    /// The origin of its page.
    pub(crate) fn page(&self) -> String {
        format!("http://{}", self.at(0))
    }

    /// The address of what listens so many ports behind the page.
    pub(crate) fn at(&self, behind: u16) -> String {
        format!("{}:{}", self.host, self.port + behind)
    }

    pub(crate) fn client(&self, behind: u16) -> anyhow::Result<Client> {
        Ok(Client::new(self.at(behind).parse()?))
    }

    /// Waits until it has said this on its standard output.
    pub(crate) async fn says(&mut self, text: &str) -> anyhow::Result<()> {
        let said = eventually(DEADLINE * 3, async || {
            match (self.program.lines().iter().any(|line| line.contains(text)), self.program.try_exit()?) {
                (true, _) => Ok(true),
                (false, Some(_)) => Ok(false),
                (false, None) => bail!("it does not say {text:?}"),
            }
        });
        let said = said.await.with_context(|| self.program.tail())?;
        ensure!(said, "it ended before it said {text:?}: {}", self.program.tail());
        Ok(())
    }

    /// Types a line, as its user does.
    pub(crate) fn order(&mut self, line: &str) -> anyhow::Result<()> {
        let orders = self.orders.as_mut().context("its input is open")?;
        writeln!(orders, "{line}").context("it has ended")
    }

    /// Kills the weir that listens at this address.
    pub(crate) fn kill_weir(&self, listens: &str) -> anyhow::Result<()> {
        for process in fs::read_dir("/proc")? {
            let process = process?;
            let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let command = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            if command.starts_with("weir\0serve\0") && command.contains(&format!("{listens}\0")) {
                let id = Pid::from_raw(id).context("a process id")?;
                return kill_process(id, Signal::KILL).context("kill it");
            }
        }
        bail!("no weir listens at {listens}")
    }

    /// Ends it as Ctrl-C does, and waits until all of it is gone.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.program.signal_group(Signal::INT)?;
        let ended = self.program.wait_exit(DEADLINE * 4).await?;
        ensure!(ended.success(), "{ended}: {}", self.program.tail());
        let left = eventually(DEADLINE, async || {
            ensure!(self.program.signal_group(Signal::CONT).is_err(), "somebody is left");
            Ok(())
        });
        left.await
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It cannot fail in a way that matters: they are gone already, or are gone after this.
        let _ = self.program.signal_group(Signal::KILL);
    }
}

/// The weir that is built comes first, and servers stand where only root has them in the path.
fn path() -> anyhow::Result<std::ffi::OsString> {
    let weir = Path::new(WEIR).parent().context("a folder")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(weir).chain(std::env::split_paths(&path)).chain([PathBuf::from("/usr/sbin")]);
    Ok(std::env::join_paths(all)?)
}

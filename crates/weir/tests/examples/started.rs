//! An application that needs no packages, started by the command that its README names, and told what to do by lines.

use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::process::{ChildStdin, Command};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context as _;
use tempfile::TempDir;
use weir_testkit::Client;
use weir_testkit::loopback::own_address;
use weir_testkit::page::read;
use weir_testkit::program::without_settings;

use crate::application::{Application, folder};

/// What an example listens on beside the port of its page.
const PORTS: u16 = 50;

/// No two of one process have ports in common; the address is the process's own.
static NEXT: AtomicU16 = AtomicU16::new(4000);

pub(crate) struct Started {
    application: Application,
    orders: ChildStdin,
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
        without_settings(&mut command).arg(argument).current_dir(folder);
        command.env("HOST", &host).env("PORT", port.to_string());
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("DATA", data.path());
        command.envs(env.iter().copied());
        let (mut application, orders) = Application::run(command)?;
        application.says(" at http://").await?;
        Ok(Self { application, orders, host, port, _data: data })
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

    /// Types a line, as its user does.
    pub(crate) fn order(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.orders, "{line}").context("it has ended")
    }
}

impl Deref for Started {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.application
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Application {
        &mut self.application
    }
}

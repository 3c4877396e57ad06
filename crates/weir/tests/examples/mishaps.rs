//! What an example says to whoever starts it where something is missing or taken: one line that names it, and nothing is left.

use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use weir_testkit::loopback::own_address;
use weir_testkit::program::without_settings;
use weir_testkit::{DEADLINE, Output, Program, eventually};

use crate::application::{folder, path};

/// Starts an example in its folder, and gives what it said on its standard error before it ended.
async fn said(example: &str, command: &[&str], env: &[(&str, &str)]) -> anyhow::Result<String> {
    let data = TempDir::new()?;
    let mut process = Command::new(command[0]);
    without_settings(&mut process).args(&command[1..]).current_dir(folder(example)).env("PATH", path()?);
    process.env("PYTHONDONTWRITEBYTECODE", "1").env("DATA", data.path()).env("WEIR_DATA_DIR", data.path());
    process.envs(env.iter().copied());
    let mut program = Program::start(process, Output::Stderr)?;
    let ended = program.wait_exit(DEADLINE * 4).await?;
    ensure!(ended.code() == Some(1), "{example} {ended}: {}", program.tail());
    Ok(program.lines().join("\n"))
}

/// The path without the places where there is a weir.
fn without_weir() -> anyhow::Result<String> {
    let path = path()?;
    let others = std::env::split_paths(&path).filter(|place| !place.join("weir").exists());
    std::env::join_paths(others)?.into_string().ok().context("a path in UTF-8")
}

async fn names_what_is_missing(example: &str, command: &[&str]) -> anyhow::Result<()> {
    let (path, host) = (without_weir()?, own_address()?.ip().to_string());
    let said = said(example, command, &[("PATH", &path), ("HOST", &host), ("PORT", "4600")]).await?;
    ensure!(said.starts_with("weir is not in the path: ") && said.lines().count() == 1, "{example}: {said}");
    Ok(())
}

async fn names_the_port_that_is_taken(example: &str, command: &[&str]) -> anyhow::Result<()> {
    let taken = TcpListener::bind(own_address()?)?;
    let (host, port) = (taken.local_addr()?.ip().to_string(), taken.local_addr()?.port().to_string());
    let (weir, admin) = (format!("{host}:4610"), format!("{host}:4611"));
    let env = [("HOST", &*host), ("PORT", &*port), ("WEIR_LISTEN", &*weir), ("WEIR_ADMIN_LISTEN", &*admin)];
    let said = said(example, command, &env).await?;
    let told = said
        .lines()
        .filter(|line| line.contains(&format!("{host}:{port}")) && line.ends_with("PORT says where else"));
    ensure!(
        told.count() >= 1 && !said.contains("    at ") && !said.contains("Traceback"),
        "{example}: {said}"
    );
    // weir is not left behind by it.
    for nth in 1..=2 {
        let behind = taken.local_addr()?.port().checked_add(nth).context("a port")?;
        free(&format!("{host}:{behind}")).await?;
    }
    free(&weir).await
}

async fn free(address: &str) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        TcpListener::bind(address).with_context(|| format!("something listens on {address}"))?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_example_says_that_weir_is_missing() -> anyhow::Result<()> {
    names_what_is_missing("match-rooms", &["python3", "start.py"]).await?;
    names_what_is_missing("realtime-bus", &["python3", "start.py"]).await
}

#[tokio::test]
async fn an_example_says_that_its_port_is_taken() -> anyhow::Result<()> {
    names_the_port_that_is_taken("match-rooms", &["python3", "start.py"]).await?;
    names_the_port_that_is_taken("realtime-bus", &["python3", "start.py"]).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn an_example_of_npm_says_that_weir_is_missing() -> anyhow::Result<()> {
    names_what_is_missing("agent-dashboard", &["node", "start.cjs"]).await?;
    names_what_is_missing("guild-updates", &["node", "start.js"]).await?;
    names_what_is_missing("order-board", &["node", "start.js"]).await
}

#[tokio::test]
#[ignore = "make examples"]
async fn an_example_of_npm_says_that_its_port_is_taken() -> anyhow::Result<()> {
    names_the_port_that_is_taken("agent-dashboard", &["node", "start.cjs"]).await?;
    names_the_port_that_is_taken("guild-updates", &["node", "start.js"]).await?;
    names_the_port_that_is_taken("order-board", &["node", "start.js"]).await
}

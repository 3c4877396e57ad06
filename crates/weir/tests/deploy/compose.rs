//! The compose file, brought up on networks of its own: three instances behind the HAProxy that ships.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use weir_testkit::program::{self, Output, Program};
use weir_testkit::{DEADLINE, eventually};

use crate::able;
use crate::podman::{IMAGE, Podman, root, said};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// All but Grafana, of which there is no package.
const SERVICES: [&str; 7] = ["redis", "weir-1", "weir-2", "weir-3", "haproxy", "prometheus", "alertmanager"];

/// Where clients go.
const URL: &str = "http://127.0.0.1:8080";

#[tokio::test]
#[ignore = "make deploy-test"]
async fn compose_serves_through_the_end_of_an_instance() -> anyhow::Result<()> {
    let podman = Podman::start().await?;
    podman.image()?;
    let (_dir, compose) = tree()?;
    let file = compose.join("compose.yaml");
    podman.compose(&file, &[&["up", "--detach"][..], &SERVICES].concat())?;
    for service in SERVICES {
        podman.healthy(&container(service)).await?;
    }
    let token = token(&compose)?;
    let mut tail = podman.command(WEIR);
    tail.args(["tail", "--url", URL, "--token", &token, "s"]);
    let tail = Program::start(tail, Output::Stdout)?;
    let holds = eventually(DEADLINE, async || {
        let all = ["weir-1", "weir-2", "weir-3"]
            .map(|name| Ok::<_, anyhow::Error>((name, clients(&podman, name)?)));
        let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
        all.iter()
            .find(|(_, clients)| *clients == 1.0)
            .map(|(name, _)| *name)
            .context("nobody holds the client")
    })
    .await?;
    let published =
        |data: &str| said(podman.command(WEIR).args(["publish", "--url", URL, "--token", &token, "s", data]));
    let has = async |lines: &[&str]| {
        eventually(DEADLINE * 2, async || {
            ensure!(tail.lines() == lines, "{:?}", tail.lines());
            Ok(())
        })
        .await
    };
    published("before")?;
    has(&["before"]).await?;
    // Not `kill`, after which it would be started again.
    podman.run(&["stop", "--time", "0", &container(holds)])?;
    published("after")?;
    has(&["before", "after"]).await?;
    watched(&podman).await?;

    podman.compose(&file, &["down", "--timeout", "1"])?;
    assert_eq!(podman.run(&["ps", "--all", "--quiet"])?, "");
    able::not_run(
        "Grafana in deploy/compose",
        "its image cannot be had here; tests of the dashboards stand in for it",
    );
    able::not_run(
        "limits of memory, and the order of starts by health, in deploy/compose",
        "podman-compose of Debian 12 does neither",
    );
    Ok(())
}

/// Who reads it elsewhere is stricter than who brings it up here.
#[test]
#[ignore = "make deploy-test"]
fn docker_takes_the_file() -> anyhow::Result<()> {
    let docker = root().join(".tools/bin/docker-compose");
    ensure!(docker.exists(), "docker-compose is missing: run .ci/setup deploy");
    let (_dir, compose) = tree()?;
    let check = || {
        let mut check = Command::new(&docker);
        check.current_dir(&compose).args(["--file", "compose.yaml", "config", "--quiet"]);
        said(program::without_settings(&mut check))
    };
    assert_eq!(check()?, "");
    // Whoever forgot the first step is told so.
    fs::remove_file(compose.join(".env"))?;
    let error = check().expect_err("it has no image").to_string();
    ensure!(error.contains("see .env.example"), "{error}");
    Ok(())
}

/// Prometheus scrapes what is left, and has the rules.
async fn watched(podman: &Podman) -> anyhow::Result<()> {
    let ask = |path: &str| -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:9090/api/v1/{path}");
        let answer = said(podman.command("curl").args(["--silent", "--fail", "--max-time", "5", &url]))?;
        Ok(serde_json::from_str(&answer)?)
    };
    eventually(DEADLINE * 4, async || {
        let up = ask("query?query=sum(up)")?;
        ensure!(up["data"]["result"][0]["value"][1] == "2", "{up}");
        Ok(())
    })
    .await?;
    let rules = ask("rules")?.to_string();
    ensure!(rules.contains("\"WeirInstanceDown\""), "the alerts are not loaded: {rules}");
    let managers = ask("alertmanagers")?;
    ensure!(
        managers["data"]["activeAlertmanagers"].as_array().is_some_and(|all| all.len() == 1),
        "{managers}"
    );
    Ok(())
}

/// deploy/ as somebody has it who followed the first line of compose.yaml.
fn tree() -> anyhow::Result<(TempDir, PathBuf)> {
    let dir = tempfile::tempdir()?;
    said(Command::new("cp").arg("--recursive").arg(root().join("deploy")).arg(dir.path()))?;
    let compose = dir.path().join("deploy/compose");
    // Whoever tries it out in the checkout has some already.
    let _ = fs::remove_dir_all(compose.join("secrets"));
    let example = fs::read_to_string(compose.join(".env.example"))?;
    // This machine may not have more.
    let env = example
        .replace("WEIR_IMAGE=weir:latest", &format!("WEIR_IMAGE={IMAGE}"))
        .replace("#WEIR_FILES=65536", "WEIR_FILES=20000");
    fs::write(compose.join(".env"), env)?;
    said(&mut Command::new(compose.join("secrets.sh")))?;
    assert_eq!(fs::metadata(compose.join("secrets"))?.permissions().mode() & 0o777, 0o700);
    let secret = fs::read(compose.join("secrets/redis-password"))?;
    said(&mut Command::new(compose.join("secrets.sh")))?;
    assert_eq!(fs::read(compose.join("secrets/redis-password"))?, secret, "a secret was made anew");
    Ok((dir, compose))
}

fn container(service: &str) -> String {
    format!("weir_{service}_1")
}

fn token(compose: &Path) -> anyhow::Result<String> {
    let mut mint = Command::new(WEIR);
    mint.args(["token", "mint", "--sub", "ann", "--subscribe", "*", "--publish", "*", "--jwt-secret-file"]);
    Ok(said(mint.arg(compose.join("secrets/token-secret")))?.trim().to_owned())
}

/// Clients of one instance, as Prometheus sees them.
fn clients(podman: &Podman, service: &str) -> anyhow::Result<f64> {
    let address =
        podman.inspect(&container(service), "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")?;
    let url = format!("http://{address}:8081/metrics");
    let page = said(podman.command("curl").args(["--silent", "--fail", "--max-time", "5", &url]))?;
    let line = page.lines().find_map(|line| line.strip_prefix("weir_clients{transport=\"sse\"} "));
    Ok(line.context("weir_clients")?.parse()?)
}

//! The container image, built from the sources and run with no more than it needs.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use weir_testkit::program::{Output, Program};
use weir_testkit::{DEADLINE, eventually};

use crate::able;
use crate::podman::{FIT, IMAGE, Podman, root, said, tools};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Clients are released sooner than by default.
const QUICK: [&str; 7] = ["serve", "--anonymous", "all", "--drain-delay", "1s", "--drain-window", "1s"];

#[tokio::test]
#[ignore = "make deploy-test"]
async fn the_image_needs_no_rights() -> anyhow::Result<()> {
    said(Command::new(tools("venv/bin/hadolint")?).arg(root().join("deploy/container/Dockerfile")))?;
    let podman = Podman::start().await?;
    podman.image()?;
    assert_eq!(podman.inspect(IMAGE, ".Config.User")?, "65532:65532");
    assert_eq!(podman.inspect(IMAGE, ".Config.StopSignal")?, "SIGTERM");
    assert_eq!(podman.inspect(IMAGE, "json .Config.ExposedPorts")?, r#"{"8080/tcp":{},"8081/tcp":{}}"#);
    let label = |name: &str| {
        podman.inspect(IMAGE, &format!("index .Config.Labels \"org.opencontainers.image.{name}\""))
    };
    assert_eq!(label("version")?, env!("CARGO_PKG_VERSION"));
    let revision = said(&mut Command::new(root().join(".ci/revision")))?;
    let revision = if revision.is_empty() { "unknown" } else { revision.trim() };
    assert_eq!(label("revision")?, revision);

    // Nobody said who may call.
    let refused = podman.output(&[&["run", "--rm"][..], &FIT, &[IMAGE]].concat())?;
    let error = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        refused.status.code() == Some(2) && error.contains("--listen 0.0.0.0:8080 can be reached"),
        "{error}"
    );

    podman.start_container("weir", &["--publish=127.0.0.1:8080:8080"], &QUICK)?;
    podman.healthy("weir").await?;
    has_no_rights(&podman)?;
    serves_and_drains(&podman).await?;
    able::not_run(
        "the image on its published bases, and as it is released",
        "no registry of images can be reached: Debian's packages stand in, and the binary is built without optimisation",
    );
    Ok(())
}

fn has_no_rights(podman: &Podman) -> anyhow::Result<()> {
    let pid = podman.inspect("weir", ".State.Pid")?;
    let status = said(podman.command("cat").arg(format!("/proc/{pid}/status")))?;
    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "Gid:\t65532\t65532\t65532\t65532",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        ensure!(status.lines().any(|there| there == line), "{line}: {status}");
    }
    let mounts = said(podman.command("cat").arg(format!("/proc/{pid}/mounts")))?;
    let top = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).context("a root")?;
    ensure!(top.split(' ').nth(3).is_some_and(|flags| flags.split(',').any(|flag| flag == "ro")), "{top}");
    Ok(())
}

/// A stream goes through it, and is told to come back when the container is stopped.
async fn serves_and_drains(podman: &Podman) -> anyhow::Result<()> {
    let url = "http://127.0.0.1:8080/v1/sessions/s/events";
    let mut curl = podman.command("curl");
    curl.args(["--silent", "--no-buffer", url]);
    let mut stream = Program::start(curl, Output::Stdout)?;
    let shows = async |stream: &Program, text: &str| {
        eventually(DEADLINE, async || {
            ensure!(stream.lines().iter().any(|line| line == text), "no {text}: {}", stream.tail());
            Ok(())
        })
        .await
    };
    shows(&stream, "event: weir.connected").await?;
    said(podman.command(WEIR).args(["publish", "s", "through"]))?;
    shows(&stream, "data: through").await?;

    podman.run(&["stop", "--time", "30", "weir"])?;
    shows(&stream, "event: weir.shutdown").await?;
    ensure!(stream.wait_exit(DEADLINE).await?.success(), "the stream was cut: {}", stream.tail());
    assert_eq!(podman.inspect("weir", ".State.ExitCode")?, "0");
    Ok(())
}

#[test]
fn the_dockerfile_builds_with_the_same_tools() -> anyhow::Result<()> {
    let file = |path: &str| fs::read_to_string(root().join(path));
    let value = |text: &str, before: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(before))
            .map(|value| value.trim_matches('"').to_owned());
        line.with_context(|| format!("no {before}"))
    };
    let dockerfile = file("deploy/container/Dockerfile")?;
    assert_eq!(value(&dockerfile, "ARG RUST_VERSION=")?, value(&file("Cargo.toml")?, "rust-version = ")?);
    assert_eq!(
        value(&dockerfile, "ARG CARGO_AUDITABLE=")?,
        value(&file(".ci/setup")?, "readonly cargo_auditable=")?
    );
    Ok(())
}

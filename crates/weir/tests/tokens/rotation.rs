//! Keys change while streams are open.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, ensure};
use weir_testkit::program::without_settings;
use weir_testkit::token::{claims, hs256};
use weir_testkit::{Client, DEADLINE, Instance, Output, Program, Secret, Signal, eventually, expect};

use crate::WEIR;

const HEADER: &str = r#"{"alg":"HS256"}"#;

/// How many lines of the log say this.
fn lines(weir: &Instance, text: &str) -> usize {
    weir.log().iter().filter(|line| line.contains(text)).count()
}

/// Has the files read anew, and waits for the line that says so.
async fn reload(weir: &Instance, says: &str) -> anyhow::Result<()> {
    let before = lines(weir, says);
    weir.signal(Signal::HUP)?;
    eventually(DEADLINE, async || {
        ensure!(lines(weir, says) == before + 1, "no further line with {says:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_new_file_takes_over_and_a_bad_one_does_not() -> anyhow::Result<()> {
    let (first, second) = (Secret::new(), Secret::new());
    let flags = ["--jwt-secret-file", first.flag(), "--jwt-secret-file", second.flag()];
    let weir = Instance::start(WEIR, &flags).await?;
    let client = weir.client();
    let claims = claims("7", &["s"], &["s"]).to_string();
    let new = "a secret that takes the place of the first one";
    let (old, other, later) = (
        first.sign_text(HEADER, &claims),
        second.sign_text(HEADER, &claims),
        hs256(new.as_bytes(), HEADER, &claims),
    );
    let publish = async |token: &str| client.event("s").bearer(token).body("x").send().await;
    let mut stream = client.events("s").bearer(&old).subscribe().await?;
    publish(&old).await?.event_id()?;
    publish(&other).await?.event_id()?;
    expect::problem(&publish(&later).await?, 401, "token_signature")?;

    fs::write(first.path(), new)?;
    reload(&weir, "read anew").await?;
    expect::problem(&publish(&old).await?, 401, "token_signature")?;
    publish(&other).await?.event_id()?;
    publish(&later).await?.event_id()?;

    // One bad file of two, and neither is taken.
    fs::write(second.path(), "")?;
    fs::write(first.path(), "another secret that would be a good one by itself")?;
    reload(&weir, "kept as it was").await?;
    publish(&other).await?.event_id()?;
    publish(&later).await?.event_id()?;
    fs::remove_file(first.path())?;
    reload(&weir, "kept as it was").await?;
    publish(&later).await?.event_id()?;
    let errors =
        weir.log().iter().filter(|line| line.contains("kept as it was")).cloned().collect::<Vec<_>>();
    ensure!(
        errors
            .iter()
            .all(|line| line.contains("cannot use --jwt-secret-file") && !line.contains("a good one"))
    );

    // Whoever was connected by the first secret still is.
    assert_eq!(stream.next_data(6).await?.len(), 6);
    Ok(())
}

/// A terminal that is closed says so by the same signal, and nobody would be left to stop what ran in it.
#[tokio::test]
async fn the_end_of_its_terminal_is_its_end() -> anyhow::Result<()> {
    let mut script = Command::new("script");
    let serve = format!("{WEIR} serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --log-format json");
    without_settings(&mut script).args(["--quiet", "--flush", "--command", &serve, "/dev/null"]);
    let script =
        Program::start(script, Output::Stdout).context("script is part of util-linux: `.ci/setup test`")?;
    let address: SocketAddr = eventually(DEADLINE, async || {
        let lines = script.lines().join("");
        let public = lines.split_once("\"public\":\"").and_then(|(_, rest)| rest.split_once('"'));
        Ok(public.with_context(|| lines.clone())?.0.parse()?)
    })
    .await?;
    let client = Client::new(address);
    assert_eq!(client.get("/livez").send().await?.status(), 200);
    script.signal(Signal::KILL)?;
    eventually(DEADLINE, async || {
        ensure!(client.get("/livez").send().await.is_err(), "it is still there");
        Ok(())
    })
    .await
}

/// Without keys SIGHUP is nothing that ends an instance.
#[tokio::test]
async fn nothing_to_read_is_no_reason_to_end() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    reload(&weir, "read anew").await?;
    assert_eq!(weir.client().get("/livez").send().await?.status(), 200);
    Ok(())
}

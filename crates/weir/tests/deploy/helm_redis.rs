//! The Redis of the chart, started as its container would start it.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::loopback::own_address;
use weir_testkit::program::{Output, Program};
use weir_testkit::{DEADLINE, eventually};

use crate::helm::{find, render, said};

/// What a shell, and a file of settings of Redis, could take for something else.
const PASSWORD: &str = r#"a "b" \n#$c 'd'"#;

#[tokio::test]
#[ignore = "make deploy-test"]
async fn it_has_the_password_and_shows_it_to_nobody() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let all = render(&dir, &["-f", "examples/bundled-redis.yaml"])?;
    let container = &find(&all, "StatefulSet")?["spec"]["template"]["spec"]["containers"][0];
    let address = own_address()?;
    let words = words(&container["command"])?;
    let there =
        format!("redis-server --set-proc-title no --bind {} --port {} ", address.ip(), address.port());
    let script =
        words[2].replace("redis-server ", &there).replace("/data", &dir.path().display().to_string());
    let mut redis = Command::new(&words[0]);
    redis.arg(&words[1]).arg(script).env("REDISCLI_AUTH", PASSWORD);
    let redis = Program::start(redis, Output::Stdout)?;

    let probe = self::words(&container["readinessProbe"]["exec"]["command"])?;
    let ready = |password: &str| {
        let mut cli = Command::new(&probe[0]);
        cli.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]).args(&probe[1..]);
        said(cli.env("REDISCLI_AUTH", password).output()?)
    };
    eventually(DEADLINE, async || ready(PASSWORD)).await.with_context(|| redis.tail())?;
    // Whatever Redis answers an error to is not ready.
    ensure!(ready("another").is_err(), "any password will do");
    // Nothing of it was overwritten, as Redis does otherwise once it has started.
    let shown = fs::read_to_string(format!("/proc/{}/cmdline", redis.pid()))?;
    ensure!(shown.contains("redis-server") && !shown.contains("a \"b"), "{shown}");
    Ok(())
}

fn words(value: &Value) -> anyhow::Result<Vec<String>> {
    let words = value.as_array().context("a command")?.iter();
    words.map(|word| Ok(word.as_str().context("a word")?.to_owned())).collect()
}

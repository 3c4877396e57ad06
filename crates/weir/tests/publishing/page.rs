//! What `docs/publishing.md` says is so: its commands and its program run, its table of answers is what publishers do.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_client::{Problem, PublishError};
use weir_testkit::page::{blocks, read, root, rows, section};
use weir_testkit::program::without_settings;
use weir_testkit::shell::Shell;
use weir_testkit::{DEADLINE, Instance, Output, Program, eventually};

use crate::publishers::bundle;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const PAGE: &str = "docs/publishing.md";

/// Waits until a session holds this, since a publish is answered before its event is in the window.
async fn holds(weir: &Instance, session: &str, want: Value) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let poll = weir.client().events(session).query("lastEventId", "earliest").query("wait", "0");
        let answer = poll.send().await?.json()?;
        let events = answer["events"].as_array().context("events")?.iter();
        let held: Value = events.map(|event| json!([event["type"], event["key"], event["data"]])).collect();
        ensure!(held == want, "{held}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn its_commands_publish() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let page = read(PAGE).replace("127.0.0.1:8080", &weir.public().to_string());
    let blocks = blocks(&page, "sh");
    ensure!(blocks.len() == 3);
    let mut shell = Shell::start(&root(), &root().join(".tools/bin"), &[])?;
    for block in blocks {
        shell.run(block, DEADLINE * 2).await?;
    }
    let greetings = json!([
        ["greeting", null, "hello"],
        ["greeting", null, "hello from a shell"],
        [null, null, "hello from Python"]
    ]);
    holds(&weir, "room/1", greetings).await?;
    let shipped = r#"{"status":"shipped"}"#;
    holds(&weir, "order/42", json!([["order.updated", null, shipped]])).await?;
    holds(&weir, "user/7", json!([["order.updated", "order/42", shipped]])).await
}

/// With the package as npm installs it.
#[tokio::test]
async fn its_program_publishes() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let folder = tempfile::tempdir()?;
    let package = folder.path().join("node_modules/@weir/client");
    fs::create_dir_all(&package)?;
    fs::copy(root().join("crates/weir-web/client/package.json"), package.join("package.json"))?;
    bundle(&package.join("dist/publisher.js"))?;
    let page = read(PAGE);
    let script = blocks(&page, "js").concat();
    fs::write(folder.path().join("publish.mjs"), script)?;
    let mut command = Command::new("node");
    without_settings(&mut command).arg("publish.mjs").current_dir(folder.path());
    command.env("WEIR_URL", format!("http://{}", weir.public()));
    let mut program = Program::start(command, Output::Stdout)?;
    ensure!(program.wait_exit(DEADLINE).await?.success());
    ensure!(program.lines() == ["1 delivered, 0 not"], "{}", program.tail());
    let joined = json!([["guild.joined", "guild/7", r#"{"guild":7}"#]]);
    holds(&weir, "user/42", joined).await
}

#[test]
fn its_table_of_answers_is_what_a_publisher_does() {
    let page = read(PAGE);
    let mut seen = Vec::new();
    for row in rows(section(&page, "What is done with each answer")) {
        let [answers, _, does] = row[..] else { panic!("{row:?}") };
        let drops = !does.starts_with("repeats");
        for status in answers.split(' ').filter_map(|word| word.parse::<u16>().ok()) {
            let said = Problem { status, code: None, detail: String::new(), retry_after: None };
            let is_final = status != 201 && PublishError::Refused(said).is_about_the_event();
            assert_eq!(is_final, drops && status != 201, "{status}: {does}");
            seen.push(status);
        }
    }
    // Whatever a publish may be answered stands there.
    let description: Value = serde_json::from_str(&read("crates/weir-http/src/openapi.json")).unwrap();
    for path in ["/v1/events", "/v1/sessions/{session}/events"] {
        let answers = description["paths"][path]["post"]["responses"].as_object().unwrap();
        for status in answers.keys().filter(|status| *status != "431") {
            assert!(seen.contains(&status.parse().unwrap()), "{path}: {status}");
        }
    }
}

/// A generator names functions by it.
#[test]
fn every_call_has_a_name_of_its_own_for_generators() {
    let description: Value = serde_json::from_str(&read("crates/weir-http/src/openapi.json")).unwrap();
    let mut names = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let name = call["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no name"));
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            names.push(name);
        }
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    for publishes in ["publish", "publishBatch"] {
        assert!(names.contains(&publishes) && read(PAGE).contains(&format!("`{publishes}`")));
    }
}

//! `docs/contract.md` and `docs/metrics.md` list what is built, and nothing that is not.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::Context as _;
use weir_core::notice::{GapReason, Refusal};
use weir_testkit::Instance;
use weir_testkit::page::{self, quoted, root, rows, section};
use weir_testkit::redis::RedisServer;
use weir_testkit::series;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn contract() -> String {
    page::read("docs/contract.md")
}

/// The source of every module below a folder, without its tests.
fn source(folder: &str) -> String {
    let mut all = String::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the source") {
            let path = entry.expect("a file of the source").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(path).expect("source is text");
                all.push_str(text.split("#[cfg(test)]").next().unwrap_or_default());
            }
        }
    }
    all
}

/// The string literals that stand right behind one of these places of the source.
fn literals_after(source: &str, places: &[&str]) -> BTreeSet<String> {
    let words: Vec<_> = source.split_whitespace().collect();
    let one_line = words.join(" ").replace("( ", "(");
    let found = places.iter().flat_map(|place| one_line.split(place).skip(1));
    found
        .filter_map(|rest| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned()))
        .collect()
}

fn set<'a>(items: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    items.into_iter().map(str::to_owned).collect()
}

#[test]
fn commands() {
    let text = contract();
    let cells = rows(section(&text, "1. Commands")).into_iter().filter_map(|cells| quoted(cells[0]).next());
    let documented = set(cells.filter_map(|call| call.strip_prefix("weir ")?.split(' ').next()));
    let help = Command::new(WEIR).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let built =
        set(listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help"));
    assert_eq!(documented, built);
}

#[test]
fn checks_of_the_doctor() {
    let text = contract();
    let cells = rows(section(&text, "Doctor")).into_iter().filter(|cells| cells[0].starts_with('`'));
    let documented = set(cells.flat_map(|cells| quoted(cells[0]).collect::<Vec<_>>()));
    let calls = ["Finding::ok(", "Finding::warn(", "Finding::fail(", "Finding::unknown("];
    let built = literals_after(&source("crates/weir/src/commands/doctor"), &calls);
    let local = literals_after(
        &fs::read_to_string(root().join("crates/weir/src/commands/doctor.rs")).unwrap(),
        &calls,
    );
    assert_eq!(documented, built.union(&local).cloned().collect());
}

#[test]
fn error_codes() {
    let text = contract();
    let documented =
        rows(section(&text, "Errors")).into_iter().filter(|cells| cells.len() == 2 && cells[0] != "status");
    let documented = set(documented.flat_map(|cells| quoted(cells[1])));
    let calls = [
        "::malformed(",
        "::not_found(",
        "::unavailable(",
        "::limited(",
        "StatusCode::METHOD_NOT_ALLOWED,",
        "PAYLOAD_TOO_LARGE,",
    ];
    let source = source("crates/weir-http/src");
    let mut built = literals_after(&source, &calls);
    let status = [
        "UNSUPPORTED_MEDIA_TYPE,",
        "UNPROCESSABLE_ENTITY,",
        "REQUEST_TIMEOUT,",
        "UNAUTHORIZED,",
        "FORBIDDEN,",
        "CONFLICT,",
        "GONE,",
        "INSUFFICIENT_STORAGE,",
        "conflict(",
    ];
    built.append(&mut literals_after(&source, &status));
    let denials = fs::read_to_string(root().join("crates/weir-http/src/auth/denial.rs")).unwrap();
    built.append(&mut literals_after(denials.split("fn code(").nth(1).unwrap(), &["=>"]));
    built.retain(|code| {
        code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    });
    assert_eq!(documented, built);
}

#[test]
fn parameters() {
    let text = contract();
    let subscribing = section(&text, "Subscribing");
    let rows = rows(subscribing).into_iter().flat_map(|cells| quoted(cells[0]).collect::<Vec<_>>());
    let mut documented = set(rows.filter_map(|parameter| parameter.split_once('=')).map(|(name, _)| name));
    documented.insert("session".to_owned());
    let calls = ["query.first(", "query.all(", "query.number(", "query.raw(", "self.raw("];
    let built = literals_after(&source("crates/weir-http/src"), &calls);
    let admin = set(["sort", "limit", "subject", "revoke"]);
    assert_eq!(documented, built.difference(&admin).cloned().collect());
    assert!(admin.iter().all(|name| text.contains(&format!("{name}="))));
}

#[test]
fn parameters_and_headers_of_streams() {
    let text = contract();
    let rows = rows(section(&text, "Durable streams"));
    let first = || rows.iter().flat_map(|cells| quoted(cells[0])).collect::<Vec<_>>();
    let documented = set(first().into_iter().filter_map(|text| text.strip_suffix('=')));
    let source = source("crates/weir-http/src/streams");
    assert_eq!(documented, literals_after(&source, &["query.once("]));
    let headers = first().into_iter().filter_map(|text| text.split(':').next());
    let documented: BTreeSet<_> =
        headers.filter(|text| !text.ends_with('=')).map(str::to_lowercase).collect();
    let places = ["&str =", "insert(", "raw(", "HeaderName::from_static(", "headers.get("];
    let named = literals_after(&source, &places);
    let own = ["stream-", "producer-", "last-event-"];
    let built: BTreeSet<_> =
        named.into_iter().filter(|name| own.iter().any(|prefix| name.starts_with(prefix))).collect();
    assert!(built.is_subset(&documented), "{built:?} in {documented:?}");
}

#[test]
fn control_events_and_reasons() {
    let text = contract();
    let wire = section(&text, "3. Server-Sent Events on the wire");
    let documented = rows(wire).into_iter().flat_map(|cells| quoted(cells[0]).collect::<Vec<_>>());
    let documented = set(documented.filter(|name| name.starts_with("weir.")));
    let built = literals_after(&source("crates/weir-core/src"), &["put_control(out,"]);
    assert_eq!(documented, built);
    let gaps = rows(section(&text, "4. Resume"))
        .into_iter()
        .filter(|cells| !cells[0].contains(',') && cells[0].starts_with('`'));
    let gaps = set(gaps.flat_map(|cells| quoted(cells[0]).collect::<Vec<_>>()));
    let reasons = set(GapReason::ALL.map(GapReason::as_str));
    assert!(reasons.is_subset(&gaps), "{reasons:?} in {gaps:?}");
    for refusal in Refusal::ALL {
        assert!(wire.contains(&format!("`{}`", refusal.as_str())));
    }
}

#[tokio::test]
async fn paths() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let text = contract();
    let calls =
        rows(section(&text, "2. HTTP")).into_iter().flat_map(|cells| quoted(cells[0]).collect::<Vec<_>>());
    let calls: Vec<_> =
        calls.filter_map(|call| call.split_once(' ')).filter(|(_, path)| path.starts_with('/')).collect();
    assert!(calls.len() >= 7, "{calls:?}");
    for (method, path) in calls {
        let target = path.replace("{session}", "a").replace("{name}", "a");
        let join = if target.contains('?') { '&' } else { '?' };
        let request = weir.client().request(method, &format!("{target}{join}wait=0"));
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let unknown = answer.status() == 404 && answer.problem_code()? == "unknown_path";
        assert!(!unknown && answer.status() != 405, "{method} {path}: {}", answer.status());
    }
    Ok(())
}

#[tokio::test]
async fn metrics() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let mut documented = series::documented();
    assert_eq!(drift(&[], &documented).await?, [""; 0]);
    documented.append(&mut series::documented_of_redis());
    assert_eq!(drift(&["--redis", &redis.url()], &documented).await?, [""; 0]);
    Ok(())
}

async fn drift(flags: &[&str], documented: &series::Series) -> anyhow::Result<Vec<String>> {
    let weir = Instance::start(WEIR, flags).await?;
    let page = weir.admin_client().get("/metrics").send().await?;
    series::drift(page.text()?, documented)
}

//! The description of the public calls, `GET /openapi.json`: it says what is built and nothing else, a linter finds nothing wrong
//! with it, and schemathesis finds no call that is not answered as it says.
//!
//! `.ci/setup test` installs the linter and schemathesis beside the build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_core::notice::GapReason;
use weir_testkit::page::{self, quoted, rows, section};
use weir_testkit::program::installed;
use weir_testkit::token::claims;
use weir_testkit::{Client, Instance, Response, Secret};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const PATH: &str = "/openapi.json";
const FILE: &str = "crates/weir-http/src/openapi.json";

/// Every method but OPTIONS, which is a browser's question and no call, and CONNECT, which names no path.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"];

/// What is sent to see whether a parameter is looked at: refused wherever it is.
const NEVER_RIGHT: [(&str, &str); 11] = [
    ("offset", "x"),
    ("live", "x"),
    ("session", ""),
    ("type", "weir.x"),
    ("key", ""),
    ("format", "x"),
    ("overflow", "x"),
    ("conflate", "x"),
    ("snapshot", "x"),
    ("heartbeat", "x"),
    ("wait", "x"),
];

/// The description, as it was read.
struct Description(Value);

/// One call of it.
struct Call<'a> {
    method: String,
    path: &'a str,
    path_item: &'a Value,
    operation: &'a Value,
}

impl Description {
    fn of_source() -> Self {
        Self(serde_json::from_str(&page::read(FILE)).expect("the description is JSON"))
    }

    /// What a reference stands for.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(to) = value["$ref"].as_str() else { return value };
        let found = self.0.pointer(to.trim_start_matches('#'));
        self.resolve(found.unwrap_or_else(|| panic!("nothing at {to}")))
    }

    fn paths(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0["paths"].as_object().expect("paths").iter().map(|(path, item)| (path.as_str(), item))
    }

    fn calls(&self) -> Vec<Call<'_>> {
        let mut calls = Vec::new();
        for (path, path_item) in self.paths() {
            let operations = path_item.as_object().expect("a path").iter();
            for (method, operation) in operations.filter(|(name, _)| *name != "parameters") {
                calls.push(Call { method: method.to_uppercase(), path, path_item, operation });
            }
        }
        calls
    }

    /// The name of what carries a token in a query.
    fn token(&self) -> String {
        let schemes = self.0["components"]["securitySchemes"].as_object().expect("schemes");
        let in_query = schemes.values().find(|scheme| scheme["in"] == "query").expect("one in the query");
        string(&in_query["name"])
    }

    /// The names of a call's parameters in a place.
    fn parameters(&self, call: &Call<'_>, place: &str) -> BTreeSet<String> {
        let both = [&call.path_item["parameters"], &call.operation["parameters"]];
        let all = both.into_iter().filter_map(Value::as_array).flatten().map(|one| self.resolve(one));
        all.filter(|one| one["in"] == place).map(|one| string(&one["name"])).collect()
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn target(path: &str) -> String {
    path.replace("{session}", "a").replace("{name}", "a")
}

#[tokio::test]
async fn whoever_reaches_it_may_read_it() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--anonymous", "none"]).await?;
    let client = weir.client();
    let whole = client.get(PATH).send().await?;
    assert_eq!((whole.status(), whole.head.header("content-type")), (200, Some("application/json")));
    assert_eq!(whole.text()?, page::read(FILE));
    assert_eq!(whole.head.header("cache-control"), Some("public, max-age=300"));
    let tag = whole.head.header("etag").context("no ETag")?.to_owned();

    let head = client.request("HEAD", PATH).send().await?;
    assert_eq!((head.status(), head.body.len(), head.head.header("etag")), (200, 0, Some(tag.as_str())));
    assert_eq!(head.head.header("content-length"), whole.head.header("content-length"));

    let again = client.get(PATH).header("if-none-match", &tag).send().await?;
    assert_eq!((again.status(), again.body.len(), again.head.header("etag")), (304, 0, Some(tag.as_str())));
    let other = client.get(PATH).header("if-none-match", "\"x\"").send().await?;
    assert_eq!(other.status(), 200);
    Ok(())
}

/// The routes that the source takes apart, those that the contract lists, and those described.
#[test]
fn every_route_is_described() {
    let description = Description::of_source();
    let source = page::read("crates/weir-http/src/path.rs");
    let arms =
        source.lines().map(str::trim).filter(|line| line.starts_with('[') && line.contains("=> Ok(Self::"));
    let built = arms.map(|arm| {
        let segments = arm[1..].split(']').next().unwrap_or_default().split(", ");
        let path: Vec<_> = segments
            .map(|segment| match segment.strip_prefix('"') {
                Some(literal) => literal.trim_end_matches('"'),
                None => "{session}",
            })
            .collect();
        format!("/{}", path.join("/"))
    });
    let described: BTreeSet<_> = description.paths().map(|(path, _)| path.to_owned()).collect();
    // All that follows is one name.
    assert!(source.contains("STREAMS: &str = \"/v1/stream/\""));
    assert_eq!(described, built.chain(["/v1/stream/{name}".to_owned()]).collect());

    let contract = page::read("docs/contract.md");
    let listed = rows(section(&contract, "2. HTTP")).into_iter().flat_map(|cells| quoted(cells[0]));
    let listed = listed.filter_map(|call| call.split_once(" /"));
    let listed: BTreeSet<_> = listed
        .filter(|(method, _)| *method != "HEAD")
        .map(|(method, path)| format!("{method} /{}", path.split('?').next().unwrap_or_default()))
        .collect();
    // Where there is GET by itself, HEAD goes without saying.
    let calls = description.calls();
    let described = calls.iter().filter(|call| call.method != "HEAD");
    assert_eq!(
        described.map(|call| format!("{} {}", call.method, call.path)).collect::<BTreeSet<_>>(),
        listed
    );
}

#[tokio::test]
async fn every_method_is_described() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let description = Description::of_source();
    let calls = description.calls();
    for (path, _) in description.paths() {
        let described: Vec<_> = METHODS
            .into_iter()
            .filter(|method| calls.iter().any(|call| call.path == path && call.method == *method))
            .collect();
        for method in METHODS {
            let request =
                weir.client().request(method, &target(path)).query("wait", "0").query("session", "a");
            let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
            assert_eq!(answer.status() == 405, !described.contains(&method), "{method} {path}: {answer:?}");
            if answer.status() == 405 {
                assert_eq!(answer.head.header("allow"), Some(described.join(", ").as_str()), "{path}");
            }
        }
    }
    Ok(())
}

/// Each is looked at by the calls that say so and by no others; `lastEventId` is never refused, but answered, and so is
/// `cursor`.
#[tokio::test]
async fn every_parameter_is_described() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &[]).await?;
    let (client, description) = (weir.client(), Description::of_source());
    let contract = page::read("docs/contract.md");
    let mut known: BTreeSet<_> = NEVER_RIGHT.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.extend(["lastEventId", "cursor"].map(str::to_owned));
    let mut described = BTreeSet::new();
    for call in
        description.calls().iter().filter(|call| call.path.starts_with("/v1/") && call.method != "HEAD")
    {
        let names = description.parameters(call, "query");
        let right = send(&client, call, None).await?;
        ensure!(right.status() < 300 || right.status() == 404, "{} {}: {right:?}", call.method, call.path);
        for (name, value) in NEVER_RIGHT {
            let answer = send(&client, call, Some((name, value))).await?;
            let refused = [400, 422].contains(&answer.status());
            assert_eq!(refused, names.contains(name), "{name}= of {} {}: {answer:?}", call.method, call.path);
        }
        let answer = send(&client, call, Some(("lastEventId", "nowhere"))).await?;
        let told = answer.json().is_ok_and(|answer| answer["gap"]["reason"] == "unknown-id");
        assert_eq!(told, names.contains("lastEventId"), "{} {}: {answer:?}", call.method, call.path);
        described.extend(names);
    }
    assert_eq!(described, known);
    let listed = ["Subscribing", "Durable streams"].map(|title| rows(section(&contract, title))).concat();
    let listed = listed.into_iter().flat_map(|cells| quoted(cells[0]));
    let listed = listed.filter_map(|text| Some(text.split_once('=')?.0.to_owned()));
    described.insert(description.token());
    assert_eq!(described, listed.chain(["session".to_owned()]).collect());
    Ok(())
}

/// A call as it should be, but for one parameter that comes before the others.
async fn send(client: &Client, call: &Call<'_>, wrong: Option<(&str, &str)>) -> anyhow::Result<Response> {
    let mut request = client.request(&call.method, &target(call.path));
    if let Some((name, value)) = wrong {
        request = request.query(name, value);
    }
    request = request.query("wait", "0").query("session", "a");
    if call.method == "POST" && call.path == "/v1/events" {
        request = request.header("content-type", "application/json").body(r#"[{"session":"a","data":1}]"#);
    }
    if call.method == "POST" && call.path.starts_with("/v1/stream/") {
        request = request.header("content-type", "application/octet-stream").body("x");
    }
    request.send().await
}

#[test]
fn every_problem_is_described() {
    let description = Description::of_source();
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in description.calls() {
        for (status, response) in call.operation["responses"].as_object().expect("responses") {
            let response = description.resolve(response);
            let Some(problem) = response["content"].get("application/problem+json") else { continue };
            let own = &problem["schema"]["allOf"][1]["properties"];
            assert_eq!(own["status"]["const"].to_string(), *status, "{response}");
            let codes = own["code"]["enum"].as_array().expect("codes").iter().map(string);
            described.entry(status.clone()).or_default().extend(codes);
        }
    }
    let contract = page::read("docs/contract.md");
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for cells in rows(section(&contract, "Errors")) {
        // Admin calls are not described, and have a row of their own.
        let Some(status) = cells[0].split(' ').next().filter(|_| !cells[0].contains("admin")) else {
            continue;
        };
        // Header names stand between them.
        let codes = quoted(cells[1]).filter(|code| !code.contains(char::is_uppercase)).map(str::to_owned);
        listed.entry(status.to_owned()).or_default().extend(codes);
    }
    assert_eq!(described, listed);
}

#[test]
fn every_reason_of_a_gap_is_described() {
    let described =
        &Description::of_source().0["components"]["schemas"]["Gap"]["properties"]["reason"]["enum"];
    let described: BTreeSet<_> = described.as_array().expect("reasons").iter().map(string).collect();
    assert_eq!(described, GapReason::ALL.map(|reason| reason.as_str().to_owned()).into());
}

#[test]
fn every_control_event_is_described() {
    let described = &Description::of_source().0["components"]["schemas"]["StreamEvent"]["description"];
    let is_event = |name: &&str| name.starts_with("weir.");
    let described = string(described);
    let described: BTreeSet<_> = quoted(&described).filter(is_event).collect();
    let contract = page::read("docs/contract.md");
    let listed = rows(section(&contract, "3. Server-Sent Events on the wire"));
    assert_eq!(described, listed.into_iter().flat_map(|cells| quoted(cells[0])).filter(is_event).collect());
}

#[test]
fn a_linter_finds_nothing() {
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", installed("node_modules"))
        .arg(foreign("lint-openapi.cjs"))
        .arg(page::root().join(FILE));
    let linted = command.output().expect("node runs");
    assert!(linted.status.success() && linted.stdout.is_empty(), "{linted:?}");
}

/// With a token that is good for everything, and without. Streams end by themselves, because connections are given a short
/// life; hooks see to it that long-polls do not wait, and tails are of a stream that is there.
#[tokio::test]
async fn schemathesis_finds_nothing() -> anyhow::Result<()> {
    let secret = Secret::new();
    let mut claims = claims("schemathesis", &["*"], &["*"]);
    claims["weir"]["streams"] = json!({ "read": ["*"], "append": ["*"], "manage": ["*"] });
    let token = secret.sign(&claims);
    let mut flags =
        vec!["--jwt-secret-file", secret.flag(), "--max-connection-age", "50ms", "--retry", "100ms"];
    flags.extend(["--long-poll-timeout", "50ms"]);
    let weir = Instance::start(WEIR, &flags).await?;
    let followed = weir.client().request("PUT", "/v1/stream/followed").bearer(&token);
    ensure!(followed.header("content-type", "application/json").body("[1,2]").send().await?.status() == 201);
    let folder = tempfile::tempdir()?;
    std::fs::copy(foreign("schemathesis-hooks.py"), folder.path().join("schemathesis-hooks.py"))?;
    let settings = std::fs::read_to_string(foreign("schemathesis.toml"))?;
    let settings = format!("{settings}\n[auth.openapi.bearer]\nbearer = \"{token}\"\n");
    std::fs::write(folder.path().join("schemathesis.toml"), settings)?;
    let mut command = Command::new(installed("venv/bin/st"));
    command.current_dir(folder.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["run", &format!("http://{}{PATH}", weir.public())]);
    let found = command.args(["--checks=all", "--seed=1", "--max-examples=10", "--no-color"]).output()?;
    let said = String::from_utf8_lossy(&found.stdout);
    // A summary of nothing would pass, too: it says `No test cases were generated`.
    let generated = said.lines().filter(|line| line.contains("generated"));
    let numbers = generated.flat_map(|line| line.split(|char: char| !char.is_ascii_digit()));
    let cases = numbers.filter_map(|number| number.parse().ok()).max().unwrap_or(0);
    let failed = String::from_utf8_lossy(&found.stderr);
    ensure!(found.status.success() && cases > 0, "{said}{failed}");
    let tails = weir.metrics().await?.value("weir_stream_tail_reads_total", &[]);
    ensure!(tails > Some(0.0), "nothing was followed: {said}");
    Ok(())
}

fn foreign(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "foreign", file].iter().collect()
}

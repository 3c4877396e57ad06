//! The rules of `deploy/prometheus` and the routes of `deploy/alertmanager`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::page::{read, root, section};
use weir_testkit::prometheus::configuration;
use weir_testkit::tools::tool;
use weir_testkit::{Client, Instance, Prometheus, series};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const RUNBOOKS: &str = "https://git.example.com/weir/blob/main/docs/runbooks/";

/// What a program said, which must have liked what it was given.
fn liked(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(tool(program)?).args(arguments).current_dir(root()).output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(said)
}

fn files(folder: &str) -> anyhow::Result<Vec<String>> {
    let all = fs::read_dir(root().join(folder)).with_context(|| folder.to_owned())?;
    let mut names = Vec::new();
    for entry in all {
        let name = entry?.file_name().into_string().ok().context("a name")?;
        if Path::new(&name).extension().is_some() {
            names.push(format!("{folder}/{name}"));
        }
    }
    names.sort();
    Ok(names)
}

#[test]
fn promtool_likes_them_and_they_fire_when_they_should() -> anyhow::Result<()> {
    they_fire_when_they_should("promtool")
}

/// Since Prometheus 3 a window leaves out what stands at its beginning, which moves what `rate()` sees.
#[test]
#[ignore = "make deploy-test"]
fn promtool_of_prometheus_3_likes_them_too() -> anyhow::Result<()> {
    ensure!(liked("promtool-3", &["--version"])?.contains("version 3"));
    they_fire_when_they_should("promtool-3")
}

fn they_fire_when_they_should(promtool: &str) -> anyhow::Result<()> {
    let rules = ["deploy/prometheus/weir-rules.yaml", "deploy/prometheus/weir-alerts.yaml"];
    liked(promtool, &[&["check", "rules", "--lint=all", "--lint-fatal"][..], &rules].concat())?;
    liked(promtool, &["check", "config", "deploy/prometheus/prometheus.yaml"])?;
    let tests = files("deploy/prometheus/tests")?;
    ensure!(tests.len() >= 3, "{tests:?}");
    let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
    liked(promtool, &[&["test", "rules"], &tests[..]].concat())?;
    Ok(())
}

#[test]
fn amtool_likes_it_and_pages_reach_whoever_is_on_call() -> anyhow::Result<()> {
    let file = "deploy/alertmanager/alertmanager.yaml";
    liked("amtool", &["check-config", file])?;
    let receiver = |severity: &str| {
        let config = format!("--config.file={file}");
        liked("amtool", &["config", "routes", "test", &config, severity, "alertname=WeirX", "job=weir"])
    };
    ensure!(receiver("severity=page")?.lines().any(|line| line == "on-call"));
    ensure!(receiver("severity=ticket")?.lines().any(|line| line == "tickets"));
    Ok(())
}

/// Every rule as Prometheus understands it.
async fn rules() -> anyhow::Result<Vec<Value>> {
    let path = |name: &str| root().join("deploy/prometheus").join(name).display().to_string();
    let files = [path("weir-rules.yaml"), path("weir-alerts.yaml")];
    let prometheus = Prometheus::start(&configuration(&[], &[&files[0], &files[1]], None)).await?;
    let answer = Client::new(prometheus.address()).get("/api/v1/rules").send().await?.json()?;
    let groups = answer["data"]["groups"].as_array().context("groups")?;
    Ok(groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect())
}

/// Words of a query that are names of series of weir, of its process, or of a rule. No label is called like that.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| ["weir_", "process_", "job:"].iter().any(|start| word.starts_with(start)))
}

#[tokio::test]
async fn they_ask_for_series_that_there_are() -> anyhow::Result<()> {
    let rules = rules().await?;
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, about) in series::documented().into_iter().chain(series::documented_of_redis()) {
        if about.kind == "histogram" {
            known.extend(["_bucket", "_count", "_sum"].map(|suffix| format!("{name}{suffix}")));
        } else {
            known.insert(name);
        }
    }
    let recorded = rules.iter().filter(|rule| rule["type"] == "recording");
    known.extend(recorded.filter_map(|rule| rule["name"].as_str()).map(str::to_owned));
    let mut asked = 0;
    for rule in &rules {
        for name in names(rule["query"].as_str().context("a query")?) {
            ensure!(known.contains(name), "{} asks for {name}", rule["name"]);
            asked += 1;
        }
    }
    ensure!(rules.len() > 20 && asked > 50, "{} rules ask for {asked}", rules.len());
    Ok(())
}

#[tokio::test]
async fn each_alert_says_what_to_do() -> anyhow::Result<()> {
    let mut pages = BTreeSet::new();
    for rule in rules().await?.iter().filter(|rule| rule["type"] == "alerting") {
        let (name, notes) = (rule["name"].as_str().context("a name")?, &rule["annotations"]);
        let severity = rule["labels"]["severity"].as_str();
        ensure!(matches!(severity, Some("page" | "ticket")), "{name} is {severity:?}");
        ensure!(notes["runbook_url"] == format!("{RUNBOOKS}{name}.md"), "{name}: {notes}");
        let told = ["summary", "description"].map(|note| notes[note].as_str().unwrap_or_default());
        ensure!(told.iter().all(|text| text.len() > 15), "{name}: {notes}");
        pages.insert(name.to_owned());
    }
    let written = files("docs/runbooks")?.into_iter().filter_map(|file| {
        let name = Path::new(&file).file_stem()?.to_str()?.to_owned();
        name.starts_with("Weir").then_some(name)
    });
    assert_eq!(written.collect::<BTreeSet<_>>(), pages);
    Ok(())
}

/// How a page says for how long, in seconds.
const TIMES: [(f64, &str); 7] = [
    (30.0, "for 30 s more"),
    (60.0, "for a minute"),
    (120.0, "for two minutes"),
    (300.0, "for five minutes"),
    (600.0, "for ten minutes"),
    (900.0, "for 15 minutes"),
    (1800.0, "for half an hour"),
];

/// How a page says a bound that it does not say as a number or in percent.
const BOUNDS: [(&str, &str); 6] = [
    ("0.01", "one in a hundred"),
    ("0.05", "one in twenty"),
    ("1", "a second"),
    ("2", "twice"),
    ("4", "four times"),
    ("600", "10 minutes"),
];

/// What stands behind `>` and `<`; those that are multiplied by the budget are told as what comes out.
fn bounds(query: &str) -> Vec<String> {
    let compared = query.split(['>', '<']).skip(1);
    let numbers = compared.filter_map(|rest| {
        let rest = rest.trim_start();
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..length].parse().ok()?;
        Some(if rest[length..].starts_with(" * 0.001") { number * 0.001 } else { number })
    });
    numbers.filter(|number| *number > 0.0).map(|number| number.to_string()).collect()
}

fn says(meaning: &str, bound: &str) -> bool {
    let percent = bound.parse::<f64>().map(|share| format!("{} %", (share * 10_000.0).round() / 100.0));
    let word = BOUNDS.iter().find(|(number, _)| *number == bound);
    meaning.split(' ').any(|told| told.trim_matches([',', '.', ':']) == bound)
        || percent.is_ok_and(|percent| meaning.contains(&percent))
        || word.is_some_and(|(_, word)| meaning.contains(word))
}

#[tokio::test]
async fn the_pages_say_when_they_fire() -> anyhow::Result<()> {
    let mut told = 0;
    for rule in rules().await?.iter().filter(|rule| rule["type"] == "alerting") {
        let name = rule["name"].as_str().context("a name")?;
        let page = read(&format!("docs/runbooks/{name}.md"));
        let meaning = section(&page, "Meaning").to_lowercase().replace('\n', " ").replace("**", "");
        let held = rule["duration"].as_f64().context("a duration")?;
        let time = TIMES.iter().find(|(seconds, _)| *seconds == held);
        ensure!(held == 0.0 || time.is_some_and(|(_, time)| meaning.contains(time)), "{name}: for {held} s");
        for bound in bounds(rule["query"].as_str().context("a query")?) {
            ensure!(says(&meaning, &bound), "{name}: {bound} in {meaning}");
            told += 1;
        }
    }
    ensure!(told > 15, "{told} bounds");
    Ok(())
}

/// What is scraped follows the conventions of the field, with either log.
#[tokio::test]
async fn promtool_likes_the_page_of_an_instance() -> anyhow::Result<()> {
    let redis = weir_testkit::redis::RedisServer::start().await;
    for flags in [vec![], vec!["--redis".to_owned(), redis.url()]] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let weir = Instance::start(WEIR, &flags).await?;
        weir.client().publish("s", "x").await?;
        let page = weir.admin_client().get("/metrics").send().await?;
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), page.text()?)?;
        let mut check = Command::new(tool("promtool")?);
        check.args(["check", "metrics"]).stdin(fs::File::open(file.path())?);
        let output = check.output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success() && said.is_empty(), "{flags:?}: {said}");
    }
    Ok(())
}

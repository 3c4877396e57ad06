//! `docs/runbooks` says nothing that is not so: what its commands call is there, and those of a diagnosis are run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;
use weir_testkit::page::{blocks, quoted, read, root, rows, section};
use weir_testkit::prometheus::{self, Prometheus};
use weir_testkit::redis::RedisServer;
use weir_testkit::series::{documented, documented_of_redis};
use weir_testkit::{DEADLINE, Instance, eventually};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What somebody who was woken looks for, in this order.
const SECTIONS: [&str; 5] = ["Meaning", "Impact", "Diagnosis", "Remedy", "False alarm"];

/// The names and texts of all pages but the index.
fn pages() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("docs/runbooks")).expect("a folder of runbooks");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name in UTF-8"));
    let mut names: Vec<_> = names.filter(|name| name != "README.md").collect();
    names.sort();
    let page = |name: String| {
        let text = read(&format!("docs/runbooks/{name}"));
        (name.trim_end_matches(".md").to_owned(), text)
    };
    names.into_iter().map(page).collect()
}

/// Whatever may be a series: words with the prefix of one, as they stand in any place of a page.
fn series_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words.filter(|word| word.starts_with("weir_") || word.starts_with("process_")).collect()
}

fn is_series(word: &str) -> bool {
    let known = || documented().into_iter().chain(documented_of_redis());
    let parts = ["_bucket", "_sum", "_count"];
    let base = parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word);
    // The pattern of a `grep` may be the beginning of several.
    known().any(|(name, _)| name == word || name == base || name.starts_with(word))
}

#[test]
fn the_index_lists_every_page() {
    let index = read("docs/runbooks/README.md");
    let rows = rows(section(&index, "The alerts"));
    let listed: Vec<_> =
        rows.iter().filter_map(|cells| cells[0].strip_prefix('[')?.split_once(']')).collect();
    let there: BTreeSet<_> = pages().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), there);
    assert_eq!(listed.len(), there.len(), "a page is listed once");
    assert!(listed.iter().all(|(name, link)| *link == format!("({name}.md)")), "{listed:?}");
}

#[test]
fn every_page_has_what_is_looked_for_in_order() {
    for (name, page) in pages() {
        assert!(page.starts_with(&format!("# {name}\n")), "{name} begins with its name");
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, SECTIONS, "{name}");
        for heading in SECTIONS {
            assert!(section(&page, heading).lines().count() >= 3, "{name}: nothing under {heading}");
        }
        assert!(!blocks(section(&page, "Diagnosis"), "sh").is_empty(), "{name} gives no command");
    }
}

/// Each rule has its page, which says how urgent it is in the words of the rule, and the index does, too.
#[test]
fn the_pages_are_as_urgent_as_the_rules() {
    let rules = read("deploy/prometheus/weir-alerts.yaml");
    let mut urgency = BTreeMap::<_, BTreeSet<_>>::new();
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap_or_default().to_owned();
        let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split('}').next());
        urgency.entry(name).or_default().insert(severity.expect("a severity"));
    }
    let index = read("docs/runbooks/README.md");
    let names: BTreeSet<_> = urgency.keys().cloned().collect();
    assert_eq!(names, pages().into_iter().map(|(name, _)| name).collect());
    for (name, page) in pages() {
        let row = index.lines().find(|line| line.starts_with(&format!("| [{name}]"))).expect("a row");
        for severity in ["page", "ticket"] {
            let marks = if severity == "page" { "**Page" } else { "**Ticket" };
            let fires = urgency[&name].contains(severity);
            assert_eq!(section(&page, "Meaning").contains(marks), fires, "{name}: {severity}");
            let listed = row.rsplit(" | ").next().is_some_and(|cell| cell.contains(severity));
            assert_eq!(listed, fires, "the index on {name}: {severity}");
        }
    }
}

/// Of the words behind `weir_` and `process_` there is none that is no series, and each value of a label is one of its own.
#[test]
fn the_series_exist() {
    let known: Vec<_> = documented().into_iter().chain(documented_of_redis()).collect();
    let texts = pages().into_iter().chain([("operations".to_owned(), read("docs/operations.md"))]);
    for (name, page) in texts {
        let unknown: Vec<_> = series_in(&page).into_iter().filter(|word| !is_series(word)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        for (of, about) in &known {
            let opening = format!("{of}{{");
            let places = page.match_indices(&opening).map(|(at, found)| at + found.len());
            let matchers = places.filter_map(|at| page[at..].split_once('}')).map(|(inner, _)| inner);
            let pairs = matchers.flat_map(|inner| inner.split(',')).filter_map(|pair| pair.split_once('='));
            for (label, value) in pairs.filter(|(label, _)| about.labels.contains_key(*label)) {
                let values = &about.labels[label];
                let value = value.trim_matches('"');
                assert!(values.is_empty() || values.contains(value), "{name}: {of} has no {label}={value}");
            }
        }
    }
}

/// Every way in which an event can be lost, dropped or left behind stands in the table of those who miss one.
#[test]
fn every_way_to_lose_an_event_is_told() {
    let page = read("docs/operations.md");
    let table = section(&page, "I lost events: which counter?");
    let known = documented();
    let mut missing = Vec::new();
    let series = ["weir_events_dropped_total", "weir_events_discarded_total", "weir_gap_notices_total"];
    for series in series {
        for reason in &known[series].labels["reason"] {
            let told = rows(table).into_iter().any(|cells| {
                let gap = series.contains("gap") && cells[1].contains(&format!("gap `{reason}`"));
                let named = [format!("`{reason}`"), format!("\"{reason}\"")];
                gap || cells[1].contains(series) && named.iter().any(|name| cells[1].contains(name))
            });
            if !told {
                missing.push(format!("{series} {reason}"));
            }
        }
    }
    for series in known.keys().filter(|name| name.contains("lost") || name.contains("malformed")) {
        assert!(table.contains(series.as_str()), "{series}");
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// Calls of weir take flags that there are, and ask `doctor` and `config` for lines that they have.
#[test]
fn the_calls_exist() {
    let contract = read("docs/contract.md");
    let configuration = read("docs/configuration.md");
    let checks: BTreeSet<_> =
        rows(section(&contract, "Doctor")).into_iter().flat_map(|cells| quoted(cells[0])).collect();
    let mut helps = BTreeMap::new();
    for (name, page) in pages() {
        for line in blocks(&page, "sh").iter().flat_map(|block| block.lines()) {
            let code = line.split(" #").next().unwrap_or_default();
            for call in code.split(['|', ';', '&', '(']).filter_map(call_of_weir) {
                let mut words = call.split_whitespace();
                let command = words.next().unwrap_or_default();
                let help = helps.entry(command.to_owned()).or_insert_with(|| help(command));
                let flags = words.filter(|word| word.starts_with("--"));
                let unknown: Vec<_> = flags.filter(|flag| !help.contains(*flag)).collect();
                assert!(unknown.is_empty(), "{name}: weir {command} has no {unknown:?}");
            }
            let asked = line.split_once("grep -E '").and_then(|(_, rest)| rest.split_once('\''));
            for word in asked.map(|(pattern, _)| alternatives(pattern)).unwrap_or_default() {
                if line.contains("weir doctor") {
                    assert!(
                        word == "warn" || word == "fail" || checks.contains(word),
                        "{name}: no check {word}"
                    );
                } else if line.contains("weir config") {
                    assert!(configuration.contains(&format!("| `{word}")), "{name}: no setting {word}");
                }
            }
        }
    }
}

/// What stands behind `weir`, where it is what is called, with or without a bound of time.
fn call_of_weir(part: &str) -> Option<&str> {
    let part = part.trim();
    let bounded = part.strip_prefix("timeout ").and_then(|rest| Some(rest.split_once(' ')?.1));
    bounded.unwrap_or(part).strip_prefix("weir ")
}

fn help(command: &str) -> String {
    let output = Command::new(WEIR).args([command, "--help"]).output().expect("weir runs");
    assert!(output.status.success(), "there is no weir {command}");
    String::from_utf8(output.stdout).expect("help in UTF-8")
}

/// The words of `^(a|b)` and ` (a|b) `, and of one alone.
fn alternatives(pattern: &str) -> Vec<&str> {
    pattern.trim_matches(['^', ' ', '(', ')']).split('|').collect()
}

/// Every link to a page of ours, and to a heading of it, leads there.
#[test]
fn the_links_lead_somewhere() {
    let texts = pages().into_iter().map(|(name, text)| (format!("docs/runbooks/{name}.md"), text));
    let more = ["docs/runbooks/README.md", "docs/operations.md", "docs/configuration.md"];
    for (file, text) in texts.chain(more.map(|file| (file.to_owned(), read(file)))) {
        let folder = root().join(&file).parent().expect("a folder").to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        for link in links.filter(|link| !link.contains("://")) {
            let (path, heading) =
                link.split_once('#').map_or((link, None), |(path, rest)| (path, Some(rest)));
            let target = if path.is_empty() { root().join(&file) } else { folder.join(path) };
            assert!(target.exists(), "{file}: {link}");
            if let Some(heading) = heading {
                assert!(anchors(&target).contains(heading), "{file}: no heading {link}");
            }
        }
    }
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).expect("a page");
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    let kept = |character: &char| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_');
    headings
        .map(|line| line.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

/// The commands of every diagnosis, as they stand there, on an instance with a client and a few entries: none of them is
/// misspelled, needs what is not there, or is answered with a refusal.
#[tokio::test]
async fn the_diagnoses_run() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let weir = Instance::start(WEIR, &["--redis", &redis.url()]).await?;
    let mut client = weir.client().subscribe("room:7").await?;
    for data in ["one", "two"] {
        redis.cli(&["XADD", "weir:events", "*", "session", "room:7", "data", data]).await;
        client.next_published().await.context("an event")?;
    }
    let mut running = JoinSet::new();
    for (name, page) in pages() {
        let shells: Vec<_> = blocks(section(&page, "Diagnosis"), "sh")
            .into_iter()
            .map(|block| (block.to_owned(), shell(&weir, &redis, block)))
            .collect();
        running.spawn_blocking(move || {
            shells.into_iter().try_for_each(|(block, mut shell)| {
                judge(&shell.output()?).with_context(|| format!("{name}:\n{block}"))
            })
        });
    }
    for ended in running.join_all().await {
        ended?;
    }
    Ok(())
}

/// The queries, as they stand on the pages, are answered by a Prometheus that scrapes two instances; those that compare may
/// have nothing to show.
#[tokio::test]
async fn the_queries_are_answered() -> anyhow::Result<()> {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--redis", url.as_str()];
    let (one, two) = tokio::try_join!(Instance::start(WEIR, &flags), Instance::start(WEIR, &flags))?;
    let targets = [one.admin(), two.admin()];
    let prometheus = Prometheus::start(&prometheus::configuration(&targets, &[], None)).await?;
    let twice = "count_over_time(weir_ready[5m]) > 1";
    eventually(DEADLINE, async || {
        let scraped = prometheus.instant(twice).await?.len();
        ensure!(scraped == targets.len(), "{scraped} instances");
        Ok(())
    })
    .await?;
    let pages = pages().into_iter().chain([("operations".to_owned(), read("docs/operations.md"))]);
    for (name, page) in pages {
        for query in blocks(&page, "promql").into_iter().flat_map(str::lines) {
            let answer = prometheus.instant(query).await.with_context(|| name.clone())?;
            let compares = [" > ", " == "].iter().any(|sign| query.contains(sign));
            ensure!(compares || !answer.is_empty(), "{name}: {query} gives nothing");
        }
    }
    Ok(())
}

/// The page of operations names defaults as the page of settings does.
#[test]
fn the_limits_have_these_defaults() {
    let (operations, configuration) = (read("docs/operations.md"), read("docs/configuration.md"));
    let settings = rows(section(&configuration, "`weir serve`"));
    let limits = rows(section(&operations, "Limits and their defaults"));
    assert!(limits.len() > 5, "{limits:?}");
    for cells in limits {
        let flags: Vec<_> = quoted(cells[0]).collect();
        let told: Vec<_> = cells[1].split(", ").map(|default| default.replace(' ', "")).collect();
        assert!(told.len() == flags.len() || told.len() == 1, "{cells:?}");
        for (nth, name) in flags.iter().enumerate() {
            let row =
                settings.iter().find(|cells| quoted(cells[0]).filter_map(flag).any(|known| known == *name));
            let default = row.unwrap_or_else(|| panic!("no setting {name}"))[3].replace(['`', ' '], "");
            assert_eq!(told[nth.min(told.len() - 1)], default, "{name}");
        }
    }
}

/// Each flag that is spoken of is one of some command.
#[test]
fn the_flags_exist() {
    let (configuration, contract) = (read("docs/configuration.md"), read("docs/contract.md"));
    let tables =
        ["`weir serve`", "Commands that talk to an instance"].map(|name| section(&configuration, name));
    let tables = tables.into_iter().flat_map(rows).map(|cells| cells[0]);
    let flags = tables.chain([section(&contract, "1. Commands")]).flat_map(quoted).filter_map(flag);
    let known: BTreeSet<_> = flags.collect();
    let shared = section(&configuration, "Settings of instances that share a log").to_owned();
    let more = [("operations".to_owned(), read("docs/operations.md")), ("configuration".to_owned(), shared)];
    for (name, page) in pages().into_iter().chain(more) {
        let prose: String = page.split("```").step_by(2).collect();
        let unknown: Vec<_> = quoted(&prose).filter_map(flag).filter(|flag| !known.contains(flag)).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}

/// The name in `--name VALUE`; of `--jwt-…`, which stands for several, none.
fn flag(text: &str) -> Option<&str> {
    let name = text.split([' ', '=']).next()?;
    (name.starts_with("--") && !name.contains('…')).then_some(name)
}

/// A shell with what the index has people set.
fn shell(weir: &Instance, redis: &RedisServer, block: &str) -> Command {
    let folder = Path::new(WEIR).parent().expect("a folder of the binary");
    let mut shell = Command::new("bash");
    shell.args(["-uc", &format!("PATH={}:$PATH\n{block}", folder.display())]);
    shell.env("A", format!("http://{}", weir.admin()));
    shell.env("H", "Weir-Admin: 1").env("R", format!("redis-cli -u {}", redis.url())).env("S", "weir:events");
    // By its name, the instance of another test would be found as well.
    shell.env("P", weir.pid().to_string());
    // What stands in a file at home stands in variables here.
    shell.env("WEIR_REDIS", redis.url()).env("WEIR_URL", format!("http://{}", weir.public()));
    shell
}

/// That nothing is found by a `grep` is no fault, and neither is a finding of `doctor`.
fn judge(output: &Output) -> anyhow::Result<()> {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().context("the shell was killed")?;
    // 124: `timeout` ended what would have gone on.
    ensure!([0, 1, 124].contains(&code), "status {code}: {said}");
    let faults = ["not found", "\"code\":\"", "unknown", "unexpected", "ERR ", "error:", "sage: ", "unbound"];
    let fault = faults.iter().find(|fault| said.contains(**fault));
    ensure!(fault.is_none(), "{fault:?} in: {said}");
    Ok(())
}

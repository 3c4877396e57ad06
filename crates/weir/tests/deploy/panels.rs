//! The dashboards on live data: what they ask a real Prometheus has answers, on a cluster with traffic and trouble, and
//! Grafana's own panels draw them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;
use weir_testkit::page::root;
use weir_testkit::prometheus::Prometheus;
use weir_testkit::token::now_secs;
use weir_testkit::{Client, Output, Program};

use crate::cluster::Cluster;
use crate::dashboard::{Dashboard, UIDS};
use crate::traffic::Traffic;

/// Queries that may be without an answer, by what stands in them, and why.
const EMPTY: &[(&str, &str)] = &[
    ("max by (alertname", "nothing needs to fire"),
    ("weir_tls_certificate_expiry_timestamp_seconds", "the instances speak no TLS"),
    ("weir_memory_limit_bytes", "the instances have no --memory-limit"),
    ("} == 1", "no scrape need meet a drain"),
];

/// What Grafana's types of version 10.1 do not know: what is particular to queries of Prometheus, and what is newer.
const UNKNOWN: &[&str] = &[
    ".annotations.list[].tagKeys",
    ".annotations.list[].target.expr",
    ".annotations.list[].target.legendFormat",
    ".annotations.list[].target.refId",
    ".annotations.list[].titleFormat",
    ".panels[].options.wideLayout",
    ".templating.list[].definition",
];

/// Between two scrapes.
const INTERVAL: Duration = Duration::from_secs(1);

/// The variables as Grafana fills them in where all is chosen and scrapes come so often.
const FILLED: [(&str, &str); 3] = [("$job", ".+"), ("$instance", ".+"), ("$__rate_interval", "4s")];

/// For all pictures of a test.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long what happens lasts.
struct Pace {
    calm: Duration,
    outage: Duration,
    overload: Duration,
    dead: Duration,
}

/// Enough for each query to have an answer.
const QUICK: Pace = pace([4, 3, 8, 2]);

/// Enough for a picture that shows what trouble looks like, alerts included.
const PICTURESQUE: Pace = pace([30, 75, 25, 30]);

/// When something was the matter, as Unix time in seconds.
struct Times {
    start: u64,
    redis_away: u64,
    end: u64,
}

#[tokio::test]
#[ignore = "make deploy-test"]
async fn every_panel_shows_something_on_live_data() -> anyhow::Result<()> {
    // `make dashboards` gives the folder of those in the documents.
    let pictures = std::env::var_os("WEIR_TEST_PICTURES");
    let mut cluster = Cluster::start(&rules()).await?;
    let times = happen(&mut cluster, if pictures.is_some() { PICTURESQUE } else { QUICK }).await?;
    let mut wrong = unanswered(&cluster.prometheus, times.end - times.start).await;
    wrong.extend(unfilled(&cluster.prometheus).await?);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let folder = tempfile::tempdir()?;
    let drawn = match pictures {
        None => quick_pictures(folder.path(), &times),
        Some(into) => pictures_of_the_documents(&root().join(into), &times),
    };
    draw(&cluster.prometheus, drawn, times.end).await
}

/// A calm day, with all that may happen to it.
async fn happen(cluster: &mut Cluster, pace: Pace) -> anyhow::Result<Times> {
    let start = now_secs();
    let traffic = Traffic::start(cluster);
    sleep(pace.calm).await;
    cluster.restart(1).await?;
    sleep(pace.calm).await;
    cluster.redis.stop();
    sleep(pace.outage).await;
    let redis_away = now_secs();
    cluster.redis.restart().await;
    sleep(pace.calm).await;
    cluster.kill(2).await?;
    sleep(pace.dead).await;
    cluster.bring_back(2).await?;
    sleep(pace.calm).await;
    // Last, since what is said of it lasts longest.
    traffic.overload(pace.overload).await;
    sleep(pace.calm).await;
    Ok(Times { start, redis_away, end: now_secs() })
}

/// What asks in vain over so many seconds.
async fn unanswered(prometheus: &Prometheus, seconds: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (title, expr) in UIDS.map(Dashboard::read).iter().flat_map(Dashboard::queries) {
        let curves = prometheus.range(&filled(&expr), Duration::from_secs(seconds), INTERVAL).await;
        let points =
            curves.map(|curves| curves.into_iter().flat_map(|curve| curve.points).collect::<Vec<_>>());
        match points {
            Ok(points) if points.iter().any(|(_, value)| value.is_finite()) || may_be_empty(&expr) => {}
            Ok(_) => wrong.push(format!("{title}: {expr} gives nothing")),
            Err(error) => wrong.push(format!("{title}: {error:#}")),
        }
    }
    wrong
}

/// Variables that do not offer what there is.
async fn unfilled(prometheus: &Prometheus) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for dashboard in UIDS.map(Dashboard::read) {
        for variable in dashboard.variables().filter(|variable| variable["type"] == "query") {
            let query = variable["query"]["query"].as_str().context("a query")?;
            let (series, label) = label_values(query).with_context(|| query.to_owned())?;
            let path = format!("/api/v1/label/{label}/values");
            let answer =
                Client::new(prometheus.address()).get(&path).query("match[]", filled(series)).send().await?;
            let values = answer.json()?["data"].take();
            let want = if label == "job" { json!(["weir"]) } else { json!(["weir-1", "weir-2", "weir-3"]) };
            if values != want {
                wrong.push(format!("{query}: {values}"));
            }
        }
    }
    Ok(wrong)
}

/// What Grafana makes of `label_values(SERIES, LABEL)`.
fn label_values(query: &str) -> Option<(&str, &str)> {
    query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")
}

fn quick_pictures(folder: &Path, times: &Times) -> Vec<Value> {
    let picture = |uid, theme, instance| {
        let file = folder.join(uid).with_extension("png");
        picture(&file, (uid, theme), instance, ([0, 20], times.start, times.end))
    };
    vec![picture("weir-overview", "light", ".+"), picture("weir-instance", "dark", "weir-2")]
}

fn pictures_of_the_documents(folder: &Path, times: &Times) -> Vec<Value> {
    let in_both = |name: &str, uid, instance, (rows, end)| {
        ["light", "dark"].map(|theme| {
            let file = folder.join(format!("{name}-{theme}.png"));
            picture(&file, (uid, theme), instance, (rows, times.start, end))
        })
    };
    let pictures = [
        in_both("dashboard-overview", "weir-overview", ".+", ([0, 2], times.end)),
        in_both("dashboard-instance", "weir-instance", "weir-2", ([0, 2], times.end)),
        in_both("dashboard-redis-away", "weir-overview", ".+", ([0, 1], times.redis_away)),
    ];
    pictures.concat()
}

/// Some rows of a dashboard, from the first to before the last, over some time.
fn picture(
    file: &Path,
    (uid, theme): (&str, &str),
    instance: &str,
    (rows, from, to): ([u8; 2], u64, u64),
) -> Value {
    let variables = json!({"job": ".+", "instance": instance});
    json!({"file": file, "uid": uid, "theme": theme, "rows": rows, "from": from, "to": to, "variables": variables})
}

/// Has all of them drawn, and sees to it that none went wrong, and that in those of the end no panel stayed empty: while
/// Redis is away not everything is known.
async fn draw(prometheus: &Prometheus, pictures: Vec<Value>, end: u64) -> anyhow::Result<()> {
    let job = json!({
        "prometheus": format!("http://{}", prometheus.address()),
        "dashboards": root().join("deploy/grafana/dashboards"),
        "pictures": pictures,
    });
    let mut command = Command::new("node");
    command.env("NODE_PATH", tools().join("node_modules"));
    command.arg(root().join("deploy/grafana/preview/draw.cjs")).arg(job.to_string());
    let mut program = Program::start(command, Output::Stdout)?;
    let ended = program.wait_exit(PATIENCE).await?;
    ensure!(ended.success(), "{ended}: {}", program.tail());
    let lines = program.lines();
    ensure!(lines.len() == pictures.len(), "{lines:?}");
    for (line, picture) in lines.iter().zip(&pictures) {
        let drawn: Value = serde_json::from_str(line)?;
        ensure!(drawn["wrong"] == json!([]), "{line}");
        if picture["to"] != end {
            continue;
        }
        let empty = drawn["empty"].as_array().context("a list of queries")?.iter();
        let empty: Vec<_> = empty.filter_map(Value::as_str).filter(|expr| !may_be_empty(expr)).collect();
        ensure!(empty.is_empty(), "{} shows nothing of {empty:?}", drawn["file"]);
    }
    Ok(())
}

#[test]
#[ignore = "make deploy-test"]
fn grafana_knows_all_that_the_dashboards_say() {
    let mut command = Command::new(tools().join("venv/bin/python"));
    command.arg(root().join("crates/weir/tests/deploy/grafana/model.py"));
    let files = UIDS.map(|uid| OsString::from(root().join(format!("deploy/grafana/dashboards/{uid}.json"))));
    let output = command.args(files).output().expect("Grafana's types are there: .ci/setup deploy");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lost = String::from_utf8(output.stdout).expect("paths");
    let unknown: Vec<_> = lost.lines().filter(|line| !UNKNOWN.contains(line)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The rules that this Prometheus has, by absolute path.
fn rules() -> Vec<PathBuf> {
    let folder = root().join("deploy/prometheus");
    let files = ["weir-rules.yaml", "weir-alerts.yaml"].map(|name| folder.join(name));
    files.into_iter().map(|file| file.canonicalize().expect("a file")).collect()
}

/// What `.ci/setup deploy` installed.
fn tools() -> PathBuf {
    root().join(".tools/grafana")
}

fn may_be_empty(expr: &str) -> bool {
    EMPTY.iter().any(|(part, _)| expr.contains(part))
}

fn filled(text: &str) -> String {
    FILLED.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

const fn pace([calm, outage, overload, dead]: [u64; 4]) -> Pace {
    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
    Pace { calm: seconds(calm), outage: seconds(outage), overload: seconds(overload), dead: seconds(dead) }
}

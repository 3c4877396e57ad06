//! The dashboards of `deploy/grafana`: what can be said of them without running anything.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use weir_testkit::page::{self, read};
use weir_testkit::series;

use crate::dashboard::{Dashboard, Panel, UIDS};

/// Series that Prometheus makes itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// Labels that every series gets by being scraped, and those of alerts and of buckets.
const LABELS: [&str; 5] = ["job", "instance", "alertname", "severity", "le"];

fn dashboards() -> [Dashboard; 2] {
    UIDS.map(Dashboard::read)
}

#[test]
fn the_committed_json_is_what_the_source_writes() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = page::root().join("deploy/grafana/source/write.mjs");
    let status = Command::new("node").arg(script).arg(folder.path()).status();
    assert!(status.expect("node is there: .ci/setup test").success());
    for uid in UIDS {
        let written =
            std::fs::read_to_string(folder.path().join(format!("{uid}.json"))).expect("it was written");
        let committed = read(&format!("deploy/grafana/dashboards/{uid}.json"));
        assert!(written == committed, "{uid}.json: run node deploy/grafana/source/write.mjs");
    }
}

#[test]
fn a_dashboard_has_what_grafana_and_its_reader_need() {
    for (uid, dashboard) in UIDS.into_iter().zip(dashboards()) {
        let json = &dashboard.json;
        assert_eq!(json["uid"], uid);
        assert!(json["id"].is_null(), "{uid}: an id is the server's to give");
        assert!(json["schemaVersion"].as_u64() >= Some(39), "{uid}");
        assert_eq!(json["tags"], serde_json::json!(["weir"]), "{uid}");
        assert!(!text(&json["title"]).is_empty() && !text(&json["description"]).is_empty(), "{uid}");
        assert_eq!(json["graphTooltip"], 1, "{uid}: one crosshair");
        let names: Vec<_> = dashboard.variables().map(|variable| text(&variable["name"])).collect();
        assert_eq!(names, ["datasource", "job", "instance", "runbooks"], "{uid}");
        for variable in dashboard.variables().filter(|variable| variable["type"] == "query") {
            assert_eq!(variable["datasource"]["uid"], "${datasource}", "{uid}: {variable}");
            if variable["includeAll"] == true {
                assert_eq!(variable["allValue"], ".+", "{uid}: {variable}");
            }
        }
    }
}

#[test]
fn a_panel_says_what_it_shows_what_is_normal_and_what_to_do() {
    for dashboard in dashboards() {
        let mut titles = BTreeSet::new();
        for Panel { title, json, .. } in dashboard.panels() {
            assert!(!title.is_empty() && titles.insert(title.clone()), "title {title:?}");
            let description = text(&json["description"]);
            let parts: Vec<_> = description.split("\n\n").collect();
            let [shows, normal, otherwise] = parts[..] else { panic!("{title}: {description}") };
            assert!(!shows.is_empty(), "{title}");
            assert!(normal.starts_with("**Normal:** "), "{title}: {normal}");
            assert!(otherwise.starts_with("**Otherwise:** "), "{title}: {otherwise}");
            let unit = text(&json["fieldConfig"]["defaults"]["unit"]);
            assert!(!unit.is_empty(), "{title} has no unit");
            assert!(!dashboard.queries_of(&title).is_empty(), "{title} asks nothing");
            assert_eq!(json["datasource"]["uid"], "${datasource}", "{title}");
            for target in array(&json["targets"]) {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
                assert!(!text(&target["legendFormat"]).is_empty(), "{title}");
            }
        }
    }
}

#[test]
fn panels_stand_beside_each_other() {
    for dashboard in dashboards() {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in array(&dashboard.json["panels"]) {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{key} of {panel}"));
            assert!(at("x") + at("w") <= 24, "{panel} is out of the page");
            let cells =
                (at("y")..at("y") + at("h")).flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y)));
            assert!(cells.into_iter().all(|cell| taken.insert(cell)), "{panel} lies on another");
        }
    }
}

#[test]
fn every_series_is_documented_and_used_as_its_kind_wants() {
    let known = known();
    for (title, expr) in dashboards().iter().flat_map(Dashboard::queries) {
        let mut used = 0;
        for (at, _) in expr.match_indices('{') {
            let (before, name) = expr[..at].split_at(start_of_name(&expr[..at]));
            used += 1;
            if OF_PROMETHEUS.contains(&name) {
                continue;
            }
            let base = ["_bucket", "_count", "_sum"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
            let (base, kind) = known
                .get(name)
                .map(|about| (name, about.kind.as_str()))
                .or_else(|| base.and_then(|base| Some((base, known.get(base)?.kind.as_str()))))
                .unwrap_or_else(|| panic!("{title}: {name} is not in docs/metrics.md"));
            let rated = before.ends_with("rate(") || before.ends_with("increase(");
            match kind {
                "counter" => assert!(rated, "{title}: the counter {name} is plotted raw"),
                "histogram" => assert!(rated && name != base, "{title}: the histogram {name}"),
                "gauge" => assert!(!rated, "{title}: {name} is a gauge"),
                other => panic!("{title}: {name} is a {other}"),
            }
        }
        assert!(used > 0, "{title}: {expr} asks for nothing");
    }
}

#[test]
fn a_query_keeps_to_the_choice_and_to_the_interval_of_the_scrapes() {
    let labels: BTreeSet<String> = known().into_values().flat_map(|about| about.labels.into_keys()).collect();
    for (title, expr) in dashboards().iter().flat_map(Dashboard::queries) {
        for selector in expr.split('{').skip(1) {
            assert!(selector.starts_with(r#"job=~"$job""#), "{title}: {expr}");
        }
        for range in expr.split('[').skip(1) {
            assert!(range.starts_with("$__rate_interval]"), "{title}: {expr}");
        }
        for quantile in expr.split("histogram_quantile(").skip(1) {
            let sum = quantile.split_once(", sum by (").expect("a sum").1;
            assert!(sum.split_once(')').is_some_and(|(by, _)| by.ends_with("le")), "{title}: {expr}");
        }
        for by in expr.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()) {
            for label in by.split(", ") {
                assert!(
                    LABELS.contains(&label) || labels.contains(label),
                    "{title}: nothing has a label {label}"
                );
            }
        }
    }
}

#[test]
fn the_series_that_say_whether_it_is_well_stand_first() {
    let [overview, _] = dashboards();
    let panels = overview.json["panels"].as_array().expect("panels");
    let rows: Vec<_> = (0..panels.len()).filter(|at| panels[*at]["type"] == "row").collect();
    let tiles = panels[rows[0]..rows[1]].iter().filter(|panel| panel["type"] == "stat");
    let first = tiles.flat_map(|panel| array(&panel["targets"])).map(Value::to_string).collect::<String>();
    let operations = read("docs/operations.md");
    let listed = page::rows(page::section(&operations, "Is it well?"));
    let names: Vec<_> = listed.iter().flat_map(|row| page::quoted(row[0])).collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let series = name.split('{').next().unwrap_or(name);
        assert!(first.contains(series), "{series} has no tile in the first row of the overview");
    }
}

#[test]
fn links_lead_somewhere() {
    let runbooks = page::root().join("docs/runbooks");
    let mut pages = 0;
    for dashboard in dashboards() {
        let prefix =
            dashboard.variables().find(|variable| variable["name"] == "runbooks").expect("a variable");
        assert_eq!(text(&prefix["query"]), "https://git.example.com/weir/blob/main/docs/runbooks");
        for Panel { title, json, .. } in dashboard.panels() {
            for link in array(&json["links"]) {
                let url = text(&link["url"]);
                let page = url.strip_prefix("${runbooks}/").unwrap_or_else(|| panic!("{title}: {url}"));
                assert_eq!(
                    text(&link["title"]),
                    format!("Runbook: {}", page.trim_end_matches(".md")),
                    "{title}"
                );
                assert!(exists(&runbooks, page), "{title}: no {page} in docs/runbooks");
                pages += 1;
            }
        }
        let linked = dashboard.json.to_string();
        for uid in linked.split("\"/d/").skip(1).filter_map(|rest| rest.split('/').next()) {
            assert!(UIDS.contains(&uid), "no dashboard {uid}");
        }
    }
    assert!(pages > 20, "only {pages} links to runbooks");
}

#[test]
fn the_pictures_of_the_documents_are_there_few_and_small() {
    let folder = page::root().join("docs/images");
    let page = read("docs/dashboards.md");
    let shown: BTreeSet<_> =
        page.split("images/").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect();
    let files = std::fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").file_name());
    let files = files.map(|name| name.into_string().expect("a name"));
    let drawn: BTreeSet<_> = files.filter(|name| name.starts_with("dashboard-")).collect();
    assert_eq!(shown, drawn, "what docs/dashboards.md shows, and what is there");
    assert!((1..=6).contains(&drawn.len()), "{drawn:?}");
    for name in drawn {
        let size = folder.join(&name).metadata().expect("it is there").len();
        assert!((1..128 * 1024).contains(&size), "{name} has {size} bytes");
    }
}

fn exists(folder: &Path, page: &str) -> bool {
    page.ends_with(".md") && folder.join(page).is_file()
}

/// All series of an instance, with Redis or without.
fn known() -> series::Series {
    let mut known = series::documented();
    known.append(&mut series::documented_of_redis());
    known
}

/// Where the name begins that a text ends with.
fn start_of_name(text: &str) -> usize {
    text.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).map_or(0, |at| at + 1)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

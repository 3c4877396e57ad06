//! What the chart takes from the folders beside it: rules, alerts and dashboards are those that are tested there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use weir_testkit::tools;

use crate::helm::{MATRIX, chart, find, helm, render, root, said};

/// The example that has all of them.
const PRODUCTION: &[&str] = MATRIX[2];

#[test]
#[ignore = "make deploy-test"]
fn the_rules_are_those_of_prometheus() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let all = render(&dir, &[PRODUCTION, &["--set", "nameOverride=stage"]].concat())?;
    let spec = &find(&all, "PrometheusRule")?["spec"];
    let file = dir.path().join("rules.yaml");
    fs::write(&file, spec.to_string())?;
    said(Command::new(tools::tool("promtool")?).args(["check", "rules"]).arg(&file).output()?)?;

    let groups = spec["groups"].as_array().context("groups")?;
    let rules: Vec<&Value> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    let rendered =
        rules.iter().filter_map(|rule| rule["alert"].as_str().or(rule["record"].as_str())).collect();
    let texts = ["weir-rules.yaml", "weir-alerts.yaml"]
        .map(|file| fs::read_to_string(root().join("deploy/prometheus").join(file)));
    let texts = texts.into_iter().collect::<Result<Vec<_>, _>>()?.join("\n");
    let lines = texts.lines().map(|line| line.trim().trim_start_matches("- "));
    let written: BTreeSet<&str> =
        lines.filter_map(|line| line.strip_prefix("alert: ").or(line.strip_prefix("record: "))).collect();
    ensure!(written.len() > 10, "{written:?}");
    assert_eq!(written, rendered);

    let text = spec.to_string();
    for placeholder in ["git.example.com", "grafana.example.com", "job=\\\"weir\\\""] {
        ensure!(!text.contains(placeholder), "{placeholder} is left");
    }
    for own in [
        "https://wiki.example.com/weir/WeirRedisDown.md",
        "https://metrics.example.com/d/",
        "job=\\\"stage\\\"",
    ] {
        ensure!(text.contains(own), "no {own}");
    }
    Ok(())
}

#[test]
#[ignore = "make deploy-test"]
fn the_dashboards_are_those_of_grafana() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let all = render(&dir, PRODUCTION)?;
    let map = all
        .iter()
        .find(|one| one["metadata"]["labels"]["grafana_dashboard"] == "1")
        .context("no dashboards")?;
    let rendered = map["data"].as_object().context("data")?;
    let files: Vec<_> = fs::read_dir(root().join("deploy/grafana/dashboards"))?.collect::<Result<_, _>>()?;
    assert_eq!(rendered.len(), files.len());
    for file in files {
        let name = file.file_name().into_string().ok().context("a name")?;
        ensure!(rendered[&name] == fs::read_to_string(file.path())?, "{name} differs");
    }
    Ok(())
}

/// Whoever gets a package has no folder beside it.
#[test]
#[ignore = "make deploy-test"]
fn a_package_has_the_files_themselves() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let into = dir.path().to_str().context("a path of text")?;
    said(helm("package", &dir, &["--destination", into])?)?;
    let package = dir.path().join(format!("weir-{}.tgz", env!("CARGO_PKG_VERSION")));
    said(Command::new("tar").args(["--extract", "--directory", into, "--file"]).arg(package).output()?)?;
    for file in [
        "files/prometheus/weir-alerts.yaml",
        "files/prometheus/weir-rules.yaml",
        "files/dashboards/weir-overview.json",
    ] {
        let packed = dir.path().join("weir").join(file);
        ensure!(packed.symlink_metadata()?.is_file(), "{file} is no file");
        ensure!(fs::read(packed)? == fs::read(chart().join(file))?, "{file} differs");
    }
    ensure!(!dir.path().join("weir/examples").exists(), "examples are for whoever has the sources");
    Ok(())
}

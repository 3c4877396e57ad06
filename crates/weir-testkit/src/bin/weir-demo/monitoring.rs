//! Who looks at the instances: Prometheus with the rules that ship, and Alertmanager.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weir_testkit::{Alertmanager, Prometheus};

use crate::ports;

/// How often instances are scraped, and rules looked at: somebody waits for what comes of it.
const INTERVAL: &str = "1s";

/// How long it may take until Prometheus has seen every instance.
const SEEN: Duration = Duration::from_secs(30);

/// What Prometheus tells: it is only shown.
const ALERTMANAGER: &str =
    "{route: {receiver: nobody, group_by: [alertname, job]}, receivers: [{name: nobody}]}";

/// Both, ended with this.
pub(crate) struct Monitoring {
    prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Monitoring {
    /// Has the instances at these admin listeners looked at, by the rules in a directory.
    pub(crate) async fn start(instances: &[(&str, SocketAddr)], rules: &Path) -> anyhow::Result<Self> {
        let alertmanager = Alertmanager::start_at(ports::at(ports::ALERTMANAGER)?, ALERTMANAGER).await?;
        let configuration = configuration(instances, &files(rules)?, alertmanager.address());
        let prometheus =
            Prometheus::start_at(ports::at(ports::PROMETHEUS)?, &configuration.to_string()).await?;
        // It looks for them for some seconds, in which it tells that there is none.
        let seen = format!("count(up == 1) == {} unless on () ALERTS", instances.len());
        prometheus.until(&seen, SEEN).await.context("prometheus does not see every instance")?;
        Ok(Self { prometheus, alertmanager })
    }

    pub(crate) fn prometheus(&self) -> SocketAddr {
        self.prometheus.address()
    }

    pub(crate) fn alertmanager(&self) -> SocketAddr {
        self.alertmanager.address()
    }

    /// How to see the dashboards.
    pub(crate) fn grafana(&self) -> String {
        "not part of this: in yours, add this Prometheus and import deploy/grafana/dashboards".to_owned()
    }
}

/// The files of rules in a directory; the configuration of a whole Prometheus is none.
fn files(rules: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let rules = rules.canonicalize().with_context(|| format!("look into {}", rules.display()))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&rules)? {
        let path = entry?.path();
        let text = if path.extension().is_some_and(|it| it == "yaml") {
            fs::read_to_string(&path)?
        } else {
            continue;
        };
        if text.lines().any(|line| line.starts_with("groups:")) {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "there are no rules in {}", rules.display());
    Ok(files)
}

/// JSON is YAML.
fn configuration(instances: &[(&str, SocketAddr)], rules: &[PathBuf], alertmanager: SocketAddr) -> Value {
    let targets = instances
        .iter()
        .map(|(name, admin)| json!({"targets": [admin.to_string()], "labels": {"instance": name}}));
    json!({
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": rules,
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.to_string()]}]}]},
        "scrape_configs": [{"job_name": "weir", "static_configs": targets.collect::<Vec<_>>()}],
    })
}

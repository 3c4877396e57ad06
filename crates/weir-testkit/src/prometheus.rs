//! A Prometheus that scrapes what a test runs.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::deadline::{DEADLINE, eventually};
use crate::leash;
use crate::loopback;
use crate::program::{Output, Program};
use crate::tools::tool;

/// A running Prometheus. One that was started here has an empty store, and is killed when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    program: Program,
    _dir: TempDir,
}

/// One series of an answer at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, its name among them as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// One series of an answer over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its labels, its name among them as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Times, as Unix time in seconds, with values.
    pub points: Vec<(f64, f64)>,
}

/// A configuration that scrapes the admin listeners at these addresses as the job `weir`, every second. Rules are files
/// by absolute path.
pub fn configuration(instances: &[SocketAddr], rules: &[&str], alertmanager: Option<SocketAddr>) -> String {
    let list = |items: Vec<String>| Value::from(items).to_string();
    let mut text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: {}\n\
         scrape_configs:\n- job_name: weir\n  static_configs: [{{targets: {}}}]\n",
        list(rules.iter().map(|&rule| rule.to_owned()).collect()),
        list(instances.iter().map(ToString::to_string).collect()),
    );
    if let Some(address) = alertmanager {
        let targets = list(vec![address.to_string()]);
        text += &format!("alerting: {{alertmanagers: [{{static_configs: [{{targets: {targets}}}]}}]}}\n");
    }
    text
}

impl Prometheus {
    /// Starts one with this configuration, as [`configuration`] makes one, and waits until it is ready.
    ///
    /// # Errors
    /// It is not installed, refuses its configuration, or is not ready within [`DEADLINE`].
    pub async fn start(configuration: &str) -> anyhow::Result<Self> {
        Self::start_at(loopback::own_address()?, configuration).await
    }

    /// [`Self::start`] at an address that the caller knows to be free.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at(address: SocketAddr, configuration: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("make a temporary directory")?;
        let file = dir.path().join("prometheus.yaml");
        fs::write(&file, configuration).context("write the configuration")?;
        let mut command = leash::command(tool("prometheus")?);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // It learns where the Alertmanager is 5 s after its start, and what fired before goes there only with this.
            .arg("--rules.alert.resend-delay=1s")
            .stdout(Stdio::null());
        let mut program = Program::start(command, Output::Stderr)?;
        ready(&mut program, address, "/-/ready").await?;
        Ok(Self { address, own: Some(Own { program, _dir: dir }) })
    }

    /// One that somebody else started, to be asked.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, own: None }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it logged last, for an error.
    pub fn tail(&self) -> String {
        self.own.as_ref().map(|own| own.program.tail()).unwrap_or_default()
    }

    /// What a query gives now.
    ///
    /// # Errors
    /// The query is wrong, or there is no answer.
    pub async fn instant(&self, query: &str) -> anyhow::Result<Vec<Sample>> {
        let request = Client::new(self.address).get("/api/v1/query").query("query", query);
        let data = self.answer(query, request).await?;
        if data["resultType"] == "scalar" {
            return Ok(vec![Sample { labels: BTreeMap::new(), value: point(&data["result"])?.1 }]);
        }
        let series = data["result"].as_array().context("an array of series")?.iter();
        series.map(|one| Ok(Sample { labels: labels(one)?, value: point(&one["value"])?.1 })).collect()
    }

    /// What a query gives over the last `length`, every `step`.
    ///
    /// # Errors
    /// As [`Self::instant`].
    pub async fn range(&self, query: &str, length: Duration, step: Duration) -> anyhow::Result<Vec<Curve>> {
        let now = self.instant("time()").await?.first().context("a time")?.value;
        let request = Client::new(self.address).get("/api/v1/query_range").query("query", query);
        let request = request
            .query("start", (now - length.as_secs_f64()).to_string())
            .query("end", now.to_string())
            .query("step", step.as_secs_f64().to_string());
        let data = self.answer(query, request).await?;
        let series = data["result"].as_array().context("an array of series")?.iter();
        let points = |one: &Value| -> anyhow::Result<_> {
            one["values"].as_array().context("an array of points")?.iter().map(point).collect()
        };
        series.map(|one| Ok(Curve { labels: labels(one)?, points: points(one)? })).collect()
    }

    /// Waits until a query gives anything, and gives that.
    ///
    /// # Errors
    /// It gives nothing within `limit`.
    pub async fn until(&self, query: &str, limit: Duration) -> anyhow::Result<Vec<Sample>> {
        eventually(limit, async || {
            let samples = self.instant(query).await?;
            ensure!(!samples.is_empty(), "{query} gives nothing");
            Ok(samples)
        })
        .await
    }

    /// Names of the alerts that are in this state, `firing` or `pending`, each once.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn alerts(&self, state: &str) -> anyhow::Result<Vec<String>> {
        let query = format!("count by (alertname) (ALERTS{{alertstate=\"{state}\"}})");
        let samples = self.instant(&query).await?;
        let mut names: Vec<_> =
            samples.into_iter().filter_map(|mut sample| sample.labels.remove("alertname")).collect();
        names.sort();
        Ok(names)
    }

    async fn answer(&self, query: &str, request: crate::client::Request) -> anyhow::Result<Value> {
        let mut json = request.send().await?.json()?;
        ensure!(json["status"] == "success", "{query}: {json}");
        Ok(json["data"].take())
    }
}

/// Waits until the server answers 200 at `path`; an end before that is an error.
pub(crate) async fn ready(program: &mut Program, address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let up = eventually(DEADLINE, async || {
        if let Some(status) = program.try_exit()? {
            return Ok(Err(status));
        }
        let answer = Client::new(address).get(path).send().await?;
        ensure!(answer.status() == 200, "not ready: {:?}", answer.body);
        Ok(Ok(()))
    });
    if let Err(status) = up.await.with_context(|| program.tail())? {
        bail!("it ended with {status}: {}", program.tail());
    }
    Ok(())
}

fn labels(series: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let labels = series["metric"].as_object().context("labels")?.iter();
    labels.map(|(name, value)| Ok((name.clone(), value.as_str().context("a label")?.to_owned()))).collect()
}

/// A time and a value, which is a text.
fn point(pair: &Value) -> anyhow::Result<(f64, f64)> {
    let value = pair[1].as_str().context("a value")?;
    Ok((pair[0].as_f64().context("a time")?, value.parse().with_context(|| format!("value {value:?}"))?))
}

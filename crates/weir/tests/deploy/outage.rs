//! What goes wrong in the cluster of `make demo` shows on the dashboard, fires the right alert and no other, and the commands
//! of its runbook lead to the cause. What is no fault fires nothing.
//!
//! The rules are those that ship, in a [hurry](crate::hurried): a minute of theirs is five seconds here.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use weir_testkit::page::{blocks, read, section};
use weir_testkit::{Client, eventually};

use crate::dashboard::Dashboard;
use crate::demo::{Demo, weir};
use crate::hurried;

/// How long nothing else is to happen: more than a minute of the rules, which is what those wait that wait least.
const QUIET: Duration = Duration::from_secs(6);

/// How long an alert may take to come, and to go: half an hour of the rules at most.
const SOON: Duration = Duration::from_secs(60);

/// A fault, and how it is found.
struct Fault {
    /// Orders to the demo.
    provoke: &'static str,
    heal: &'static str,
    /// The one alert that fires, and the instance that its runbook's commands are about.
    alert: &'static str,
    instance: usize,
    /// What the overview shows then.
    shown: [Shown; 2],
    /// What the commands of the runbook say that names the cause.
    causes: &'static [&'static str],
}

/// A panel, one of its series by the value of a label, and what that is then.
struct Shown(&'static str, Option<&'static str>, fn(f64) -> bool);

const KILLED: Fault = Fault {
    provoke: "kill 2",
    heal: "start 2",
    alert: "WeirInstanceDown",
    instance: 2,
    shown: [
        Shown("Not serving", None, |value| value == 1.0),
        Shown("Instances", Some("weir-2"), |value| value == 0.0),
    ],
    causes: &["Failed to connect", "weir:weir-2:"],
};

const FROZEN: Fault = Fault {
    provoke: "freeze 3",
    heal: "start 3",
    alert: "WeirInstanceDown",
    instance: 3,
    shown: [
        Shown("Not serving", None, |value| value == 1.0),
        Shown("Instances", Some("weir-3"), |value| value == 0.0),
    ],
    causes: &["timed out", "weir:weir-3:"],
};

const WITHOUT_REDIS: Fault = Fault {
    provoke: "stop redis",
    heal: "start redis",
    alert: "WeirRedisDown",
    instance: 1,
    shown: [
        Shown("Log", None, |value| value == 0.0),
        Shown("Redis answers", Some("weir-1"), |value| value == 0.0),
    ],
    causes: &["\"status\":\"degraded\"", "Connection refused"],
};

const SLOW: Fault = Fault {
    provoke: "stall",
    heal: "unstall",
    alert: "WeirEventsDropped",
    instance: 1,
    shown: [
        Shown("Events dropped", None, |value| value > 100.0),
        Shown("Dropped events by reason", Some("overflow"), |value| value > 100.0),
    ],
    causes: &["\"sessions\":[\"firehose\"]"],
};

#[test]
fn what_a_fault_shows_is_on_the_overview() {
    let overview = Dashboard::read("weir-overview");
    for Shown(panel, ..) in [KILLED, WITHOUT_REDIS, FROZEN, SLOW].iter().flat_map(|fault| &fault.shown) {
        assert!(!overview.queries_of(panel).is_empty(), "no panel {panel}");
    }
}

#[tokio::test]
#[ignore = "make deploy-test"]
async fn each_fault_fires_its_alert_alone_and_shows_and_is_found() -> anyhow::Result<()> {
    let rules = tempfile::tempdir()?;
    hurried::rules(rules.path())?;
    let demo = Demo::start(&format!("--clients 120 --prometheus {}", rules.path().display())).await?;
    let told = async {
        // Prometheus looks for its targets for 5 s after its start, in which `absent(up)` holds: as long as a minute, in a hurry.
        demo.is_settled().await.context("after the start")?;
        let began = demo.now().await?;
        sleep(QUIET).await;
        demo.is_over(began, &[]).await.context("before any fault")?;
        for fault in [KILLED, WITHOUT_REDIS, FROZEN, SLOW] {
            demo.suffer(&fault).await.with_context(|| fault.provoke)?;
        }
        let began = demo.now().await?;
        demo.order("restart").await?;
        demo.is_over(began, &[]).await.context("in a rolling restart")
    };
    told.await.with_context(|| demo.said())?;
    demo.interrupt().await
}

impl Demo {
    /// One fault from its first second until nothing is seen of it any more.
    async fn suffer(&self, fault: &Fault) -> anyhow::Result<()> {
        let began = self.now().await?;
        self.order(fault.provoke).await?;
        eventually(SOON, async || {
            ensure!(self.prometheus.alerts("firing").await? == [fault.alert], "only that");
            Ok(())
        })
        .await
        .with_context(|| format!("{} does not fire", fault.alert))?;
        for shown in &fault.shown {
            self.shows(shown).await?;
        }
        eventually(SOON, async || self.is_announced(fault.alert).await).await?;
        self.runbook_leads_to(fault).await?;
        sleep(QUIET).await;
        self.order(fault.heal).await?;
        self.is_over(began, &[fault.alert]).await
    }

    /// Nothing fires any more, nothing is about to, and what fired since then, however shortly, is this.
    async fn is_over(&self, began: f64, alerts: &[&str]) -> anyhow::Result<()> {
        self.is_settled().await?;
        // What went before is none of it.
        let seconds = (self.now().await? - began).floor();
        let query =
            format!("count by (alertname) (max_over_time(ALERTS{{alertstate=\"firing\"}}[{seconds}s]))");
        let fired = self.prometheus.instant(&query).await?;
        let fired: Vec<_> = fired.iter().map(|sample| sample.labels["alertname"].as_str()).collect();
        ensure!(fired == alerts, "{fired:?} fired");
        Ok(())
    }

    /// Nothing fires, and nothing is about to.
    async fn is_settled(&self) -> anyhow::Result<()> {
        eventually(SOON, async || {
            let left = [self.prometheus.alerts("firing").await?, self.prometheus.alerts("pending").await?];
            ensure!(left.concat().is_empty(), "still: {left:?}");
            Ok(())
        })
        .await
    }

    /// The time of Prometheus.
    async fn now(&self) -> anyhow::Result<f64> {
        Ok(self.prometheus.instant("time()").await?.first().context("a time")?.value)
    }

    /// As somebody sees it who looks at the dashboard.
    async fn shows(&self, Shown(panel, of, is_shown): &Shown) -> anyhow::Result<()> {
        let queries = Dashboard::read("weir-overview").queries_of(panel);
        let query = queries.first().with_context(|| format!("no panel {panel}"))?;
        let filled = [("$job", ".+"), ("$instance", ".+"), ("$__rate_interval", "5s")];
        let query = filled.iter().fold(query.clone(), |query, (name, value)| query.replace(name, value));
        eventually(SOON, async || {
            let samples = self.prometheus.instant(&query).await?;
            let mut found = samples.iter();
            let found = found.find(|one| of.is_none_or(|of| one.labels.values().any(|value| value == of)));
            let found = found.with_context(|| format!("nothing of {of:?} in {samples:?}"))?;
            ensure!(is_shown(found.value), "{}", found.value);
            Ok(())
        })
        .await
        .with_context(|| format!("panel {panel}"))
    }

    /// Alertmanager has it.
    async fn is_announced(&self, alert: &str) -> anyhow::Result<()> {
        let address = self.url("alertmanager").trim_start_matches("http://").parse()?;
        let alerts = Client::new(address).get("/api/v2/alerts").send().await?.json()?;
        let names = alerts.as_array().context("alerts")?.iter();
        let names: Vec<_> = names.map(|alert| alert["labels"]["alertname"].clone()).collect();
        ensure!(names.iter().all(|name| name == alert) && !names.is_empty(), "{names:?}");
        Ok(())
    }

    /// The commands of its diagnosis, as whoever is called runs them, and what they say.
    async fn runbook_leads_to(&self, fault: &Fault) -> anyhow::Result<()> {
        let page = read(&format!("docs/runbooks/{}.md", fault.alert));
        let mut said = String::new();
        for block in blocks(section(&page, "Diagnosis"), "sh") {
            let mut shell = self.shell(fault.instance, block);
            let output = spawn_blocking(move || shell.output()).await??;
            said += &format!("$ {block}{}", String::from_utf8_lossy(&output.stdout));
            said += &String::from_utf8_lossy(&output.stderr);
        }
        for block in blocks(section(&page, "Diagnosis"), "promql") {
            for query in block.lines().filter(|line| !line.is_empty()) {
                self.prometheus.instant(query).await.with_context(|| query.to_owned())?;
            }
        }
        for cause in fault.causes {
            ensure!(said.contains(cause), "{cause:?} is not among what its runbook has one see:\n{said}");
        }
        Ok(())
    }

    /// With what the index of the runbooks has people set.
    fn shell(&self, instance: usize, block: &str) -> Command {
        let own = weir().parent().expect("a folder of the binary").to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path)));
        let path = path.expect("a path made of a path");
        let mut shell = Command::new("bash");
        shell.args(["-uc", block]).stdin(Stdio::null()).env("PATH", path).env("A", self.admin(instance));
        shell.env("H", "Weir-Admin: 1").env("S", "weir:events");
        shell.env("R", format!("redis-cli -u {}", self.url("redis")));
        shell.env("WEIR_REDIS", self.url("redis")).env("WEIR_URL", self.url("public"));
        shell
    }
}

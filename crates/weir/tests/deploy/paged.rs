//! From a client that loses events to whoever is on call: weir, Prometheus, Alertmanager and a webhook, with the rules and routes
//! as they ship, but for windows that a test cannot wait for.

use std::fs;

use anyhow::{Context as _, ensure};
use weir_testkit::page::{read, root};
use weir_testkit::prometheus::configuration;
use weir_testkit::{Alertmanager, DEADLINE, Instance, Prometheus, Webhook};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Events that are published to a queue of a few.
const EVENTS: usize = 400;

/// The alerts with the windows and waits of the drop alert cut to seconds.
fn hasty() -> anyhow::Result<String> {
    let alerts = read("deploy/prometheus/weir-alerts.yaml");
    let expression = "60 * sum by (job) (rate(weir_events_dropped_total[2m])) > 100\n        for: 2m\n";
    ensure!(alerts.matches(expression).count() == 1, "the rule of WeirEventsDropped is another");
    Ok(alerts.replace(expression, &expression.replace("[2m]", "[10s]").replace("for: 2m", "for: 1s")))
}

/// The shipped routes, which call the test and do not wait for others to say the same.
fn routes(webhook: &Webhook) -> anyhow::Result<String> {
    let shipped = read("deploy/alertmanager/alertmanager.yaml");
    let url = "https://pager.example.com/hooks/weir";
    ensure!(shipped.contains(url) && shipped.contains("group_wait: 10s"), "the routes are others");
    Ok(shipped.replace(url, &webhook.url()).replace("group_wait: 10s", "group_wait: 0s"))
}

#[tokio::test]
async fn a_client_that_loses_events_ends_in_a_call() -> anyhow::Result<()> {
    let weir = Instance::start(WEIR, &["--queue-events", "5"]).await?;
    let webhook = Webhook::start().await?;
    let alertmanager = Alertmanager::start(&routes(&webhook)?).await?;
    let dir = tempfile::tempdir()?;
    let alerts = dir.path().join("alerts.yaml");
    fs::write(&alerts, hasty()?)?;
    let rules = root().join("deploy/prometheus/weir-rules.yaml").display().to_string();
    let rules = [rules, alerts.display().to_string()];
    let rules = rules.each_ref().map(String::as_str);
    let scraped = configuration(&[weir.admin()], &rules, Some(alertmanager.address()));
    let prometheus = Prometheus::start(&scraped).await?;
    // The rise is seen only from a first scrape on.
    prometheus.until("weir_events_dropped_total{reason=\"overflow\"} == 0", 2 * DEADLINE).await?;

    let narrow = weir.client().events("s").query("overflow", "drop-oldest").receive_buffer(4096);
    let mut stalled = narrow.subscribe().await?;
    stalled.next_event().await?;
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(4096));
    let batch = weir.client().post("/v1/events").header("content-type", "application/x-ndjson");
    let answer = batch.body(line.repeat(EVENTS)).send().await?;
    ensure!(answer.status() == 201, "{answer:?}");

    let alert = webhook.alert("WeirEventsDropped", 3 * DEADLINE).await?;
    let dropped = weir.metrics().await?.value("weir_events_dropped_total", &[("reason", "overflow")]);
    ensure!(dropped.context("a series")? > 100.0, "{dropped:?}");
    assert_eq!(alert["labels"]["severity"], "page");
    assert_eq!(alert["labels"]["job"], "weir");
    let runbook = "https://git.example.com/weir/blob/main/docs/runbooks/WeirEventsDropped.md";
    assert_eq!(alert["annotations"]["runbook_url"], runbook);
    assert_eq!(prometheus.alerts("firing").await?, ["WeirEventsDropped"]);
    Ok(())
}

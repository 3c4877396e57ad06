//! From a rule to whoever is called: Prometheus, Alertmanager and the webhook together.

use std::fs;
use std::time::Duration;

use weir_testkit::prometheus::configuration;
use weir_testkit::{Alertmanager, DEADLINE, Prometheus, Webhook};

#[tokio::test]
async fn a_rule_that_holds_ends_in_a_call() -> anyhow::Result<()> {
    let webhook = Webhook::start().await?;
    let alertmanager = Alertmanager::start(&format!(
        "route: {{receiver: test, group_wait: 0s}}\n\
         receivers: [{{name: test, webhook_configs: [{{url: '{}'}}]}}]\n",
        webhook.url()
    ))
    .await?;
    let dir = tempfile::tempdir()?;
    let rules = dir.path().join("rules.yaml");
    let rule = "{alert: ItIsNow, expr: vector(time()) > 0, labels: {severity: page}}";
    fs::write(&rules, format!("groups: [{{name: test, rules: [{rule}]}}]"))?;
    // Nobody listens there, and that is a fact too.
    let nobody = weir_testkit::loopback::own_address()?;
    let rules = rules.display().to_string();
    let prometheus =
        Prometheus::start(&configuration(&[nobody], &[&rules], Some(alertmanager.address()))).await?;

    let alert = webhook.alert("ItIsNow", 2 * DEADLINE).await?;
    assert_eq!(alert["labels"]["severity"], "page");
    assert_eq!(prometheus.alerts("firing").await?, ["ItIsNow"]);
    let down = prometheus.until("up == 0", 2 * DEADLINE).await?;
    assert_eq!((down[0].labels["job"].as_str(), down[0].value), ("weir", 0.0));
    let minute = Duration::from_secs(60);
    let curves = prometheus.range("up{job=\"weir\"}", minute, Duration::from_secs(1)).await?;
    assert_eq!(curves[0].points.last().map(|(_, value)| *value), Some(0.0));
    assert_eq!(prometheus.instant("1 + 1").await?[0].value, 2.0);
    assert!(prometheus.instant("no query").await.is_err());
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_configuration_is_told() {
    let error = Prometheus::start("no: configuration").await.unwrap_err();
    assert!(format!("{error:#}").contains("not found in type config.plain"), "{error:#}");
}

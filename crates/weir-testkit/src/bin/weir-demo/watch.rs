//! What Prometheus thinks of the cluster, as it changes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use weir_testkit::Client;

/// An alert that is there, with its state.
pub(crate) type Alerts = BTreeMap<Alert, State>;

/// Which one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alert {
    pub(crate) name: String,
    severity: String,
    /// Whom it is about, where that is one instance.
    instance: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) firing: bool,
    summary: String,
    runbook: String,
}

/// How often it is asked.
const LOOK: Duration = Duration::from_secs(1);

/// Says every change, for ever.
pub(crate) async fn watch(prometheus: SocketAddr, say: impl Fn(&str)) {
    let mut before = Alerts::new();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // A look that fails tells nothing about the alerts.
        let Ok(now) = alerts(prometheus).await else { continue };
        changes(&before, &now).iter().for_each(|line| say(line));
        before = now;
    }
}

/// All alerts that fire or are about to.
pub(crate) async fn alerts(prometheus: SocketAddr) -> anyhow::Result<Alerts> {
    let answer = Client::new(prometheus).get("/api/v1/alerts").send().await?.json()?;
    let alerts = answer["data"]["alerts"].as_array().context("no alerts in the answer")?;
    Ok(alerts.iter().map(read).collect())
}

fn read(alert: &Value) -> (Alert, State) {
    let text = |kind: &str, name: &str| alert[kind][name].as_str().unwrap_or_default().to_owned();
    let which = Alert {
        name: text("labels", "alertname"),
        severity: text("labels", "severity"),
        instance: text("labels", "instance"),
    };
    let state = State {
        firing: alert["state"] == "firing",
        summary: text("annotations", "summary"),
        runbook: text("annotations", "runbook_url"),
    };
    (which, state)
}

fn changes(before: &Alerts, now: &Alerts) -> Vec<String> {
    let mut lines = Vec::new();
    for (alert, state) in now {
        let was = before.get(alert).map(|state| state.firing);
        match (was, state.firing) {
            (None, false) => lines.push(format!("{alert} is seen, and fires if it lasts")),
            (None | Some(false), true) => {
                // Of the address the page alone: the demo runs from a checkout that has it.
                let page = state.runbook.rsplit('/').next().unwrap_or_default();
                lines.push(format!("{alert} FIRES: {}\n  what to do: docs/runbooks/{page}", state.summary));
            }
            (Some(true), true) | (Some(_), false) => {}
        }
    }
    for (alert, state) in before.iter().filter(|(alert, _)| !now.contains_key(alert)) {
        lines.push(format!("{alert} {}", if state.firing { "is over" } else { "did not last" }));
    }
    lines
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.firing { "fires" } else { "seen, and fires if it lasts" })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.severity)?;
        if self.instance.is_empty() { Ok(()) } else { write!(f, " of {}", self.instance) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(state: &str) -> Alerts {
        let alert = json!({
            "labels": {"alertname": "WeirInstanceDown", "severity": "page", "instance": "weir-2"},
            "annotations": {"summary": "weir-2 is gone", "runbook_url": "https://x/WeirInstanceDown.md"},
            "state": state,
        });
        [read(&alert)].into()
    }

    #[test]
    fn every_change_is_told_once() {
        let (none, pending, firing) = (Alerts::new(), at("pending"), at("firing"));
        assert_eq!(changes(&none, &none), [""; 0]);
        let said = |before, now| changes(before, now).concat();
        assert_eq!(said(&none, &pending), "WeirInstanceDown (page) of weir-2 is seen, and fires if it lasts");
        assert_eq!(
            said(&pending, &firing),
            "WeirInstanceDown (page) of weir-2 FIRES: weir-2 is gone\n  what to do: docs/runbooks/WeirInstanceDown.md"
        );
        assert_eq!(said(&firing, &firing), "");
        assert_eq!(said(&firing, &none), "WeirInstanceDown (page) of weir-2 is over");
        assert_eq!(said(&pending, &none), "WeirInstanceDown (page) of weir-2 did not last");
    }
}

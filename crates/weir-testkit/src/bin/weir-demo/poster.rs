//! What is printed when everything is there.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::load::Amount;
use crate::order::MENU;
use crate::publishers::session;

/// How this program is called from here.
pub(crate) fn own_name() -> String {
    let own = std::env::current_exe().unwrap_or_else(|_| "weir-demo".into());
    let here = std::env::current_dir().unwrap_or_default();
    own.strip_prefix(here).unwrap_or(&own).display().to_string()
}

/// Where everything is, and what to try.
pub(crate) fn poster(cluster: &Cluster, amount: Amount, took: Duration) -> String {
    let facts = cluster.facts();
    let url = |name: &str| facts[name].as_str().unwrap_or_default();
    let mut text = format!("demo: all of it is up after {:.1} s; Ctrl-C ends it\n\n", took.as_secs_f32());
    let mut line = |name: &str, what: &str| {
        let _ = writeln!(text, "  {name:<14} {what}");
    };
    let public = url("public");
    line("weir", &format!("{public}  through HAProxy; see it flow:"));
    line("", &format!("curl -N {public}/v1/sessions/{}/events", session(0)));
    for slot in &cluster.slots {
        line(&slot.name, &format!("http://{}  its console; itself at http://{}", slot.admin, slot.public));
    }
    line("Prometheus", &format!("{}/alerts", url("prometheus")));
    line("Alertmanager", url("alertmanager"));
    line("Grafana", &cluster.monitoring.grafana());
    line("Redis", url("redis"));
    line("load", &format!("{} clients, {} events a second, durable streams", amount.clients, amount.rate));
    let _ = write!(text, "\nTry, here or in another terminal after `{}`:\n\n{}", own_name(), menu());
    text
}

/// What there is to try.
pub(crate) fn menu() -> String {
    let lines = MENU.iter().map(|(order, what)| format!("  {order:<21} {what}\n"));
    lines.collect()
}

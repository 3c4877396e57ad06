//! HAProxy.

use std::path::Path;
use std::process::Command;

use super::Facts;

const TEMPLATE: &str = include_str!("haproxy.cfg");

/// In the foreground.
pub(super) fn configure(facts: &Facts<'_>, file: &Path, command: &mut Command) -> String {
    command.arg("-db").arg("-f").arg(file);
    let lines = |rest: fn(usize) -> String| {
        let servers = facts.instances.iter().enumerate();
        servers
            .map(|(nth, address)| format!("server weir{nth} {address} {}", rest(nth)))
            .collect::<Vec<_>>()
            .join("\n    ")
    };
    facts
        .template
        .unwrap_or(TEMPLATE)
        .replace("@LISTEN@", &facts.listen.to_string())
        .replace("@CONNECTIONS@", &facts.connections.to_string())
        .replace("@SERVERS@", &lines(|_| "check".to_owned()))
        .replace("@TRACKED@", &lines(|nth| format!("track streams/weir{nth}")))
}

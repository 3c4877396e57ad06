//! nginx.

use std::path::Path;
use std::process::Command;

use super::Facts;

const TEMPLATE: &str = include_str!("nginx.conf");

/// One process, so that nothing is left when it is killed, and files in its own directory alone.
pub(super) fn configure(facts: &Facts<'_>, file: &Path, command: &mut Command) -> String {
    let dir = facts.dir.display();
    command.arg("-e").arg("stderr").arg("-p").arg(facts.dir).arg("-c").arg(file).arg("-g");
    command.arg(format!("daemon off; master_process off; error_log stderr; pid {dir}/nginx.pid;"));
    let local = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};"));
    let servers =
        facts.instances.iter().map(|address| format!("server {address} max_fails=1 fail_timeout=2s;"));
    facts
        .template
        .unwrap_or(TEMPLATE)
        .replace("@LOCAL@", &local.join(" "))
        .replace("@LISTEN@", &facts.listen.to_string())
        .replace("@FILES@", &(2 * facts.connections).to_string())
        .replace("@SERVERS@", &servers.collect::<Vec<_>>().join("\n        "))
}

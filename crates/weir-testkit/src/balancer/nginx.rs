//! nginx.

use std::path::Path;
use std::process::Command;

use super::{Draft, Facts};

/// One process, so that nothing is left when it is killed, and files in its own directory alone.
pub(super) fn start(facts: &Facts<'_>, file: &Path, command: &mut Command) {
    let dir = facts.dir.display();
    command.arg("-e").arg("stderr").arg("-p").arg(facts.dir).arg("-c").arg(file).arg("-g");
    command.arg(format!("daemon off; master_process off; error_log stderr; pid {dir}/nginx.pid;"));
}

/// The shipped one at home in the test's directory, with as many files as there are.
pub(super) fn fill(draft: &mut Draft, facts: &Facts<'_>) -> anyhow::Result<()> {
    draft.change("listen 80 ", &format!("listen {} ", facts.listen))?;
    draft.change(" 65536;", &format!(" {};", 2 * facts.connections))?;
    draft.change("http {", &format!("http {{\n    {}", local(facts)))
}

/// Directories where the packaged ones are not used.
pub(super) fn local(facts: &Facts<'_>) -> String {
    let dir = facts.dir.display();
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
        .join(" ")
}

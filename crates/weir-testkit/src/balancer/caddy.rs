//! Caddy.

use std::path::Path;
use std::process::Command;

use super::{Draft, Facts};

/// With all that it keeps in the test's directory.
pub(super) fn start(facts: &Facts<'_>, file: &Path, command: &mut Command) {
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("XDG_DATA_HOME", facts.dir).env("XDG_CONFIG_HOME", facts.dir);
}

/// The shipped one where the test wants it, without the listener by which it is told of other configurations.
pub(super) fn fill(draft: &mut Draft, facts: &Facts<'_>) -> anyhow::Result<()> {
    draft.change("\n{\n", "\n{\n\tadmin off\n")?;
    let (address, port) = (facts.listen.ip(), facts.listen.port());
    draft.change("\n:80 {\n", &format!("\n:{port} {{\n\tbind {address}\n"))
}

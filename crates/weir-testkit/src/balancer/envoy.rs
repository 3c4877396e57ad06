//! Envoy.

use std::path::Path;
use std::process::Command;

use super::{Draft, Facts};

/// Beside others of its kind.
pub(super) fn start(file: &Path, command: &mut Command) {
    command.arg("--config-path").arg(file).args([
        "--use-dynamic-base-id",
        "--concurrency",
        "2",
        "--log-level",
        "warn",
    ]);
}

/// The shipped one where the test wants it.
pub(super) fn fill(draft: &mut Draft, facts: &Facts<'_>) -> anyhow::Result<()> {
    let place = |address: &str, port: u16| format!("address: {address}, port_value: {port} }}");
    let here = place(&facts.listen.ip().to_string(), facts.listen.port());
    draft.change(&place("0.0.0.0", 80), &here)
}

//! HAProxy.

use std::path::Path;
use std::process::Command;

use super::{Draft, Facts};

/// In the foreground.
pub(super) fn start(file: &Path, command: &mut Command) {
    command.arg("-db").arg("-f").arg(file);
}

/// The shipped one where the test wants it.
pub(super) fn fill(draft: &mut Draft, facts: &Facts<'_>) -> anyhow::Result<()> {
    draft.change("bind :80\n", &format!("bind {}\n", facts.listen))
}

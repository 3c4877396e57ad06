//! Traefik.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::{Draft, Facts};

const STATIC: &str = include_str!("../../../../deploy/traefik/traefik.yaml");

/// What it does not read anew stands in a file of its own, which names the other.
pub(super) fn start(facts: &Facts<'_>, file: &Path, command: &mut Command) -> anyhow::Result<()> {
    let mut draft = Draft(STATIC.to_owned());
    draft.change("\":80\"", &format!("\"{}\"", facts.listen))?;
    draft.change("/etc/traefik/weir.yaml", &file.display().to_string())?;
    let own = facts.dir.join("traefik.yaml");
    fs::write(&own, draft.0).context("write the configuration")?;
    command.arg(format!("--configFile={}", own.display()));
    Ok(())
}

//! `weir completions`

use std::io::Write;

use clap_complete::{Shell, generate};

/// Prints the completions of a shell.
pub(crate) fn run(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut crate::args::command(), "weir", &mut script);
    super::finish(std::io::stdout().write_all(&script))
}

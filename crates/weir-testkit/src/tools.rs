//! Programs that `.ci/setup` installs where the machine lacks them.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::page::root;

/// Where servers that are not in everybody's path are installed.
const ADMIN_PATHS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The file of a program. What was installed into the checkout counts first, as it does in the Makefile.
///
/// # Errors
/// It is not installed.
pub fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::iter::once(root().join(".tools/bin"));
    let mut folders = own.chain(std::env::split_paths(&path)).chain(ADMIN_PATHS.map(PathBuf::from));
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()));
    found.with_context(|| format!("{name} is not installed: run .ci/setup test, or .ci/setup deploy"))
}

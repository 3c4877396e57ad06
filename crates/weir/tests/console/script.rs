//! The page's script, checked by those who know the language.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use weir_testkit::program::installed;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../weir-web/src/console/console.js")
}

/// Its types stand in comments, so that it runs as it is written.
#[test]
fn its_types_hold() -> anyhow::Result<()> {
    let options = [
        "--noEmit",
        "--allowJs",
        "--checkJs",
        "--strict",
        "--noUnusedLocals",
        "--noUnusedParameters",
        "--moduleDetection",
        "force",
        "--target",
        "es2024",
        "--lib",
        "es2024,dom,dom.iterable",
    ];
    let checked = Command::new(installed("node_modules/.bin/tsc")).args(options).arg(file()).output()?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    Ok(())
}

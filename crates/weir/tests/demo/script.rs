//! The page's script, checked by those who know the language.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use weir_testkit::program::installed;

/// Its types stand in comments, so that it runs as it is written. The files are one module, in which each sees what stands in the others.
#[test]
fn its_types_hold() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weir-web/src/demo");
    let options = [
        "--ignoreConfig",
        "--noEmit",
        "--allowJs",
        "--checkJs",
        "--strict",
        "--noUnusedLocals",
        "--noUnusedParameters",
        "--target",
        "es2024",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "--lib",
        "es2024,dom,dom.iterable",
    ];
    let mut tsc = Command::new(installed("node_modules/.bin/tsc"));
    tsc.args(options).args(["tape.js", "watcher.js", "scenes.js"].map(|file| folder.join(file)));
    let checked = tsc.output()?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    Ok(())
}

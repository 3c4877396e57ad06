//! What this machine cannot run is named, never passed over in silence.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

/// Where it is written down; `make deploy-test` prints it last.
fn list() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("deploy-not-run")
}

/// Writes down that `what` was not run here, and why. A program that could be installed is no reason: its absence fails.
pub(crate) fn not_run(what: &str, why: &str) {
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the list");
    let mut file = OpenOptions::new().create(true).append(true).open(list()).expect("the list opens");
    writeln!(file, "{what}: {why}").expect("the list is written");
}

#[test]
fn what_was_not_run_is_written_down() {
    let before = fs::read_to_string(list()).unwrap_or_default();
    not_run("a test of the list", "it only looks whether it is written");
    let after = fs::read_to_string(list()).expect("the list");
    assert!(after.len() > before.len() && after.contains("a test of the list: "));
    fs::write(list(), before).expect("the list as it was");
}

//! `--data-dir` from outside.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use weir_testkit::Instance;
use weir_testkit::program::without_settings;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The exit status of `serve` and the one line that it leaves, where it ends by itself.
fn refused(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(WEIR);
    without_settings(&mut command).args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    let ran = command.args(flags).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(!said.contains("listening") && said.lines().count() == 1, "{said}");
    (ran.status.code(), said)
}

#[test]
fn with_redis_there_is_nothing_to_keep() {
    let (status, said) = refused(&["--data-dir", "/nowhere", "--redis", "redis://h"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("with --redis the data is kept in Redis"), "{said}");
    assert!(!std::path::Path::new("/nowhere").exists());
}

#[test]
fn a_directory_of_no_use_is_said_before_anything_listens() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("below");
    for (given, why) in [
        (file.to_str().unwrap(), "this is no directory"),
        (below.to_str().unwrap(), "cannot make the directory: Not a directory"),
        ("/proc/weir", "cannot make the directory: No such file or directory"),
    ] {
        let (status, said) = refused(&["--data-dir", given]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(&format!("--data-dir {given}: {why}")), "{said}");
    }
}

/// What is kept there is what others have published.
#[tokio::test]
async fn it_is_made_for_one_user_alone() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let made = dir.path().join("some/where");
    let _weir = Instance::start(WEIR, &["--data-dir", made.to_str().unwrap()]).await?;
    assert_eq!(std::fs::metadata(&made)?.permissions().mode() & 0o777, 0o700);
    Ok(())
}

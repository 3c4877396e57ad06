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
    // Also where somebody else has made it, for all to look into.
    let there = dir.path().join("there");
    std::fs::create_dir(&there)?;
    std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o755))?;
    let _other = Instance::start(WEIR, &["--data-dir", there.to_str().unwrap()]).await?;
    assert_eq!(std::fs::metadata(there.join("weir.redb"))?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

/// Level and text of what the doctor says of the log.
fn diagnosis(flags: &[&str]) -> (String, String) {
    let mut command = Command::new(WEIR);
    let ran = without_settings(&mut command).args(["doctor", "--json"]).args(flags).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let found = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let log =
        found.into_iter().find(|found| found["check"] == "log").unwrap_or_else(|| panic!("no log in {said}"));
    let text = |field: &str| log[field].as_str().unwrap_or_default().to_owned();
    (text("level"), format!("{}; {}", text("finding"), text("advice")))
}

#[test]
fn the_doctor_looks_at_it_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(dir.path(), 0o700);
    let missing = dir.path().join("missing");
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let open = dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    mode(&open, 0o755);
    for (path, flags, level, says) in [
        (None, &[][..], "ok", "give --data-dir to keep it"),
        (Some(&missing), &[], "ok", "is made at the start"),
        (Some(&file), &[], "fail", "this is no directory"),
        (Some(&open), &[], "warn", "is open to other users of this machine (mode 755)"),
        (
            Some(&dir.path().to_owned()),
            &["--window-bytes", "1KiB"],
            "ok",
            "are free; durable streams take up room until they are deleted",
        ),
        (
            Some(&dir.path().to_owned()),
            &["--window-bytes", "999999GiB"],
            "warn",
            "publishes are refused without it",
        ),
    ] {
        let path = path.map(|path| ["--data-dir", path.to_str().unwrap()]);
        let (have, text) = diagnosis(&[path.as_ref().map_or(&[][..], |flag| flag), flags].concat());
        assert!(have == level && text.contains(says), "{path:?}: {have} {text}");
    }
    assert!(!missing.exists() && std::fs::read_dir(dir.path()).unwrap().count() == 2);
}

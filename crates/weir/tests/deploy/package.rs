//! The Debian package: what is in it, and what comes of it where it is installed, upgraded, removed and purged.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_testkit::page::root;

use crate::systemd::Booted;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn answer(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the package of this build, as of another version where one is given.
fn package(folder: &Path, version: Option<&str>) -> PathBuf {
    let mut make = Command::new(root().join(".ci/deb"));
    PathBuf::from(answer(make.arg(WEIR).arg(folder).args(version)).trim_end())
}

#[test]
#[ignore = "make deploy-test"]
fn it_holds_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path(), Some("1.2.3-rc.4"));
    let field = |name: &str| answer(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name));
    assert_eq!(field("Version"), "1.2.3~rc.4\n");
    assert!(field("Depends").contains("systemd | systemd-standalone-sysusers"), "{}", field("Depends"));
    let into = folder.path().join("root");
    answer(Command::new("dpkg-deb").arg("--raw-extract").arg(&package).arg(&into));
    for (installed, source) in [
        ("usr/lib/systemd/system/weir.service", "deploy/systemd/weir.service"),
        ("usr/lib/sysusers.d/weir.conf", "deploy/systemd/weir.sysusers"),
        ("etc/weir/weir.toml", "deploy/systemd/weir.toml"),
        ("usr/share/doc/weir/configuration.md", "docs/configuration.md"),
    ] {
        assert_eq!(
            fs::read(into.join(installed)).unwrap(),
            fs::read(root().join(source)).unwrap(),
            "{installed}"
        );
    }
    assert_eq!(fs::read_to_string(into.join("DEBIAN/conffiles")).unwrap(), "/etc/weir/weir.toml\n");
    assert!(answer(Command::new(into.join("usr/bin/weir")).arg("--version")).starts_with("weir "));
    answer(Command::new("bash").arg("-n").arg(into.join("usr/share/bash-completion/completions/weir")));
}

#[test]
#[ignore = "make deploy-test"]
fn it_comes_and_goes() {
    let booted = Booted::with(&[]);
    for (version, name) in [("0.0.1", "old.deb"), ("0.0.2", "new.deb")] {
        fs::rename(package(booted.folder(), Some(version)), booted.folder().join(name)).unwrap();
    }
    let Some(said) = booted.probe("package") else { return };
    // What the scripts of the package say stands before it.
    assert!(
        said.of("install").ends_with(&["ActiveState=active", "enabled", "healthy", "weir"]),
        "{:?}",
        said.of("install")
    );
    assert_eq!(said.of("publish"), ["published"]);
    let upgrade = ["0.0.2", "started again", "healthy", "1", "kept across versions"];
    assert!(said.of("upgrade").ends_with(&upgrade), "{:?}", said.of("upgrade"));
    let removed = said.of("remove").join("\n");
    assert!(removed.starts_with("ActiveState=inactive\n"), "{removed}");
    assert!(removed.contains("'/usr/bin/weir': No such file") && removed.contains("weir.toml"), "{removed}");
    assert!(
        removed.contains("/var/lib/weir:") && !removed.contains("'/var/lib/weir': No such file"),
        "{removed}"
    );
    let purged = said.of("purge").join("\n");
    for gone in ["'/etc/weir': No such file", "'/var/lib/weir': No such file"] {
        assert!(purged.contains(gone), "{purged}");
    }
}

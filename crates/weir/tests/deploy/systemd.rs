//! The unit, where systemd is the first process.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use weir_testkit::page::root;

use crate::able::not_run;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A Debian that is booted for one probe.
pub(crate) struct Booted(TempDir);

impl Booted {
    /// With these files at hand.
    pub(crate) fn with(files: &[&Path]) -> Self {
        let booted = Self(tempfile::tempdir().unwrap());
        let folder = root().join("crates/weir/tests/deploy/systemd");
        let helpers = [folder.join("life")];
        for file in files.iter().copied().chain(helpers.iter().map(PathBuf::as_path)) {
            fs::copy(file, booted.0.path().join(file.file_name().unwrap())).unwrap();
        }
        booted
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Boots it, runs the probe, and gives what that said under each of its headings; `None` where this machine cannot.
    pub(crate) fn probe(&self, probe: &str) -> Option<Sections> {
        if !rustix::process::geteuid().is_root() {
            not_run("systemd in a container", "only root may boot one");
            return None;
        }
        let folder = root().join("crates/weir/tests/deploy/systemd");
        fs::copy(folder.join(probe), self.0.path().join("probe")).unwrap();
        let debian = root().join(".tools/nspawn/debian");
        assert!(debian.exists(), "no Debian to boot: run .ci/setup deploy");
        let path = format!(
            "{}:{}",
            root().join(".tools/bin").display(),
            std::env::var_os("PATH").unwrap().display()
        );
        let mut boot = Command::new(folder.join("boot"));
        let output = boot.arg(debian).arg(self.0.path()).env("PATH", path).output().unwrap();
        let said = fs::read_to_string(self.0.path().join("probe.log")).unwrap_or_default();
        let console = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{console}\n{}", String::from_utf8_lossy(&output.stderr));
        Some(Sections(said))
    }
}

/// What a probe said.
pub(crate) struct Sections(String);

impl Sections {
    /// The lines under a heading.
    pub(crate) fn of(&self, heading: &str) -> Vec<&str> {
        let lines = self.0.lines().skip_while(|line| *line != format!("--- {heading}")).skip(1);
        let section: Vec<_> = lines.take_while(|line| !line.starts_with("--- ")).collect();
        assert!(self.0.contains(&format!("--- {heading}\n")), "it did not come to {heading}: {}", self.0);
        section
    }
}

/// The binary without what debuggers need, which is most of it.
pub(crate) fn stripped(into: &Path) -> PathBuf {
    let binary = into.join("weir");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&binary)
        .arg(WEIR)
        .status()
        .expect("strip: it is part of binutils");
    assert!(status.success());
    binary
}

#[test]
#[ignore = "make deploy-test"]
fn the_unit_lives_a_whole_life() {
    let deploy = root().join("deploy/systemd");
    let files = ["weir.service", "weir.sysusers", "weir.toml"].map(|file| deploy.join(file));
    let booted = Booted::with(&files.each_ref().map(PathBuf::as_path));
    stripped(booted.folder());
    let Some(said) = booted.probe("unit") else { return };
    assert_eq!(said.of("verify"), [""; 0]);
    assert!(said.of("security").join("").contains(" OK "), "{:?}", said.of("security"));
    assert_eq!(said.of("start"), ["ActiveState=active", "healthy", "User=weir", "weir 700"]);
    assert_eq!(said.of("reload"), ["NRestarts=0"]);
    assert_eq!(said.of("watchdog"), ["healthy"]);
    assert_eq!(said.of("drain"), ["Result=success", "ExecMainStatus=0", "1"]);
    let journal = said.of("journal").join("\n");
    for line in [
        "\"message\":\"listening\"",
        "\"message\":\"read anew\"",
        "kept as it was",
        "\"message\":\"stopped\"",
    ] {
        assert!(journal.contains(line), "no {line}: {journal}");
    }
    assert!(
        journal.lines().all(|line| !line.contains("\"level\":\"ERROR\"") || line.contains("kept as it was")),
        "{journal}"
    );
}

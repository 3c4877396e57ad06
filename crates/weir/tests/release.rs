//! The binary that `make release` builds says what it is made of, in the way in which scanners read it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use auditable_info::{Limits, json_from_file};
use serde_json::Value;
use weir_testkit::page;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn released() -> PathBuf {
    let path =
        std::env::var_os("WEIR_RELEASE_BINARY").expect("run make release, which sets WEIR_RELEASE_BINARY");
    PathBuf::from(path)
}

/// What `weir --version` prints.
fn version(binary: &Path) -> String {
    let output = Command::new(binary).arg("--version").output().expect("it runs");
    String::from_utf8(output.stdout).expect("its version is text").trim().to_owned()
}

#[test]
fn a_build_says_its_version_and_its_commit() {
    let revision = option_env!("WEIR_REVISION").unwrap_or("unknown");
    assert_eq!(version(Path::new(WEIR)), format!("weir {} ({revision})", env!("CARGO_PKG_VERSION")));
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Name and version of every crate that is linked in, and of nothing that is not locked. It may list more than is linked: what
/// only builds it, and what another crate of the workspace would switch on.
#[test]
#[ignore = "needs the build of make release"]
fn it_lists_what_it_is_made_of() {
    let info =
        json_from_file(&released(), Limits::default()).expect("the binary has its list of dependencies");
    let info: Value = serde_json::from_str(&info).expect("the list is JSON");
    let packages = info["packages"].as_array().expect("packages").iter();
    let listed: BTreeSet<_> = packages
        .map(|package| format!("{} v{}", text(&package["name"]), text(&package["version"])))
        .collect();
    let linked = linked();
    assert!(linked.len() > 50, "{linked:?}");
    assert_eq!(
        linked.difference(&listed).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "linked and not listed"
    );
    let locked = page::read("Cargo.lock");
    for one in &listed {
        let (name, version) = one.split_once(" v").expect("a name and a version");
        let locked = locked.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"));
        assert!(locked, "{one} is listed and not locked");
    }
    assert!(!listed.iter().any(|one| one.starts_with("weir-testkit ")), "what tests need is not in it");
}

/// What cargo says is linked in.
fn linked() -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(env!("CARGO_MANIFEST_DIR"));
    tree.args(["tree", "--locked", "--offline", "-p", "weir", "-e", "normal,no-proc-macro"]);
    let tree = tree.args(["--prefix", "none", "--format", "{p}"]).output().expect("cargo runs");
    assert!(tree.status.success(), "{tree:?}");
    let tree = String::from_utf8(tree.stdout).expect("names are text");
    tree.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// Where there is a repository. Elsewhere nobody knows it; and where git does not say it of one, the binary cannot either.
#[test]
#[ignore = "needs the build of make release"]
fn it_says_which_commit_it_was_built_from() {
    let mut commit = "unknown".to_owned();
    if page::root().join(".git").exists() {
        let mut git = Command::new("git");
        let git = git.current_dir(page::root()).args(["rev-parse", "--short=12", "HEAD"]).output();
        let git = git.expect("git runs");
        assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
        commit = String::from_utf8(git.stdout).expect("a hash").trim().to_owned();
    }
    let says = version(&released());
    assert!(says.contains(&format!("({commit}")), "{says} instead of {commit}");
}

//! The file of settings that goes with the unit: it works as it is, and shows every setting there is with its default.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};
use weir_testkit::page::{read, root};
use weir_testkit::program::without_settings;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Shown as examples, since what they are without depends on the machine.
const EXAMPLES: [&str; 2] = ["instance", "max-connections"];

fn shipped() -> PathBuf {
    root().join("deploy/systemd/weir.toml")
}

/// Answer and complaints of `weir config`.
fn config(file: Option<&Path>) -> (String, String) {
    let mut command = Command::new(WEIR);
    without_settings(command.arg("config"));
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    let said = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(said.status.success(), "{}", text(said.stderr));
    (text(said.stdout), text(said.stderr))
}

/// The settings of a page of `weir config`; those that are not set have no value.
fn settings(page: &str) -> BTreeMap<String, Option<Value>> {
    let set: Table = page.parse().unwrap();
    let unset = page.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" is not set"));
    unset
        .map(|(name, _)| (name.to_owned(), None))
        .chain(set.into_iter().map(|(name, value)| (name, Some(value))))
        .collect()
}

/// Every line of the file that is a setting, whether it is in effect or shown only.
fn shown() -> BTreeMap<String, Value> {
    let text = read("deploy/systemd/weir.toml");
    let is_setting = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    let lines = text.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).filter(is_setting);
    let lines: Vec<Table> = lines.map(|line| line.parse().unwrap()).collect();
    let all: BTreeMap<_, _> =
        lines.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    assert_eq!(all.len(), lines.len(), "a setting is shown twice");
    all
}

#[test]
fn it_works_as_it_is() {
    let (page, complaints) = config(Some(&shipped()));
    assert_eq!(complaints, "");
    let from_file: Vec<_> = page.lines().filter(|line| line.contains("# file")).collect();
    assert!(
        matches!(from_file.as_slice(), [one] if one.starts_with("data-dir = \"/var/lib/weir\"")),
        "{page}"
    );
}

#[test]
fn it_shows_every_setting_with_its_default() {
    let (defaults, shown) = (settings(&config(None).0), shown());
    assert_eq!(shown.keys().collect::<Vec<_>>(), defaults.keys().collect::<Vec<_>>());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (name, value) in shown {
        match &defaults[&name] {
            Some(Value::Array(none)) if none.is_empty() => {}
            Some(default) if !EXAMPLES.contains(&name.as_str()) => {
                assert_eq!(text(&value), text(default), "{name}")
            }
            Some(_) | None => {}
        }
    }
}

/// Else a drain is cut off, or a start that waits for Redis fails.
#[test]
fn systemd_waits_longer_than_weir_takes() {
    let unit = read("deploy/systemd/weir.service");
    let defaults = settings(&config(None).0);
    for (waits, takes) in [("TimeoutStopSec", "shutdown-timeout"), ("TimeoutStartSec", "ready-grace")] {
        let seconds = |text: &str| text.strip_suffix('s').unwrap().parse::<u64>().unwrap();
        let limit = unit.lines().find_map(|line| line.strip_prefix(waits)?.strip_prefix('=')).unwrap();
        let default = defaults[takes].as_ref().and_then(Value::as_str).unwrap();
        assert!(seconds(limit) > seconds(default), "{waits}={limit}, and --{takes} is {default}");
    }
}

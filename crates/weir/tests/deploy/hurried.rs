//! The rules that ship, in a hurry: every time in them is a twelfth of what it is, so that an alert that needs a minute needs five
//! seconds. Rates stay rates: what fires at 100 events a minute still does.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use weir_testkit::page::root;

/// By how much.
pub(crate) const HURRY: u64 = 12;

/// The shortest range: with a scrape each second it holds some samples also where one of them is late.
const SHORTEST: u64 = 4_000;

/// Behind what a time stands in a file of rules.
const BEFORE: [&str; 4] = ["[", "for: ", "offset ", "keep_firing_for: "];

/// Puts the files of `deploy/prometheus` into a folder, hurried.
pub(crate) fn rules(into: &Path) -> anyhow::Result<()> {
    let mut copied = 0;
    for entry in fs::read_dir(root().join("deploy/prometheus"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_name().context("a file has a name")?;
            fs::write(into.join(name), hurried(&fs::read_to_string(&path)?)?)?;
            copied += 1;
        }
    }
    ensure!(copied > 0, "there are no rules");
    Ok(())
}

fn hurried(text: &str) -> anyhow::Result<String> {
    text.split_inclusive('\n').map(line).collect()
}

/// A line with its times divided; what stands in a comment or a sentence is no time.
fn line(line: &str) -> anyhow::Result<String> {
    let (mut done, mut rest) = (String::new(), line);
    while let Some((at, before)) = next(rest) {
        let (head, tail) = rest.split_at(at + before.len());
        done.push_str(head);
        let length = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
        match milliseconds(&tail[..length]) {
            Some(time) => {
                let shortest = if before == "[" { SHORTEST } else { 1_000 };
                done.push_str(&format!("{}ms", (time / HURRY).max(shortest)));
            }
            None => done.push_str(&tail[..length]),
        }
        rest = &tail[length..];
    }
    Ok(done + rest)
}

/// Where the first of the words is that a time may follow.
fn next(text: &str) -> Option<(usize, &'static str)> {
    BEFORE.iter().filter_map(|before| Some((text.find(before)?, *before))).min()
}

/// `1h`, but not `1h30m`: there is none.
fn milliseconds(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let factor = match &text[unit..] {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(text[..unit].parse::<u64>().ok()? * factor)
}

#[test]
fn times_are_divided_and_nothing_else() {
    let text = "- expr: rate(a[5m]) / b[1h:1m] > 60 offset 6m  # [why]\n  for: 1m\n  keep_firing_for: 30s\n";
    let want = "- expr: rate(a[25000ms]) / b[300000ms:1m] > 60 offset 30000ms  # [why]\n  for: 5000ms\n  keep_firing_for: 2500ms\n";
    assert_eq!(hurried(text).unwrap(), want);
}

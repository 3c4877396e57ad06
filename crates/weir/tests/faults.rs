//! `docs/faults.md` has a verdict on every fault of the catalogue, and each test that it names is there.

use std::fs;
use std::path::{Path, PathBuf};

/// Faults of the catalogue.
const FAULTS: usize = 78;

/// How many of them a test must show.
const SHOWN: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/faults.md")).expect("the page is there")
}

/// The number of a row, and its cells after it.
fn rows(page: &str) -> Vec<(usize, Vec<&str>)> {
    let lines = page.lines().filter(|line| line.starts_with("| "));
    let rows =
        lines.map(|line| line.trim_end_matches('|').split('|').skip(1).map(str::trim).collect::<Vec<_>>());
    rows.filter_map(|row| Some((row.first()?.parse().ok()?, row[1..].to_vec()))).collect()
}

/// The tests that a cell names: the file below `crates/` and the name.
fn tests(cell: &str) -> Vec<(&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::")).collect()
}

/// All in order, and every cell says something but those that may have nothing to say.
#[test]
fn every_fault_has_a_row() {
    let page = page();
    let rows = rows(&page);
    assert!(rows.iter().map(|(number, _)| *number).eq(1..=FAULTS), "{:?}", rows.iter().map(|row| row.0));
    for (number, cells) in &rows {
        let [fault, does, _sees, _counted, shown] = cells.as_slice() else {
            panic!("row {number} has {} cells", cells.len())
        };
        assert!(!fault.is_empty() && !does.is_empty() && !shown.is_empty(), "row {number}: {cells:?}");
    }
}

#[test]
fn every_test_that_is_named_is_there() {
    let page = page();
    for (number, cells) in rows(&page) {
        for (file, name) in tests(cells[4]) {
            let source = fs::read_to_string(root().join("crates").join(file));
            let source = source.unwrap_or_else(|error| panic!("row {number}: {file}: {error}"));
            let at = source
                .find(&format!("fn {name}("))
                .unwrap_or_else(|| panic!("row {number}: no {name} in {file}"));
            let attributes = source[..at].rsplit("\n\n").next().unwrap_or_default();
            assert!(attributes.contains("test"), "row {number}: {name} in {file} is no test");
        }
    }
}

/// A row is shown by tests or argued, never both.
#[test]
fn enough_is_shown_and_the_rest_is_argued() {
    let page = page();
    let rows = rows(&page);
    let shown = rows.iter().filter(|(_, cells)| !tests(cells[4]).is_empty()).count();
    assert!(shown >= SHOWN, "{shown} rows are shown by a test");
    for (number, cells) in &rows {
        let argued = tests(cells[4]).is_empty();
        assert_eq!(argued, cells[4] == "argued", "row {number}: {}", cells[4]);
    }
}

//! `docs/faults.md` has a verdict on every fault of the catalogue, and each test that it names is there.

use weir_testkit::page::{self, names_a_test, quoted};

/// Faults of the catalogue.
const FAULTS: usize = 90;

/// How many of them a test must show.
const SHOWN: usize = 65;

/// The number of a row, and its cells after it.
fn rows(page: &str) -> Vec<(usize, Vec<&str>)> {
    let rows = page::rows(page).into_iter();
    rows.filter_map(|row| Some((row.first()?.parse().ok()?, row[1..].to_vec()))).collect()
}

/// The tests that a cell names.
fn tests(cell: &str) -> Vec<&str> {
    quoted(cell).filter(|name| name.contains("::")).collect()
}

/// All in order, and every cell says something but those that may have nothing to say.
#[test]
fn every_fault_has_a_row() {
    let page = page::read("docs/faults.md");
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
    let page = page::read("docs/faults.md");
    for (number, cells) in rows(&page) {
        for name in tests(cells[4]) {
            names_a_test(name).unwrap_or_else(|error| panic!("row {number}: {error}"));
        }
    }
}

/// A row is shown by tests or argued, never both.
#[test]
fn enough_is_shown_and_the_rest_is_argued() {
    let page = page::read("docs/faults.md");
    let rows = rows(&page);
    let shown = rows.iter().filter(|(_, cells)| !tests(cells[4]).is_empty()).count();
    assert!(shown >= SHOWN, "{shown} rows are shown by a test");
    for (number, cells) in &rows {
        let argued = tests(cells[4]).is_empty();
        assert_eq!(argued, cells[4] == "argued", "row {number}: {}", cells[4]);
    }
}

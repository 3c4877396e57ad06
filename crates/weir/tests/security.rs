//! `docs/security.md` and `SECURITY.md` say what is so: each test that they name is there, and each flag and series.

use std::collections::BTreeSet;
use std::process::Command;

use weir_testkit::page::{self, names_a_test, quoted, rows};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Fewer would mean that a table was lost.
const FEWEST_ATTACKS: usize = 80;

#[test]
fn every_attack_has_an_answer_and_a_test() {
    let page = page::read("docs/security.md");
    let (rows, mut attacks) = (rows(&page), BTreeSet::new());
    assert!(rows.len() >= FEWEST_ATTACKS, "{} rows", rows.len());
    for cells in rows {
        let [attack, answer, shown] = cells.as_slice() else { panic!("not three cells: {cells:?}") };
        assert!(!attack.is_empty() && !answer.is_empty(), "{cells:?}");
        assert!(attacks.insert(attack.to_owned()), "twice: {attack}");
        let tests: Vec<_> = quoted(shown).filter(|name| name.contains("::")).collect();
        assert_eq!(
            tests.is_empty(),
            shown.starts_with("argued: "),
            "tests, or why there are none: {cells:?}"
        );
        for name in tests {
            names_a_test(name).unwrap_or_else(|error| panic!("{attack}: {error}"));
        }
    }
}

#[test]
fn every_flag_that_is_named_is_there() {
    let help = Command::new(WEIR).args(["serve", "--help"]).output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("help is text");
    let known: BTreeSet<_> =
        help.split([' ', '\n', ',', '=']).filter(|word| word.starts_with("--")).collect();
    for file in ["SECURITY.md", "docs/security.md"] {
        let page = page::read(file);
        for flag in quoted(&page).filter(|text| text.starts_with("--")) {
            let flag = flag.split([' ', '=']).next().unwrap_or_default();
            assert!(known.contains(flag), "{file}: there is no {flag}");
        }
    }
}

/// The list of series is held against the binary by its own test.
#[test]
fn every_series_that_is_named_is_there() {
    let list = page::read("docs/metrics.md");
    for file in ["SECURITY.md", "docs/security.md"] {
        let page = page::read(file);
        for series in quoted(&page).filter(|text| text.starts_with("weir_") && *text != "weir_token") {
            let name = series.split('{').next().unwrap_or_default();
            assert!(list.contains(&format!("| `{name}` |")), "{file}: there is no {name}");
        }
    }
}

//! The pages of `docs/`, for tests that hold them against what is built.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder that holds `docs/` and `crates/`.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a file below [`root`].
///
/// # Panics
/// It is not there.
pub fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The part of a page under a heading, with the smaller headings in it.
///
/// # Panics
/// There is no such heading.
pub fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let rest = &page[start..];
    let level = page[..start].len() - page[..start].trim_end_matches('#').len() + 1;
    let ends = (1..=level).filter_map(|level| rest.find(&format!("\n{} ", "#".repeat(level))));
    &rest[..ends.min().unwrap_or(rest.len())]
}

/// The fenced blocks of a language.
pub fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&*fence).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect()
}

/// All fenced blocks in their order, each with its language.
pub fn fenced(text: &str) -> Vec<(&str, &str)> {
    let fences = text.split("\n```").skip(1).step_by(2);
    fences.filter_map(|block| block.split_once('\n')).collect()
}

/// What stands between backquotes.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of every row of the tables in a text, that of the headings left out.
pub fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<_> = text.lines().collect();
    let is_heading = |nth: usize| lines.get(nth + 1).is_some_and(|next| next.starts_with("|-"));
    let rows = (0..lines.len()).filter(|nth| lines[*nth].starts_with("| ") && !is_heading(*nth));
    rows.map(|nth| cells(lines[nth])).collect()
}

/// A cell may be empty, and a `|` in one stands without a blank behind it.
fn cells(row: &str) -> Vec<&str> {
    let row = row.strip_prefix("| ").unwrap_or(row);
    let row = row.strip_suffix('|').unwrap_or(row);
    row.split("| ").map(str::trim).collect()
}

/// Files with tests that are ignored, because they run by a command of their own.
const BY_THEMSELVES: [&str; 2] = ["weir/tests/release.rs", "weir/tests/upgrade.rs"];

/// Checks that a test stands where a page says: `` `crate/tests/file.rs::name` ``, below `crates/`.
///
/// # Errors
/// There is no such file, no such function in it, it is no test, or one that nobody runs.
pub fn names_a_test(name: &str) -> Result<(), String> {
    let (file, function) = name.split_once("::").ok_or_else(|| format!("{name}: not FILE::TEST"))?;
    let source = fs::read_to_string(root().join("crates").join(file));
    let source = source.map_err(|error| format!("{file}: {error}"))?;
    match kind(&source, function) {
        Kind::Test => Ok(()),
        Kind::Ignored if BY_THEMSELVES.contains(&file) => Ok(()),
        kind @ (Kind::Ignored | Kind::NoTest | Kind::Nothing) => {
            Err(format!("{function} in {file}: {kind:?}"))
        }
    }
}

/// What a name of a source stands for.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Test,
    Ignored,
    NoTest,
    Nothing,
}

fn kind(source: &str, function: &str) -> Kind {
    let Some(at) = source.find(&format!("fn {function}(")) else { return Kind::Nothing };
    let line = source[..at].rfind('\n').map_or(0, |end| end + 1);
    // Its attributes, and what is said of it.
    let above = source[..line].lines().rev().map(str::trim);
    let above: Vec<_> = above.take_while(|line| !line.is_empty() && *line != "}").collect();
    let begins = |with: &str| above.iter().any(|line| line.starts_with(with));
    if !(begins("#[test]") || begins("#[tokio::test") || begins("proptest! {")) {
        Kind::NoTest
    } else if begins("#[ignore") {
        Kind::Ignored
    } else {
        Kind::Test
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A\n\n## B\n\n| what | why |\n|---|---|\n| `x` | y `z` |\n\n### C\nc\n\n## D\nd\n";

    #[test]
    fn sections_rows_and_quotes() {
        assert_eq!(section(PAGE, "C"), "# C\nc\n");
        assert!(section(PAGE, "B").ends_with("c\n"));
        assert_eq!(rows(PAGE), [["`x`", "y `z`"]]);
        assert_eq!(cells("| a|b | | | c | |"), ["a|b", "", "", "c", ""]);
        assert_eq!(quoted(PAGE).collect::<Vec<_>>(), ["x", "z"]);
    }

    #[test]
    fn blocks_in_their_order() {
        let page = "a\n\n```sh\nx `y`\nz\n```\n\nb\n```\n{}\n```\nc\n";
        assert_eq!(fenced(page), [("sh", "x `y`\nz"), ("", "{}")]);
    }

    #[test]
    fn a_test_is_there_or_not() {
        assert_eq!(names_a_test("weir-testkit/src/page.rs::a_test_is_there_or_not"), Ok(()));
        for wrong in ["weir-testkit/src/page.rs::rows", "weir-testkit/src/page.rs::no", "no.rs::no", "no"] {
            assert!(names_a_test(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_comment_makes_no_test() {
        let source = "/// The latest test.\nfn helper() {}\n#[test]\nfn close() {}\n\n    #[tokio::test(flavor = \"x\")]\n    \
                      async fn waits() {}\n\n#[test]\n#[ignore = \"slow\"]\nfn slow() {}\n";
        let kinds = ["helper", "close", "waits", "slow", "no"].map(|name| kind(source, name));
        assert_eq!(kinds, [Kind::NoTest, Kind::Test, Kind::Test, Kind::Ignored, Kind::Nothing]);
    }
}

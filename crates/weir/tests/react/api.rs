//! docs/react.md names everything that the package exports, and nothing else.

use std::collections::BTreeSet;

use weir_testkit::page::{quoted, read, rows, section};

/// The names in `export { … }` and of what is exported where it is declared.
fn exports(source: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for statement in source.split("\nexport ").skip(1) {
        let statement = statement.trim_start_matches("type ");
        match statement.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default().split(',').map(str::trim);
                names.extend(
                    list.map(|name| name.trim_start_matches("type ")).filter(|name| !name.is_empty()),
                );
            }
            None => names.extend(statement.trim_start_matches("function ").split(['<', '(']).next()),
        }
    }
    names
}

/// What the first column of the tables in a section names.
fn told<'a>(page: &'a str, heading: &str, nth: usize) -> BTreeSet<&'a str> {
    let table = section(page, heading).split("\n|---|---|\n").nth(nth + 1).unwrap_or_default();
    let table = table.split("\n\n").next().unwrap_or_default();
    rows(table).iter().filter_map(|row| quoted(row[0]).next()).collect()
}

#[test]
fn the_page_names_every_export() {
    let page = read("docs/react.md");
    for (heading, file) in [("@weir/react", "index"), ("@weir/react/query", "query")] {
        let source = read(&format!("crates/weir-web/react/src/{file}.ts"));
        let (told, exports) = (told(&page, heading, 0), exports(&source));
        assert!(exports.len() > 2, "{exports:?}");
        assert_eq!(told, exports, "{heading}");
    }
}

#[test]
fn the_page_names_every_option_of_patches() {
    let source = read("crates/weir-web/react/src/patches.ts");
    let options = source.split("export interface QueryPatches").nth(1).unwrap_or_default();
    let options = options.split("\n}").next().unwrap_or_default().lines();
    let options: BTreeSet<_> =
        options.filter_map(|line| line.strip_prefix("  readonly ")?.split([':', '?']).next()).collect();
    assert!(options.contains("all"), "{options:?}");
    assert_eq!(told(&read("docs/react.md"), "@weir/react/query", 1), options);
}

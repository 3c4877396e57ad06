//! Every link of the documents leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use weir_testkit::page::root;

/// What is installed, or made by programs.
const NOT_OURS: [&str; 4] = ["node_modules", "target", "corpus", "artifacts"];

/// All pages: those of these folders, and those beside them.
pub(super) fn pages() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs"), root().join("deploy"), root().join("crates")];
    let mut pages: Vec<_> =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !NOT_OURS.iter().any(|name| path.ends_with(name)) {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    format!("\n{page}").split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// Where the links and pictures of a page lead, what leaves the repository left out.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let behind = |mark: &str, end: char| {
        prose
            .split(mark)
            .skip(1)
            .filter_map(|rest| rest.split(end).next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let found =
        [behind("](", ')'), behind("src=\"", '"'), behind("srcset=\"", '"'), behind("href=\"", '"')].concat();
    found.into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")).collect()
}

/// The anchors of a page, made of its headings as GitHub does.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let prose = prose(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let texts = headings.map(|line| line.trim_start_matches('#').trim());
    texts
        .map(|text| {
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor = kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase();
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
        })
        .collect()
}

fn dead(page: &Path, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent()?.join(file) };
    let missing = !target.exists()
        || !anchor.is_empty() && !anchors(&fs::read_to_string(&target).ok()?).contains(anchor);
    missing.then(|| format!("{}: {link}", page.strip_prefix(root()).unwrap_or(page).display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    let mut lost = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            count += 1;
            lost.extend(dead(&page, &link));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(count > 100, "{count} links");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = root().join("README.md");
    let text = "[a](docs/auth.md#make-keys) ![b](docs/no.svg)\n```sh\n[c](no)\n```\n[d](docs/auth.md#no) [e](https://no) [f](#quick-start)";
    let lost: Vec<_> = links(text).iter().filter_map(|link| dead(&page, link)).collect();
    assert_eq!(lost, ["README.md: docs/no.svg", "README.md: docs/auth.md#no"]);
    assert!(
        anchors("# A `b`-c, d\n## A\n## A\n").is_superset(&["a-b-c-d", "a", "a-1"].map(str::to_owned).into())
    );
}

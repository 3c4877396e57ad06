//! The series that `docs/metrics.md` lists, and those that a page of metrics declares.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::page::{quoted, read, rows};

/// The heading of the series that an instance has only with its log in Redis.
const OF_REDIS: &str = "\n## Only with `--redis`\n";

/// What a series is called is the key of [`Series`].
pub type Series = BTreeMap<String, About>;

/// What is said of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Names of labels with their values; without values where those cannot be known.
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// What `# HELP` says.
    pub help: String,
}

/// The series that an instance with the embedded log has.
pub fn documented() -> Series {
    let page = read("docs/metrics.md");
    table(page.split(OF_REDIS).next().unwrap_or_default())
}

/// The series that an instance with Redis has beside those.
///
/// # Panics
/// The page has no such part.
pub fn documented_of_redis() -> Series {
    let page = read("docs/metrics.md");
    table(page.split_once(OF_REDIS).expect("a part about Redis").1)
}

/// What a page of metrics shows otherwise than is documented, a line for each series. Values of labels that the document
/// leaves open may be any.
///
/// # Errors
/// A series of the page without kind or help.
pub fn drift(page: &str, documented: &Series) -> anyhow::Result<Vec<String>> {
    let shown = shown(page, documented)?;
    let names: BTreeSet<_> = shown.keys().chain(documented.keys()).collect();
    let differing = names.into_iter().filter(|name| shown.get(*name) != documented.get(*name));
    let lines =
        differing.map(|name| format!("{name} is {:?}, not {:?}", shown.get(name), documented.get(name)));
    Ok(lines.collect())
}

fn shown(page: &str, documented: &Series) -> anyhow::Result<Series> {
    let mut series = Series::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').context("a kind")?;
        let mut helps = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
        let help = helps.find(|(of, _)| *of == name).with_context(|| format!("help of {name}"))?.1;
        let mut about = About { kind: kind.to_owned(), labels: BTreeMap::new(), help: help.to_owned() };
        let suffix = if kind == "histogram" { "_count" } else { "" };
        let samples = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(suffix));
        for labels in samples.filter_map(|rest| rest.strip_prefix('{')?.split_once("} ")) {
            for (label, value) in labels.0.split(',').filter_map(|label| label.split_once('=')) {
                let values = about.labels.entry(label.to_owned()).or_default();
                let of = documented.get(name).and_then(|about| about.labels.get(label));
                if of.is_none_or(|values| !values.is_empty()) {
                    values.insert(value.trim_matches('"').to_owned());
                }
            }
        }
        series.insert(name.to_owned(), about);
    }
    Ok(series)
}

fn table(page: &str) -> Series {
    let rows = rows(page).into_iter().map(|cells| {
        let [name, kind, labels, help] = cells[..] else { panic!("a row of four cells: {cells:?}") };
        let about = About { kind: kind.to_owned(), labels: labels_of(labels), help: help.to_owned() };
        (quoted(name).next().expect("a name between backquotes").to_owned(), about)
    });
    rows.collect()
}

/// `` `label`: `value` `value` ``, or the names of labels whose values are open.
fn labels_of(cell: &str) -> BTreeMap<String, BTreeSet<String>> {
    match cell.split_once(": ") {
        Some((label, values)) => BTreeMap::from([(
            label.trim_matches('`').to_owned(),
            quoted(values).map(str::to_owned).collect(),
        )]),
        None => quoted(cell).map(|label| (label.to_owned(), BTreeSet::new())).collect(),
    }
}

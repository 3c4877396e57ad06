//! What an instance shows on `/metrics`, parsed.

use anyhow::{Context as _, ensure};

/// One look at all series.
#[derive(Clone, Debug)]
pub struct Metrics {
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Parses the text format of Prometheus.
    ///
    /// # Errors
    /// A line that is no sample.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series =
            samples.map(|line| Series::parse(line).with_context(|| format!("metrics line {line:?}")));
        Ok(Self { series: series.collect::<anyhow::Result<_>>()? })
    }

    /// The value of the series with exactly these labels, in any order; `None` where it is not exported.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let exact = self.matching(name, labels).find(|series| series.labels.len() == labels.len());
        exact.map(|series| series.value)
    }

    /// The sum over all series that have at least these labels; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|series| series.value).sum()
    }

    /// Every value of a label that the series of this name have, and theirs.
    pub fn by_label<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.matching(name, &[]).filter_map(move |series| {
            let (_, value) = series.labels.iter().find(|(key, _)| key == label)?;
            Some((value.as_str(), series.value))
        })
    }

    /// Every name that has a sample, once, in the order of the text. A histogram's come with their suffixes.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        names.dedup();
        names
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(move |series| {
            series.name == name
                && labels.iter().all(|(key, value)| series.labels.iter().any(|(k, v)| k == key && v == value))
        })
    }
}

impl Series {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        let value = value.parse().context("value")?;
        let Some((name, labels)) = series.split_once('{') else {
            return Ok(Self { name: series.to_owned(), labels: Vec::new(), value });
        };
        let labels = parse_labels(labels.strip_suffix('}').context("labels without end")?)?;
        Ok(Self { name: name.to_owned(), labels, value })
    }
}

/// `a="1",b="x\"y"`: values end at a quote that is not escaped.
fn parse_labels(mut text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").context("a label without value")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().context("a label value without end")? {
                (at, '"') => break at,
                (_, '\\') => match chars.next().context("an escape without end")? {
                    (_, 'n') => value.push('\n'),
                    (_, other) => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        let rest = &rest[end + 1..];
        ensure!(rest.is_empty() || rest.starts_with(','), "{rest:?} after a label");
        text = rest.trim_start_matches(',');
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP weir_clients Open connections.
# TYPE weir_clients gauge
weir_clients{transport="sse"} 3
weir_clients{transport="long-poll"} 1
weir_build_info{version="0.1.0",revision="a\"b,}\\"} 1
weir_up NaN
weir_bytes 1.5e3
"#;

    #[test]
    fn values_and_sums() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.value("weir_clients", &[("transport", "sse")]), Some(3.0));
        assert_eq!(metrics.value("weir_clients", &[]), None);
        assert_eq!(metrics.sum("weir_clients", &[]), 4.0);
        assert_eq!(metrics.sum("weir_none", &[]), 0.0);
        assert_eq!(
            metrics.value("weir_build_info", &[("revision", r#"a"b,}\"#), ("version", "0.1.0")]),
            Some(1.0)
        );
        assert!(metrics.value("weir_up", &[]).unwrap().is_nan());
        assert_eq!(metrics.value("weir_bytes", &[]), Some(1500.0));
        assert_eq!(metrics.names(), ["weir_clients", "weir_build_info", "weir_up", "weir_bytes"]);
    }

    #[test]
    fn what_is_no_sample_is_an_error() {
        for bad in ["weir_up", "weir_up x", "weir_up{a=\"1\" 1", "weir_up{a} 1", "weir_up{a=\"1\"b} 1"] {
            assert!(Metrics::parse(bad).is_err(), "{bad:?}");
        }
    }
}

//! What an instance counts of whom it refuses.

use std::collections::BTreeMap;
use std::fmt;

use crate::metrics::Metrics;

/// Where refusals are counted: a series, its label, what it is called here.
const SERIES: [(&str, &str, &str); 3] = [
    ("weir_requests_rejected_total", "reason", "request"),
    ("weir_publishes_total", "result", "publish"),
    ("weir_connections_rejected_total", "reason", "subscribe"),
];

/// Results of a publish that are none.
const GOOD: [&str; 2] = ["ok", "duplicate"];

/// How often each refusal was counted, by a name such as `request head` or `publish invalid`; those that never were are
/// left out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Refusals(pub BTreeMap<String, u64>);

impl Refusals {
    /// As they are on a page.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole numbers")]
    pub fn of(metrics: &Metrics) -> Self {
        let mut all = BTreeMap::new();
        for (series, label, name) in SERIES {
            let bad = metrics.by_label(series, label).filter(|(value, _)| !GOOD.contains(value));
            all.extend(bad.map(|(value, count)| (format!("{name} {value}"), count as u64)));
        }
        all.retain(|_, count| *count > 0);
        Self(all)
    }

    /// One that stands so often.
    pub fn named<'a>(names: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut all = Self::default();
        for (name, count) in names {
            all.add(name, count);
        }
        all
    }

    /// So many more of one.
    pub fn add(&mut self, name: &str, count: u64) {
        if count > 0 {
            *self.0.entry(name.to_owned()).or_default() += count;
        }
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let rest = |(name, count): (&String, &u64)| {
            (name.clone(), count.saturating_sub(*earlier.0.get(name).unwrap_or(&0)))
        };
        Self(self.0.iter().map(rest).filter(|(_, count)| *count > 0).collect())
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

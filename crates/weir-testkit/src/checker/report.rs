//! What the checker found.

use std::collections::BTreeMap;
use std::fmt;

use weir_core::notice::GapReason;

use super::history::{History, Invariant, Outcome};
use super::violation::Violation;

/// Violations of one invariant that are shown; the rest is counted.
const SHOWN: usize = 10;

/// Counts, and every broken promise.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// Publishes that were acknowledged, refused, and neither.
    pub acknowledged: usize,
    /// Publishes that were refused.
    pub refused: usize,
    /// Publishes of which nobody was told what became.
    pub unknown: usize,
    /// Of these, how many somebody received.
    pub unknown_seen: usize,
    /// Logical clients.
    pub clients: usize,
    /// Connections and long-polls.
    pub connections: usize,
    /// Events received.
    pub deliveries: usize,
    /// Events that stand in gaps instead.
    pub announced: usize,
    /// Events that a newer one of their key stood for.
    pub superseded: usize,
    /// Events that came again after a gap `unknown-id` had taken the client back.
    pub repeated: usize,
    /// Connections that began at a position of the client's own choice: what lies between is not judged.
    pub restarts: usize,
    /// Gaps by reason.
    pub gaps: BTreeMap<&'static str, usize>,
    /// Of these, those where nothing was missing.
    pub false_gaps: BTreeMap<&'static str, usize>,
    /// Markers that had to come: one for each client.
    pub markers: usize,
    /// The longest time that a marker took, in ms.
    pub slowest_marker: u32,
}

impl Report {
    pub(super) fn of(history: &History) -> Self {
        let count = |outcome: fn(&Outcome) -> bool| {
            history.published.iter().filter(|publish| outcome(&publish.outcome)).count()
        };
        Self {
            acknowledged: count(|outcome| matches!(outcome, Outcome::Acknowledged(_))),
            refused: count(|outcome| matches!(outcome, Outcome::Refused)),
            unknown: count(|outcome| matches!(outcome, Outcome::Unknown)),
            clients: history.clients.len(),
            connections: history.clients.iter().map(|client| client.connections.len()).sum(),
            ..Self::default()
        }
    }

    pub(super) fn gap(&mut self, reason: GapReason, needless: bool) {
        *self.gaps.entry(reason.as_str()).or_default() += 1;
        if needless {
            *self.false_gaps.entry(reason.as_str()).or_default() += 1;
        }
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Violations of one invariant.
    pub fn broken(&self, invariant: Invariant) -> usize {
        self.violations.iter().filter(|violation| violation.invariant() == invariant).count()
    }

    /// Nothing, or the report as an error.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn ensure_clean(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.is_clean(), "{self}");
        Ok(())
    }

    /// All counts on one line.
    pub fn summary(&self) -> String {
        let by_reason = |counts: &BTreeMap<&str, usize>| {
            let each: Vec<String> =
                counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            if each.is_empty() { "none".to_owned() } else { each.join(", ") }
        };
        format!(
            "{} acknowledged, {} refused, {} unknown ({} of them seen); {} clients, {} connections, {} deliveries, \
             {} announced missing, {} superseded, {} repeated, {} restarts; gaps: {}; needless: {}; {} markers, the slowest after {} ms; \
             {} violations",
            self.acknowledged,
            self.refused,
            self.unknown,
            self.unknown_seen,
            self.clients,
            self.connections,
            self.deliveries,
            self.announced,
            self.superseded,
            self.repeated,
            self.restarts,
            by_reason(&self.gaps),
            by_reason(&self.false_gaps),
            self.markers,
            self.slowest_marker,
            self.violations.len(),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: BTreeMap<Invariant, usize> = BTreeMap::new();
        for violation in &self.violations {
            let count = shown.entry(violation.invariant()).or_default();
            *count += 1;
            if *count <= SHOWN {
                writeln!(f, "{violation}")?;
            }
        }
        for (invariant, count) in shown.into_iter().filter(|(_, count)| *count > SHOWN) {
            writeln!(f, "{invariant:?}: and {} more", count - SHOWN)?;
        }
        write!(f, "{}", self.summary())
    }
}

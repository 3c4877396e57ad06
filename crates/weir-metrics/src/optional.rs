//! Gauges whose value may be unknown.

use prometheus::Gauge;

/// A gauge that shows `NaN` while nobody knows its value, because a 0 would be a claim.
#[derive(Clone, Debug)]
pub struct OptionalGauge(Gauge);

impl OptionalGauge {
    pub(crate) fn unknown(gauge: Gauge) -> Self {
        let this = Self(gauge);
        this.set(None);
        this
    }

    /// Says what is known now.
    pub fn set(&self, value: Option<f64>) {
        self.0.set(value.unwrap_or(f64::NAN));
    }

    /// The same for a count. Above 2^53 it is rounded, which no count of weir reaches.
    pub fn set_count(&self, value: Option<u64>) {
        self.set(value.map(|n| n as f64));
    }

    /// What was known last.
    pub fn get(&self) -> Option<f64> {
        Some(self.0.get()).filter(|value| !value.is_nan())
    }
}

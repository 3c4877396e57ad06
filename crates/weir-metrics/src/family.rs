//! One metric per label value, resolved once and found by index.

use std::marker::PhantomData;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use crate::label::Label;

/// The children of one metric, one for each value of the label `L`.
#[derive(Debug)]
pub struct Family<L, M> {
    // Invariant: in the order of `L::ALL`, as long as it.
    children: Box<[M]>,
    label: PhantomData<L>,
}

/// A counter per label value.
pub type Counters<L> = Family<L, IntCounter>;

/// A gauge per label value.
pub type Gauges<L> = Family<L, IntGauge>;

/// A histogram per label value.
pub type Histograms<L> = Family<L, Histogram>;

impl<L: Label, M> Family<L, M> {
    pub(crate) fn new(child: impl Fn(&'static str) -> M) -> Self {
        Self { children: L::ALL.iter().map(|value| child(value.as_str())).collect(), label: PhantomData }
    }

    pub(crate) fn of(&self, value: L) -> &M {
        &self.children[value.index()]
    }
}

impl<L: Label> Counters<L> {
    /// One more.
    pub fn inc(&self, value: L) {
        self.of(value).inc();
    }

    /// `n` more.
    pub fn add(&self, value: L, n: u64) {
        // Most steps add nothing to most values, and an atomic addition of 0 costs as much as any.
        if n > 0 {
            self.of(value).inc_by(n);
        }
    }

    /// So far.
    pub fn get(&self, value: L) -> u64 {
        self.of(value).get()
    }
}

impl<L: Label> Histograms<L> {
    /// It took so long.
    pub fn observe(&self, value: L, took: Duration) {
        self.of(value).observe(took.as_secs_f64());
    }
}

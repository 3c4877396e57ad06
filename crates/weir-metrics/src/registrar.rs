//! Makes metrics and registers them, so that none can be forgotten on either side.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::family::Family;
use crate::label::Label;
use crate::optional::OptionalGauge;
use crate::process::Process;

const VALID: &str = "names are constants, valid and unique: a test builds every series";

/// Buckets of everything that a person or a program waits for, in seconds: from one write to a socket (100 µs) to the
/// point where nobody waits any longer (10 s), in steps of 2 to 2.5.
pub(crate) const LATENCY_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Name and help of one series.
pub(crate) type Named = (&'static str, &'static str);

#[derive(Clone, Copy)]
pub(crate) struct Registrar<'a>(pub(crate) &'a Registry);

impl Registrar<'_> {
    pub(crate) fn counter(self, (name, help): Named) -> IntCounter {
        self.collector(IntCounter::new(name, help).expect(VALID))
    }

    pub(crate) fn gauge(self, (name, help): Named) -> IntGauge {
        self.collector(IntGauge::new(name, help).expect(VALID))
    }

    /// Unknown at first.
    pub(crate) fn optional(self, (name, help): Named) -> OptionalGauge {
        OptionalGauge::unknown(self.collector(Gauge::new(name, help).expect(VALID)))
    }

    pub(crate) fn histogram(self, (name, help): Named, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.collector(Histogram::with_opts(opts).expect(VALID))
    }

    pub(crate) fn counters<L: Label>(self, (name, help): Named) -> Family<L, IntCounter> {
        let vec = self.counter_vec((name, help), L::NAME);
        Family::new(|value| vec.with_label_values(&[value]))
    }

    pub(crate) fn counter_vec(self, (name, help): Named, label: &'static str) -> IntCounterVec {
        self.collector(IntCounterVec::new(Opts::new(name, help), &[label]).expect(VALID))
    }

    pub(crate) fn gauges<L: Label>(self, (name, help): Named) -> Family<L, IntGauge> {
        let vec = self.collector(IntGaugeVec::new(Opts::new(name, help), &[L::NAME]).expect(VALID));
        Family::new(|value| vec.with_label_values(&[value]))
    }

    pub(crate) fn histograms<L: Label>(self, (name, help): Named, buckets: &[f64]) -> Family<L, Histogram> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let vec = self.collector(HistogramVec::new(opts, &[L::NAME]).expect(VALID));
        Family::new(|value| vec.with_label_values(&[value]))
    }

    pub(crate) fn info(self, (name, help): Named, labels: &[(&str, &str)]) {
        let opts =
            labels.iter().fold(Opts::new(name, help), |opts, (name, value)| opts.const_label(*name, *value));
        self.collector(IntGauge::with_opts(opts).expect(VALID)).set(1);
    }

    /// CPU, memory, file descriptors, threads and start time of this process.
    pub(crate) fn process(self) {
        self.0.register(Box::new(Process::own())).expect(VALID);
    }

    fn collector<C: Collector + Clone + 'static>(self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect(VALID);
        metric
    }
}

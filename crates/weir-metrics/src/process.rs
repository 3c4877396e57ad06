//! What the operating system knows of this process.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use rustix::time::{ClockId, clock_gettime};

/// The series that is shown finer than that collector counts.
const CPU: &str = "process_cpu_seconds_total";

/// The collector that comes with the library, apart from the time on CPUs: that it has in whole seconds, and a rate over a minute
/// would go up and down in steps of a sixtieth of a core.
pub(crate) struct Process(ProcessCollector);

impl Process {
    pub(crate) fn own() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let of_cpu = families.iter_mut().filter(|family| family.name() == CPU);
        for metric in of_cpu.flat_map(MetricFamily::mut_metric) {
            let mut counter = Counter::default();
            counter.set_value(cpu_seconds());
            metric.set_counter(counter);
        }
        families
    }
}

/// User and system time of all threads, those that ended among them.
fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

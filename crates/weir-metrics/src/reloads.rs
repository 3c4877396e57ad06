//! How often the settings were read anew.

use crate::family::Counters;
use crate::label::Reloaded;
use crate::optional::OptionalGauge;
use crate::registrar::Registrar;

/// `weir_config_*`.
#[derive(Debug)]
pub struct Reloads {
    total: Counters<Reloaded>,
    last: OptionalGauge,
}

impl Reloads {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        Self {
            total: make.counters((
                "weir_config_reloads_total",
                "How often settings, keys and certificates were read anew, by how it ended.",
            )),
            last: make.optional((
                "weir_config_last_reload_successful",
                "Whether what was last read anew of settings, keys and certificates was taken over.",
            )),
        }
    }

    /// They were read once more.
    pub fn reloaded(&self, how: Reloaded) {
        self.total.inc(how);
        self.last.set(Some(match how {
            Reloaded::Ok => 1.0,
            Reloaded::Failed => 0.0,
        }));
    }
}

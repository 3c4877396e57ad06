//! What is measured.

use std::path::PathBuf;

use crate::child::Binaries;
use crate::process::Cores;
use crate::report::Case;

pub mod churn;
pub mod coalesce;
pub mod connect;
pub mod crowd;
pub mod fanout;
pub mod hostile;
pub mod http2;
pub mod idle;
pub mod instances;
pub mod kept;
pub mod page;
pub mod publish;
pub mod reader;
pub mod redis;
pub mod scrape;
pub mod sessions;
pub mod sizes;
pub mod stalled;
pub mod storm;
pub mod streams;
pub mod tls;

/// All of them, in the order of a run of all. A case costs a minute or two: half an hour is what the whole may take.
pub const ALL: &[Entry] = &[
    Entry { name: "fanout", runs: &[fanout::run] },
    Entry { name: "coalesce", runs: &[coalesce::at_200, coalesce::at_400] },
    Entry { name: "crowd", runs: &[crowd::run] },
    Entry { name: "sessions", runs: &[sessions::run] },
    Entry { name: "publish", runs: &[publish::run] },
    Entry { name: "streams", runs: &[streams::appends, streams::tails] },
    Entry { name: "kept", runs: &[kept::run] },
    Entry { name: "redis", runs: &[redis::run] },
    Entry { name: "reader", runs: &[reader::run] },
    Entry { name: "instances", runs: &[instances::run] },
    Entry { name: "idle", runs: &[idle::run] },
    Entry { name: "scrape", runs: &[scrape::run] },
    Entry { name: "sizes", runs: &[sizes::run] },
    Entry { name: "http2", runs: &[http2::run] },
    Entry { name: "tls", runs: &[tls::run] },
    Entry { name: "connect", runs: &[connect::run] },
    Entry { name: "storm", runs: &[storm::run] },
    Entry { name: "stalled", runs: &[stalled::run] },
    Entry { name: "hostile", runs: &[hostile::run] },
    Entry { name: "churn", runs: &[churn::run] },
    Entry { name: "page", runs: &[page::run] },
];

/// What can be measured by its name alone. It has its own report, with one table for each run.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name of the case, of its report and its plots.
    pub name: &'static str,
    /// What is measured.
    pub runs: &'static [fn(&Bench) -> anyhow::Result<Case>],
}

/// What all cases share.
#[derive(Clone, Debug)]
pub struct Bench {
    /// What is measured.
    pub binaries: Binaries,
    /// Where it runs.
    pub cores: Cores,
    /// How often each case is repeated.
    pub rounds: usize,
    /// Where Redis may put its files.
    pub scratch: PathBuf,
    /// How long clients come and go in [`churn`].
    pub churn_seconds: u64,
}

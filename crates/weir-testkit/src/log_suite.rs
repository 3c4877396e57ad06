//! The one suite that every backend of the event log passes.
//!
//! A backend implements [`Backend`] in its tests and writes `weir_testkit::log_suite!(ItsBackend);`. What only one
//! backend can show (faults of a server, foreign producers) it tests beside that, with the helpers of [`follow`].

pub mod follow;
mod keeping;
mod reading;
mod revoking;

use std::sync::Arc;
use std::time::Duration;

use weir_core::log::{EventLog, LogReader};

pub use keeping::{
    a_key_belongs_to_its_scope, a_repeat_is_forgotten_in_time, a_repeat_writes_nothing,
    a_snapshot_is_the_newest, facts_tell_what_is_known, other_content_under_one_key_is_a_conflict,
    snapshots_expire, the_cap_holds,
};
pub use reading::{
    a_batch_lands_whole, a_dropped_read_loses_nothing, a_quiet_log_returns_empty,
    a_reader_behind_the_cap_is_told, an_empty_log_loads_empty, close_leaves_nothing,
    entries_come_back_as_they_went_in, every_instance_sees_everything, the_load_gives_the_newest,
};

pub use revoking::{
    a_reader_that_lost_entries_is_told_again, a_revocation_ends_in_time, a_revocation_outlives_the_cap,
    a_revocation_reaches_every_instance,
};

/// The bounds a test asks its log for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most events kept.
    pub maxlen: usize,
    /// Most entries of one batch.
    pub read_count: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { maxlen: 5000, read_count: 200 }
    }
}

/// One instance on a log.
#[derive(Debug)]
pub struct Instance {
    /// What publishers and requests use.
    pub log: Arc<dyn EventLog>,
    /// Its reader, which has not read yet.
    pub reader: Box<dyn LogReader>,
}

/// A log to test, empty at first.
pub trait Backend: Sized {
    /// Entries that may stand above [`Limits::maxlen`], because the backend trims in larger pieces.
    const SLACK: u64;

    /// A new, empty log. Reads on it should block for a moment only, such as 100 ms.
    fn start(limits: Limits) -> impl Future<Output = Self>;

    /// One more instance on it.
    fn join(&self) -> impl Future<Output = Instance>;

    /// Makes everything that expires older by so much.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;

    /// What closed instances left behind in the log, besides entries.
    fn leftovers(&self) -> impl Future<Output = Vec<String>>;
}

/// Expands to the tests of the suite for one [`Backend`].
#[macro_export]
macro_rules! log_suite {
    ($backend:ty) => {
        $crate::log_suite!($backend:
            an_empty_log_loads_empty
            a_quiet_log_returns_empty
            entries_come_back_as_they_went_in
            the_load_gives_the_newest
            a_batch_lands_whole
            every_instance_sees_everything
            a_dropped_read_loses_nothing
            a_reader_behind_the_cap_is_told
            close_leaves_nothing
            a_repeat_writes_nothing
            other_content_under_one_key_is_a_conflict
            a_key_belongs_to_its_scope
            a_repeat_is_forgotten_in_time
            a_snapshot_is_the_newest
            snapshots_expire
            the_cap_holds
            facts_tell_what_is_known
            a_revocation_reaches_every_instance
            a_revocation_outlives_the_cap
            a_revocation_ends_in_time
            a_reader_that_lost_entries_is_told_again
        );
    };
    ($backend:ty: $($test:ident)*) => {$(
        #[tokio::test]
        async fn $test() {
            $crate::log_suite::$test::<$backend>().await;
        }
    )*};
}

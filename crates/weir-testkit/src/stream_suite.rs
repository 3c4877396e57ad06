//! The one suite that every backend of durable streams passes.
//!
//! A backend implements [`Backend`] in its tests and writes `weir_testkit::stream_suite!(ItsBackend);`. What only one
//! backend can show it tests beside that, with the helpers of [`ask`].
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod appending;
pub mod ask;
mod closing;
mod expiring;
mod forking;
mod model;
mod producing;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use weir_core::durable::{StreamStore, WakeReader};

pub use appending::{
    another_content_type_is_refused, creating_again_is_fine_if_it_is_the_same, sequences_rise,
    what_is_not_there,
};
pub use closing::{a_closed_stream_takes_nothing, closing_is_repeatable};
pub use expiring::{
    expired_streams_are_gone, forking_keeps_no_source_alive, reading_keeps_an_idle_stream,
    the_sources_of_forks_expire_with_them,
};
pub use forking::{
    a_deleted_source_stays_for_its_forks, a_fork_begins_as_its_source, a_fork_within_a_chunk,
    forks_of_forks_go_when_the_last_is_gone, what_a_source_has_trimmed_cannot_be_forked,
    what_cannot_be_forked, what_is_before_a_hole_is_gone,
};
pub use model::whatever_is_done_they_do_as_the_model_does;
pub use producing::{a_producer_is_known_for_its_repeats, a_producer_that_closed_a_stream_may_repeat_it};
pub use reading::{
    a_new_stream_of_an_old_name_is_another, a_trimmed_stream_says_so, chunks_come_back_as_they_went_in,
    pages_are_bounded, whoever_follows_hears_of_changes,
};

/// The bounds a test asks its streams for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Most chunks kept of one stream.
    pub maxlen: Option<u64>,
}

/// Streams to test, none at first.
pub trait Backend: Sized {
    /// New, empty streams.
    fn start(limits: Limits) -> impl Future<Output = Self>;

    /// What requests use. Asked again it may be another instance's.
    fn store(&self) -> Arc<dyn StreamStore>;

    /// What tells an instance of changes. It tells of all that come after this.
    fn wakes(&self) -> impl Future<Output = Box<dyn WakeReader>>;

    /// Makes everything that expires older by so much.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
}

/// Expands to the tests of the suite for one [`Backend`].
#[macro_export]
macro_rules! stream_suite {
    ($backend:ty) => {
        $crate::stream_suite!($backend:
            chunks_come_back_as_they_went_in
            pages_are_bounded
            a_trimmed_stream_says_so
            a_new_stream_of_an_old_name_is_another
            whoever_follows_hears_of_changes
            what_is_not_there
            creating_again_is_fine_if_it_is_the_same
            another_content_type_is_refused
            sequences_rise
            closing_is_repeatable
            a_closed_stream_takes_nothing
            a_producer_is_known_for_its_repeats
            a_producer_that_closed_a_stream_may_repeat_it
            a_fork_begins_as_its_source
            a_fork_within_a_chunk
            what_cannot_be_forked
            what_a_source_has_trimmed_cannot_be_forked
            what_is_before_a_hole_is_gone
            a_deleted_source_stays_for_its_forks
            forks_of_forks_go_when_the_last_is_gone
            expired_streams_are_gone
            reading_keeps_an_idle_stream
            forking_keeps_no_source_alive
            the_sources_of_forks_expire_with_them
            whatever_is_done_they_do_as_the_model_does
        );
    };
    ($backend:ty: $($test:ident)*) => {$(
        #[tokio::test]
        async fn $test() {
            $crate::stream_suite::$test::<$backend>().await;
        }
    )*};
}

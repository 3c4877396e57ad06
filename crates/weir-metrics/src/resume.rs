//! Resumes and gaps.

use prometheus::IntCounter;

use crate::family::Counters;
use crate::registrar::Registrar;
use weir_core::notice::GapReason;
use weir_core::subscription::ResumeResult;

/// `weir_resumes_total`, `weir_replayed_events_total`, `weir_gap_notices_total`.
#[derive(Debug)]
pub struct Resume {
    /// `weir_resumes_total`: subscribes and long-polls that gave a position.
    pub results: Counters<ResumeResult>,
    /// `weir_replayed_events_total`: events sent from the window or a snapshot, past the queue's books.
    pub replayed: IntCounter,
    /// `weir_gap_notices_total`: `weir.gap` events sent.
    pub gaps: Counters<GapReason>,
}

impl Resume {
    pub(crate) fn new(make: Registrar<'_>) -> Self {
        let replayed =
            "Events sent to clients by replays, snapshots and long-polls, which never enter a queue.";
        Self {
            results: make.counters(("weir_resumes_total", "Resumes, by what they could promise.")),
            replayed: make.counter(("weir_replayed_events_total", replayed)),
            gaps: make.counters(("weir_gap_notices_total", "Losses announced to clients, by reason.")),
        }
    }
}

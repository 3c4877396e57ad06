//! What happened, counted by the core for the shell to add to its metrics.

use crate::notice::GapReason;

/// Counts of one step.
///
/// The books of a queue balance: what was `queued` is `delivered`, `dropped.overflow`, discarded (`conflated`, or left
/// behind at the end) or still queued. Replays never enter a queue and stand beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that entered a queue, refills included.
    pub queued: u64,
    /// Events that left a queue for the connection.
    pub delivered: u64,
    /// Events given from the window or a snapshot on a resume.
    pub replayed: u64,
    /// Events lost to this client.
    pub dropped: Dropped,
    /// Events that were queued and then replaced by a newer one of their key.
    pub conflated: u64,
    /// Announcements of loss, by reason in the order of [`GapReason::ALL`].
    pub gaps: [u64; GapReason::ALL.len()],
}

/// Events lost to a connected client, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Its queue was full.
    pub overflow: u64,
    /// They left the window before it could read them.
    pub trimmed: u64,
    /// They were too large.
    pub oversize: u64,
}

impl Dropped {
    /// By any cause.
    pub fn total(self) -> u64 {
        self.overflow + self.trimmed + self.oversize
    }
}

impl Tally {
    /// Counts an announcement.
    pub fn gap(&mut self, reason: GapReason) {
        self.gaps[reason as usize] += 1;
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.queued += other.queued;
        self.delivered += other.delivered;
        self.replayed += other.replayed;
        self.dropped.overflow += other.dropped.overflow;
        self.dropped.trimmed += other.dropped.trimmed;
        self.dropped.oversize += other.dropped.oversize;
        self.conflated += other.conflated;
        for (sum, one) in self.gaps.iter_mut().zip(other.gaps) {
            *sum += one;
        }
    }
}

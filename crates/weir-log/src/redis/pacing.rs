//! How much is read at once, and when it pays to wait for more.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a reply should have. The client parses a reply anew with every piece of it that arrives, so a large one costs by
/// the square of its size.
const REPLY_BYTES: usize = 1 << 20;

/// Chooses the number of entries to ask for from the size of those that came before.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageSize {
    /// Bytes of an entry.
    average: usize,
}

impl PageSize {
    pub(super) fn count(self, most: usize) -> usize {
        (REPLY_BYTES / self.average.max(1)).clamp(1, most.max(1))
    }

    pub(super) fn note(&mut self, entries: usize, bytes: usize) {
        self.average = bytes.checked_div(entries).unwrap_or(self.average);
    }

    /// A connection ended under a read: the answer may have been more than Redis buffers for a client, so the next one is
    /// asked for less.
    pub(super) fn shrink(&mut self) {
        self.average = (self.average * 4).min(REPLY_BYTES);
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self { average: 4096 }
    }
}

/// Entries per second from which on a read waits for company. Below, entries are handed on as they come.
const FAST: f64 = 4000.0;

/// For how long it waits. It bounds the latency that batches cost; at [`FAST`] it spares most of the reads.
const GATHER: Duration = Duration::from_millis(1);

/// Over which time the rate is measured.
const MEASURE: Duration = Duration::from_millis(20);

/// Lets batches grow while entries come singly and fast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gather {
    since: Instant,
    entries: usize,
    fast: bool,
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, entries: 0, fast: false }
    }

    /// Takes note of a read.
    pub(super) fn note(&mut self, entries: usize, now: Instant) {
        self.entries += entries;
        let elapsed = now.duration_since(self.since);
        if elapsed >= MEASURE {
            let rate = self.entries as f64 / elapsed.as_secs_f64();
            *self = Self { since: now, entries: 0, fast: rate >= FAST };
        }
    }

    /// Waits for company, where that pays.
    pub(super) async fn pause(self) {
        if self.fast {
            tokio::time::sleep(GATHER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_shrink_with_the_size_of_entries() {
        let mut page = PageSize::default();
        assert_eq!(page.count(200), 200);
        page.note(10, 10 * (256 << 10));
        assert_eq!(page.count(200), 4);
        page.note(1, 64 << 20);
        assert_eq!(page.count(200), 1);
        page.note(100, 100 * 200);
        assert_eq!(page.count(500), 500);
        page.note(1, 4096);
        let counts = [(); 6].map(|()| {
            page.shrink();
            page.count(200)
        });
        assert_eq!(counts, [64, 16, 4, 1, 1, 1]);
    }

    #[test]
    fn only_a_fast_stream_is_made_to_wait() {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        for (per_ms, fast) in [(2, false), (20, true), (0, false)] {
            for _ in 0..40 {
                now += Duration::from_millis(1);
                gather.note(per_ms, now);
            }
            assert_eq!(gather.fast, fast, "{per_ms} entries a ms");
        }
    }
}

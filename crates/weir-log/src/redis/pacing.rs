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

/// Entries per second from which on a read waits for company, and for how long. Below, entries are handed on as they come.
/// The time bounds the latency that batches cost. What a read costs beside its entries, on both sides, is so much that
/// those of the second line take a third less CPU by it.
const PAUSES: [(f64, Duration); 2] =
    [(4_000.0, Duration::from_millis(1)), (12_000.0, Duration::from_millis(2))];

/// Over which time the rate is measured.
const MEASURE: Duration = Duration::from_millis(20);

/// Lets batches grow while entries come singly and fast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gather {
    since: Instant,
    entries: usize,
    pause: Option<Duration>,
    /// The last read was full, so there is company already.
    full: bool,
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, entries: 0, pause: None, full: false }
    }

    /// Takes note of a read that asked for so many entries.
    pub(super) fn note(&mut self, entries: usize, asked: usize, now: Instant) {
        self.entries += entries;
        self.full = entries >= asked;
        let elapsed = now.duration_since(self.since);
        if elapsed >= MEASURE {
            let rate = self.entries as f64 / elapsed.as_secs_f64();
            let pause = PAUSES.iter().rev().find(|(from, _)| rate >= *from).map(|(_, pause)| *pause);
            *self = Self { since: now, entries: 0, pause, full: self.full };
        }
    }

    /// Whether there is more already.
    pub(super) fn is_behind(self) -> bool {
        self.full
    }

    /// Forgets that there was more.
    pub(super) fn begin_anew(&mut self) {
        self.full = false;
    }

    /// Waits for company, where that pays.
    pub(super) async fn wait(self) {
        if let Some(pause) = self.due() {
            tokio::time::sleep(pause).await;
        }
    }

    fn due(self) -> Option<Duration> {
        self.pause.filter(|_| !self.full)
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
        for (per_ms, pause) in [(2, None), (5, Some(1)), (20, Some(2)), (0, None)] {
            for _ in 0..40 {
                now += Duration::from_millis(1);
                gather.note(per_ms, 100, now);
            }
            assert_eq!(gather.due(), pause.map(Duration::from_millis), "{per_ms} entries a ms");
        }
    }

    #[test]
    fn nobody_waits_for_what_is_there() {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        for (entries, waits) in [(100, false), (99, true), (100, false)] {
            now += MEASURE;
            gather.note(entries, 100, now);
            assert_eq!((gather.is_behind(), gather.due().is_some()), (!waits, waits), "{entries} of 100");
        }
    }
}

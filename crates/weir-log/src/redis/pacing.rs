//! How much is read at once, and when it pays to wait for more.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes a reply should have. It bounds what a read takes of the memory of both sides, of what Redis buffers for a client
/// before it hangs up, and how long the hub waits for the first entry of a batch; a larger one is not read any cheaper.
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
    left: Left,
}

/// What the last read left in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It had all there was.
    Nothing,
    /// It was full, and nobody looked what is behind it.
    Unknown,
    /// It was full, and there is more.
    More,
}

impl Left {
    /// By a read that asked for so many entries. `seen` says whether the stream goes on behind it, where somebody looked; a
    /// read that was not full had everything, and what the look saw came later.
    pub(super) fn by(entries: usize, asked: usize, seen: Option<bool>) -> Self {
        match seen {
            Some(true) if entries >= asked => Self::More,
            None if entries >= asked => Self::Unknown,
            Some(_) | None => Self::Nothing,
        }
    }
}

impl Gather {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, entries: 0, pause: None, left: Left::Nothing }
    }

    /// Takes note of a read.
    pub(super) fn note(&mut self, entries: usize, left: Left, now: Instant) {
        self.entries += entries;
        self.left = left;
        let elapsed = now.duration_since(self.since);
        if elapsed >= MEASURE {
            let rate = self.entries as f64 / elapsed.as_secs_f64();
            let pause = PAUSES.iter().rev().find(|(from, _)| rate >= *from).map(|(_, pause)| *pause);
            *self = Self { since: now, entries: 0, pause, left };
        }
    }

    /// Whether there may be more already, so that nobody waits.
    pub(super) fn may_be_behind(self) -> bool {
        self.left != Left::Nothing
    }

    /// Whether there is more already for certain.
    pub(super) fn is_behind(self) -> bool {
        self.left == Left::More
    }

    /// Forgets that there was more.
    pub(super) fn begin_anew(&mut self) {
        self.left = Left::Nothing;
    }

    /// Waits for company, where that pays.
    pub(super) async fn wait(self) {
        if let Some(pause) = self.due() {
            tokio::time::sleep(pause).await;
        }
    }

    fn due(self) -> Option<Duration> {
        self.pause.filter(|_| !self.may_be_behind())
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
                gather.note(per_ms, Left::Nothing, now);
            }
            assert_eq!(gather.due(), pause.map(Duration::from_millis), "{per_ms} entries a ms");
        }
    }

    #[test]
    fn nobody_waits_for_what_is_there() {
        let mut now = Instant::now();
        let mut gather = Gather::new(now);
        for (entries, seen, left) in [
            (100, None, Left::Unknown),
            (99, None, Left::Nothing),
            (100, Some(true), Left::More),
            (100, Some(false), Left::Nothing),
            (99, Some(true), Left::Nothing),
        ] {
            now += MEASURE;
            assert_eq!(Left::by(entries, 100, seen), left, "{entries} of 100, {seen:?}");
            gather.note(entries, left, now);
            let waits = gather.due().is_some();
            assert_eq!((waits, gather.is_behind()), (left == Left::Nothing, left == Left::More), "{left:?}");
        }
    }
}

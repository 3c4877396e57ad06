//! How much memory the instance has, and what may still be taken of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::param::page_size;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::batch;

/// How often the memory is looked at. A flood brings some dozens of MiB in this time, which is what a limit should leave.
const EVERY: Duration = Duration::from_millis(250);

/// Looks in a row that find less than the limit, after which there is room again though not a tenth of it is free: what is
/// freed may stay with the process, which takes from that first. Some ten seconds.
const CALM: u32 = 40;

/// Looks after which rates forget those who waited long enough: some ten seconds.
const TIDY: u32 = 40;

/// Most bytes of bodies that are being received or published, of answers to long-polls and reads that have not left, and of what
/// followers are given and has not left, each. More than any network brings while one of them is dealt with.
const IN_FLIGHT: usize = 32 << 20;

/// How long a body waits for room before it is turned away. Those that are there hold what they have as long as they wait,
/// so it must not be long.
const WAIT: Duration = Duration::from_secs(2);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Memory {
    limit: Limit,
    above: AtomicBool,
    /// Looks in a row that found less than the limit.
    calm: AtomicU32,
    /// For bodies.
    pub(crate) bodies: Budget,
    /// For answers to long-polls, and to reads of streams.
    pub(crate) answers: Budget,
    /// For what followers of streams are given. Whoever is slow to read an answer takes nothing of it.
    pub(crate) tails: Budget,
}

impl Memory {
    /// Where a body may be this large, and resident memory so much.
    pub(crate) fn new(max_body_bytes: usize, limit: Option<u64>) -> Self {
        let share =
            limit.map_or(IN_FLIGHT, |limit| usize::try_from(limit / 8).unwrap_or(usize::MAX).min(IN_FLIGHT));
        let largest = batch::MAX_BYTES.max(max_body_bytes);
        // What could be appended can be read.
        let budget = || Budget::new(share.max(2 * largest));
        let (bodies, answers, tails) = (budget(), budget(), budget());
        let limit = Limit::new(limit);
        Self { limit, above: AtomicBool::new(false), calm: AtomicU32::new(0), bodies, answers, tails }
    }

    /// From now on so much may be resident. What bodies and answers may take of it stays as it was at the start.
    pub(crate) fn change_limit(&self, limit: Option<u64>) {
        self.limit.set(limit);
    }

    /// Whether nobody more is let in.
    pub(crate) fn is_short(&self) -> bool {
        // Nobody looks any more where the limit was taken away, so what was found then must not last.
        self.above.load(Ordering::Relaxed) && self.limit.get().is_some()
    }

    /// So much is resident now. There is room again when a tenth of the limit is free, or when it has been kept for long, so
    /// that it does not flap.
    fn look(&self, resident: u64) {
        let Some(limit) = self.limit.get() else { return };
        let calm = if resident < limit { self.calm.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        self.calm.store(calm, Ordering::Relaxed);
        let short = self.is_short();
        if !short && resident >= limit {
            self.above.store(true, Ordering::Relaxed);
            tracing::warn!(
                resident,
                limit,
                "--memory-limit is reached: new clients and publishes are turned away"
            );
        } else if short && (resident < limit - limit / 10 || calm >= CALM) {
            self.above.store(false, Ordering::Relaxed);
            tracing::info!(resident, limit, "there is memory again: new clients and publishes are served");
        }
    }
}

/// Most bytes that may be resident, if anybody cares.
#[derive(Debug)]
struct Limit(AtomicU64);

impl Limit {
    /// As much as no machine has.
    const NONE: u64 = u64::MAX;

    fn new(limit: Option<u64>) -> Self {
        Self(AtomicU64::new(limit.unwrap_or(Self::NONE)))
    }

    fn set(&self, limit: Option<u64>) {
        self.0.store(limit.unwrap_or(Self::NONE), Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|limit| *limit != Self::NONE)
    }
}

/// Looks after the memory until it is stopped.
pub async fn watch(app: Arc<App>, stop: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for nth in 1_u32.. {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        if app.memory.limit.get().is_some()
            && let Some(resident) = resident()
        {
            app.memory.look(resident);
        }
        if nth.is_multiple_of(TIDY) {
            app.admission.tidy();
        }
    }
}

/// Memory of this process that is not swapped out, less that of files, which the kernel can take back at any time. It keeps
/// the numbers at hand, so this costs microseconds.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
    let (all, of_files) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(all.saturating_sub(of_files) * page_size() as u64)
}

/// Bytes that may be held at once by all who hold such together.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Arc<Semaphore>,
    all: usize,
}

/// What somebody holds of a budget, until it is dropped.
#[derive(Debug, Default)]
#[must_use = "it is given back when it is dropped"]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

/// Bytes, and the room that they take until the last of them has left.
pub(crate) fn held(text: Bytes, room: impl Send + 'static) -> Bytes {
    if text.is_empty() { text } else { Bytes::from_owner(Held { text, _room: room }) }
}

struct Held<R> {
    text: Bytes,
    _room: R,
}

impl<R> AsRef<[u8]> for Held<R> {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Share {
    /// Holds this as well.
    pub(crate) fn add(&mut self, more: Self) {
        match (&mut self.0, more.0) {
            (Some(have), Some(more)) => have.merge(more),
            (have, more) => *have = more.or(have.take()),
        }
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn keep(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0
            && let Some(more) = permit.num_permits().checked_sub(bytes)
        {
            drop(permit.split(more));
        }
    }
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl Budget {
    fn new(bytes: usize) -> Self {
        let all = bytes.min(Semaphore::MAX_PERMITS);
        Self { left: Arc::new(Semaphore::new(all)), all }
    }

    /// So many bytes, where there are so many.
    pub(crate) fn share(&self, bytes: usize) -> Result<Share, UsedUp> {
        let bytes = u32::try_from(bytes).map_err(|_| UsedUp)?;
        let permit = Arc::clone(&self.left).try_acquire_many_owned(bytes).map_err(|_| UsedUp)?;
        Ok(Share(Some(permit)))
    }

    /// So many bytes, or all that there are, whenever others give them back.
    pub(crate) async fn wait(&self, bytes: usize) -> Result<Share, UsedUp> {
        let bytes = u32::try_from(bytes.min(self.all)).map_err(|_| UsedUp)?;
        let permit = Arc::clone(&self.left).acquire_many_owned(bytes).await.map_err(|_| UsedUp)?;
        Ok(Share(Some(permit)))
    }

    /// So many bytes more, where others give them back in time.
    pub(crate) async fn grow(&self, share: &mut Share, bytes: usize) -> Result<(), UsedUp> {
        let more = match self.share(bytes) {
            Ok(more) => more,
            Err(UsedUp) => {
                let bytes = u32::try_from(bytes).map_err(|_| UsedUp)?;
                let acquire = Arc::clone(&self.left).acquire_many_owned(bytes);
                let acquired = tokio::time::timeout(WAIT, acquire).await;
                Share(Some(acquired.map_err(|_| UsedUp)?.map_err(|_| UsedUp)?))
            }
        };
        share.add(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory() {
        let before = resident().unwrap();
        let held = vec![1_u8; 64 << 20];
        assert!(resident().unwrap() >= before + (60 << 20));
        drop(std::hint::black_box(held));
    }

    #[test]
    fn there_is_room_again_well_below_the_limit_or_after_a_while_below_it() {
        let memory = Memory::new(1 << 18, Some(1000));
        let short = |resident| {
            memory.look(resident);
            memory.is_short()
        };
        let seen = [999, 1000, 999, 901, 900, 899, 999, 1001].map(short);
        assert_eq!(seen, [false, true, true, true, true, false, false, true]);
        assert!((1..CALM).all(|_| short(999)));
        assert!(short(1000));
        assert!((1..CALM).all(|_| short(999)));
        assert!(!short(999));
        let unlimited = Memory::new(1 << 18, None);
        unlimited.look(u64::MAX);
        assert!(!unlimited.is_short());
    }

    #[test]
    fn without_its_limit_nothing_is_short_whatever_was_found_just_before() {
        let memory = Memory::new(1 << 18, Some(1000));
        memory.change_limit(None);
        // A look that had begun by then.
        memory.above.store(true, Ordering::Relaxed);
        assert!(!memory.is_short());
        memory.change_limit(Some(2000));
        memory.look(1000);
        assert!(!memory.is_short());
    }

    #[tokio::test]
    async fn a_budget_is_given_back() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (Share::default(), Share::default());
        assert_eq!(budget.grow(&mut first, 60).await, Ok(()));
        assert_eq!(budget.grow(&mut second, 30).await, Ok(()));
        assert_eq!(budget.grow(&mut second, 30).await, Err(UsedUp));
        assert!(budget.share(11).is_err());
        assert_eq!(budget.grow(&mut second, 10).await, Ok(()));
        let (grown, ()) = tokio::join!(budget.grow(&mut second, 50), async { drop(first) });
        assert_eq!(grown, Ok(()));
        drop(second);
        let mut all = budget.wait(100).await.unwrap();
        all.keep(40);
        assert!(budget.share(61).is_err() && budget.share(60).is_ok());
        all.keep(50);
        drop(all);
        assert!(budget.share(100).is_ok());
        assert_eq!(budget.share(usize::MAX).err(), Some(UsedUp));
        // Whoever needs more than there is has all of it.
        let all = budget.wait(101).await.unwrap();
        assert!(budget.share(1).is_err());
        let text = held(Bytes::from_static(b"text"), all);
        let mut rest = text.clone();
        drop((text, rest.split_to(3)));
        assert!(budget.share(1).is_err());
        drop(rest);
        assert!(budget.share(100).is_ok());
    }
}

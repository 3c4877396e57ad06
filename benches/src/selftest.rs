//! The generator against a floor that does wrong on purpose: a judge that sees no fault where there is one proves
//! nothing where it sees none.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, anyhow, ensure};

use crate::audience::{Audience, Opening, Plan};
use crate::floor::{self, Fault, Voice};
use crate::load::{self, Outcome, Schedule};
use crate::poller::Poller;
use crate::publisher::HttpPublisher;

const SUBSCRIBERS: u64 = 20;
const EVENTS: u64 = 500;
const RATE: u64 = 5_000;

/// One in so many events is treated wrongly. It must not divide the number of events: a swap needs a successor.
const EVERY: u64 = 7;

/// Deliveries that are wrong.
const WRONG: u64 = EVENTS / EVERY * SUBSCRIBERS;

/// Runs every fault in every way that a server speaks, and compares what was seen with what was done.
///
/// # Errors
/// The generator saw something else.
pub fn run() -> anyhow::Result<()> {
    let voices = [Voice::Weir, Voice::Chunked, Voice::IdLast, Voice::Plain];
    thread::scope(|scope| {
        let runs = voices.map(|voice| (voice, scope.spawn(move || judge(voice))));
        runs.into_iter().try_for_each(|(voice, run)| {
            run.join().map_err(|_| anyhow!("the generator panicked"))?.with_context(|| format!("{voice:?}"))
        })
    })
}

fn judge(voice: Voice) -> anyhow::Result<()> {
    for (fault, expected) in [
        (Fault::None, Seen::default()),
        (Fault::Drop { every: EVERY }, Seen { missing: WRONG, ..Seen::default() }),
        (Fault::Double { every: EVERY }, Seen { duplicates: WRONG, ..Seen::default() }),
        (Fault::Swap { every: EVERY }, Seen { reordered: WRONG, ..Seen::default() }),
    ] {
        let outcome = against(voice, fault).with_context(|| format!("{fault:?}"))?;
        let seen = Seen::of(&outcome);
        ensure!(seen == expected, "{fault:?}: {seen:?} was seen, {expected:?} was done");
        let delivered = SUBSCRIBERS * EVENTS - expected.missing;
        ensure!(outcome.arrivals.delivered == delivered, "{fault:?}: {delivered} were sent, {outcome:?}");
        ensure!(outcome.latency.p50 > 0.0 && outcome.latency.p50 <= outcome.latency.max, "{outcome:?}");
    }
    Ok(())
}

/// What a fault shows as.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    missing: u64,
    duplicates: u64,
    reordered: u64,
}

impl Seen {
    fn of(outcome: &Outcome) -> Self {
        let arrivals = outcome.arrivals;
        Self { missing: outcome.missing, duplicates: arrivals.duplicates, reordered: arrivals.reordered }
    }
}

fn against(voice: Voice, fault: Fault) -> anyhow::Result<Outcome> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let floor = thread::spawn({
        let stop = Arc::clone(&stop);
        move || floor::serve(&listener, (voice, fault), &stop)
    });
    let outcome = (|| {
        let poller = Poller::new()?;
        let plan = Plan { connections: usize::try_from(SUBSCRIBERS)?, sessions: 1 };
        let opening = if voice == Voice::Weir { Opening::Connected } else { Opening::Head };
        let mut audience = Audience::connect_to(&poller, (address, opening), plan)?;
        let mut publisher = HttpPublisher::connect(address)?;
        load::run(&poller, &mut audience, &mut publisher, Schedule { rate: RATE, total: EVENTS, sessions: 1 })
    })();
    stop.store(true, Ordering::Relaxed);
    floor.join().map_err(|_| anyhow!("the floor panicked"))??;
    outcome
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generator_sees_every_fault_of_the_floor() {
        super::run().unwrap();
    }
}

//! Publishes over HTTP and takes the time of the answers, on one thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{bail, ensure};
use hdrhistogram::Histogram;
use rustix::thread::set_current_timer_slack;

use crate::clock::{SECOND_NS, now_ns};
use crate::load::TIMER_SLACK_NS;
use crate::poller::Poller;
use crate::publisher::{HttpPublisher, Publisher};
use crate::stamp::Stamp;

/// How long an answer may take. After it the server counts as hung.
const PATIENCE_NS: u64 = 10 * SECOND_NS;

/// Sessions that are published to in turn.
const SESSIONS: u64 = 2_000;

/// When the next call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many calls per second over all connections, however slow the answers are.
    Open(u64),
    /// Each connection makes its next call when it has the answer to the last one.
    Closed,
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections, used in turn.
    pub connections: u64,
    /// Events per call; more than one go as a batch.
    pub events: u64,
    /// When.
    pub pace: Pace,
    /// For how long.
    pub seconds: f64,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// Calls that were answered, all of them well.
    pub calls: u64,
    /// From the first call to the last answer.
    pub seconds: f64,
    /// Of the answers, in ns.
    pub latency: Histogram<u64>,
    /// The longest that a call was sent after it was due.
    pub late_ns: u64,
}

/// Publishes by the plan until it is over and everything was answered.
///
/// # Errors
/// A publish was refused or not answered.
pub fn run(server: SocketAddr, plan: Plan) -> anyhow::Result<Outcome> {
    let poller = Poller::new()?;
    let mut callers = Vec::new();
    for token in 0..plan.connections {
        let publisher = HttpPublisher::connect(server)?;
        poller.add(publisher.socket(), token)?;
        callers.push(Caller { publisher, sent: VecDeque::new(), answered: 0 });
    }
    set_current_timer_slack(Some(TIMER_SLACK_NS))?;
    let start_ns = now_ns();
    let end_ns = start_ns + (plan.seconds * SECOND_NS as f64) as u64;
    let latency = Histogram::new_with_bounds(1_000, PATIENCE_NS, 3)?;
    let mut run = Run { plan, start_ns, end_ns, callers, calls: 0, answers: 0, latency, late_ns: 0 };
    run.begin()?;
    let mut ready = Vec::new();
    while run.goes_on()? {
        poller.wait(run.pause(), &mut ready)?;
        for token in ready.drain(..) {
            run.collect(usize::try_from(token)?)?;
        }
        run.call_due()?;
    }
    set_current_timer_slack(None)?;
    let seconds = (now_ns() - start_ns) as f64 / SECOND_NS as f64;
    Ok(Outcome { calls: run.answers, seconds, latency: run.latency, late_ns: run.late_ns })
}

/// One connection and when each call without an answer was sent.
#[derive(Debug)]
struct Caller {
    publisher: HttpPublisher,
    sent: VecDeque<u64>,
    answered: u64,
}

#[derive(Debug)]
struct Run {
    plan: Plan,
    start_ns: u64,
    end_ns: u64,
    callers: Vec<Caller>,
    calls: u64,
    answers: u64,
    latency: Histogram<u64>,
    late_ns: u64,
}

impl Run {
    /// Where nothing is due by the clock, every connection begins at once.
    fn begin(&mut self) -> anyhow::Result<()> {
        match self.plan.pace {
            Pace::Open(_) => Ok(()),
            Pace::Closed => (0..self.callers.len()).try_for_each(|caller| self.call(caller)),
        }
    }

    fn call_due(&mut self) -> anyhow::Result<()> {
        let Pace::Open(rate) = self.plan.pace else { return Ok(()) };
        let now = now_ns();
        while self.due_ns(rate) <= now.min(self.end_ns) {
            let due_ns = self.due_ns(rate);
            self.late_ns = self.late_ns.max(now - due_ns);
            self.call(usize::try_from(self.calls % self.plan.connections)?)?;
        }
        Ok(())
    }

    fn due_ns(&self, rate: u64) -> u64 {
        self.start_ns + self.calls * SECOND_NS / rate
    }

    fn call(&mut self, caller: usize) -> anyhow::Result<()> {
        let sent_ns = now_ns();
        let first = self.calls * self.plan.events;
        let stamp = |n: u64| Stamp {
            session: u32::try_from(n % SESSIONS).expect("smaller than a number of 32 bits"),
            number: n / SESSIONS,
            sent_ns,
        };
        let Caller { publisher, sent, .. } = &mut self.callers[caller];
        match self.plan.events {
            1 => publisher.publish(stamp(first)),
            events => publisher.publish_batch((first..first + events).map(stamp)),
        }
        sent.push_back(sent_ns);
        self.calls += 1;
        Ok(publisher.flush()?)
    }

    fn collect(&mut self, nth: usize) -> anyhow::Result<()> {
        let Caller { publisher, sent, answered } = &mut self.callers[nth];
        publisher.collect()?;
        let now = now_ns();
        let answers = publisher.answers();
        if let Some(why) = answers.first_refusal {
            bail!("a publish was refused: {why}");
        }
        while *answered < answers.accepted {
            let sent_ns = sent.pop_front().unwrap_or(now);
            self.latency.saturating_record(now.saturating_sub(sent_ns));
            *answered += 1;
            self.answers += 1;
        }
        match self.plan.pace {
            Pace::Closed if sent.is_empty() && now < self.end_ns => self.call(nth),
            Pace::Closed | Pace::Open(_) => Ok(publisher.flush()?),
        }
    }

    fn pause(&self) -> Duration {
        let until = match self.plan.pace {
            Pace::Open(rate) if self.due_ns(rate) <= self.end_ns => self.due_ns(rate),
            Pace::Open(_) | Pace::Closed => now_ns() + SECOND_NS / 10,
        };
        Duration::from_nanos(until.saturating_sub(now_ns()))
    }

    fn goes_on(&self) -> anyhow::Result<bool> {
        let now = now_ns();
        ensure!(now < self.end_ns + PATIENCE_NS, "{} publishes were not answered", self.calls - self.answers);
        let more = match self.plan.pace {
            Pace::Open(rate) => self.due_ns(rate) <= self.end_ns,
            Pace::Closed => now < self.end_ns,
        };
        Ok(more || self.answers < self.calls)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::floor::{self, Fault, Voice};

    fn against_the_floor(plan: Plan) -> Outcome {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let floor = thread::spawn(move || floor::serve(&listener, (Voice::Weir, Fault::None), &stopped));
        let outcome = run(address, plan);
        stop.store(true, Ordering::Relaxed);
        floor.join().unwrap().unwrap();
        outcome.unwrap()
    }

    #[test]
    fn an_open_schedule_is_kept_and_every_call_has_its_answer() {
        let plan = Plan { connections: 3, events: 1, pace: Pace::Open(500), seconds: 0.2 };
        let outcome = against_the_floor(plan);
        assert_eq!((outcome.calls, outcome.latency.len()), (101, 101), "at 0 s, and every 2 ms until 0.2 s");
        assert!(outcome.seconds >= 0.2 && outcome.latency.max() > 0, "{outcome:?}");
    }
}

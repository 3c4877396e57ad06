//! Publishes at a fixed rate and reads what arrives, on one thread.
//!
//! The schedule is open-loop: an event is due when it is due, however slow the server is. So a server that stalls cannot hide
//! it by slowing its publisher down. Latency counts from when the generator gave the event to the socket, whether or not that
//! took it at once: the generator waits for nobody, so what it is late by is its own, and told apart.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::thread::{sched_yield, set_current_timer_slack};
use serde::Serialize;

use crate::audience::{Arrivals, Audience};
use crate::clock::{MS_NS, SECOND_NS, now_ns};
use crate::poller::Poller;
use crate::publisher::Publisher;
use crate::stamp::Stamp;

/// Where events are due within less than this time of each other, they may be sent together so far apart, so that a high
/// rate does not cost the generator one wake-up per event. It adds at most as much to the latency.
const PUBLISH_TICK_NS: u64 = MS_NS / 4;

/// Sockets that are read between two looks at what is due, so that thousands that are ready make no publish late.
const READ_SLICE: usize = 32;

/// How long to wait for what has not arrived, after the last arrival or publish. Then it is missing.
const QUIET_NS: u64 = 3 * SECOND_NS;

/// Tokens from here on are those of the publisher's sockets.
const PUBLISHER: u64 = 1 << 48;

/// Tokens from here on are those of [`Beside`]; below are subscribers' indices.
pub const OTHERS: u64 = 1 << 32;

/// How long the kernel may add to a pause, in ns. By default it is 50 µs, which some of what is measured takes no longer than.
pub(crate) const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::new(1_000).expect("not zero");

/// What goes on beside publishing and listening, on the same thread.
pub trait Beside {
    /// Does a little, and says whether there is more to do at once.
    ///
    /// # Errors
    /// What it does failed.
    fn step(&mut self, poller: &Poller, audience: &mut Audience) -> anyhow::Result<bool>;

    /// Reads what one of its sockets has.
    ///
    /// # Errors
    /// The server broke the protocol.
    fn read(&mut self, token: u64) -> anyhow::Result<()>;
}

/// Nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Beside for Nothing {
    fn step(&mut self, _: &Poller, _: &mut Audience) -> anyhow::Result<bool> {
        Ok(false)
    }

    fn read(&mut self, token: u64) -> anyhow::Result<()> {
        bail!("nobody has the token {token}")
    }
}

/// What is published, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Events per second, over all sessions.
    pub rate: u64,
    /// Events in all; event `n` goes to session `n % sessions`.
    pub total: u64,
    /// Sessions.
    pub sessions: u32,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Events that were published and accepted.
    pub published: u64,
    /// What arrived.
    pub arrivals: Arrivals,
    /// Deliveries that never came.
    pub missing: u64,
    /// Of the deliveries.
    pub latency: Latency,
    /// The longest that a publish was sent after it was due: where this is long, the generator was the bottleneck.
    pub late_ms: f64,
    /// 99 % of the deliveries were read sooner than this after they were there. It is no part of the latency.
    pub read_late_ms: f64,
    /// From the first publish to the last arrival.
    pub seconds: f64,
}

/// Quantiles in ms.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// 99 % are faster.
    pub p99: f64,
    /// 99.9 % are faster.
    pub p999: f64,
    /// None is slower.
    pub max: f64,
}

/// Runs the schedule to its end and until everything arrived, or nothing more comes.
///
/// # Errors
/// A publish was refused, or the server broke the protocol.
pub fn run(
    poller: &Poller,
    audience: &mut Audience,
    publisher: &mut dyn Publisher,
    schedule: Schedule,
) -> anyhow::Result<Outcome> {
    run_beside(poller, audience, publisher, (schedule, &mut Nothing))
}

/// [`run`] with something else beside it.
///
/// # Errors
/// As [`run`], and those of what is beside it.
pub fn run_beside(
    poller: &Poller,
    audience: &mut Audience,
    publisher: &mut dyn Publisher,
    (schedule, beside): (Schedule, &mut dyn Beside),
) -> anyhow::Result<Outcome> {
    set_current_timer_slack(Some(TIMER_SLACK_NS))?;
    for (token, socket) in (PUBLISHER..).zip(publisher.sockets()) {
        poller.add(socket, token)?;
    }
    let mut run = Run::new(schedule, audience);
    let mut ready = Vec::new();
    while !run.done(audience, publisher) {
        run.publish_due(publisher).context("publish")?;
        let pause = if beside.step(poller, audience)? { Duration::ZERO } else { run.pause() };
        poller.wait(pause, &mut ready)?;
        for slice in ready.chunks(READ_SLICE) {
            for &token in slice {
                match token {
                    token if token >= PUBLISHER => {
                        let socket = usize::try_from(token - PUBLISHER).context("a token is an index")?;
                        publisher.collect_from(socket).context("answers to publishes")?;
                    }
                    token if token >= OTHERS => beside.read(token)?,
                    token => audience.read(poller, token)?,
                }
            }
            run.publish_due(publisher).context("publish")?;
        }
    }
    for socket in publisher.sockets() {
        poller.remove(socket)?;
    }
    // Servers that are started later would inherit it.
    set_current_timer_slack(None)?;
    run.outcome(audience, publisher)
}

#[derive(Debug)]
struct Run {
    schedule: Schedule,
    start_ns: u64,
    sent: u64,
    last_sent_ns: u64,
    late_ns: u64,
    expected: u64,
}

impl Run {
    fn new(schedule: Schedule, audience: &Audience) -> Self {
        let start_ns = now_ns();
        let Schedule { total, sessions, .. } = schedule;
        let of = |session: u32| (total + u64::from(sessions - 1 - session)) / u64::from(sessions);
        let expected = (0..sessions).map(|session| of(session) * audience.listeners(session)).sum();
        Self { schedule, start_ns, sent: 0, last_sent_ns: start_ns, late_ns: 0, expected }
    }

    fn due_ns(&self, n: u64) -> u64 {
        self.start_ns + n * SECOND_NS / self.schedule.rate
    }

    fn publish_due(&mut self, publisher: &mut dyn Publisher) -> anyhow::Result<()> {
        let (now, sent) = (now_ns(), self.sent);
        while self.sent < self.schedule.total && self.due_ns(self.sent) <= now {
            let (n, sessions) = (self.sent, u64::from(self.schedule.sessions));
            let session = u32::try_from(n % sessions).expect("smaller than a number of 32 bits");
            publisher.publish(Stamp { session, number: n / sessions, sent_ns: now });
            self.late_ns = self.late_ns.max(now - self.due_ns(n));
            self.last_sent_ns = now;
            self.sent += 1;
        }
        publisher.flush()?;
        if self.sent > sent {
            // Redis may share the core of the generator, and nothing comes before it has had its turn.
            sched_yield();
        }
        Ok(())
    }

    /// How long there is nothing to publish.
    fn pause(&self) -> Duration {
        if self.sent == self.schedule.total {
            return Duration::from_millis(10);
        }
        let wait = self.due_ns(self.sent).saturating_sub(now_ns());
        let rare = SECOND_NS / self.schedule.rate >= PUBLISH_TICK_NS;
        Duration::from_nanos(if wait == 0 || rare { wait } else { wait.max(PUBLISH_TICK_NS) })
    }

    fn done(&self, audience: &Audience, publisher: &dyn Publisher) -> bool {
        if self.sent < self.schedule.total {
            return false;
        }
        let answers = publisher.answers();
        let answered = answers.accepted + answers.refused >= self.schedule.total;
        let arrived = audience.arrivals().delivered >= self.expected;
        let quiet = now_ns() > self.last_sent_ns.max(audience.last_ns()) + QUIET_NS;
        (answered && arrived) || quiet
    }

    fn outcome(&self, audience: &Audience, publisher: &dyn Publisher) -> anyhow::Result<Outcome> {
        let answers = publisher.answers();
        if answers.accepted != self.schedule.total {
            let why = answers.first_refusal.unwrap_or_else(|| "no answer".to_owned());
            bail!("{} of {} publishes were accepted: {why}", answers.accepted, self.schedule.total);
        }
        let latency = audience.latency();
        let quantile = |q: f64| latency.value_at_quantile(q) as f64 / MS_NS as f64;
        Ok(Outcome {
            published: answers.accepted,
            arrivals: audience.arrivals(),
            missing: audience.missing(self.schedule.total),
            latency: Latency {
                p50: quantile(0.5),
                p99: quantile(0.99),
                p999: quantile(0.999),
                max: quantile(1.0),
            },
            late_ms: self.late_ns as f64 / MS_NS as f64,
            read_late_ms: audience.read_late().value_at_quantile(0.99) as f64 / MS_NS as f64,
            seconds: audience.last_ns().saturating_sub(self.start_ns) as f64 / SECOND_NS as f64,
        })
    }
}

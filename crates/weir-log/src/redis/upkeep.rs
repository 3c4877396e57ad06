//! What runs beside the reading: the shared connection, the lease, the janitor, the facts.

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Resp3Frame, Value};
use weir_core::log::LogFacts;

use super::backoff::Backoff;
use super::context::Context;
use super::fault::{self, Fault};
use super::frame;
use super::link::{Link, text};
use super::scripts::{StreamState, UPKEEP};
use weir_metrics::Operation;

/// How long a server that takes no writes, because it is not the master, is kept before the master is looked up again.
const DEMOTED: Duration = Duration::from_secs(1);

/// Keeps the shared connection, and tends the stream on it. It never returns; its owner cancels it.
pub(super) async fn run(context: Arc<Context>) {
    let mut backoff = Backoff::default();
    let mut lacks = Lacks::default();
    let mut lost = false;
    // A link that still answers stays in use until there is another.
    let mut held: Option<Published<'_>> = None;
    loop {
        match context.connector.connect().await {
            Ok(link) => {
                context.metrics.redis().reconnects.inc_by(u64::from(lost));
                let seat = Published::new(&context, Arc::clone(&link));
                drop(held.take());
                lost = match tend(&context, &link, (&mut backoff, &mut lacks)).await {
                    Ended::Demoted => {
                        held = Some(seat);
                        false
                    }
                    Ended::Fault(fault) => {
                        tell(&fault, backoff, "the connection to redis for publishing ended");
                        true
                    }
                };
            }
            Err(fault) => tell(&fault, backoff, "redis cannot be reached for publishing"),
        }
        backoff.failed();
        rest(backoff, &mut held).await;
    }
}

/// One line for each time that something goes wrong, not for each try.
fn tell(fault: &Fault, backoff: Backoff, what: &'static str) {
    if backoff.failures() == 0 {
        tracing::warn!(%fault, "{what}");
    } else {
        tracing::debug!(%fault, "{what}, again");
    }
}

/// Until the next try. A link that is held in the meantime is let go as soon as it is over, with what it told.
async fn rest(backoff: Backoff, held: &mut Option<Published<'_>>) {
    let Some(seat) = held.as_ref() else { return backoff.pause().await };
    // Nobody waits for it, and every try is a connection.
    let pause = DEMOTED.mul_f64(0.8 + fastrand::f64() * 0.4);
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = seat.link.ended() => *held = None,
    }
}

/// Why a connection is no longer tended.
enum Ended {
    /// It is of no more use.
    Fault(Fault),
    /// It leads to a server that is not the master; there may be one elsewhere.
    Demoted,
}

/// The shared connection while it may be used; publishers never see one that is over.
struct Published<'a> {
    context: &'a Context,
    link: Arc<Link>,
}

impl<'a> Published<'a> {
    fn new(context: &'a Context, link: Arc<Link>) -> Self {
        *context.link.lock() = Some(Arc::clone(&link));
        // Only the first one sets it.
        let _ = context.connected.set(());
        Self { context, link }
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        let mut current = self.context.link.lock();
        if current.as_ref().is_some_and(|link| Arc::ptr_eq(link, &self.link)) {
            *current = None;
            *self.context.facts.lock() = LogFacts::default();
        }
    }
}

/// What the user may not do, as the log of this process has it.
#[derive(Debug, Default)]
struct Lacks(Option<String>);

impl Lacks {
    /// Writes it into the log where it has changed.
    fn tell(&mut self, now: Option<&str>) {
        if self.0.as_deref() == now {
            return;
        }
        match now {
            Some(rights) => tracing::warn!(
                rights,
                "the user of redis lacks rights; what needs them does not work: see docs/redis.md"
            ),
            None => tracing::info!("the user of redis has all rights now"),
        }
        self.0 = now.map(str::to_owned);
    }
}

async fn tend(context: &Context, link: &Link, (backoff, lacks): (&mut Backoff, &mut Lacks)) -> Ended {
    loop {
        match round(context, link).await {
            Ok(Round { facts, refused }) => {
                lacks.tell(facts.lacks.as_deref());
                *context.facts.lock() = facts;
                if refused.is_some_and(|refused| fault::says_readonly(&refused)) {
                    return Ended::Demoted;
                }
            }
            // Redis answers, so the connection is good; what it refuses is unknown.
            Err(Fault::Refused(reason)) if link.is_open() => {
                tracing::debug!(reason, "upkeep is refused");
                let denied = reason.starts_with("NOPERM").then_some(reason);
                lacks.tell(denied.as_deref());
                *context.facts.lock() = LogFacts { up: true, lacks: denied, ..LogFacts::default() };
            }
            Err(fault) => return Ended::Fault(fault),
        }
        backoff.succeeded();
        let pause = context.config.pace.upkeep.mul_f64(0.8 + fastrand::f64() * 0.4);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The next round finds out whether it was this server.
            () = context.demoted.notified() => {}
            () = link.ended() => return Ended::Fault(Fault::Broken("closed by the other side".to_owned())),
        }
    }
}

/// What a round of upkeep found.
struct Round {
    facts: LogFacts,
    /// Why Redis takes no writes.
    refused: Option<String>,
}

async fn round(context: &Context, link: &Link) -> Result<Round, Fault> {
    let Context { config, keys, .. } = context;
    let group = context.reading.lock().group.clone();
    let age = config.max_age.map_or(-1, millis);
    let args = vec![
        text(group.as_deref().unwrap_or_default()),
        Value::Integer(millis(config.pace.lease)),
        // Shorter than a round, so that every round finds one instance that trims.
        Value::Integer(millis(config.pace.upkeep * 3 / 4).max(1)),
        Value::Integer(i64::try_from(config.maxlen).unwrap_or(i64::MAX)),
        Value::Integer(age),
        Value::from(keys.a_snapshot()),
        Value::from(keys.idempotency([0; 32])),
        text(&keys.revoked),
        text(&keys.prefix),
    ];
    let reply = link
        .run(Operation::Upkeep, UPKEEP, &[&keys.stream, &keys.leases, &keys.lock, &keys.since], args)
        .await?;
    let reaped = frame::at(&reply, 5, frame::number)?;
    context.metrics.redis().groups_reaped.inc_by(reaped.unsigned_abs());
    let refused = frame::at(&reply, 6, frame::text)?;
    let refused = (!refused.is_empty()).then(|| refused.to_owned());
    Ok(Round { facts: facts(context, &reply, group)?, refused })
}

fn facts(context: &Context, reply: &Resp3Frame, group: Option<String>) -> Result<LogFacts, Fault> {
    let state = StreamState::parse(frame::at(reply, 0, Some)?)?;
    let known = |place| frame::at(reply, place, frame::number).map(|number| u64::try_from(number).ok());
    // The reader's own count comes first: while it fetches by id what it missed, its group already stands ahead of it.
    let read = context.reading.lock().added;
    let behind = state.added.zip(read).map(|(added, read)| added.saturating_sub(read));
    Ok(LogFacts {
        up: true,
        length: u64::try_from(frame::at(frame::at(reply, 0, Some)?, 2, frame::number)?).ok(),
        oldest: state.first,
        newest: Some(state.last),
        read: None,
        pending: known(1)?,
        pending_oldest_ms: known(2)?,
        lag: behind.or(known(3)?),
        groups: known(4)?,
        group,
        group_refused: None,
        writable: None,
        trouble: None,
        lacks: Some(frame::at(reply, 7, frame::text)?.to_owned()).filter(|rights| !rights.is_empty()),
    })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

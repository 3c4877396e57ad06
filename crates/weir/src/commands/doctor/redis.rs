//! The checks of Redis, one after the other.

use std::time::Duration;

use weir_log::redis::inspect::groups::Orphans;
use weir_log::redis::inspect::rights::Rights;
use weir_log::redis::inspect::{InspectError, Inspector, RedisClock, advice};
use weir_log::{Pace, RedisAccess, WallClock};

use super::super::amount;
use super::finding::Finding;
use super::report::Report;
use super::{groups, server, stream};
use crate::config::ServeConfig;

/// How far the clocks may differ: ids are of Redis' clock, latencies of both.
const CLOCKS_APART: Duration = Duration::from_secs(1);

/// A way there and back above which pages feel it.
const SLOW: Duration = Duration::from_millis(100);

/// What to do where nobody says what is wrong.
const NO_WAY: &str = "see that Redis runs, and that --redis and the network lead to it";

/// Checks what can be reached; what cannot is a finding too.
///
/// # Errors
/// Nobody reads the report.
pub(super) async fn check(
    access: &RedisAccess,
    config: &ServeConfig,
    report: &mut Report,
) -> anyhow::Result<()> {
    let here = WallClock::system();
    let inspector = match Inspector::connect(access, &config.stream).await {
        Ok(inspector) => inspector,
        Err(error) => return Ok(report.tell(unreachable(&error)).await?),
    };
    let looked = look(&inspector, config, &here, report).await;
    match looked.map_err(anyhow::Error::downcast::<InspectError>) {
        Ok(()) => Ok(()),
        Err(Ok(error)) => Ok(report.tell(unreachable(&error)).await?),
        Err(Err(other)) => Err(other),
    }
}

async fn look(
    inspector: &Inspector,
    config: &ServeConfig,
    here: &WallClock,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut now = here.now_ms();
    match refused(inspector.clock().await)? {
        Ok(there) => {
            report
                .tell(Finding::ok("connect", format!("Redis answers within {}", amount::time(there.took))))
                .await?;
            report.tell(clock(there, here.now_ms())).await?;
            now = there.ms;
        }
        Err(text) => report.tell(Finding::unknown("clock", format!("Redis refuses TIME: {text}"))).await?,
    }
    let told = inspector.server().await?;
    let settings = inspector.settings().await?;
    for finding in server::judge(told.as_ref(), &settings, config, now) {
        report.tell(finding).await?;
    }
    let in_cluster = told.as_ref().is_some_and(|server| server.cluster);
    let shared = inspector.keys_share_a_slot();
    if let Some(finding) = hash_tag(shared, in_cluster) {
        report.tell(finding).await?;
    }
    if in_cluster && !shared {
        // One connection leads to one node, so nothing further can be asked.
        return Ok(());
    }
    report.tell(rights(&inspector.rights(config.stats_key.as_deref()).await?)).await?;
    let facts = refused(inspector.stream().await)?;
    let sample = match &facts {
        Ok(Some(_)) => Some(refused(inspector.sample(stream::SAMPLE, &config.decode_rules()).await)?),
        Ok(None) | Err(_) => None,
    };
    for finding in stream::judge(config, facts, sample, now) {
        report.tell(finding).await?;
    }
    let seen = refused(inspector.groups(Pace::default().lease, Orphans::Keep).await)?;
    for finding in groups::judge(config, seen) {
        report.tell(finding).await?;
    }
    Ok(report.tell(round_trip(inspector).await?).await?)
}

/// What Redis refuses is a finding; whatever else goes wrong ends the look.
fn refused<T>(asked: Result<T, InspectError>) -> Result<Result<T, String>, InspectError> {
    match asked {
        Ok(told) => Ok(Ok(told)),
        Err(InspectError::Refused(text)) => Ok(Err(text)),
        Err(other) => Err(other),
    }
}

fn unreachable(error: &InspectError) -> Finding {
    let finding = Finding::fail("connect", error.to_string());
    match error {
        // It says itself what to do.
        InspectError::Access(_) => finding,
        InspectError::Refused(text) => finding.advise(advice(text).unwrap_or("see what Redis says of it")),
        InspectError::Away(text) => finding.advise(advice(text).unwrap_or(NO_WAY)),
        InspectError::Late | InspectError::Garbled(_) => finding.advise(NO_WAY),
    }
}

fn clock(there: RedisClock, now_ms: u64) -> Finding {
    // Redis looked at its clock about halfway.
    let half = u64::try_from(there.took.as_millis() / 2).unwrap_or_default();
    let apart = Duration::from_millis(there.ms.abs_diff(now_ms.saturating_sub(half)));
    if apart > CLOCKS_APART + there.took {
        let way = if there.ms > now_ms { "ahead of" } else { "behind" };
        let finding = format!("the clock of Redis is {} {way} the one here", amount::time(apart));
        return Finding::warn("clock", finding)
            .advise("run NTP on both: latencies and ages are wrong by as much");
    }
    Finding::ok(
        "clock",
        format!("the clock of Redis and the one here differ by {} at most", amount::time(apart + there.took)),
    )
}

fn hash_tag(shared: bool, in_cluster: bool) -> Option<Finding> {
    let finding = "the key of --stream does not hash to the slot of weir's other keys";
    let advice = "take a key without } or with a hash tag, such as {weir}:events";
    match (shared, in_cluster) {
        (false, true) => Some(Finding::fail("hash-tag", finding).advise(advice)),
        (false, false) => {
            Some(Finding::warn("hash-tag", format!("{finding}: no Cluster would take it")).advise(advice))
        }
        (true, true) => Some(Finding::ok("hash-tag", "all keys of weir share the slot of the stream")),
        (true, false) => None,
    }
}

fn rights(rights: &Rights) -> Finding {
    let user = rights.user.as_deref().unwrap_or("this user");
    if rights.suffice() {
        return Finding::ok("rights", format!("{user} may do all that weir does"));
    }
    let commands = rights.commands.iter().map(|command| format!("+{command}"));
    let keys =
        rights.keys.then(|| "~<stream>* and ~{<stream>}* as keys, with --stats-key that too".to_owned());
    let all: Vec<_> = commands.chain(keys).collect();
    let name = rights.user.as_deref().unwrap_or("<user>");
    Finding::fail("rights", format!("{user} lacks {}", all.join(" ")))
        .advise(format!("ACL SETUSER {name} with these"))
}

async fn round_trip(inspector: &Inspector) -> Result<Finding, InspectError> {
    let trip = match inspector.round_trip().await {
        Ok(Some(trip)) => trip,
        Ok(None) => {
            let finding = "an entry was added, and did not come back to its reader";
            return Ok(Finding::fail("round-trip", finding)
                .advise("look for what holds up Redis: SLOWLOG, CLIENT LIST"));
        }
        Err(InspectError::Refused(text)) => {
            let finding = format!("Redis refuses to take an entry, or to give it to a reader: {text}");
            return Ok(Finding::fail("round-trip", finding)
                .advise(advice(&text).unwrap_or("mend what failed above")));
        }
        Err(other) => return Err(other),
    };
    let finding =
        format!("entry {}, which no client sees, came back after {}", trip.id, amount::time(trip.took));
    if trip.took > SLOW {
        return Ok(Finding::warn("round-trip", finding).advise("look at the way to Redis, and at its load"));
    }
    Ok(Finding::ok("round-trip", finding))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn clocks_that_differ() {
        let there = |ms| RedisClock { ms, took: Duration::from_millis(20) };
        assert_eq!(clock(there(10_000), 10_010).level, Level::Ok);
        for (there, way) in [(there(13_000), "ahead of"), (there(7_000), "behind")] {
            let finding = clock(there, 10_010);
            assert!(finding.level == Level::Warn && finding.finding.contains(way), "{finding:?}");
        }
    }

    #[test]
    fn slots_matter_in_a_cluster() {
        let level = |shared, in_cluster| hash_tag(shared, in_cluster).map(|finding| finding.level);
        assert_eq!((level(true, false), level(true, true)), (None, Some(Level::Ok)));
        assert_eq!((level(false, false), level(false, true)), (Some(Level::Warn), Some(Level::Fail)));
    }
}

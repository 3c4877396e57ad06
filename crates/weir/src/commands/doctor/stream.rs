//! The stream and its newest entries.

use std::time::Duration;

use weir_core::entry::Malformed;
use weir_log::redis::inspect::sample::{Sample, Unusable};
use weir_log::redis::inspect::stream::StreamFacts;

use super::super::amount;
use super::finding::Finding;
use crate::config::ServeConfig;

/// Entries that are looked at.
pub(super) const SAMPLE: usize = 1000;

/// A horizon below which a client that reconnects may have missed something.
const SHORT_HORIZON: Duration = Duration::from_secs(60);

/// Fewer entries tell nothing about their rate.
const FEW: usize = 100;

/// How far ahead of the clock of Redis ids may be.
const AHEAD_MS: u64 = 1000;

/// Times of ids beyond which no program counts right: 2^53 ms, the year 287396.
const END_OF_IDS: u64 = 1 << 53;

/// What Redis told, or its words where it refused.
type Asked<T> = Result<T, String>;

/// Judges a stream, `now` being the time of Redis in ms.
pub(super) fn judge(
    config: &ServeConfig,
    facts: Asked<Option<StreamFacts>>,
    sample: Option<Asked<Sample>>,
    now: u64,
) -> Vec<Finding> {
    let key = &config.stream;
    let facts = match facts {
        Ok(Some(facts)) => facts,
        Ok(None) => {
            return vec![Finding::ok(
                "stream",
                format!("there is no {key} yet; the first instance makes it"),
            )];
        }
        Err(text) if text.starts_with("WRONGTYPE") => {
            let finding = format!("what is at {key} is no stream");
            return vec![
                Finding::fail("stream", finding).advise("choose another --stream, or remove what is there"),
            ];
        }
        Err(text) => return vec![Finding::fail("stream", format!("{key} cannot be looked at: {text}"))],
    };
    let mut findings = vec![Finding::ok("stream", format!("{key} is a stream"))];
    findings.extend(facts.expires.map(|left| expiry(key, left)));
    findings.extend([length(config, &facts), ids(&facts, now)]);
    match sample {
        Some(Ok(sample)) => {
            findings.extend(horizon(config, &facts, &sample, now));
            findings.extend(entries(config, &sample));
        }
        Some(Err(text)) => findings.push(Finding::fail("entries", format!("{key} cannot be read: {text}"))),
        None => {}
    }
    findings
}

fn expiry(key: &str, left: Duration) -> Finding {
    Finding::fail("expiry", format!("{key} has a time to live and is deleted in {}", amount::time(left)))
        .advise(format!("PERSIST {key}, and find out who sets it"))
}

fn length(config: &ServeConfig, facts: &StreamFacts) -> Finding {
    let (length, maxlen) = (facts.length, u64::try_from(config.maxlen).unwrap_or(u64::MAX));
    // Redis trims whole nodes, of a hundred entries.
    let most = maxlen.saturating_add(maxlen / 10).saturating_add(100);
    let finding = format!("{length} entries, with --maxlen {maxlen}");
    if length > most {
        let finding = format!("{finding}: no instance trims it, or one has another --maxlen");
        return Finding::warn("length", finding).advise("run an instance, and give all of them the same");
    }
    Finding::ok("length", finding)
}

fn ids(facts: &StreamFacts, now: u64) -> Finding {
    let last = facts.last;
    let repair = "stop producers that give ids of their own, and begin a new stream";
    if last.ms > END_OF_IDS {
        return Finding::fail(
            "ids",
            format!("the last id is {last}, at the end of all ids: nothing can come after it"),
        )
        .advise(repair);
    }
    if last.ms > now.saturating_add(AHEAD_MS) {
        let ahead = amount::time(Duration::from_millis(last.ms - now));
        let finding = format!(
            "the last id, {last}, is {ahead} ahead of the clock of Redis: ages and latencies are wrong"
        );
        return Finding::warn("ids", finding).advise(repair);
    }
    Finding::ok("ids", format!("the last id is {last}"))
}

/// How far back a client can resume: the age of the oldest entry of a full stream, and of one that is not, what it will be
/// at the rate of the newest entries.
fn horizon(config: &ServeConfig, facts: &StreamFacts, sample: &Sample, now: u64) -> Option<Finding> {
    let (first, (oldest, _)) = (facts.first?, sample.span?);
    let since = |ms: u64| Duration::from_millis(now.saturating_sub(ms));
    let (age, is_full) = (since(first.ms), facts.length >= u64::try_from(config.maxlen).unwrap_or(u64::MAX));
    let finding = format!("the oldest entry is {} old", amount::time(age));
    if is_full && sample.entries < FEW {
        return Some(Finding::ok("horizon", format!("{finding}, and clients resume so far back")));
    }
    if sample.entries < FEW {
        return Some(Finding::ok(
            "horizon",
            format!("{finding}; too few came to tell what a full stream holds"),
        ));
    }
    let rate = sample.entries as f64 / since(oldest.ms).as_secs_f64().max(0.001);
    let full = Duration::try_from_secs_f64(config.maxlen as f64 / rate).unwrap_or(Duration::MAX);
    let (reach, bound) = match config.max_age {
        Some(most) if most < full => (most, "--max-age"),
        Some(_) | None => (if is_full { age } else { full }, "--maxlen"),
    };
    let shown = amount::time(reach);
    let finding = format!("{finding}; at {rate:.1} entries a second clients resume from up to {shown} back");
    if reach < SHORT_HORIZON {
        let finding = format!("{finding}, and who is away for longer has a gap");
        return Some(Finding::warn("horizon", finding).advise(format!("raise {bound}")));
    }
    Some(Finding::ok("horizon", finding))
}

fn entries(config: &ServeConfig, sample: &Sample) -> Vec<Finding> {
    let (all, bad) = (sample.entries - sample.internal, sample.unusable());
    if bad == 0 {
        let largest = amount::bytes(u64::try_from(sample.largest).unwrap_or(u64::MAX));
        let finding =
            format!("the newest {} can all be delivered; the largest has {largest}", sample.entries);
        return vec![Finding::ok("entries", finding)];
    }
    let told = |unusable: &Unusable| {
        let ids: Vec<_> = unusable.examples.iter().map(ToString::to_string).collect();
        let Unusable { reason, count, .. } = unusable;
        let finding = format!("skipped, {count} of the newest {all}: {} ({})", why(*reason), ids.join(", "));
        let finding =
            if bad == all { Finding::fail("entries", finding) } else { Finding::warn("entries", finding) };
        finding.advise(mend(config, unusable))
    };
    sample.unusable.iter().map(told).collect()
}

fn why(reason: Malformed) -> &'static str {
    match reason {
        Malformed::Session => "no session, or one that is no name",
        Malformed::Data => "no data",
        Malformed::Utf8 => "not UTF-8",
        Malformed::Type => "a type that cannot be one",
        Malformed::Key => "a key that cannot be one",
        Malformed::Oversize => "too large",
    }
}

fn mend(config: &ServeConfig, unusable: &Unusable) -> String {
    match unusable.reason {
        Malformed::Session if config.default_session.is_none() && unusable.without_session > 0 => {
            format!(
                "give --default-session for the {} without one, or have producers set the field session",
                unusable.without_session
            )
        }
        Malformed::Session => "have producers set the field session".to_owned(),
        Malformed::Data => "have producers set the field data or payload".to_owned(),
        Malformed::Utf8 | Malformed::Type | Malformed::Key => "mend the producer".to_owned(),
        Malformed::Oversize => format!(
            "raise --max-event-bytes, now {}",
            amount::bytes(u64::try_from(config.max_event_bytes).unwrap_or(u64::MAX))
        ),
    }
}

//! Who reads the stream.

use weir_log::redis::inspect::groups::{Group, Standing};

use super::finding::Finding;
use crate::config::ServeConfig;

/// Names that are listed.
const EXAMPLES: usize = 3;

/// Judges the groups of a stream.
pub(super) fn judge(config: &ServeConfig, seen: Result<Option<Vec<Group>>, String>) -> Vec<Finding> {
    let groups = match seen {
        Ok(Some(groups)) => groups,
        // Said of the stream already.
        Ok(None) => return Vec::new(),
        Err(text) if text.starts_with("WRONGTYPE") => return Vec::new(),
        Err(text) => return vec![Finding::fail("groups", format!("the groups cannot be looked at: {text}"))],
    };
    let of = |is: fn(Standing) -> bool| groups.iter().filter(|group| is(group.standing)).collect::<Vec<_>>();
    let alive = of(|standing| matches!(standing, Standing::Alive(_)));
    let young = of(|standing| matches!(standing, Standing::Unleased));
    let orphans = of(|standing| matches!(standing, Standing::Orphaned(_)));
    let foreign = of(|standing| matches!(standing, Standing::Foreign));
    let young =
        if young.is_empty() { String::new() } else { format!(", {} without a lease yet", young.len()) };
    let mut findings = vec![running(&alive, &young)];
    if !orphans.is_empty() {
        let finding = format!("{} left by instances that are gone: {}", orphans.len(), names(&orphans));
        findings.push(
            Finding::warn("orphans", finding)
                .advise("weir groups --reap, or run an instance, which does it too"),
        );
    }
    if !foreign.is_empty() {
        let finding = format!("{} of others, which weir leaves alone: {}", foreign.len(), names(&foreign));
        findings.push(Finding::ok("foreign", finding));
    }
    findings.extend(pending(config, &alive));
    findings.extend(lag(config, &alive));
    findings
}

/// Whose they are only an operator knows.
fn running(alive: &[&Group], young: &str) -> Finding {
    let finding = format!("{} of running instances{young}", alive.len());
    if alive.is_empty() {
        return Finding::ok("groups", finding);
    }
    Finding::ok("groups", format!("{finding}: {}", names(alive)))
        .advise("where one is not yours (weir groups lists all) give each system a --stream of its own")
}

/// One batch is in flight, and a second may just be given out.
fn pending(config: &ServeConfig, alive: &[&Group]) -> Option<Finding> {
    let most = u64::try_from(config.read_count.saturating_mul(2)).unwrap_or(u64::MAX);
    let worst = alive.iter().max_by_key(|group| group.pending)?;
    let finding = format!("{} entries at most are not acknowledged", worst.pending);
    Some(if worst.pending > most {
        Finding::warn("pending", format!("{finding}, by {}", worst.name))
            .advise("look at the log and at weir_reader_errors_total of that instance")
    } else {
        Finding::ok("pending", finding)
    })
}

/// What is further behind than half the stream loses entries before long.
fn lag(config: &ServeConfig, alive: &[&Group]) -> Option<Finding> {
    let worst = alive.iter().max_by_key(|group| group.lag)?;
    let Some(behind) = worst.lag else {
        return Some(Finding::unknown("lag", "Redis does not know how far the readers are behind"));
    };
    let finding = format!("readers are {behind} entries behind at most");
    Some(if behind > u64::try_from(config.maxlen / 2).unwrap_or(u64::MAX) {
        let finding = format!("{finding}, {} is: it will lose entries", worst.name);
        Finding::warn("lag", finding).advise("look at the load of that instance, and raise --maxlen")
    } else {
        Finding::ok("lag", finding)
    })
}

fn names(groups: &[&Group]) -> String {
    let mut names: Vec<_> = groups.iter().take(EXAMPLES).map(|group| group.name.as_str()).collect();
    names.extend((groups.len() > EXAMPLES).then_some("…"));
    names.join(", ")
}

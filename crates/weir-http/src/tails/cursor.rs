//! What tells caches apart that would else give a client the same answer again and again.

/// 9 October 2024, 00:00 UTC, from which the protocol counts.
const BEGIN_SECS: u64 = 1_728_432_000;

/// So long the same cursor is told to everybody, so that a cache answers all of them by one call.
const INTERVAL_SECS: u64 = 20;

/// How far a client is told to go beyond the present, so that clients with one cursor do not stay together.
const AHEAD_SECS: std::ops::RangeInclusive<u64> = 1..=3600;

/// The cursor for a client that has this one: that of the present, or one above its own.
pub(crate) fn next(theirs: Option<&str>, now_ms: u64) -> u64 {
    let now = (now_ms / 1000).saturating_sub(BEGIN_SECS) / INTERVAL_SECS;
    match theirs.and_then(|text| text.parse::<u64>().ok()) {
        Some(theirs) if theirs >= now => {
            let ahead = fastrand::u64(AHEAD_SECS).div_ceil(INTERVAL_SECS);
            theirs.saturating_add(ahead)
        }
        Some(_) | None => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_always_above_that_of_the_client() {
        let now_ms = (BEGIN_SECS + 20 * 100 + 19) * 1000;
        assert_eq!(next(None, now_ms), 100);
        for behind in ["99", "0", "", "x", "-1"] {
            assert_eq!(next(Some(behind), now_ms), 100, "{behind}");
        }
        for ahead in [100, 101, 1_000_000] {
            let next = next(Some(&ahead.to_string()), now_ms);
            assert!((ahead + 1..=ahead + 180).contains(&next), "{next} after {ahead}");
        }
    }
}

//! Waiting that ends: for a future, and for a condition.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for anything that has no time of its own. It bounds what a hanging server costs a test run,
/// and is far above what a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// Waits for `future` at most `limit`.
///
/// # Errors
/// Those of the future, and the deadline; both say `what` was awaited.
pub async fn within<T>(
    limit: Duration,
    what: impl Display,
    future: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match timeout(limit, future).await {
        Ok(result) => result.with_context(|| what.to_string()),
        Err(_) => anyhow::bail!("{what}: nothing within {limit:?}"),
    }
}

/// Asks `observe` again and again until it returns `Ok`.
///
/// # Errors
/// The last observation, once `limit` has passed.
pub async fn eventually<T>(
    limit: Duration,
    mut observe: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        match observe().await {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() >= end => {
                return Err(last.context(format!("still not after {limit:?}")));
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn eventually_waits_and_then_tells_what_it_saw_last() {
        let mut looks = 0;
        let seen = eventually(DEADLINE, async || {
            looks += 1;
            anyhow::ensure!(looks == 3, "look {looks}");
            Ok(looks)
        });
        assert_eq!(seen.await.unwrap(), 3);

        let never = eventually(DEADLINE, async || anyhow::bail!("still 7") as anyhow::Result<()>);
        assert_eq!(format!("{:#}", never.await.unwrap_err()), "still not after 10s: still 7");
    }

    #[tokio::test(start_paused = true)]
    async fn within_ends() {
        let error =
            within(DEADLINE, "an answer", std::future::pending::<anyhow::Result<()>>()).await.unwrap_err();
        assert_eq!(error.to_string(), "an answer: nothing within 10s");
    }
}

//! Fetches the keys of `--jwks-url`, and again: their owner changes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_client::document::{Document, FetchError};
use weir_http::app::App;
use weir_http::auth::jwks::{self, BadSet};
use weir_http::auth::key::Key;

/// How long keys are believed while they can be fetched. What their owner withdraws is good for so long, and up to a day where
/// it cannot be reached; what it adds is fetched when the first token names it.
const EVERY: Duration = Duration::from_secs(300);

/// The first pause after a fetch that failed, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Set(#[from] BadSet),
}

/// Fetches until the instance ends.
pub(super) async fn run(document: Document, app: Arc<App>) {
    let keyring = &app.config.tokens.keyring;
    let mut failures = 0;
    loop {
        match fetch(&document).await {
            Ok(keys) => {
                // Once for each time that it works again; what goes well every few minutes is nothing to tell.
                if failures > 0 || !keyring.has_provided() {
                    tracing::info!(keys = keys.len(), "fetched the keys for tokens");
                }
                failures = 0;
                keyring.fetched(Some(keys));
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "cannot fetch the keys for tokens: those that are here stay good");
                } else {
                    tracing::debug!(%error, failures, "cannot fetch the keys for tokens yet");
                }
                failures += 1;
                keyring.fetched(None);
                if keyring.forget_old(Instant::now()) {
                    tracing::error!(
                        "no keys for tokens could be fetched for a day: the last ones are not believed any longer"
                    );
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause(failures)) => {}
            () = keyring.wanted() => {}
        }
    }
}

async fn fetch(document: &Document) -> Result<Vec<Key>, NoKeys> {
    Ok(jwks::parse(&document.fetch().await?)?)
}

/// Jittered, so that instances that were started together do not ask together.
fn pause(failures: u32) -> Duration {
    let mean = match failures.checked_sub(1) {
        None => EVERY,
        Some(more) => (FIRST_PAUSE * 2_u32.pow(more.min(16))).min(LONGEST_PAUSE),
    };
    mean.mul_f64(fastrand::f64().mul_add(0.4, 0.8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_jittered_and_end_somewhere() {
        for (failures, mean) in [(0, 300.0), (1, 1.0), (2, 2.0), (3, 4.0), (7, 60.0), (u32::MAX, 60.0)] {
            let pause = pause(failures).as_secs_f64() / mean;
            assert!((0.8..=1.2).contains(&pause), "{failures}: {pause}");
        }
    }
}

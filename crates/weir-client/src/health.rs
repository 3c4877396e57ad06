//! Ask an instance whether it is ready.

use std::time::Duration;

use reqwest::Method;

use crate::client::Client;
use crate::problem;
use crate::transport::Transport;

/// Longest wait for an answer: container runtimes give a health check a few seconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Most bytes read of the reason.
const MAX_REASON: usize = 16 * 1024;

/// Why an instance does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It gave no answer.
    #[error("no answer from {url}: {cause}")]
    Silent {
        /// Its admin address.
        url: String,
        /// What happened.
        cause: Transport,
    },
    /// It answered that it is not.
    #[error("{url} is not ready (HTTP {status}): {reason}")]
    Said {
        /// Its admin address.
        url: String,
        /// Status of `/readyz`.
        status: u16,
        /// What it is waiting for, in its own words.
        reason: String,
    },
}

impl Client {
    /// Asks `/readyz`; the client's address is that of the admin listener.
    ///
    /// # Errors
    /// [`NotReady`], where it is anything but 200.
    pub async fn check_ready(&self) -> Result<(), NotReady> {
        let url = || self.url().to_owned();
        let request = self.request(Method::GET, &["readyz"]).timeout(TIMEOUT);
        let response = request.send().await.map_err(|e| NotReady::Silent { url: url(), cause: e.into() })?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        let body = problem::read_body(response, MAX_REASON).await.unwrap_or_default();
        let reason = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = if reason.is_empty() { "it gave no reason".to_owned() } else { reason };
        Err(NotReady::Said { url: url(), status, reason })
    }
}

//! Have an instance release its clients, or take clients again.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use crate::client::Client;
use crate::problem::{self, Problem};
use crate::transport::Transport;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes read of it.
const MAX_ANSWER: usize = 16 * 1024;

/// What is wanted of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It releases its clients and takes no new ones.
    Drain,
    /// It takes clients again.
    Undrain,
}

/// Why an order was not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It gave no answer.
    #[error("no answer from {url}: {cause}")]
    Silent {
        /// Its admin address.
        url: String,
        /// What happened.
        cause: Transport,
    },
    /// It said no.
    #[error("{0}")]
    Refused(Problem),
    /// It said yes in a way no weir does.
    #[error("{url} does not answer like the admin listener of a weir")]
    NotWeir {
        /// Its address.
        url: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    clients: u64,
}

impl Client {
    /// Gives an order; the client's address is that of the admin listener. Returns how many clients are there.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn order(&self, order: Order) -> Result<u64, OrderError> {
        let path = match order {
            Order::Drain => "drain",
            Order::Undrain => "undrain",
        };
        let url = || self.url().to_owned();
        let request = self.request(Method::POST, &[path]).header("weir-admin", "1").timeout(TIMEOUT);
        let response =
            request.send().await.map_err(|e| OrderError::Silent { url: url(), cause: e.into() })?;
        if !response.status().is_success() {
            return Err(OrderError::Refused(Problem::read(response).await));
        }
        let body = problem::read_body(response, MAX_ANSWER).await.unwrap_or_default();
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| OrderError::NotWeir { url: url() })?;
        Ok(answer.clients)
    }
}

//! An instance among peers that mean harm, and a client of it that behaves.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::deadline::{DEADLINE, eventually};
use crate::instance::Instance;
use crate::raw::{Closed, RawConn};
use crate::refusals::Refusals;
use crate::stream::SseStream;

/// A request whose answer says that a connection is still in order.
const STILL_THERE: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// See the [module](self).
#[derive(Debug)]
pub struct Beset {
    /// The instance.
    pub weir: Instance,
    /// The client.
    pub honest: SseStream,
    published: usize,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is closed, and nothing was answered beside it.
    Closed,
    /// The next request on it is answered.
    Open,
}

impl Beset {
    /// Starts both.
    ///
    /// # Errors
    /// The instance does not come up.
    pub async fn start(binary: &str, flags: &[&str]) -> anyhow::Result<Self> {
        let weir = Instance::start(binary, flags).await?;
        let honest = weir.client().subscribe("honest").await?;
        Ok(Self { weir, honest, published: 0 })
    }

    /// Sends raw bytes and says what came back, and how it ended within a moment.
    ///
    /// # Errors
    /// No connection, or any failure that is not a close.
    pub async fn say(&self, bytes: &[u8]) -> anyhow::Result<(String, Option<Closed>)> {
        let mut conn = RawConn::open(self.weir.public()).await?;
        // A server that closes before it has all of it is within its rights.
        let _ = conn.write(bytes).await;
        let (answer, closed) = conn.read_until_close(Duration::from_millis(700)).await?;
        Ok((String::from_utf8_lossy(&answer).into_owned(), closed))
    }

    /// Sends raw bytes, expects one answer with this status, and says all of it. Without a status nothing may come back.
    ///
    /// # Errors
    /// Another answer, more than one, or another end of the connection.
    pub async fn expect(&self, bytes: &[u8], status: u16, after: After) -> anyhow::Result<String> {
        self.converse(bytes, status, after)
            .await
            .with_context(|| format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)])))
    }

    async fn converse(&self, bytes: &[u8], status: u16, after: After) -> anyhow::Result<String> {
        let mut conn = RawConn::open(self.weir.public()).await?;
        let _ = conn.write(bytes).await;
        let mut asked = 0;
        if after == After::Open {
            // Its answer stands behind the one that is looked at, and the connection is closed after it.
            conn.write(STILL_THERE.strip_suffix(b"\r\n").unwrap_or_default()).await?;
            conn.write(b"connection: close\r\n\r\n").await?;
            asked = 1;
        }
        let (said, closed) = conn.read_until_close(DEADLINE).await?;
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(closed.is_some(), "still open after {said:?}");
        let statuses = statuses(&said);
        ensure!(statuses.len() == 1 + asked, "answered {statuses:?}: {said:?}");
        ensure!(statuses.first() == Some(&status), "not {status}: {said:?}");
        ensure!(statuses.get(1).is_none_or(|status| *status == 200), "not in order after it: {said:?}");
        Ok(said)
    }

    /// Nobody else is harmed: what is published now arrives now.
    ///
    /// # Errors
    /// It does not.
    pub async fn ensure_unharmed(&mut self) -> anyhow::Result<()> {
        self.published += 1;
        let data = self.published.to_string();
        self.weir.client().publish("honest", data.clone()).await?;
        ensure!(self.honest.next_data(1).await? == [data], "the honest client got something else");
        Ok(())
    }

    /// What was refused so far.
    ///
    /// # Errors
    /// The instance shows no metrics.
    pub async fn refusals(&self) -> anyhow::Result<Refusals> {
        Ok(Refusals::of(&self.weir.metrics().await?))
    }

    /// Waits until exactly this was refused since `before`. A connection is counted a moment after its answer.
    ///
    /// # Errors
    /// Something else was.
    pub async fn ensure_refused(&self, before: &Refusals, expected: &[(&str, u64)]) -> anyhow::Result<()> {
        let expected = Refusals::named(expected.iter().copied());
        eventually(DEADLINE, async || {
            let refused = self.refusals().await?.since(before);
            ensure!(refused == expected, "refused {refused:?}, not {expected:?}");
            Ok(())
        })
        .await
    }

    /// Waits until nobody is connected but the honest client.
    ///
    /// # Errors
    /// Somebody stays.
    pub async fn ensure_alone(&self) -> anyhow::Result<()> {
        eventually(DEADLINE, async || {
            let clients = self.weir.metrics().await?.sum("weir_clients", &[]);
            ensure!(clients == 1.0, "{clients} clients");
            Ok(())
        })
        .await
    }
}

/// The status of every answer in what came back.
pub fn statuses(said: &str) -> Vec<u16> {
    let heads = said.split("HTTP/1.1 ").skip(1).chain(said.split("HTTP/1.0 ").skip(1));
    heads.filter_map(|head| head.get(..3)?.parse().ok()).collect()
}

//! What tests expect again and again.

use anyhow::{Context as _, ensure};

use crate::client::Response;
use crate::deadline::{DEADLINE, eventually};
use crate::instance::Instance;
use crate::metrics::Metrics;

/// A problem with this status and this stable code, which repeats its status and says something.
///
/// # Errors
/// Any other answer; the error shows it.
pub fn problem(answer: &Response, status: u16, code: &str) -> anyhow::Result<()> {
    ensure!(answer.status() == status, "not {status} {code}: {answer:?}");
    ensure!(answer.problem_code()? == code, "not {status} {code}: {answer:?}");
    let json = answer.json()?;
    ensure!(json["status"] == status, "the body says another status: {answer:?}");
    ensure!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "no detail: {answer:?}");
    Ok(())
}

/// The content security policy of a page: it takes nothing but its own, reaches nobody but who served it, and is framed by nobody.
///
/// # Errors
/// There is none, or it allows more.
pub fn strict_policy(answer: &Response) -> anyhow::Result<&str> {
    let policy = answer.head.header("content-security-policy").context("a policy")?;
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        ensure!(policy.split("; ").any(|found| found == part), "{part}: {policy}");
    }
    ensure!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    Ok(policy)
}

/// Waits until the instance has read so many entries. A publish is answered before its event has come back to the window.
///
/// # Errors
/// It has read another number after [`DEADLINE`].
pub async fn has_read(weir: &Instance, entries: u32) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let read = weir.metrics().await?.value("weir_entries_read_total", &[]);
        ensure!(read == Some(entries.into()), "{read:?} entries read instead of {entries}");
        Ok(())
    })
    .await
}

/// Waits until so many clients are connected, long-polls included.
///
/// # Errors
/// There are others after [`DEADLINE`].
pub async fn clients(weir: &Instance, count: u32) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let open = weir.metrics().await?.sum("weir_clients", &[]);
        ensure!(open == f64::from(count), "{open} clients instead of {count}");
        Ok(())
    })
    .await
}

/// Waits until so many connections are open, whatever goes on on them.
///
/// # Errors
/// There are others after [`DEADLINE`].
pub async fn sockets(weir: &Instance, count: u32) -> anyhow::Result<()> {
    eventually(DEADLINE, async || {
        let open = weir.metrics().await?.value("weir_sockets", &[]);
        ensure!(open == Some(count.into()), "{open:?} sockets instead of {count}");
        Ok(())
    })
    .await
}

/// What became of the events that entered queues.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Books {
    /// Entered a queue.
    pub queued: f64,
    /// Handed to a connection.
    pub delivered: f64,
    /// Made room in a queue.
    pub overflow: f64,
    /// Left behind by a client, or replaced.
    pub discarded: f64,
}

impl Books {
    /// As they are now.
    pub fn of(metrics: &Metrics) -> Self {
        Self {
            queued: metrics.sum("weir_events_queued_total", &[]),
            delivered: metrics.sum("weir_events_delivered_total", &[]),
            overflow: metrics.sum("weir_events_dropped_total", &[("reason", "overflow")]),
            discarded: metrics.sum("weir_events_discarded_total", &[]),
        }
    }

    /// How many events must still be queued.
    pub fn still_queued(&self) -> f64 {
        self.queued - self.delivered - self.overflow - self.discarded
    }
}

/// Nothing is queued any more, and the books balance.
///
/// # Errors
/// They do not; the error shows them.
pub async fn balance(weir: &Instance) -> anyhow::Result<Books> {
    let metrics = weir.metrics().await?;
    let books = Books::of(&metrics);
    ensure!(metrics.value("weir_queue_bytes", &[]) == Some(0.0), "something is queued: {books:?}");
    ensure!(books.still_queued() == 0.0, "the books do not balance: {books:?}");
    Ok(books)
}

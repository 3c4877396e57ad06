//! Many peers that mean harm, at once: a mix of what the hostile suites do one by one, chosen by a seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::beset::statuses;
use crate::raw::RawConn;
use crate::refusals::Refusals;
use way::{Act, SLOW, Way};

mod way;

/// How long a peer waits for its close before that is a surprise.
const PATIENCE: Duration = Duration::from_secs(30);

/// Surprises that are told; the first says most.
const TOLD: usize = 10;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Assault {
    /// Whom it is done to.
    pub target: SocketAddr,
    /// Hostile requests in all. One connection may carry several.
    pub requests: u64,
    /// Connections at a time, beside those that are slow.
    pub at_once: u64,
    /// Peers that begin and do not go on, all the time.
    pub slow: u64,
    /// Over how long they are spread; as fast as they are answered where it is nothing.
    pub over: Duration,
    /// Chooses what each does.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// How often each way was taken.
    pub ways: BTreeMap<&'static str, u64>,
    /// What the instance has to have counted for it.
    pub counted: Refusals,
    /// What did not go as it has to; the first of them.
    pub surprises: Vec<String>,
}

impl Assault {
    /// Does it all, and says what was done.
    ///
    /// # Errors
    /// A task panicked.
    pub async fn run(self) -> anyhow::Result<Report> {
        let mut peers = JoinSet::new();
        for nth in 0..self.at_once {
            let share = self.requests / self.at_once + u64::from(nth < self.requests % self.at_once);
            peers.spawn(self.peer(nth, share));
        }
        for nth in 0..self.slow {
            let way = &SLOW[usize::try_from(nth).unwrap_or_default() % SLOW.len()];
            peers.spawn(self.slow_peer(way));
        }
        let mut report = Report::default();
        while let Some(done) = peers.join_next().await {
            report.merge(done.context("a peer panicked")?);
        }
        Ok(report)
    }

    /// One peer after the other, until a share of the requests is sent.
    async fn peer(self, nth: u64, share: u64) -> Report {
        let mut rng = Rng::with_seed(self.seed.wrapping_mul(1_000_003).wrapping_add(nth));
        let (mut report, start) = (Report::default(), Instant::now());
        while report.requests < share {
            let way = way::choose(&mut rng);
            let requests = way.requests.min(share - report.requests);
            report.note(way, requests, way.meet(self.target, requests).await);
            #[expect(clippy::cast_precision_loss, reason = "shares are small")]
            let due = self.over.mul_f64(report.requests as f64 / share as f64);
            tokio::time::sleep_until(start + due).await;
        }
        report
    }

    async fn slow_peer(self, way: &'static Way) -> Report {
        let mut report = Report::default();
        report.note(way, 1, way.meet(self.target, 1).await);
        report
    }
}

impl Report {
    fn note(&mut self, way: &Way, requests: u64, met: anyhow::Result<()>) {
        self.requests += requests;
        self.connections += 1;
        *self.ways.entry(way.name).or_default() += requests;
        // A flood of HTTP/2 counts once, for its connection.
        let counted = if way.is_flood() { 1 } else { requests };
        if let Some(name) = way.counted {
            self.counted.add(name, counted);
        }
        if let Err(surprise) = met
            && self.surprises.len() < TOLD
        {
            self.surprises.push(format!("{}: {surprise:#}", way.name));
        }
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.connections += other.connections;
        for (way, count) in other.ways {
            *self.ways.entry(way).or_default() += count;
        }
        for (name, count) in &other.counted.0 {
            self.counted.add(name, *count);
        }
        self.surprises.extend(other.surprises);
        self.surprises.truncate(TOLD);
    }
}

impl Way {
    /// Does it with so many requests on one connection, and looks at what comes of it.
    async fn meet(&self, target: SocketAddr, requests: u64) -> anyhow::Result<()> {
        let mut conn = RawConn::open(target).await?;
        let said = self.said(requests);
        match self.act {
            Act::Vanish => {
                let _ = conn.write(&said).await;
                return conn.reset();
            }
            // A server that closes before it has all of it is within its rights.
            Act::Request { .. } | Act::Flood { .. } | Act::Wait { .. } => drop(conn.write(&said).await),
        }
        let (answer, closed) = conn.read_until_close(PATIENCE).await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(closed.is_some(), "still open after {answer:?}");
        if let Act::Request { status, .. } = self.act {
            let got = statuses(&answer);
            // What a close left unread may take the answer with it.
            ensure!(got.iter().all(|got| *got == status), "{got:?} instead of {status}: {answer:?}");
            ensure!(got.len() as u64 <= requests, "{} answers to {requests}: {answer:?}", got.len());
        }
        Ok(())
    }

    fn is_flood(&self) -> bool {
        matches!(self.act, Act::Flood { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::way::WAYS;
    use super::*;

    #[test]
    fn every_way_is_taken() {
        let mut rng = Rng::with_seed(1);
        let taken: std::collections::BTreeSet<_> = (0..10_000).map(|_| way::choose(&mut rng).name).collect();
        assert_eq!(taken.len(), WAYS.len());
        let names: std::collections::BTreeSet<_> = WAYS.iter().chain(SLOW).map(|way| way.name).collect();
        assert_eq!(names.len(), WAYS.len() + SLOW.len());
    }
}

//! Totals of all instances in one hash, to which each adds its own.
//!
//! An addition has a number. Where its outcome is unknown it is asked for again under the same number, and Redis, which keeps the
//! number of the last one beside the totals, adds it once. What comes meanwhile waits for the next. So nothing is lost or added twice
//! while the instance lives and Redis keeps what it holds: it is lost with an instance that is killed, for as long as it has
//! not been added, and added twice where an outcome stays unknown for longer than the number is kept.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;

use super::away;
use super::context::Context;
use super::scripts;
use weir_metrics::Operation;

/// How long the number of an instance's last addition is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What one instance counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Clients that were admitted.
    pub connections: u64,
    /// Clients that left.
    pub disconnects: u64,
    /// Events lost to connected clients.
    pub dropped: u64,
}

/// Adds to the hash.
#[derive(Debug)]
pub struct RedisTotals {
    context: Arc<Context>,
    key: String,
    mark: String,
    /// What stands in the hash of this instance.
    added: Totals,
    /// What will, once it is known that the addition of this number was made.
    under_way: Option<(u64, Totals)>,
    number: u64,
}

/// The totals were not added, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAdded(String);

impl Totals {
    fn fields(self) -> [(&'static str, u64); 3] {
        [("connections", self.connections), ("disconnects", self.disconnects), ("dropped", self.dropped)]
    }
}

impl RedisTotals {
    pub(super) fn new(context: &Arc<Context>, key: String) -> Self {
        let mark = context.keys.new_mark();
        Self { context: Arc::clone(context), key, mark, added: Totals::default(), under_way: None, number: 0 }
    }

    /// Adds what was counted since the last time, so that all of it stands in the hash. Dropped, it is as if nobody heard what
    /// became of it.
    ///
    /// # Errors
    /// [`NotAdded`]: to be tried again, with what is counted then.
    pub async fn add(&mut self, now: Totals) -> Result<(), NotAdded> {
        if self.under_way.is_some() {
            self.settle().await?;
        }
        // The fields are there from the start, as 0.
        if self.added != now || self.number == 0 {
            self.number += 1;
            self.under_way = Some((self.number, now));
            self.settle().await?;
        }
        Ok(())
    }

    /// Whether an addition was begun of which nobody knows that it was made.
    pub fn waits(&self) -> bool {
        self.under_way.is_some()
    }

    async fn settle(&mut self) -> Result<(), NotAdded> {
        let Some((number, until)) = self.under_way else { return Ok(()) };
        let link = self.context.link().ok_or_else(|| NotAdded(away()))?;
        let increments = until.fields().into_iter().zip(self.added.fields());
        let increments = increments.flat_map(|((field, until), (_, added))| {
            [Value::from_static_str(field), Value::from(until.saturating_sub(added).to_string())]
        });
        let args = [number.to_string(), KEPT.as_millis().to_string()].into_iter().map(Value::from);
        let keys = [self.key.as_str(), self.mark.as_str()];
        let run = link.run(Operation::Stats, scripts::STATS, &keys, args.chain(increments).collect());
        run.await.map_err(|fault| NotAdded(fault.to_string()))?;
        self.added = until;
        self.under_way = None;
        Ok(())
    }
}

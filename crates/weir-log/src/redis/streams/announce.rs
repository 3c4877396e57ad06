//! Announcing what was appended so shortly after another announcement that the append did not do it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use weir_core::durable::StreamName;
use weir_metrics::Operation;

use super::super::context::Context;
use super::super::fault::Fault;
use super::super::link::{Link, text};
use super::keys::StreamKeys;
use super::scripts;

/// Most streams that are announced in one go.
const MOST: usize = 256;

/// Most streams that wait. It bounds memory while Redis is away; who follows one that is not taken looks a little later.
const MOST_WAITING: usize = 1 << 14;

/// What is to be announced.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    waiting: Mutex<Waiting>,
    come: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    streams: HashMap<StreamName, Change>,
    /// Each of them once, and when it was due when it came.
    due: VecDeque<(Instant, StreamName)>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    /// The newest, by the clock of Redis.
    since: u64,
    /// When it is to be announced: others may have done so since the first one came.
    due: Instant,
}

impl Announcements {
    /// Has a stream announced in so many ms, unless somebody else does so before.
    pub(super) fn put(&self, name: &StreamName, (wait_ms, since): (u64, u64)) {
        let change = Change { since, due: Instant::now() + Duration::from_millis(wait_ms) };
        let mut waiting = self.waiting.lock();
        if let Some(newest) = waiting.streams.get_mut(name) {
            *newest = Change { since: since.max(newest.since), due: change.due.max(newest.due) };
            return;
        }
        if waiting.streams.len() >= MOST_WAITING {
            return;
        }
        waiting.streams.insert(name.clone(), change);
        waiting.due.push_back((change.due, name.clone()));
        drop(waiting);
        self.come.notify_one();
    }

    /// Announces. It never returns; its owner cancels it.
    pub(super) async fn run(&self, context: Arc<Context>) {
        loop {
            let first = self.waiting.lock().due.front().map(|(at, _)| *at);
            let Some(first) = first else {
                self.come.notified().await;
                continue;
            };
            tokio::time::sleep_until(first).await;
            let due = self.take_due(Instant::now());
            if let Some(link) = context.link().filter(|_| !due.is_empty())
                && let Err(fault) = announce(&link, &StreamKeys::new(&context.keys), &due).await
            {
                tracing::debug!(%fault, "changes of streams are not announced");
            }
        }
    }

    fn take_due(&self, now: Instant) -> Vec<(StreamName, u64)> {
        let mut waiting = self.waiting.lock();
        let Waiting { streams, due } = &mut *waiting;
        let mut taken = Vec::new();
        while taken.len() < MOST && due.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, name)) = due.pop_front() else { break };
            match streams.get(&name).copied() {
                Some(change) if change.due > now => due.push_back((change.due, name)),
                Some(change) => {
                    streams.remove(&name);
                    taken.push((name, change.since));
                }
                None => {}
            }
        }
        taken
    }
}

async fn announce(link: &Link, keys: &StreamKeys<'_>, due: &[(StreamName, u64)]) -> Result<(), Fault> {
    let heads: Vec<_> = due.iter().map(|(name, _)| keys.own(name).head).collect();
    let all: Vec<_> = std::iter::once(keys.wake).chain(heads.iter().map(String::as_str)).collect();
    let of = |(name, since): &(StreamName, u64)| [text(name.as_str()), Value::from(since.to_string())];
    let args = std::iter::once(text(keys.prefix)).chain(due.iter().flat_map(of)).collect();
    link.run_known(Operation::StreamAnnounce, &scripts::ANNOUNCE, &all, args).await?;
    Ok(())
}

//! What the instances on one stream tell each other of themselves: a field of one hash for each, with the time of Redis.
//!
//! Nobody writes while nobody looks. Whoever looks says so in a key that expires, which every instance asks for.

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Resp3Frame, Value};
use weir_core::log::{BoxFuture, LogUnavailable};
use weir_core::peers::{GONE_AFTER, MOST_PEERS, MOST_REPORT_BYTES, Peers, Seen, Told};

use super::context::Context;
use super::fault::Fault;
use super::frame;
use super::link::{Link, PATIENCE, text};
use super::scripts::{LOOK, TELL};

/// For how long a look counts. Longer than instances take to ask, and to be asked again by whoever still looks.
const WATCHED: Duration = Duration::from_secs(10);

/// The instances on one stream, as one of them sees them.
#[derive(Debug)]
pub struct RedisPeers {
    context: Arc<Context>,
    own: String,
}

impl RedisPeers {
    pub(super) fn new(context: Arc<Context>) -> Self {
        // Another one at every start, so that what a killed one told is not taken for what its successor tells.
        let own = format!("{}:{:016x}", context.config.instance, fastrand::u64(..));
        Self { context, own }
    }

    fn link(&self) -> Result<Arc<Link>, LogUnavailable> {
        self.context.link().ok_or_else(|| LogUnavailable(super::away()))
    }
}

impl Peers for RedisPeers {
    fn own(&self) -> &str {
        &self.own
    }

    fn are_watched(&self) -> BoxFuture<'_, Result<bool, LogUnavailable>> {
        Box::pin(async move {
            let asked = self.link()?.ask("GET", vec![text(&self.context.keys.watched)], PATIENCE).await;
            Ok(frame::bytes(&asked.map_err(unavailable)?).is_some())
        })
    }

    fn tell<'a>(&'a self, report: &'a str) -> BoxFuture<'a, Result<(), LogUnavailable>> {
        Box::pin(async move {
            let keys = [&*self.context.keys.instances];
            let told = self.link()?.run_aside(TELL, &keys, vec![text(&self.own), text(report)]).await;
            told.map(drop).map_err(unavailable)
        })
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        Box::pin(async move {
            let args = vec![text(&self.context.keys.instances), text(&self.own)];
            self.link()?.ask("HDEL", args, PATIENCE).await.map(drop).map_err(unavailable)
        })
    }

    fn look(&self) -> BoxFuture<'_, Result<Seen, LogUnavailable>> {
        Box::pin(async move {
            let keys = [&*self.context.keys.instances, &*self.context.keys.watched];
            let args = vec![millis(WATCHED), millis(GONE_AFTER), count(MOST_PEERS), count(MOST_REPORT_BYTES)];
            let found = self.link()?.run_aside(LOOK, &keys, args).await;
            found.and_then(|found| seen(&found)).map_err(unavailable)
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn unavailable(fault: Fault) -> LogUnavailable {
    LogUnavailable(fault.to_string())
}

fn millis(time: Duration) -> Value {
    Value::Integer(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn count(most: usize) -> Value {
    Value::Integer(i64::try_from(most).unwrap_or(i64::MAX))
}

/// How many there are, then id, age in ms and report of each that is shown.
fn seen(reply: &Resp3Frame) -> Result<Seen, Fault> {
    let all = u64::try_from(frame::at(reply, 0, frame::number)?).unwrap_or_default();
    let parts = frame::items(reply).unwrap_or_default().get(1..).unwrap_or_default();
    let told: Vec<_> = parts.chunks_exact(3).filter_map(told).take(MOST_PEERS).collect();
    let left_out = all.saturating_sub(told.len() as u64);
    Ok(Seen { told, left_out })
}

fn told(parts: &[Resp3Frame]) -> Option<Told> {
    let [id, age, report] = parts else { return None };
    Some(Told {
        id: String::from_utf8_lossy(frame::bytes(id)?).into_owned(),
        age: Duration::from_millis(u64::try_from(frame::number(age)?).ok()?),
        report: frame::bytes(report)?.to_vec(),
    })
}

//! One entry there and back, as an instance would publish and read it.

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Resp3Frame, Value};
use tokio::time::{Instant, timeout};
use weir_core::id::EventId;
use weir_metrics::Operation;

use super::super::codec;
use super::super::fault::Fault;
use super::super::frame;
use super::super::keys::Keys;
use super::super::link::{Link, text};
use super::super::scripts::LEAVE;
use super::{CONNECT_WITHIN, InspectError, Inspector};

/// How long the entry may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// How long one read of it waits; less than the connection's patience with a command.
const BLOCK_MS: i64 = 1000;

/// Most entries of one read.
const COUNT: i64 = 100;

/// The way of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Its id.
    pub id: EventId,
    /// From sending it until it was read.
    pub took: Duration,
}

impl Inspector {
    /// Adds an entry that every reader passes over (field `weir`), and reads it on another connection by a group of its
    /// own; `None` where it does not come. The group is gone afterwards; what a crash leaves of it is the janitor's. The
    /// entry stays: a deletion would make the lag of every group unknown, and trimming takes it in its time.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn round_trip(&self) -> Result<Option<RoundTrip>, InspectError> {
        let reader = timeout(CONNECT_WITHIN, self.connector.connect()).await;
        let reader = reader.map_err(|_| InspectError::Late)??;
        let group = Keys::new_group("doctor");
        let there_and_back = async {
            self.ask("XGROUP", &["CREATE", &self.keys.stream, &group, "$", "MKSTREAM"]).await?;
            self.there_and_back(&reader, &group).await
        };
        let seen = there_and_back.await;
        let keys = [self.keys.stream.as_str(), &self.keys.leases];
        let left = self.link.run(Operation::Leave, LEAVE, &keys, vec![text(&group)]).await;
        // That it could not clean up matters less than what it found.
        let seen = seen?;
        left?;
        Ok(seen)
    }

    async fn there_and_back(
        &self,
        reader: &Arc<Link>,
        group: &str,
    ) -> Result<Option<RoundTrip>, InspectError> {
        let mark = format!("{:016x}", fastrand::u64(..));
        let start = Instant::now();
        let entry = [&*self.keys.stream, "*", "weir", "probe", "mark", &mark];
        let back = async { Ok(timeout(BACK_WITHIN, self.read_until(reader, group, &mark)).await) };
        let (added, back) = tokio::try_join!(self.ask("XADD", &entry), back)?;
        let id = frame::id(&added).ok_or(InspectError::Garbled("the id of an entry is none"))?;
        match back {
            Ok(read) => Ok(Some(RoundTrip { id, took: read?.duration_since(start) })),
            Err(_) => Ok(None),
        }
    }

    /// Reads until the entry comes, past those of others.
    async fn read_until(&self, reader: &Link, group: &str, mark: &str) -> Result<Instant, Fault> {
        loop {
            let mut args: Vec<Value> = ["GROUP", group, "reader", "COUNT"].map(text).to_vec();
            args.extend([Value::Integer(COUNT), Value::from_static_str("BLOCK"), Value::Integer(BLOCK_MS)]);
            args.extend(["STREAMS", &*self.keys.stream, ">"].map(text));
            let reply = reader.wait_for("XREADGROUP", args, BACK_WITHIN).await?;
            let is_it = |entry| codec::fields(entry).any(|field| field == (b"mark", mark.as_bytes()));
            if entries(&reply).iter().any(is_it) {
                return Ok(Instant::now());
            }
        }
    }
}

fn entries(reply: &Resp3Frame) -> &[Resp3Frame] {
    frame::first_value(reply).ok().flatten().and_then(frame::items).unwrap_or_default()
}

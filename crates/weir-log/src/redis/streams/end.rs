//! The end of streams: by their owners, and by time.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use weir_core::durable::{DeleteError, StreamName};
use weir_metrics::Operation;

use super::super::context::Context;
use super::super::fault::Fault;
use super::super::frame;
use super::super::link::{Link, text};
use super::failed::Failed;
use super::keys::StreamKeys;
use super::scripts;
use super::stored::count;

/// Between two looks for what has expired. What has is nobody's from then on; only its memory stays until it is found.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Most streams that are removed in one go, so that nobody waits long behind it.
const MOST_SWEPT: u64 = 100;

/// Deletes a stream.
pub(super) async fn delete(link: &Link, keys: &StreamKeys<'_>, name: &StreamName) -> Result<(), DeleteError> {
    let own = keys.own(name);
    let all = [&*own.head, &*own.log, &*own.producers, keys.expiry, keys.wake];
    let args = vec![text(keys.prefix), text(name.as_str())];
    let reply = link.run_known(Operation::StreamDelete, &scripts::DELETE, &all, args).await;
    let reply = reply.map_err(Failed::from)?;
    match frame::at(&reply, 0, frame::text).map_err(Failed::from)? {
        "done" => Ok(()),
        "missing" => Err(DeleteError::Missing),
        "deleted" => Err(DeleteError::Deleted),
        _ => Err(Failed::from(Fault::Garbled("the outcome of a deletion is none")).into()),
    }
}

/// Removes what has expired, now and then. Every instance does so, since where there is nothing it costs next to nothing. It never
/// returns; its owner cancels it.
pub(super) async fn sweep(context: Arc<Context>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY.mul_f64(0.8 + fastrand::f64() * 0.4)).await;
        let Some(link) = context.link() else { continue };
        let keys = StreamKeys::new(&context.keys);
        loop {
            match round(&link, &keys).await {
                Ok(MOST_SWEPT) => {}
                Ok(_) => break,
                Err(fault) => {
                    tracing::debug!(%fault, "streams that have expired are not removed");
                    break;
                }
            }
        }
    }
}

async fn round(link: &Link, keys: &StreamKeys<'_>) -> Result<u64, Fault> {
    let args = vec![text(keys.prefix), Value::from(MOST_SWEPT.to_string())];
    let reply =
        link.run_known(Operation::StreamSweep, &scripts::SWEEP, &[keys.expiry, keys.wake], args).await?;
    count(&reply, 0)
}

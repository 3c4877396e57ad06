//! Appending a chunk, and closing.

use fred::types::{Resp3Frame, Value};
use weir_core::durable::Branches;
use weir_core::durable::{Append, AppendError, Appended, MediaType, StreamName};
use weir_core::durable::{MOST_PRODUCERS, PRODUCER_KEPT_MS};
use weir_metrics::Operation;

use super::super::fault::Fault;
use super::super::frame;
use super::super::link::{Link, text};
use super::failed::Failed;
use super::keys::StreamKeys;
use super::stored::{count, offset};
use super::{PAUSE_MS, scripts};

/// How long a producer has to be silent before it makes room for another: longer than anybody repeats an append.
const SILENT_MS: u64 = 10 * 60 * 1000;

/// What was done, and what is left to do.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) appended: Appended,
    /// It was announced so recently that this append was not: in how many ms that is due, and when it was made.
    pub(super) unannounced: Option<(u64, u64)>,
}

/// Appends, closes, or both, where the rules let it.
pub(super) async fn append(
    link: &Link,
    (keys, maxlen): (&StreamKeys<'_>, u64),
    name: &StreamName,
    append: &Append,
) -> Result<Done, AppendError> {
    let own = keys.own(name);
    let all = [&*own.head, &*own.log, &*own.producers, keys.expiry, keys.wake, keys.life];
    let args = args(keys, maxlen, name, append);
    let reply = link.run_known(Operation::StreamAppend, &scripts::APPEND, &all, args).await;
    let reply = reply.map_err(Failed::from)?;
    outcome(&reply).unwrap_or_else(|fault| Err(Failed::from(fault).into()))
}

fn args(keys: &StreamKeys<'_>, maxlen: u64, name: &StreamName, append: &Append) -> Vec<Value> {
    let number = |number: u64| Value::from(number.to_string());
    let what: String = [
        ('d', append.payload.is_some()),
        ('s', append.seq.is_some()),
        ('p', append.producer.is_some()),
        ('c', append.close),
    ]
    .into_iter()
    .filter_map(|(letter, is)| is.then_some(letter))
    .collect();
    let (id, epoch, seq) =
        append.producer.as_ref().map_or(("", 0, 0), |producer| (&*producer.id, producer.epoch, producer.seq));
    vec![
        text(keys.prefix),
        text(name.as_str()),
        text(&what),
        append.payload.as_ref().map_or_else(|| text(""), |payload| Value::Bytes(payload.bytes.clone())),
        text(&append.media.as_ref().map(MediaType::essence).unwrap_or_default()),
        text(append.seq.as_deref().unwrap_or_default()),
        text(id),
        number(epoch),
        number(seq),
        number(maxlen),
        number(PAUSE_MS),
        number(MOST_PRODUCERS as u64),
        number(PRODUCER_KEPT_MS),
        number(Branches::MOST as u64),
        number(SILENT_MS),
    ]
}

fn outcome(reply: &Resp3Frame) -> Result<Result<Done, AppendError>, Fault> {
    let refused = match frame::at(reply, 0, frame::text)? {
        "written" => {
            let wait = frame::at(reply, 4, frame::number)?;
            let at = count(reply, 5)?;
            return Ok(Ok(Done {
                appended: Appended::Written { tail: offset(reply, 1)?, closed: count(reply, 3)? == 1 },
                unannounced: u64::try_from(wait).ok().map(|wait| (wait, at)),
            }));
        }
        "duplicate" => {
            let (tail, closed) = (offset(reply, 2)?, count(reply, 4)? == 1);
            let appended = Appended::Duplicate { seq: count(reply, 1)?, tail, closed };
            return Ok(Ok(Done { appended, unannounced: None }));
        }
        "missing" => AppendError::Missing,
        "deleted" => AppendError::Deleted,
        "closed" => AppendError::Closed { tail: offset(reply, 1)? },
        "media" => AppendError::Media,
        "seq" => AppendError::Seq,
        "stale" => AppendError::StaleEpoch { current: count(reply, 1)? },
        "begins" => AppendError::EpochBegins,
        "gap" => AppendError::Gap { expected: count(reply, 1)?, received: count(reply, 2)? },
        "crowded" => AppendError::Full("a stream has as many producers as it can remember".to_owned()),
        _ => return Err(Fault::Garbled("the outcome of an append is none")),
    };
    Ok(Err(refused))
}

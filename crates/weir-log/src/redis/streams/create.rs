//! Making a stream, also as a fork of another.

use bytes::Bytes;
use fred::types::{Resp3Frame, Value};
use weir_core::durable::Branches;
use weir_core::durable::state::DEEPEST_FORK;
use weir_core::durable::units::first_units;
use weir_core::durable::{
    Create, CreateError, Created, Fork, Lifetime, MediaType, Offset, ReadError, StreamName,
};
use weir_metrics::Operation;

use super::super::fault::Fault;
use super::super::frame;
use super::super::link::{Link, text};
use super::failed::Failed;
use super::keys::StreamKeys;
use super::stored::{Stored, offset};
use super::{read, scripts};

/// How often a part of a source is cut out again where another source took the name meanwhile.
const TRIES: usize = 3;

/// A part of a chunk of the source, cut out here because Redis cannot tell values of JSON apart.
struct Part {
    bytes: Bytes,
    offset: Offset,
    /// When the source was made that it is of.
    born: String,
}

/// What the script said.
enum Said {
    Done(Result<Created, CreateError>),
    /// It needs a part of the chunk behind this place of the source.
    NeedsPart {
        offset: Offset,
        born: String,
        media: MediaType,
    },
}

/// Makes the stream, or finds it as it was asked for.
pub(super) async fn create(
    link: &Link,
    (keys, maxlen): (&StreamKeys<'_>, u64),
    name: &StreamName,
    create: &Create,
) -> Result<Created, CreateError> {
    let mut part = None;
    for _ in 0..TRIES {
        let reply = run(link, (keys, maxlen), (name, create), part.as_ref()).await.map_err(Failed::from)?;
        match said(&reply).map_err(Failed::from)? {
            Said::Done(done) => return done,
            Said::NeedsPart { offset, born, media } => {
                let Some(fork) = &create.fork else { return Err(garbled()) };
                let bytes = cut(link, keys, (fork, offset), &media).await?;
                part = Some(Part { bytes, offset, born });
            }
        }
    }
    Err(CreateError::Unavailable("the stream to fork is made anew again and again".to_owned()))
}

/// Chunks never change, so that a part of one is right for as long as its stream is the same.
async fn cut(
    link: &Link,
    keys: &StreamKeys<'_>,
    (fork, offset): (&Fork, Offset),
    media: &MediaType,
) -> Result<Bytes, CreateError> {
    let chunk = read::chunk(link, keys, &fork.source, offset).await.map_err(|error| match error {
        ReadError::Missing => CreateError::NoSource,
        ReadError::Deleted => CreateError::SourceDeleted,
        ReadError::OffsetGone => CreateError::OffsetGone,
        ReadError::Unavailable(why) => CreateError::Unavailable(why),
    })?;
    let chunk = chunk.ok_or(CreateError::NoSuchUnits)?;
    first_units(media.media(), &chunk.bytes, fork.units).ok_or(CreateError::NoSuchUnits)
}

async fn run(
    link: &Link,
    (keys, maxlen): (&StreamKeys<'_>, u64),
    (name, create): (&StreamName, &Create),
    part: Option<&Part>,
) -> Result<Resp3Frame, Fault> {
    let own = keys.own(name);
    let source = create.fork.as_ref().map(|fork| keys.own(&fork.source).head);
    let mut all = vec![&*own.head, &*own.log, &*own.producers, keys.expiry, keys.wake, keys.life];
    all.extend(source.as_deref());
    let mut args = vec![text(keys.prefix), text(name.as_str())];
    args.extend(kind(create));
    args.extend(fork(create, part));
    let data = |data: Option<&Bytes>| match data {
        Some(data) => [Value::from_static_str("d"), Value::Bytes(data.clone())],
        None => [Value::from_static_str(""), Value::from_static_str("")],
    };
    args.extend(data(create.payload.as_ref().map(|payload| &payload.bytes)));
    args.extend(data(part.map(|part| &part.bytes)));
    args.push(text(part.map_or("", |part| &part.born)));
    args.push(Value::from(maxlen.to_string()));
    link.run_known(Operation::StreamCreate, &scripts::CREATE, &all, args).await
}

/// What it is made of, how long it is kept, and whether it is closed.
fn kind(create: &Create) -> [Value; 5] {
    let (lifetime, as_given) = match &create.lifetime {
        None => (String::new(), ""),
        Some(Lifetime::Forever) => ("forever".to_owned(), ""),
        Some(Lifetime::Idle(secs)) => (format!("idle {secs}"), ""),
        Some(Lifetime::Until { at_ms, text }) => (format!("until {at_ms}"), &**text),
    };
    [
        text(create.media.as_ref().map_or("", MediaType::as_str)),
        text(&create.media.as_ref().map(MediaType::essence).unwrap_or_default()),
        text(&lifetime),
        text(as_given),
        text(if create.closed { "1" } else { "0" }),
    ]
}

fn fork(create: &Create, part: Option<&Part>) -> [Value; 6] {
    let fork = create.fork.as_ref();
    // What was cut out stands behind a place that may no longer be the end.
    let offset = part.map(|part| part.offset).or_else(|| fork.and_then(|fork| fork.offset));
    let number = |number: Option<u64>| text(&number.map(|number| number.to_string()).unwrap_or_default());
    [
        text(fork.map_or("", |fork| fork.source.as_str())),
        number(offset.map(Offset::n)),
        number(offset.map(Offset::epoch)),
        number(Some(fork.map_or(0, |fork| fork.units))),
        number(Some(DEEPEST_FORK as u64)),
        number(Some(Branches::MOST as u64)),
    ]
}

fn said(reply: &Resp3Frame) -> Result<Said, Fault> {
    let refused = match frame::at(reply, 0, frame::text)? {
        outcome @ ("made" | "told") => {
            let head = Stored::parse(frame::at(reply, 1, Some)?)?.head;
            return Ok(Said::Done(Ok(Created { is_new: outcome == "made", head })));
        }
        "part" => {
            let media = MediaType::parse(frame::at(reply, 4, frame::text)?);
            return Ok(Said::NeedsPart {
                offset: offset(reply, 1)?,
                born: frame::at(reply, 3, frame::text)?.to_owned(),
                media: media.ok_or(Fault::Garbled("a content type is none"))?,
            });
        }
        "exists" => CreateError::Exists,
        "taken" => CreateError::Taken,
        "no source" => CreateError::NoSource,
        "source deleted" => CreateError::SourceDeleted,
        "no offset" => CreateError::NoSuchOffset,
        "gone" => CreateError::OffsetGone,
        "no units" => CreateError::NoSuchUnits,
        "deep" => CreateError::TooDeep(DEEPEST_FORK),
        "media" => CreateError::Media,
        _ => return Err(Fault::Garbled("the outcome of a creation is none")),
    };
    Ok(Said::Done(Err(refused)))
}

fn garbled() -> CreateError {
    Failed::from(Fault::Garbled("the outcome of a creation is none")).into()
}

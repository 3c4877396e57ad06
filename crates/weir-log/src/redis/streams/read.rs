//! Reading, and what is known of streams.

use bytes::Bytes;
use fred::types::{Resp3Frame, Value};
use weir_core::durable::{Chunk, From, Head, Look, Offset, Page, ReadError, StreamName};
use weir_metrics::Operation;

use super::super::fault::Fault;
use super::super::frame;
use super::super::link::{Link, text};
use super::failed::Failed;
use super::keys::StreamKeys;
use super::scripts;
use super::stored::{Stored, count, offset};

/// Most chunks that Redis collects in one go. It bounds how long others wait for a reader of many small chunks.
const MOST_CHUNKS: usize = 2048;

/// Whether reading a stream keeps it alive.
#[derive(Clone, Copy, Debug)]
enum Use {
    Yes,
    No,
}

/// Reads at most so many bytes, in as many goes as it takes.
pub(super) async fn read(
    link: &Link,
    keys: &StreamKeys<'_>,
    name: &StreamName,
    (from, max_bytes): (From, usize),
) -> Result<Page, ReadError> {
    let mut page = go(link, keys, name, (from, max_bytes, Use::Yes)).await?;
    let mut newest = page.chunks.len();
    let mut bytes: usize = page.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
    while newest == MOST_CHUNKS && bytes < max_bytes {
        let rest = (From::After(page.next), max_bytes - bytes, Use::Yes);
        let more = match go(link, keys, name, rest).await {
            Ok(more) if more.head.born == page.head.born => more,
            // What was read is good; whoever asks for the rest hears what is with it.
            Ok(_) | Err(_) => break,
        };
        newest = more.chunks.len();
        let size: usize = more.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        if bytes + size > max_bytes {
            break;
        }
        bytes += size;
        page.chunks.extend(more.chunks);
        (page.next, page.head) = (more.next, more.head);
    }
    Ok(page)
}

/// The chunk behind a place, if there is one, for a fork of the stream. It is no use of it: as any other fork, one that ends within
/// a chunk leaves its source the life that it had.
pub(super) async fn chunk(
    link: &Link,
    keys: &StreamKeys<'_>,
    name: &StreamName,
    after: Offset,
) -> Result<Option<Chunk>, ReadError> {
    let page = go(link, keys, name, (From::After(after), 1, Use::No)).await?;
    Ok(page.chunks.into_iter().next())
}

async fn go(
    link: &Link,
    keys: &StreamKeys<'_>,
    name: &StreamName,
    (from, max_bytes, is_use): (From, usize, Use),
) -> Result<Page, ReadError> {
    let own = keys.own(name);
    let (from, n, epoch) = match from {
        From::Begin => ("begin", 0, 0),
        From::After(offset) => ("after", offset.n(), offset.epoch()),
        From::End => ("end", 0, 0),
    };
    let number = |number: u64| Value::from(number.to_string());
    let args = vec![
        text(keys.prefix),
        text(name.as_str()),
        text(from),
        number(n),
        number(epoch),
        number(max_bytes as u64),
        number(MOST_CHUNKS as u64),
        text(match is_use {
            Use::Yes => "1",
            Use::No => "0",
        }),
    ];
    let all = [&*own.head, &*own.log, keys.expiry];
    let reply = link.run_known(Operation::StreamRead, &scripts::READ, &all, args).await;
    let reply = reply.map_err(Failed::from)?;
    match frame::at(&reply, 0, frame::text).map_err(Failed::from)? {
        "page" => Ok(page(&reply).map_err(Failed::from)?),
        "gone" => Err(ReadError::OffsetGone),
        absent => Err(absence(absent)),
    }
}

fn page(reply: &Resp3Frame) -> Result<Page, Fault> {
    let garbled = Fault::Garbled("the chunks of a page are none");
    let Stored { head, branches } = Stored::parse(frame::at(reply, 1, Some)?)?;
    let mut n = count(reply, 2)?;
    // A copy, so that a chunk that is kept does not keep what else came in the same read.
    let mut rest = Bytes::copy_from_slice(frame::at(reply, 4, frame::bytes)?);
    let mut next = branches.at(n);
    let mut chunks = Vec::new();
    for length in frame::at(reply, 3, frame::text)?.split_ascii_whitespace() {
        let length: usize = length.parse().map_err(|_| garbled.clone())?;
        if length > rest.len() {
            return Err(garbled);
        }
        n += 1;
        next = branches.at(n);
        chunks.push(Chunk { end: next, bytes: rest.split_to(length) });
    }
    Ok(Page { head, chunks, next })
}

/// What is known of a stream.
pub(super) async fn head(link: &Link, keys: &StreamKeys<'_>, name: &StreamName) -> Result<Head, ReadError> {
    let own = keys.own(name);
    let reply =
        link.run_known(Operation::StreamHead, &scripts::TELL, &[&own.head], vec![text(keys.prefix)]).await;
    let reply = reply.map_err(Failed::from)?;
    match frame::at(&reply, 0, frame::text).map_err(Failed::from)? {
        "told" => {
            let told = frame::at(&reply, 1, Some).and_then(Stored::parse);
            Ok(told.map_err(Failed::from)?.head)
        }
        absent => Err(absence(absent)),
    }
}

/// Where the ends of these streams are.
pub(super) async fn look(
    link: &Link,
    keys: &StreamKeys<'_>,
    names: &[StreamName],
) -> Result<Vec<Look>, ReadError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let heads: Vec<_> = names.iter().map(|name| keys.own(name).head).collect();
    let all: Vec<&str> = std::iter::once(keys.expiry).chain(heads.iter().map(String::as_str)).collect();
    let args =
        std::iter::once(text(keys.prefix)).chain(names.iter().map(|name| text(name.as_str()))).collect();
    let reply =
        link.run_known(Operation::StreamLook, &scripts::LOOK, &all, args).await.map_err(Failed::from)?;
    Ok(looks(&reply, names.len()).map_err(Failed::from)?)
}

fn looks(reply: &Resp3Frame, expected: usize) -> Result<Vec<Look>, Fault> {
    let all = frame::items(reply).filter(|all| all.len() == expected);
    let all = all.ok_or(Fault::Garbled("not every stream was looked at"))?;
    let look = |one: &Resp3Frame| {
        if frame::number(one).is_some() {
            return Ok(Look::Missing);
        }
        Ok(Look::At { tail: offset(one, 0)?, closed: count(one, 2)? == 1 })
    };
    all.iter().map(look).collect()
}

fn absence(outcome: &str) -> ReadError {
    match outcome {
        "missing" => ReadError::Missing,
        "deleted" => ReadError::Deleted,
        _ => Failed::from(Fault::Garbled("the outcome of a read is none")).into(),
    }
}

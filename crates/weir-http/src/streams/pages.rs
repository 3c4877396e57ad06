//! What is there of a stream, on its way: a page at a time, the next one read when the last has left.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use weir_core::durable::{Chunk, From, Media, Offset, ReadError};
use weir_core::log::BoxFuture;

use super::Named;
use crate::app::App;
use crate::body::{Body, SLICE};
use crate::call::Caller;
use crate::intake::short_of_memory;
use crate::link::Busy;
use crate::memory::{Share, UsedUp, held};
use crate::problem::Problem;

/// Bytes of a page. A chunk that is larger is a page by itself.
pub(super) const BYTES: usize = 128 * 1024;

/// How long a page may take to be read, and before that, to find room. Longer than others hold their room who do not read.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer ends before its end: what its head promised is not there any more, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the stream cannot be read")]
pub(crate) struct BrokenOff;

/// Chunks, and how far an answer goes.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) chunks: Vec<Chunk>,
    /// Where reading goes on.
    pub(super) next: Offset,
    /// Where it ends.
    pub(super) end: Offset,
    pub(super) media: Media,
}

/// Whose answer it is.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) stream: Named,
    pub(super) caller: Caller,
}

/// Room for a page, taken before it is read, so that those who wait for room hold nothing.
pub(super) async fn room(app: &App) -> Result<Share, Problem> {
    let mut share = Share::default();
    let grown = app.memory.answers.grow(&mut share, BYTES).await;
    grown.map(|()| share).map_err(|UsedUp| short_of_memory())
}

/// The body of an answer that begins with this.
pub(super) async fn body(
    app: &Arc<App>,
    reader: Reader,
    part: Part,
    mut share: Share,
) -> Result<Body, Problem> {
    let Part { chunks, next, end, media } = part;
    let is_last = next == end;
    let text = join(&chunks, media, (true, is_last));
    fit(app, &mut share, text.len()).await.map_err(|UsedUp| short_of_memory())?;
    let first = held(text, share);
    if is_last {
        return Ok(if first.is_empty() { Body::empty() } else { Body::full(first) });
    }
    let pages =
        Pages { app: Arc::clone(app), reader, at: next, end, media, ready: first, reading: None, busy: None };
    Ok(Body::pages(pages))
}

/// Bytes of the body of an answer that begins with this. All that it will have is read once for it, and once more when it leaves.
pub(super) async fn length(app: &App, stream: &Named, part: &Part) -> Result<u64, Problem> {
    let Part { chunks, next, end, media } = part;
    let (mut at, mut length) = (*next, measure(chunks, *media));
    while at != *end {
        let _room = room(app).await?;
        let page = stream.store.read(&stream.name, From::After(at), BYTES).await;
        let page = page.inspect_err(|error| app.refusals.note_stream(error, app.time().now))?;
        let chunks = until(page.chunks, *end);
        at = chunks.last().ok_or(ReadError::OffsetGone)?.end;
        length += measure(&chunks, *media);
    }
    Ok(length + u64::from(*media == Media::Json))
}

/// Bytes of what these chunks become, but for the end of an array.
fn measure(chunks: &[Chunk], media: Media) -> u64 {
    let before = usize::from(media == Media::Json);
    chunks.iter().map(|chunk| (chunk.bytes.len() + before) as u64).sum()
}

/// What was appended since the answer began is no part of it.
fn until(chunks: Vec<Chunk>, end: Offset) -> Vec<Chunk> {
    chunks.into_iter().take_while(|chunk| chunk.end <= end).collect()
}

/// Makes the room for a page that of what is in it, and counts that.
async fn fit(app: &App, share: &mut Share, bytes: usize) -> Result<(), UsedUp> {
    match bytes.checked_sub(BYTES) {
        Some(more) if more > 0 => app.memory.answers.grow(share, more).await?,
        Some(_) | None => share.keep(bytes),
    }
    count(app, bytes);
    Ok(())
}

fn count(app: &App, bytes: usize) {
    app.metrics.streams.read_bytes.inc_by(bytes as u64);
}

/// See the [module](self).
pub(crate) struct Pages {
    app: Arc<App>,
    reader: Reader,
    at: Offset,
    end: Offset,
    media: Media,
    /// What was read and has not been handed over.
    ready: Bytes,
    reading: Option<BoxFuture<'static, Result<(Bytes, Offset), BrokenOff>>>,
    /// The connection is not idle, and knows of what waits to be read.
    busy: Option<Busy>,
}

impl Pages {
    pub(crate) fn watched(mut self: Box<Self>, busy: Busy) -> Box<Self> {
        self.ready = busy.unread(std::mem::take(&mut self.ready));
        self.busy = Some(busy);
        self
    }

    pub(crate) fn poll_slice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        while self.ready.is_empty() {
            if self.is_done() {
                return Poll::Ready(None);
            }
            let reading = self.reading.get_or_insert_with(|| {
                let (app, reader) = (Arc::clone(&self.app), self.reader.clone());
                let (at, end, media) = (self.at, self.end, self.media);
                Box::pin(async move {
                    let page = tokio::time::timeout(PATIENCE, page(&app, &reader, (at, end), media)).await;
                    page.map_err(|_| BrokenOff)?
                })
            });
            let read = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            match read {
                Ok((bytes, next)) => {
                    self.at = next;
                    self.ready = self.busy.as_ref().map_or(bytes.clone(), |busy| busy.unread(bytes));
                }
                Err(broken) => {
                    self.at = self.end;
                    return Poll::Ready(Some(Err(broken)));
                }
            }
        }
        Poll::Ready(Some(Ok(self.ready.split_to(self.ready.len().min(SLICE)))))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.ready.is_empty() && self.at == self.end
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("at", &self.at).field("end", &self.end).finish_non_exhaustive()
    }
}

/// The next page. It waits for room as long as others hold theirs; whoever waits holds nothing, so that no two wait for each
/// other.
async fn page(
    app: &App,
    Reader { stream, caller }: &Reader,
    (at, end): (Offset, Offset),
    media: Media,
) -> Result<(Bytes, Offset), BrokenOff> {
    let answers = &app.memory.answers;
    let mut room = BYTES;
    loop {
        let mut share = answers.wait(room).await.map_err(|UsedUp| BrokenOff)?;
        // An answer takes long where it is large, and a token ends meanwhile.
        caller.stays(app).map_err(|_| BrokenOff)?;
        let page = stream.store.read(&stream.name, From::After(at), BYTES).await.map_err(|_| BrokenOff)?;
        let chunks = until(page.chunks, end);
        let next = chunks.last().ok_or(BrokenOff)?.end;
        let text = join(&chunks, media, (false, next == end));
        let more = text.len().saturating_sub(room);
        if more == 0 {
            share.keep(text.len());
        } else if let Ok(more) = answers.share(more) {
            share.add(more);
        } else {
            room = text.len();
            continue;
        }
        count(app, text.len());
        return Ok((held(text, share), next));
    }
}

/// Chunks as they are read: JSON is one array over all pages.
pub(crate) fn join(chunks: &[Chunk], media: Media, (is_first, is_last): (bool, bool)) -> Bytes {
    let is_json = media == Media::Json;
    if let ([only], false) = (chunks, is_json) {
        return only.bytes.clone();
    }
    let mut text =
        BytesMut::with_capacity(chunks.iter().map(|chunk| chunk.bytes.len() + 1).sum::<usize>() + 2);
    for (nth, chunk) in chunks.iter().enumerate() {
        if is_json {
            text.extend_from_slice(if nth == 0 && is_first { b"[" } else { b"," });
        }
        text.extend_from_slice(&chunk.bytes);
    }
    if is_json && is_last {
        text.extend_from_slice(if chunks.is_empty() { b"[]" } else { b"]" });
    }
    text.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(texts: &[&'static str], media: Media, place: (bool, bool)) -> String {
        let chunk =
            |text: &&'static str| Chunk { end: Offset::BEGIN, bytes: Bytes::from_static(text.as_bytes()) };
        let chunks: Vec<_> = texts.iter().map(chunk).collect();
        String::from_utf8(join(&chunks, media, place).to_vec()).unwrap()
    }

    #[test]
    fn json_is_one_array_over_all_pages() {
        assert_eq!(joined(&[], Media::Json, (true, true)), "[]");
        assert_eq!(joined(&["1"], Media::Json, (true, true)), "[1]");
        let pages = [
            joined(&["1", "2,3"], Media::Json, (true, false)),
            joined(&["4"], Media::Json, (false, false)),
            joined(&["{}", "5"], Media::Json, (false, true)),
        ];
        assert_eq!(pages.concat(), "[1,2,3,4,{},5]");
        let one = |text| [Chunk { end: Offset::BEGIN, bytes: Bytes::from_static(text) }];
        assert_eq!([measure(&one(b"1,2"), Media::Json), measure(&one(b"1,2"), Media::Text)], [4, 3]);
        assert_eq!(joined(&["a", "b"], Media::Text, (true, true)), "ab");
        assert_eq!(joined(&[], Media::Bytes, (true, true)), "");
    }
}

//! One read of a stream, for all who want the same.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use weir_core::durable::{From, Look, Page, ReadError, StreamName, StreamStore};
use weir_core::log::BoxFuture;

use super::sse;
use crate::app::App;
use crate::memory::{Share, UsedUp, held};
use crate::streams::pages;

/// Bytes of one read, unless a single chunk is larger: a follower holds so much while it has not left.
const PAGE: usize = 64 * 1024;

/// Bytes of what is read at once, and its event, that are not counted with those of all followers, so that large ones cannot
/// keep small ones waiting.
const UNCOUNTED: usize = 32 * 1024;

/// Whoever waits for it drives it, and all who do get the same.
pub(super) type Read = Shared<BoxFuture<'static, Arc<Found>>>;

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) page: Result<Page, ReadError>,
    /// The room that it takes, held as long as there is something of it.
    room: Option<Arc<Share>>,
    event: OnceLock<Bytes>,
    body: OnceLock<Bytes>,
}

/// Reads from a place on.
pub(super) fn begin(app: Arc<App>, store: Arc<dyn StreamStore>, name: StreamName, from: From) -> Read {
    let read = async move { Arc::new(find(&app, &*store, &name, from).await) };
    let read: BoxFuture<'static, Arc<Found>> = Box::pin(read);
    read.shared()
}

/// Whoever waits for room holds nothing: what was read is read again when there is some.
async fn find(app: &App, store: &dyn StreamStore, name: &StreamName, from: From) -> Found {
    let tails = &app.memory.tails;
    let (mut most, mut counted, mut room) = (PAGE, UNCOUNTED, None);
    loop {
        let page = match store.read(name, from, most).await {
            Ok(page) => page,
            Err(error) => return Found::new(Err(error)),
        };
        let read = page.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        let bytes = read + sse::most(&page);
        if bytes > counted {
            room = tails.share(bytes).ok();
        }
        if bytes <= counted || room.is_some() {
            return Found { room: room.map(Arc::new), ..Found::new(Ok(page)) };
        }
        drop(page);
        app.tails.give_way(name);
        (most, counted) = (read, bytes);
        room = match tails.wait(bytes).await {
            Ok(share) => Some(share),
            Err(UsedUp) => {
                return Found::new(Err(ReadError::Unavailable("there is no memory for it".to_owned())));
            }
        };
    }
}

impl Found {
    pub(super) fn new(page: Result<Page, ReadError>) -> Self {
        Self { page, room: None, event: OnceLock::new(), body: OnceLock::new() }
    }

    fn held(&self, text: Bytes) -> Bytes {
        match &self.room {
            Some(room) => held(text, Arc::clone(room)),
            None => text,
        }
    }

    /// What is in it, as an event. Empty where there is nothing.
    pub(super) fn event(&self) -> Bytes {
        let Ok(page) = &self.page else { return Bytes::new() };
        self.event.get_or_init(|| self.held(sse::event(page))).clone()
    }

    /// What is in it, as a body.
    pub(crate) fn body(&self) -> Bytes {
        let Ok(page) = &self.page else { return Bytes::new() };
        let body = || pages::join(&page.chunks, page.head.media.media(), (true, true));
        self.body.get_or_init(|| self.held(body())).clone()
    }

    /// Where it found the end.
    pub(super) fn end(&self) -> Option<Look> {
        match &self.page {
            Ok(Page { head, .. }) => Some(Look::At { tail: head.tail, closed: head.closed }),
            Err(ReadError::Missing | ReadError::Deleted) => Some(Look::Missing),
            Err(ReadError::OffsetGone | ReadError::Unavailable(_)) => None,
        }
    }
}

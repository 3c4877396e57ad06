//! One read of a stream, for all who want the same.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use weir_core::durable::{From, Look, Media, Page, ReadError, StreamName, StreamStore};
use weir_core::log::BoxFuture;

use super::sse;

/// Bytes of one read, unless a single chunk is larger: a follower holds so much while it has not left.
const PAGE: usize = 64 * 1024;

/// Whoever waits for it drives it, and all who do get the same.
pub(super) type Read = Shared<BoxFuture<'static, Arc<Found>>>;

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) page: Result<Page, ReadError>,
    event: OnceLock<Bytes>,
    body: OnceLock<Bytes>,
}

/// Reads from a place on.
pub(super) fn begin(store: Arc<dyn StreamStore>, name: StreamName, from: From) -> Read {
    let read = async move {
        let page = store.read(&name, from, PAGE).await;
        Arc::new(Found::new(page))
    };
    let read: BoxFuture<'static, Arc<Found>> = Box::pin(read);
    read.shared()
}

impl Found {
    pub(super) fn new(page: Result<Page, ReadError>) -> Self {
        Self { page, event: OnceLock::new(), body: OnceLock::new() }
    }

    /// What is in it, as an event. Empty where there is nothing.
    pub(super) fn event(&self) -> Bytes {
        let Ok(page) = &self.page else { return Bytes::new() };
        self.event.get_or_init(|| sse::event(page)).clone()
    }

    /// What is in it, as a body.
    pub(crate) fn body(&self) -> Bytes {
        let Ok(page) = &self.page else { return Bytes::new() };
        self.body.get_or_init(|| body(page)).clone()
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

/// What was appended, as it was; JSON as one array.
fn body(page: &Page) -> Bytes {
    let chunks: Vec<_> = page.chunks.iter().map(|chunk| &chunk.bytes[..]).collect();
    match page.head.media.media() {
        Media::Json => [b"[", &chunks.join(&b","[..])[..], b"]"].concat().into(),
        Media::Text | Media::Bytes => chunks.concat().into(),
    }
}

//! Response bodies.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::admin::console::viewer::Frames;
use crate::stream::{Due, Stream};
use crate::streams::pages::{BrokenOff, Pages};

/// What hyper is given at once. It keeps what HTTP/2's flow control holds back, so a large event goes in slices.
pub(crate) const SLICE: usize = 16 * 1024;

/// What an answer carries.
pub(crate) enum Body {
    /// All of it.
    Full(Option<Bytes>),
    /// A stream of events over HTTP/2.
    Stream(Box<Streamed>),
    /// What is there of a durable stream, where it is more than a page.
    Pages(Box<Pages>),
    /// What an operator who looks is sent.
    Frames(Frames),
    /// Nothing that hyper would see: only the head is its own, and weir writes the stream behind it.
    Left,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    pub(crate) fn stream(stream: Stream) -> Self {
        Self::Stream(Box::new(Streamed { stream, rest: Bytes::new(), then: Bytes::new() }))
    }

    pub(crate) fn frames(frames: Frames) -> Self {
        Self::Frames(frames)
    }

    pub(crate) fn pages(pages: Pages) -> Self {
        Self::Pages(Box::new(pages))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let chunk = match self.get_mut() {
            Self::Full(bytes) => bytes.take(),
            Self::Stream(streamed) => std::task::ready!(streamed.poll_slice(cx)),
            Self::Pages(pages) => {
                let slice = std::task::ready!(pages.poll_slice(cx));
                return Poll::Ready(slice.map(|slice| slice.map(Frame::data)));
            }
            Self::Frames(frames) => std::task::ready!(frames.as_mut().poll_next(cx)),
            Self::Left => return Poll::Pending,
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(streamed) => {
                streamed.stream.is_done() && streamed.rest.is_empty() && streamed.then.is_empty()
            }
            Self::Pages(pages) => pages.is_done(),
            Self::Frames(_) | Self::Left => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) | Self::Pages(_) | Self::Frames(_) | Self::Left => SizeHint::default(),
        }
    }
}

/// A stream, and what of it is encoded and not handed over.
#[derive(Debug)]
pub(crate) struct Streamed {
    stream: Stream,
    rest: Bytes,
    /// What comes behind that.
    then: Bytes,
}

impl Streamed {
    fn poll_slice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let client = &self.stream.seated.client;
        if self.rest.is_empty() {
            self.rest = std::mem::take(&mut self.then);
        }
        if self.rest.is_empty() {
            // hyper asks for more, so what it had has left, but for a slice that HTTP/2's flow control may hold.
            client.wire.left();
            if self.stream.poll_quiet(cx) {
                return Poll::Pending;
            }
            let Some(due) = std::task::ready!(self.stream.poll_due(cx)) else { return Poll::Ready(None) };
            [self.rest, self.then] = self.encode(&due);
            // Notices wait like events: behind a slice that is held, the next heartbeat is what shows that nothing leaves.
            self.stream.seated.client.wire.waits(Some(due.oldest().unwrap_or(due.time.now)));
        }
        Poll::Ready(Some(self.rest.split_to(self.rest.len().min(SLICE))))
    }

    fn encode(&mut self, due: &Due) -> [Bytes; 2] {
        // A single event is passed on as it is, shared by all who get it.
        if let Some([one, two]) = due.single()
            && self.stream.is_open()
        {
            self.stream.wrote(due, one.len() + two.len());
            return if one.is_empty() { [two.clone(), Bytes::new()] } else { [one.clone(), two.clone()] };
        }
        let mut chunk = BytesMut::new();
        self.stream.put(due, &mut chunk);
        [chunk.freeze(), Bytes::new()]
    }
}

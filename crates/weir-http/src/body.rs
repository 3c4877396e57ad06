//! Response bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use smallvec::smallvec;
use weir_core::Time;
use weir_core::frame;
use weir_core::notice::{Notice, NoticeFacts};
use weir_core::subscription::{Budget, Out, Pulled};

use crate::app::App;
use crate::client::Seated;

/// One chunk holds about so much: enough to save writes, little enough not to matter per client.
const CHUNK: Budget = Budget { events: 64, bytes: SLICE };

/// What hyper is given at once. It copies chunks into a buffer that it keeps, so a large event goes in slices.
const SLICE: usize = 16 * 1024;

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it.
    Full(Option<Bytes>),
    /// A stream of events.
    Stream(Box<Stream>),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    pub(crate) fn stream(seated: Seated) -> Self {
        Self::Stream(Box::new(Stream {
            seated,
            opened: false,
            done: false,
            rest: Bytes::new(),
            oldest: None,
        }))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match self.get_mut() {
            Self::Full(bytes) => bytes.take(),
            Self::Stream(stream) => std::task::ready!(stream.poll_chunk(cx)),
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(stream) => stream.done && stream.rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// The events of one client, as they become due.
#[derive(Debug)]
pub(crate) struct Stream {
    seated: Seated,
    opened: bool,
    done: bool,
    /// What is encoded and not handed over, and since when the oldest event in it has been waiting.
    rest: Bytes,
    oldest: Option<Instant>,
}

impl Stream {
    fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        self.seated.client.wire.asked();
        if !self.rest.is_empty() {
            return Poll::Ready(Some(self.hand_over()));
        }
        if self.done {
            return Poll::Ready(None);
        }
        if self.opened && self.seated.client.seat.poll_quiet(cx) {
            return Poll::Pending;
        }
        loop {
            let time = self.seated.app.time();
            let view = self.seated.app.broker.view(time);
            let pulled = match self.seated.client.seat.poll_pull(cx, &view, CHUNK) {
                Poll::Ready(pulled) => pulled,
                // The first bytes go out at once, so that the client knows that it is served.
                Poll::Pending if !self.opened => sign_of_life(),
                Poll::Pending => return Poll::Pending,
            };
            self.seated.count(&pulled);
            self.done = pulled.end.is_some();
            self.rest = self.encode(&pulled, time);
            if !self.rest.is_empty() {
                let has_event = pulled.items.iter().any(|item| matches!(item, Out::Event(_)));
                self.oldest = pulled.oldest.or_else(|| has_event.then_some(time.now));
                self.seated.client.wrote(time.now);
                observe(&self.seated.app, &pulled, self.rest.len(), time);
                return Poll::Ready(Some(self.hand_over()));
            }
            if self.done {
                return Poll::Ready(None);
            }
        }
    }

    fn encode(&mut self, pulled: &Pulled, time: Time) -> Bytes {
        // A single event is passed on as it is, shared by all who get it.
        if let [Out::Event(parcel)] = pulled.items.as_slice()
            && self.opened
        {
            return parcel.frame().clone();
        }
        let app = &self.seated.app;
        let mut chunk = BytesMut::with_capacity(size(&pulled.items));
        if !self.opened {
            self.opened = true;
            frame::put_retry(&mut chunk, app.reconnect_ms());
        }
        let facts = NoticeFacts {
            now_ms: time.ms,
            heartbeat_ms: u64::try_from(app.config.heartbeat.as_millis()).unwrap_or(u64::MAX),
            reconnect_ms: app.reconnect_ms(),
        };
        for item in &pulled.items {
            match item {
                Out::Event(parcel) => chunk.extend_from_slice(parcel.frame()),
                Out::Notice(notice) => notice.put(&mut chunk, facts),
            }
        }
        chunk.freeze()
    }

    fn hand_over(&mut self) -> Bytes {
        let slice = self.rest.split_to(self.rest.len().min(SLICE));
        self.seated.client.wire.hand_over(slice.len(), self.oldest);
        slice
    }
}

fn sign_of_life() -> Pulled {
    Pulled { items: smallvec![Out::Notice(Notice::Comment)], ..Pulled::default() }
}

fn observe(app: &App, pulled: &Pulled, bytes: usize, time: Time) {
    let events = &app.metrics.events;
    events.delivered(0, bytes as u64);
    if pulled.live_ms.is_empty() {
        return;
    }
    events.queue_depth(pulled.live_ms.len());
    for appended in &pulled.live_ms {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds between two times of the same day")]
        let seconds = time.ms.saturating_sub(*appended) as f64 / 1000.0;
        events.latency(seconds);
    }
}

fn size(items: &[Out]) -> usize {
    /// Fits every notice but the longest gaps.
    const NOTICE: usize = 128;
    items.iter().map(|item| if let Out::Event(parcel) = item { parcel.frame().len() } else { NOTICE }).sum()
}

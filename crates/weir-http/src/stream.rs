//! The events of one client, as they become due.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use smallvec::smallvec;
use weir_core::Time;
use weir_core::frame;
use weir_core::notice::{Notice, NoticeFacts};
use weir_core::subscription::{Budget, Out, Part, Pulled};

use crate::app::App;
use crate::client::Seated;
use crate::tails::events::Events;

/// One chunk holds about so much: enough to save writes, little enough not to matter per client.
const CHUNK: Budget = Budget { events: 64, bytes: 16 * 1024 };

static NOTHING: Bytes = Bytes::new();

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) seated: Seated,
    /// What the client follows beside its seat.
    events: Option<Box<Events>>,
    opened: bool,
    done: bool,
}

/// What is to be written now.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) pulled: Pulled,
    pub(crate) time: Time,
}

impl Stream {
    pub(crate) fn new(seated: Seated) -> Self {
        Self { seated, events: None, opened: false, done: false }
    }

    /// That of a client that follows a durable stream.
    pub(crate) fn following(seated: Seated, events: Events) -> Self {
        Self { events: Some(Box::new(events)), ..Self::new(seated) }
    }

    /// Whether its first bytes were put.
    pub(crate) fn is_open(&self) -> bool {
        self.opened
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// What is to be written now; nothing after the end.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Due>> {
        while !self.done {
            let time = self.seated.app.time();
            let view = self.seated.app.broker.view(time);
            let pulled = match self.seated.seat.poll_pull(cx, &view, CHUNK) {
                Poll::Ready(mut pulled) => {
                    pulled.drained &= self.events.is_none();
                    pulled
                }
                Poll::Pending if let Poll::Ready(pulled) = self.poll_events(cx, time) => pulled,
                // The first bytes go out at once, so that the client knows that it is served.
                Poll::Pending if !self.opened => sign_of_life(),
                Poll::Pending => return Poll::Pending,
            };
            self.seated.count(&pulled);
            self.done = pulled.end.is_some();
            if !pulled.items.is_empty() {
                return Poll::Ready(Some(Due { pulled, time }));
            }
        }
        Poll::Ready(None)
    }

    /// What comes by another way than the seat, which goes first: whoever is told to go gets nothing more.
    fn poll_events(&mut self, cx: &mut Context<'_>, time: Time) -> Poll<Pulled> {
        let Some(events) = &mut self.events else { return Poll::Pending };
        let mut pulled = ready!(events.poll_pulled(cx, time.ms));
        // What others get as well is passed on as it is, so what a stream begins with stands with what is its own.
        if !self.opened
            && let [Out::Part(Part { own, .. })] = &mut pulled.items[..]
        {
            self.opened = true;
            let mut begin = BytesMut::new();
            frame::put_retry(&mut begin, self.seated.app.reconnect_ms());
            begin.extend_from_slice(own);
            *own = begin.freeze();
        }
        Poll::Ready(pulled)
    }

    /// Whether nothing comes for now; then the task is woken when something does. It costs less than [`Self::poll_due`].
    pub(crate) fn poll_quiet(&self, cx: &Context<'_>) -> bool {
        self.opened && self.events.is_none() && self.seated.seat.poll_quiet(cx)
    }

    /// Appends the text of it, and counts it as written.
    pub(crate) fn put(&mut self, due: &Due, out: &mut BytesMut) {
        let (app, before) = (&self.seated.app, out.len());
        if !self.opened {
            self.opened = true;
            frame::put_retry(out, app.reconnect_ms());
        }
        for item in &due.pulled.items {
            match item {
                Out::Event(parcel) => out.extend_from_slice(parcel.frame()),
                Out::Notice(notice) => notice.put(out, facts(app, due.time)),
                Out::Part(Part { shared, own }) => {
                    out.extend_from_slice(shared);
                    out.extend_from_slice(own);
                }
            }
        }
        self.wrote(due, out.len() - before);
    }

    /// So many bytes of it are on their way.
    pub(crate) fn wrote(&self, due: &Due, bytes: usize) {
        let Due { pulled, time } = due;
        let events = &self.seated.app.metrics.events;
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
}

impl Due {
    /// Since when the oldest event in it has been waiting.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let has_event = self.pulled.items.iter().any(|item| matches!(item, Out::Event(_) | Out::Part(_)));
        self.pulled.oldest.or_else(|| has_event.then_some(self.time.now))
    }

    /// All of it, where it is one event, or one part of a durable stream, and nothing else. The second may be empty.
    pub(crate) fn single(&self) -> Option<[&Bytes; 2]> {
        match self.pulled.items.as_slice() {
            [Out::Event(parcel)] => Some([parcel.frame(), &NOTHING]),
            [Out::Part(part)] => Some([&part.shared, &part.own]),
            _ => None,
        }
    }
}

fn sign_of_life() -> Pulled {
    Pulled { items: smallvec![Out::Notice(Notice::Comment)], ..Pulled::default() }
}

fn facts(app: &App, time: Time) -> NoticeFacts {
    NoticeFacts {
        now_ms: time.ms,
        heartbeat_ms: u64::try_from(app.config.heartbeat.as_millis()).unwrap_or(u64::MAX),
        reconnect_ms: app.reconnect_ms(),
    }
}

//! An instance whose log, clock and clients are in the hands of the test. What a client gets is written as one line of
//! text for each event and notice.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use weir_core::broker::{Broker, BrokerBounds, Time};
use weir_core::event::{Event, EventParts};
use weir_core::hub::Seat;
use weir_core::id::{EventId, Position};
use weir_core::log::{Feed, Load};
use weir_core::mailbox::MailboxBounds;
use weir_core::name::{EventType, Key, Session};
use weir_core::notice::{Gap, Notice};
use weir_core::subscription::{Budget, Out, Pulled, Wants};
use weir_core::tally::Tally;
use weir_core::window::WindowBounds;
use weir_core::{Content, Entry, Malformed};

pub(crate) struct Instance {
    pub(crate) broker: Broker,
    now: Instant,
    pub(crate) ms: u64,
}

impl Instance {
    /// Its window holds so many events and each queue so many; it has not loaded.
    pub(crate) fn starting(window: usize, queue: usize) -> Self {
        let window = WindowBounds { events: window, bytes: 1 << 20, age: None, remembered_sessions: 100 };
        let mailbox = MailboxBounds { events: queue, bytes: 1 << 20 };
        Self::bounded(BrokerBounds { window, mailbox, snapshot_bytes: 1 << 20 })
    }

    pub(crate) fn bounded(bounds: BrokerBounds) -> Self {
        Self { broker: Broker::new(bounds), now: Instant::now(), ms: 1000 }
    }

    /// The same, on a log whose newest id is `head`, of which nothing is loaded.
    pub(crate) fn at(head: &str, window: usize, queue: usize) -> Self {
        let instance = Self::starting(window, queue);
        instance.load(head, Vec::new(), head);
        instance
    }

    pub(crate) fn load(&self, floor: &str, entries: Vec<Entry>, head: &str) {
        self.apply(&Feed::Loaded(Load { entries, floor: id(floor), head: id(head) }));
    }

    pub(crate) fn apply(&self, feed: &Feed) -> Tally {
        self.broker.apply(feed, self.time())
    }

    pub(crate) fn batch<const N: usize>(&self, entries: [Entry; N]) -> Tally {
        self.apply(&Feed::Batch(entries.into()))
    }

    pub(crate) fn lose(&self, after: &str, through: &str) -> Tally {
        self.apply(&Feed::Lost { after: id(after), through: id(through), count: None })
    }

    /// The log is replaced by one that holds these entries.
    pub(crate) fn reset(&self, (after, through): (&str, &str), floor: &str, entries: Vec<Entry>, head: &str) {
        self.apply(&Feed::Reset { after: id(after), through: id(through) });
        self.load(floor, entries, head);
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.ms += ms;
    }

    pub(crate) fn time(&self) -> Time {
        Time { now: self.now, ms: self.ms }
    }

    pub(crate) fn join(&self, wants: Wants) -> Arc<Seat> {
        self.broker.join(wants, self.now)
    }

    /// One pull.
    pub(crate) fn once(&self, seat: &Seat, events: usize) -> Option<Pulled> {
        let cx = Context::from_waker(Waker::noop());
        match seat.poll_pull(&cx, &self.broker.view(self.time()), Budget { events, bytes: usize::MAX }) {
            Poll::Ready(pulled) => Some(pulled),
            Poll::Pending => None,
        }
    }

    /// One pull, as text.
    pub(crate) fn some(&self, seat: &Seat, events: usize) -> Vec<String> {
        self.once(seat, events).map(|pulled| lines(&pulled)).unwrap_or_default()
    }

    /// All there is, as text.
    pub(crate) fn pull(&self, seat: &Seat) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(pulled) = self.once(seat, 10) {
            all.extend(lines(&pulled));
            if let Some(end) = pulled.end {
                all.push(format!("end {end:?}"));
                break;
            }
        }
        all
    }

    /// Joins, and takes all there is.
    pub(crate) fn first(&self, wants: Wants) -> Vec<String> {
        let seat = self.join(wants);
        let lines = self.pull(&seat);
        self.broker.leave(&seat);
        lines
    }
}

fn lines(pulled: &Pulled) -> Vec<String> {
    let line = |item: &Out| match item {
        Out::Event(parcel) => format!("{} {}", parcel.event.id, parcel.event.data()),
        Out::Notice(Notice::Connected(id)) => format!("connected {id}"),
        Out::Notice(Notice::Ping(id)) => format!("ping {id}"),
        Out::Notice(Notice::Comment) => ":".to_owned(),
        Out::Notice(Notice::Gap(gap)) => gap_line(gap),
        Out::Notice(notice) => format!("{notice:?}"),
        Out::Part(part) => format!("{part:?}"),
    };
    pulled.items.iter().map(line).collect()
}

/// `gap <reason> <session> <missed> (<after>, <before>)`
fn gap_line(gap: &Gap) -> String {
    let any = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let session = any(gap.session.as_ref().map(ToString::to_string));
    let (missed, after) = (any(gap.missed.map(|n| n.to_string())), any(gap.after.map(|id| id.to_string())));
    let before = any(gap.before.map(|id| id.to_string()));
    format!("gap {} {session} {missed} ({after}, {before})", gap.reason.as_str())
}

pub(crate) fn id(text: &str) -> EventId {
    text.parse().expect("an id")
}

pub(crate) fn event(id: &str, session: &str, data: &str) -> Entry {
    entry(id, session, data, |parts| parts)
}

pub(crate) fn keyed(id: &str, session: &str, key: &str, data: &str) -> Entry {
    entry(id, session, data, |parts| EventParts { key: Some(Key::parse(key).expect("a key")), ..parts })
}

pub(crate) fn typed(id: &str, session: &str, kind: &str, data: &str) -> Entry {
    entry(id, session, data, |parts| EventParts {
        kind: Some(EventType::parse(kind).expect("a type")),
        ..parts
    })
}

/// An event that is the session's snapshot for so many seconds.
pub(crate) fn snapshot(id: &str, session: &str, secs: u32, data: &str) -> Entry {
    entry(id, session, data, |parts| EventParts { snapshot: Some(secs), ..parts })
}

fn entry(text: &str, name: &str, data: &str, change: impl FnOnce(EventParts<'_>) -> EventParts<'_>) -> Entry {
    let (id, session) = (id(text), session(name));
    let parts = EventParts { id, session, kind: None, key: None, ts: None, snapshot: None, data };
    Entry { id, content: Content::Event(Arc::new(Event::new(change(parts)))) }
}

pub(crate) fn oversize(text: &str, name: &str) -> Entry {
    Entry { id: id(text), content: Content::Malformed(Malformed::Oversize, Some(session(name))) }
}

/// An entry that concerns no client.
pub(crate) fn skipped(text: &str) -> Entry {
    Entry { id: id(text), content: Content::Internal }
}

pub(crate) fn session(name: &str) -> Session {
    Session::parse(name).expect("a session")
}

/// Live, with all defaults; sessions by spaces.
pub(crate) fn wants(sessions: &str) -> Wants {
    Wants { sessions: sessions.split(' ').map(session).collect(), ..Wants::default() }
}

/// The same from a position, as a client would give it.
pub(crate) fn from(sessions: &str, position: &str) -> Wants {
    Wants { from: Some(Position::parse(position.as_bytes())), ..wants(sessions) }
}

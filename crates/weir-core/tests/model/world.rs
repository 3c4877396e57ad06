//! A broker and its clients beside the naive log. Each step is taken on both sides and held against the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use weir_core::event::EventParts;
use weir_core::log::{Feed, Load};
use weir_core::subscription::Budget;
use weir_core::tally::Tally;
use weir_core::{Broker, Content, Entry, Event, EventId, Malformed, Time};

use crate::model::clients::{ALL, Client, Stash, poll};
use crate::model::naive::{Naive, What};
use crate::model::op::{self, New, Op, Plan};
use crate::model::viewer::Moment;

pub(crate) struct World {
    pub(crate) broker: Arc<Broker>,
    pub(crate) plan: Plan,
    pub(crate) naive: Naive,
    pub(crate) clients: Vec<Client>,
    /// What hooks pulled in the middle of a fan-out.
    pub(crate) stash: Stash,
    pub(crate) tally: Tally,
    pub(crate) left_behind: u64,
    pub(crate) now: Instant,
    pub(crate) ms: u64,
    pub(crate) degraded: Option<u64>,
    pub(crate) loaded: bool,
    pub(crate) last: EventId,
    pub(crate) unread: Vec<usize>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut world = Self {
            broker: Arc::new(Broker::new(plan.bounds)),
            naive: Naive::new(plan.bounds.window),
            plan,
            clients: Vec::new(),
            stash: Arc::default(),
            tally: Tally::default(),
            left_behind: 0,
            now: Instant::now(),
            ms: 1_000_000,
            degraded: None,
            loaded: false,
            last: EventId::ZERO,
            unread: Vec::new(),
        };
        for new in std::mem::take(&mut world.plan.before) {
            world.write(&new);
        }
        world
    }

    pub(crate) fn run(mut self) {
        let ops = std::mem::take(&mut self.plan.ops);
        for (nth, op) in ops.into_iter().enumerate() {
            if nth == self.plan.load_at {
                self.load();
            }
            self.step(op);
            self.check();
        }
        self.finish();
    }

    fn step(&mut self, op: Op) {
        let count = self.clients.len().max(1);
        match op {
            Op::Batch(batch) => self.batch(&batch),
            Op::Hole => self.hole(),
            Op::Reset { back, load } => self.reset(back, &load),
            Op::Down => self.degrade(true),
            Op::Restored => self.degrade(false),
            Op::Join(wants, from) => self.join(wants, &from),
            Op::Pull { who, events, bytes } => {
                self.pull(who % count, Budget { events, bytes });
            }
            Op::Drain(who) => self.drain(who % count),
            Op::Beat(who) => self.beat(who % count),
            Op::Advance(ms) => self.advance(ms),
            Op::Close { who, end } => self.close(who % count, end),
            Op::Warn(who) => self.warn(who % count),
            Op::Reconnect { who, lost } => self.reconnect(who % count, lost),
            Op::Leave(who) => self.leave(who % count),
            Op::Hook { on, pull, events } => self.hook((on % count, pull % count), events),
        }
    }

    pub(crate) fn time(&self) -> Time {
        Time { now: self.now, ms: self.ms }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { now: self.now, ms: self.ms, loaded: self.loaded, degraded: self.degraded }
    }

    /// Writes to the log only; the reader has not come to it yet.
    fn write(&mut self, new: &New) -> Entry {
        let id = self.last.next().max(EventId::new(self.ms, 0));
        self.last = id;
        let (content, what) = match new {
            New::Event { session, kind, key, size, lines, snapshot } => {
                let end = if *lines { "\r\n\r" } else { "" };
                let data = format!("{}:{}{end}", self.naive.items.len(), "x".repeat(*size));
                let event = Arc::new(Event::new(EventParts {
                    id,
                    session: op::session(*session),
                    kind: op::kind(*kind),
                    key: op::key(*key),
                    ts: None,
                    snapshot: *snapshot,
                    data: &data,
                }));
                (Content::Event(Arc::clone(&event)), What::Event(event))
            }
            New::Malformed => (Content::Malformed(Malformed::Utf8, Some(op::session(0))), What::Skip),
            New::Internal => (Content::Internal, What::Skip),
            New::Oversize(session) => {
                let session = op::session(*session);
                let content = Content::Malformed(Malformed::Oversize, Some(session.clone()));
                (content, What::Oversize(session))
            }
        };
        let index = self.naive.write(id, what);
        self.unread.push(index);
        Entry { id, content }
    }

    fn load(&mut self) {
        let skipped = self.unread.len().saturating_sub(self.plan.loads);
        let loaded: Vec<_> = std::mem::take(&mut self.unread).split_off(skipped);
        let entries: Vec<_> = loaded.iter().map(|index| self.entry(*index)).collect();
        self.take_load(&loaded, entries);
    }

    fn entry(&self, index: usize) -> Entry {
        let item = &self.naive.items[index];
        let content = match &item.what {
            What::Event(event) => Content::Event(Arc::clone(event)),
            What::Oversize(session) => Content::Malformed(Malformed::Oversize, Some(session.clone())),
            What::Skip | What::Hole => Content::Internal,
        };
        Entry { id: item.id, content }
    }

    fn take_load(&mut self, loaded: &[usize], entries: Vec<Entry>) {
        let floor = entries.first().map_or(self.last, |first| first.id.prev());
        self.naive.load(floor, loaded, self.last);
        self.naive.trim(self.ms);
        self.loaded = true;
        self.apply(&Feed::Loaded(Load { entries, floor, head: self.last }));
    }

    fn batch(&mut self, batch: &[New]) {
        let entries: Vec<_> = batch.iter().map(|new| self.write(new)).collect();
        if self.loaded {
            for index in std::mem::take(&mut self.unread) {
                self.naive.read(index);
            }
            self.apply(&Feed::Batch(entries));
        }
    }

    fn hole(&mut self) {
        if self.loaded {
            let after = self.last;
            self.last = self.last.next().next().max(EventId::new(self.ms, 0));
            let index = self.naive.write(self.last, What::Hole);
            self.naive.read(index);
            self.apply(&Feed::Lost { after, through: self.last, count: None });
        }
    }

    fn reset(&mut self, back: bool, load: &[New]) {
        if !self.loaded {
            return;
        }
        // Told apart by number only, two resets in one queue could not be.
        for who in 0..self.clients.len() {
            if self.clients[who].viewer.epoch().is_some_and(|epoch| epoch < self.naive.epoch) {
                self.reconnect(who, false);
                self.drain(who);
            }
        }
        let epoch = self.naive.epoch;
        let middle = self.naive.log(epoch).nth(self.naive.log(epoch).count() / 2);
        let middle = middle.map_or(EventId::ZERO, |item| item.id);
        let through = self.last;
        // One that went back still holds what came before; how far is for the broker to find out.
        let kept: Vec<_> = if back {
            let older = self.naive.log(epoch).filter(|item| item.id <= middle);
            older.filter_map(|item| Some((item.id, item.what.copied()?))).collect()
        } else {
            Vec::new()
        };
        let after = if kept.is_empty() { middle } else { EventId::ZERO };
        let ids: Vec<_> = kept.iter().map(|(id, _)| *id).collect();
        self.naive.reset((after, through), &ids);
        self.apply(&Feed::Reset { after, through });
        let mut loaded: Vec<_> = kept.into_iter().map(|(id, what)| self.naive.write(id, what)).collect();
        if back {
            self.last = middle;
            self.ms = middle.ms.max(1000);
        } else if load.is_empty() {
            self.last = EventId::ZERO;
        }
        load.iter().for_each(|new| drop(self.write(new)));
        loaded.append(&mut self.unread);
        let entries = loaded.iter().map(|index| self.entry(*index)).collect();
        self.take_load(&loaded, entries);
    }

    fn degrade(&mut self, down: bool) {
        if self.loaded {
            self.degraded = down.then(|| self.degraded.unwrap_or(self.ms));
            let feed = if down { Feed::Down(String::new()) } else { Feed::Restored };
            self.apply(&feed);
        }
    }

    /// Takes it on the real side, then what was pulled in the middle of it.
    fn apply(&mut self, feed: &Feed) {
        self.tally += self.broker.apply(feed, self.time());
        self.take_stash();
        self.disarm();
        match feed {
            Feed::Batch(_) | Feed::Lost { .. } => self.naive.trim(self.ms),
            // The load has trimmed; the others bring nothing.
            Feed::Loaded(_) | Feed::Revoked(_) | Feed::Reset { .. } | Feed::Down(_) | Feed::Restored => {}
        }
    }

    /// What hooks pulled in the middle of something.
    pub(crate) fn take_stash(&mut self) {
        let stash = std::mem::take(&mut *self.stash.lock());
        for (who, polled) in stash {
            self.polled(who, polled);
        }
    }

    /// What holds after every step.
    fn check(&mut self) {
        self.take_stash();
        assert_eq!(self.broker.window_size(), (self.naive.len(), self.naive.bytes()), "the window");
        assert_eq!(self.broker.head(), self.naive.head);
        self.check_books();
        for who in 0..self.clients.len() {
            self.check_idle(who);
        }
    }

    fn check_books(&self) {
        let seats = self.clients.iter().filter_map(|client| client.seat.as_ref());
        let queued: u64 = seats.map(|seat| seat.progress().queued as u64).sum();
        let Tally { queued: entered, delivered, dropped, conflated, .. } = self.tally;
        let left = delivered + dropped.overflow + conflated + self.left_behind + queued;
        assert_eq!(entered, left, "{:?}, {queued} queued, {} left behind", self.tally, self.left_behind);
    }

    /// Whoever was told to wait and was not woken has nothing to get.
    fn check_idle(&mut self, who: usize) {
        let client = &self.clients[who];
        let Some(seat) = client.seat.as_ref().filter(|_| client.idle) else { return };
        let due =
            seat.look(|subscription| subscription.deadline().is_some_and(|deadline| deadline <= self.now));
        if due || client.alarm.rang.load(Ordering::Relaxed) {
            return;
        }
        let polled = poll(&client.alarm, seat, &self.broker, (self.time(), ALL));
        assert!(polled.is_pending(), "{who} was not woken for {polled:?}");
    }

    /// Everybody reads to the end, and the books are closed.
    fn finish(mut self) {
        self.disarm();
        if !self.loaded {
            self.load();
        }
        for who in 0..self.clients.len() {
            if self.clients[who].seat.is_none() {
                self.connect(who);
            }
            while let deadline = self.clients[who].seat.as_ref().map(|seat| seat.look(|it| it.deadline()))
                && self.pull(who, ALL) | deadline.flatten().is_some()
            {
                if let Some(deadline) = deadline.flatten() {
                    self.advance(deadline.saturating_duration_since(self.now).as_millis() as u64 + 1);
                }
            }
            self.drain(who);
        }
        while !self.clients.is_empty() {
            self.leave(0);
        }
        self.check_books();
        assert_eq!((self.broker.hub().clients(), self.broker.hub().sessions()), (0, 0));
    }
}

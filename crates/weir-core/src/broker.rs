//! One instance: what the reader hands over goes through the window to every client that listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::entry::{Content, Entry, Malformed};
use crate::event::Event;
use crate::hub::{Hub, Seat};
use crate::id::{EventId, Position};
use crate::log::{Feed, Load};
use crate::mailbox::MailboxBounds;
use crate::name::Session;
use crate::notice::{Gap, GapReason};
use crate::snapshots::Snapshots;
use crate::subscription::{Subscription, Wants, hole_gap, oversize_gap};
use crate::tally::Tally;
use crate::view::View;
use crate::window::{Hole, Mark, Seq, Window, WindowBounds};

/// Bounds of an instance.
#[derive(Clone, Copy, Debug)]
pub struct BrokerBounds {
    /// Of the window.
    pub window: WindowBounds,
    /// Of each client's queue.
    pub mailbox: MailboxBounds,
    /// Of the snapshots in memory, in bytes.
    pub snapshot_bytes: usize,
}

/// The time, as the shell sees it.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// For durations.
    pub now: Instant,
    /// For what clients are told, in ms since the epoch.
    pub ms: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Broker {
    bounds: BrokerBounds,
    window: RwLock<Window>,
    snapshots: Mutex<Snapshots>,
    hub: Hub,
    fanned: Mutex<Mark>,
    loaded: AtomicBool,
    degraded: Mutex<Option<Time>>,
    /// The range of ids that a replaced log made doubtful, until the new one is loaded.
    replaced: Mutex<Option<(EventId, EventId)>>,
    /// Clients that are held: they are woken when the head moves.
    held: Mutex<Vec<Arc<Seat>>>,
}

/// What concerns clients once a batch is in the window.
enum Step<'a> {
    Event(Seq, &'a Arc<Event>),
    Oversize(Seq, EventId, &'a Session),
}

impl Step<'_> {
    fn seq(&self) -> Seq {
        match self {
            Self::Event(seq, _) | Self::Oversize(seq, ..) => *seq,
        }
    }
}

impl Broker {
    /// An instance that has not loaded its window.
    pub fn new(bounds: BrokerBounds) -> Self {
        Self {
            bounds,
            window: RwLock::new(Window::new(bounds.window)),
            snapshots: Mutex::new(Snapshots::new(bounds.snapshot_bytes)),
            hub: Hub::default(),
            fanned: Mutex::new(Mark::default()),
            loaded: AtomicBool::new(false),
            degraded: Mutex::new(None),
            replaced: Mutex::new(None),
            held: Mutex::new(Vec::new()),
        }
    }

    /// Takes what the reader returned. When this is done, it has passed the hub.
    pub fn apply(&self, feed: &Feed, time: Time) -> Tally {
        match feed {
            Feed::Loaded(load) => self.load(load, time),
            Feed::Batch(entries) => self.apply_batch(entries, time),
            Feed::Lost { after, through, count: _ } => self.lose(*after, *through, time),
            Feed::Reset { after, through } => {
                let mut replaced = self.replaced.lock();
                let (low, high) = replaced.unwrap_or((*after, *through));
                *replaced = Some((low.min(*after), high.max(*through)));
                Tally::default()
            }
            Feed::Down(_) => self.degrade(Some(time)),
            Feed::Restored => self.degrade(None),
            // For those who know whose tokens clients have.
            Feed::Revoked(_) => Tally::default(),
        }
    }

    /// Registers a client. It leaves by [`Broker::leave`].
    pub fn join(&self, wants: Wants, now: Instant) -> Arc<Seat> {
        let from = wants.from;
        let seat = self.hub.join(Subscription::new(wants, self.bounds.mailbox, now));
        // Asked after it has joined, so that a load in between finds it if this does not.
        if matches!(from, Some(Position::After(id)) if id > self.head()) {
            self.held.lock().push(Arc::clone(&seat));
        }
        seat
    }

    /// Takes a client out, and says how many events it leaves behind in its queue.
    pub fn leave(&self, seat: &Seat) -> u64 {
        let left = seat.leave();
        self.hub.leave(seat);
        if seat.look(Subscription::is_waiting) {
            self.held.lock().retain(|other| other.id() != seat.id());
        }
        left
    }

    /// What a subscription needs to be pulled.
    pub fn view(&self, time: Time) -> View<'_> {
        View {
            window: &self.window,
            snapshots: &self.snapshots,
            fanned: &self.fanned,
            loaded: &self.loaded,
            degraded: &self.degraded,
            now: time.now,
            now_ms: time.ms,
        }
    }

    /// Who listens to what.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Whether the window is loaded.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Since when the log has been away.
    pub fn degraded(&self) -> Option<Time> {
        *self.degraded.lock()
    }

    /// Events and bytes in the window.
    pub fn window_size(&self) -> (usize, usize) {
        let window = self.window.read();
        (window.len(), window.bytes())
    }

    /// The oldest position in the window.
    pub fn oldest(&self) -> Option<EventId> {
        self.window.read().oldest()
    }

    /// The newest position in the window.
    pub fn head(&self) -> EventId {
        self.window.read().head().id
    }

    /// The session's snapshot, where it is in memory.
    pub fn snapshot(&self, session: &Session, now_ms: u64) -> Option<Arc<Event>> {
        self.snapshots.lock().get(session, now_ms)
    }

    /// Keeps a snapshot that the log had.
    pub fn keep_snapshot(&self, event: Arc<Event>) {
        self.snapshots.lock().put(event);
    }

    fn load(&self, load: &Load, time: Time) -> Tally {
        let mut tally = Tally::default();
        let mut window = self.window.write();
        let replaced = self.replaced.lock().take().map(|replaced| self.replace(&mut window, replaced, load));
        let reset = window.head().seq;
        window.load(load);
        let steps: Vec<_> = load.entries.iter().filter_map(|entry| self.push(&mut window, entry)).collect();
        window.skip(load.head);
        let restart = replaced.map(|(after, from)| (after, window.restart_after(from)));
        let head = window.head();
        drop(window);
        if let Some((after, restart)) = restart {
            let (reason, then) = (GapReason::Reset, restart.id);
            let gap = Gap { reason, session: None, missed: None, after: Some(after), before: None, then };
            self.hub.announce_to_all(reset, &gap, &mut tally);
            let new = steps.iter().filter(|step| step.seq() > restart.seq);
            new.for_each(|step| self.fan_out(step, time, &mut tally));
        }
        *self.fanned.lock() = head;
        self.loaded.store(true, Ordering::Release);
        // Whoever comes later sees the load; the head may be below the position of any who came before.
        let waiting = self.hub.all().into_iter().filter(|seat| seat.look(Subscription::is_waiting));
        *self.held.lock() = waiting.collect();
        self.wake_held();
        self.window.write().trim(time.ms);
        tally
    }

    /// Forgets the log that was. Says up to where both are known to be one, and after which position what the new one holds
    /// is new to everybody: there, or else above everything that the old one had. Entries of the old one may have gone
    /// unread, so the position is the highest one before the first that is new, as long as that is not doubtful itself.
    fn replace(
        &self,
        window: &mut Window,
        (after, through): (EventId, EventId),
        load: &Load,
    ) -> (EventId, EventId) {
        let common = window.common(&load.entries).unwrap_or_default().max(after);
        window.reset(common, through);
        self.snapshots.lock().clear();
        let known = common > EventId::ZERO;
        let seen = if known { common } else { through };
        let new = load.entries.iter().map(|entry| entry.id).find(|id| *id > seen);
        let before = new.map(EventId::prev).filter(|before| *before > through);
        (common, before.unwrap_or(if known { common } else { through.next() }))
    }

    /// Takes a part of a batch. When this is done, it has passed the hub.
    pub fn apply_batch(&self, entries: &[Entry], time: Time) -> Tally {
        let mut tally = Tally::default();
        let mut window = self.window.write();
        let steps: Vec<_> = entries.iter().filter_map(|entry| self.push(&mut window, entry)).collect();
        let head = window.head();
        drop(window);
        steps.iter().for_each(|step| self.fan_out(step, time, &mut tally));
        *self.fanned.lock() = head;
        if !entries.is_empty() {
            self.wake_held();
        }
        self.window.write().trim(time.ms);
        tally
    }

    fn fan_out(&self, step: &Step<'_>, time: Time, tally: &mut Tally) {
        match *step {
            Step::Event(seq, event) => self.hub.fan_out(seq, event, time.now, tally),
            Step::Oversize(seq, id, session) => {
                self.hub.announce(session, seq, &oversize_gap(id, session), tally);
            }
        }
    }

    fn push<'a>(&self, window: &mut Window, entry: &'a Entry) -> Option<Step<'a>> {
        match &entry.content {
            Content::Event(event) => {
                if event.snapshot.is_some() {
                    self.keep_snapshot(Arc::clone(event));
                }
                Some(Step::Event(window.push(Arc::clone(event)), event))
            }
            Content::Malformed(Malformed::Oversize, Some(session)) => {
                Some(Step::Oversize(window.push_oversize(entry.id, session.clone()), entry.id, session))
            }
            Content::Malformed(..) | Content::Internal | Content::Revoked(_) => {
                window.skip(entry.id);
                None
            }
        }
    }

    fn lose(&self, after: EventId, through: EventId, time: Time) -> Tally {
        let mut tally = Tally::default();
        let hole: Hole = self.window.write().lose(after, through);
        self.hub.announce_to_all(hole.seq, &hole_gap(&hole), &mut tally);
        *self.fanned.lock() = Mark { seq: hole.seq, id: through };
        self.wake_held();
        self.window.write().trim(time.ms);
        tally
    }

    /// Since when the log has been away; a reader that says so again changes nothing.
    fn degrade(&self, since: Option<Time>) -> Tally {
        let mut degraded = self.degraded.lock();
        let before = *degraded;
        *degraded = since.map(|since| before.unwrap_or(since));
        let changed = degraded.is_some() != before.is_some();
        drop(degraded);
        if changed && self.is_loaded() {
            self.hub.all().iter().for_each(|seat| seat.nudge());
        }
        Tally::default()
    }

    /// Those that still wait are held on; the others look for themselves from now on.
    fn wake_held(&self) {
        let mut held = std::mem::take(&mut *self.held.lock());
        held.retain(|seat| {
            let waits =
                seat.look(|subscription| subscription.is_waiting() && subscription.closing().is_none());
            if waits {
                seat.nudge();
            }
            waits
        });
        self.held.lock().append(&mut held);
    }
}

//! One open stream or long-poll, as the connection and operators see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weir_core::hub::Seat;
use weir_core::notice::Refusal;
use weir_core::subscription::{End, Pulled, Subscription, Wants};
use weir_metrics::{Discarded, Disconnect, Held, Rejected, Transport};

use crate::admission::Admitted;
use crate::app::App;
use crate::call::Caller;
use crate::lease::{Due, Lease};

/// Since when the oldest event that is on its way to the kernel, and has not left completely, has been waiting.
#[derive(Debug, Default)]
pub(crate) struct Wire(Mutex<Option<Instant>>);

impl Wire {
    /// What was begun could not leave at once.
    pub(crate) fn waits(&self, oldest: Option<Instant>) {
        *self.0.lock() = oldest;
    }

    /// All that was begun has left.
    pub(crate) fn left(&self) {
        *self.0.lock() = None;
    }

    fn oldest(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) seat: Arc<Seat>,
    pub(crate) caller: Caller,
    pub(crate) transport: Transport,
    pub(crate) since: Instant,
    pub(crate) wire: Wire,
    clock: Mutex<Clock>,
}

/// Times of one client.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// When the last sign of life was asked for.
    beat: Instant,
    /// When it is to be rotated.
    retire: Option<Instant>,
    /// How long its token lasts.
    lease: Option<Lease>,
    /// Which end was decided, and when.
    ended: Option<(End, Instant)>,
    /// Waiting counts from here on, because before it the instance itself stood still.
    patience: Instant,
    /// Why it was cut.
    cut: Option<Disconnect>,
}

/// What the supervisor has to do about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again then.
    Look(Instant),
    /// The connection is cut.
    Cut(Disconnect),
}

/// How long a client that is closed because its queue is full may take to read the end of its stream.
const OVERFLOW_GRACE: Duration = Duration::from_secs(1);

/// How long a client whose token has expired, or that an operator took off, may take to read the end of its stream: what
/// began before leaves, and whoever does not read is gone within the second.
const DENIED_GRACE: Duration = Duration::from_millis(500);

/// When to look again at a client whose queue ought to have been pulled: it is not, because the peer does not read.
const UNPOLLED: Duration = Duration::from_secs(1);

impl Client {
    /// Looks after heartbeat, stall, age and the end.
    pub(crate) fn look(&self, app: &App, (now, stood_still): (Instant, bool)) -> Verdict {
        if stood_still {
            // Nobody could have read what the instance did not write.
            self.clock.lock().patience = now;
        }
        let (queued, closing, deadline, quiet_since) = self.seat.look(|subscription| {
            // Where each heartbeat is to be seen, events do not stand for it.
            let quiet_since = (!subscription.wants().visible_beat).then(|| subscription.gave());
            (subscription.oldest(), subscription.closing(), subscription.deadline(), quiet_since)
        });
        let oldest = queued.into_iter().chain(self.wire.oldest()).min();
        let Clock { patience, cut, .. } = *self.clock.lock();
        if let Some(reason) = cut {
            return Verdict::Cut(reason);
        }
        let stalls = oldest.map(|since| since.max(patience) + app.config.stall_timeout);
        if stalls.is_some_and(|at| now >= at) {
            return self.cut(Disconnect::Stalled);
        }
        if let Some(end) = closing {
            return self.look_at_end(app, end, now);
        }
        let due = deadline.map(|at| self.nudge(at, now));
        // What is queued from now on is looked at before it can have stalled for long.
        let look = now + app.config.stall_timeout / 2;
        let lease = self.look_at_lease(now);
        let all =
            [Some(self.heartbeat(app, quiet_since, now)), self.retire(now), lease, due, stalls, Some(look)];
        Verdict::Look(all.into_iter().flatten().min().unwrap_or(now + UNPOLLED))
    }

    /// A time has come at which there is something to say.
    fn nudge(&self, at: Instant, now: Instant) -> Instant {
        if now < at {
            return at;
        }
        self.seat.nudge();
        now + UNPOLLED
    }

    /// Warns the client and ends its stream by its token. Nothing asks for each event.
    fn look_at_lease(&self, now: Instant) -> Option<Instant> {
        let due = self.clock.lock().lease.as_mut()?.due(now);
        match due {
            Due::At(at) => Some(at),
            Due::Warn(left) => {
                self.seat.warn(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
                Some(now + left)
            }
            Due::Over => {
                self.seat.close(End::Expired);
                Some(now + UNPOLLED)
            }
        }
    }

    /// Whether its token is refused by now.
    pub(crate) fn is_revoked(&self, app: &App, now_ms: u64) -> bool {
        self.caller.token.as_ref().is_some_and(|token| app.revoked.refuse(token, now_ms))
    }

    /// When its token expires.
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.clock.lock().lease.map(|lease| lease.end())
    }

    fn look_at_end(&self, app: &App, end: End, now: Instant) -> Verdict {
        let (grace, reason) = match end {
            End::Overflow => (OVERFLOW_GRACE, Disconnect::Overflow),
            End::Shutdown | End::MaxAge | End::Refused(_) | End::Over => {
                (app.config.stall_timeout, Disconnect::Stalled)
            }
            End::Expired => (DENIED_GRACE, Disconnect::Expired),
            End::Revoked => (DENIED_GRACE, Disconnect::Revoked),
        };
        // A goodbye that drags on lasts no longer than the token.
        let lease = match end {
            End::Shutdown | End::Overflow | End::MaxAge | End::Refused(_) | End::Over => {
                self.look_at_lease(now)
            }
            End::Expired | End::Revoked => None,
        };
        let mut clock = self.clock.lock();
        if clock.ended.is_none_or(|(before, _)| before != end) {
            clock.ended = Some((end, now));
        }
        let since = clock.ended.map_or(now, |(_, since)| since);
        let at = since.max(clock.patience) + grace;
        drop(clock);
        if now >= at { self.cut(reason) } else { Verdict::Look(lease.map_or(at, |end| end.min(at))) }
    }

    fn heartbeat(&self, app: &App, quiet_since: Option<Instant>, now: Instant) -> Instant {
        let every = app.config.heartbeat;
        let mut clock = self.clock.lock();
        let last = quiet_since.map_or(clock.beat, |since| since.max(clock.beat));
        if now < last + every {
            return last + every;
        }
        clock.beat = now;
        drop(clock);
        self.seat.beat();
        now + every
    }

    fn retire(&self, now: Instant) -> Option<Instant> {
        let at = self.clock.lock().retire?;
        if now >= at {
            self.seat.close(End::MaxAge);
            return Some(now + UNPOLLED);
        }
        Some(at)
    }

    fn cut(&self, reason: Disconnect) -> Verdict {
        self.clock.lock().cut.get_or_insert(reason);
        Verdict::Cut(reason)
    }

    /// Its connection is cut for another client of it. Who was told to go already goes for that.
    pub(crate) fn dragged_along(&self) {
        if self.seat.look(Subscription::closing).is_none() {
            self.failed();
        }
    }

    /// Its connection broke.
    pub(crate) fn failed(&self) {
        self.cut(Disconnect::Error);
    }

    /// The instance cuts it off at the deadline of its shutdown. Whoever supervises sees it when the seat is closed.
    pub(crate) fn cut_off(&self) {
        self.cut(Disconnect::Shutdown);
    }
}

/// A client's registration; when it is dropped, the client has left.
#[derive(Debug)]
pub(crate) struct Seated {
    pub(crate) app: Arc<App>,
    pub(crate) client: Arc<Client>,
    /// The client's, at hand.
    pub(crate) seat: Arc<Seat>,
    ended: Option<End>,
    _open: Held,
    _place: Admitted,
}

impl Seated {
    /// Registers a client.
    pub(crate) fn join(
        app: &Arc<App>,
        wants: Wants,
        transport: Transport,
        (caller, place): (Caller, Admitted),
    ) -> Self {
        let time = app.time();
        let now = time.now;
        let sessions = i64::try_from(wants.sessions.len()).unwrap_or(i64::MAX);
        let seat = app.broker.join(wants, now);
        // Rotation is jittered, so that clients that came together do not leave together.
        let retire =
            app.config.max_connection_age.map(|age| now + age.mul_f64(fastrand::f64().mul_add(0.2, 0.9)));
        let lease = caller.expires_secs().and_then(|secs| Lease::new(secs, time));
        let clock = Clock { beat: now, retire, lease, ended: None, patience: now, cut: None };
        let (wire, clock, caller) = (Wire::default(), Mutex::new(clock), caller.let_in());
        let client = Arc::new(Client { seat, caller, transport, since: now, wire, clock });
        app.clients.insert(client.seat.id(), Arc::clone(&client));
        if client.is_revoked(app, time.ms) {
            client.seat.close(End::Revoked);
        }
        if app.stages.is_refusing() {
            // It came between the check and the moment at which all were told to go.
            client.seat.close(End::Shutdown);
        }
        app.metrics.clients.subscriptions.add(sessions);
        let open = app.metrics.clients.connected(transport);
        let seat = Arc::clone(&client.seat);
        Self { app: Arc::clone(app), client, seat, ended: None, _open: open, _place: place }
    }

    /// Counts what a pull did.
    pub(crate) fn count(&mut self, pulled: &Pulled) {
        let metrics = &self.app.metrics;
        metrics.tally(&pulled.tally);
        if let Some(result) = pulled.resume {
            metrics.resume.results.inc(result);
        }
        if let Some(End::Refused(why)) = pulled.end {
            metrics.clients.rejected.inc(rejected(why));
        }
        self.ended = self.ended.or(pulled.end);
    }

    fn disconnect(&self) -> Disconnect {
        let cut = self.client.clock.lock().cut;
        let end = self.ended.or(self.client.seat.look(Subscription::closing));
        match (cut, end) {
            (Some(reason), _) => reason,
            (None, None | Some(End::Refused(_))) => Disconnect::Client,
            (None, Some(End::Shutdown)) => Disconnect::Shutdown,
            (None, Some(End::Overflow)) => Disconnect::Overflow,
            (None, Some(End::MaxAge)) => Disconnect::MaxAge,
            (None, Some(End::Expired)) => Disconnect::Expired,
            (None, Some(End::Revoked)) => Disconnect::Revoked,
            (None, Some(End::Over)) => Disconnect::Ended,
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let reason = self.disconnect();
        let metrics = &self.app.metrics;
        let sessions = self.client.seat.look(|subscription| subscription.wants().sessions.len());
        let left = self.app.broker.leave(&self.client.seat);
        self.app.clients.remove(&self.client.seat.id());
        metrics.clients.subscriptions.sub(i64::try_from(sessions).unwrap_or(i64::MAX));
        metrics.events.discarded.add(discarded(reason), left);
        metrics.clients.disconnected(reason, self.client.since.elapsed());
    }
}

pub(crate) fn rejected(why: Refusal) -> Rejected {
    match why {
        Refusal::Limit => Rejected::Limit,
        Refusal::Ip => Rejected::Ip,
        Refusal::Subject => Rejected::Subject,
        Refusal::Rate => Rejected::Rate,
        Refusal::Memory => Rejected::Memory,
        Refusal::Draining => Rejected::Draining,
        Refusal::Starting => Rejected::Starting,
    }
}

fn discarded(reason: Disconnect) -> Discarded {
    match reason {
        Disconnect::Client | Disconnect::Error | Disconnect::MaxAge | Disconnect::Ended => Discarded::Client,
        Disconnect::Stalled => Discarded::Stalled,
        Disconnect::Overflow => Discarded::Disconnect,
        Disconnect::Shutdown => Discarded::Shutdown,
        Disconnect::Expired | Disconnect::Revoked => Discarded::Expired,
    }
}

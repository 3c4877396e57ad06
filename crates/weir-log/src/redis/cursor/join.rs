//! Taking a seat: a new connection, a group of its own, and what was missed.

use std::sync::Arc;

use tokio::time::Instant;
use weir_core::entry::{Content, Entry};
use weir_core::id::EventId;
use weir_core::log::{Feed, Load};

use super::super::advice;
use super::super::codec::{self, Print};
use super::super::fault::{self, Fault};
use super::super::frame;
use super::super::keys::Keys;
use super::super::position::Position;
use super::super::resp::Walk;
use super::super::scripts::{JOIN, StreamState};
use super::super::wire::Wire;
use super::{By, Goal, Reader, Seat};
use weir_metrics::Operation;

/// Most groups to clean up that are remembered. More come only from attempts that Redis never answered; the janitor finds
/// those.
const MOST_GROUPS: usize = 8;

/// Most entries of a page of the window load.
const PAGE: usize = 500;

/// What an entry that is no event costs the window.
const BARE_COST: usize = 64;

/// What is known once there is a group, or none can be had.
struct Joined {
    state: StreamState,
    /// What stands at the newest entry read.
    known: Option<Print>,
    by: By,
}

impl Reader {
    /// The group begins at the newest id, in one step with the look at it, so that nothing falls between the group and
    /// what is fetched by id up to there: the newest entries at first, and later those after the position.
    pub(super) async fn join(&mut self) -> Result<(), Fault> {
        self.backoff.pause().await;
        let wire = self.context.connector.connect_wire().await?;
        self.connections += 1;
        self.context.metrics.redis().reconnects.inc_by(u64::from(self.connections > 1));
        self.sit(wire).await
    }

    /// Tries to have a group again. Where this server is not the master, another may be by now, so it is looked up anew.
    pub(super) async fn regain(&mut self, seat: Seat) -> Result<(), Fault> {
        let demoted = self.context.reading.lock().refused.as_deref().is_some_and(fault::says_readonly);
        if demoted {
            self.leave();
            self.join().await
        } else {
            self.sit(seat.wire).await
        }
    }

    async fn sit(&mut self, mut wire: Wire) -> Result<(), Fault> {
        let Joined { state, known, by } = self.make_group(&mut wire).await?;
        // After the group, which tells of those that come from now on.
        self.fetch_revoked(&mut wire).await?;
        let replaced = self.replaced;
        match self.position.filter(|position| !replaced && !position.is_foreign_to(&state, known)) {
            Some(position) => {
                self.seat = Some(Seat { wire, by });
                self.resume(position, &state);
            }
            None => {
                self.start(&mut wire, &state).await?;
                self.seat = Some(Seat { wire, by });
            }
        }
        self.welcome();
        Ok(())
    }

    /// Makes a group of a new name and destroys those of before, which unblocks a socket left behind.
    async fn make_group(&mut self, wire: &mut Wire) -> Result<Joined, Fault> {
        let context = Arc::clone(&self.context);
        let group = Keys::new_group(&context.config.instance);
        let known = self.position.map_or(EventId::ZERO, |position| position.entry_id());
        let mut args = vec![group.clone(), known.to_string()];
        {
            // Noted before it is made: whether or not the answer arrives, somebody must destroy it.
            let mut reading = context.reading.lock();
            args.extend(reading.groups.iter().cloned());
            reading.groups.push(group.clone());
            let surplus = reading.groups.len().saturating_sub(MOST_GROUPS);
            reading.groups.drain(..surplus);
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let keys = [&*context.keys.stream, &*context.keys.leases];
        let reply = wire.run(Operation::Join, JOIN, (&keys, &args)).await?;
        let state = StreamState::parse(frame::at(&reply, 0, Some)?)?;
        let known = frame::at(&reply, 1, frame::items)?.first().and_then(codec::print);
        let by = match frame::at(&reply, 2, frame::text)? {
            "" => self.have(group),
            refused => self.do_without(&group, refused),
        };
        Ok(Joined { state, known, by })
    }

    fn have(&mut self, group: String) -> By {
        self.groups += 1;
        self.context.metrics.redis().group_recreated.inc_by(u64::from(self.groups > 1));
        let mut reading = self.context.reading.lock();
        reading.groups = vec![group.clone()];
        reading.group = Some(group.clone());
        if reading.refused.take().is_some() {
            tracing::info!(group, "redis makes reader groups again");
        }
        By::Group(group)
    }

    /// Those of before may still exist: what makes Redis refuse a group also keeps it from destroying one.
    fn do_without(&self, group: &str, refused: &str) -> By {
        self.context.metrics.redis().reader_errors.inc(fault::refusal(refused));
        let mut reading = self.context.reading.lock();
        reading.groups.retain(|known| known != group);
        reading.group = None;
        if reading.refused.as_deref() != Some(refused) {
            let advice = advice::on(refused);
            tracing::warn!(reason = refused, advice, "redis makes no group: reading without one");
        }
        reading.refused = Some(refused.to_owned());
        drop(reading);
        if fault::says_readonly(refused) {
            self.context.demoted.notify_one();
        }
        By::Position(Instant::now())
    }

    /// Goes on from the position.
    fn resume(&mut self, before: Position, state: &StreamState) {
        let mut position = before;
        let continuity = position.prove(state, &before, &[]);
        let by_group = self.seat.as_ref().is_some_and(|seat| matches!(seat.by, By::Group(_)));
        if by_group && position.cursor < state.last {
            self.catching_up = Some(Goal { through: state.last, added: state.added });
        }
        self.settle(position, continuity, None);
    }

    /// Begins with the newest entries. Where there was a position, its stream is gone.
    async fn start(&mut self, wire: &mut Wire, state: &StreamState) -> Result<(), Fault> {
        let (load, newest) = self.load(wire, state).await?;
        if let Some(old) = self.position.filter(|old| old.cursor > EventId::ZERO) {
            tracing::warn!(through = %old.cursor, "the log was emptied or replaced");
            self.due.push_back(Feed::Reset { after: EventId::ZERO, through: old.cursor });
        }
        self.replaced = false;
        self.due.push_back(Feed::Loaded(load));
        self.stand_at(Position::at_head(state, newest));
        Ok(())
    }

    /// Announces the end of an outage before what was found.
    fn welcome(&mut self) {
        if self.down && self.seat.is_some() {
            self.down = false;
            self.told.clear();
            self.context.reading.lock().trouble = None;
            tracing::info!("the log is read again");
            self.due.push_front(Feed::Restored);
        }
    }

    /// Fetches the newest entries, page by page from the newest back, up to the bounds of the window.
    async fn load(&mut self, wire: &mut Wire, state: &StreamState) -> Result<(Load, Option<Print>), Fault> {
        let most = self.context.config.maxlen;
        let mut loading =
            Loading { entries: Vec::new(), newest: None, room: self.context.config.window_bytes };
        let mut end = state.last;
        while loading.entries.len() < most && end > EventId::ZERO {
            let count = self.page.count(PAGE.min(most - loading.entries.len()));
            let (stream, newest, most) = (&*self.context.keys.stream, end.to_string(), count.to_string());
            let words = ["XREVRANGE", stream, &newest, "-", "COUNT", &most];
            let reply = wire.call(Operation::Range, &words).await?;
            let page = codec::chunk(&mut Walk::new(reply), &self.context.config.decode)?;
            self.page.note(page.entries.len(), page.bytes);
            loading.newest = loading.newest.or(page.first);
            let short = page.entries.len() < count;
            if !loading.take(page.entries) || short {
                break;
            }
            end = loading.entries.last().map_or(EventId::ZERO, |oldest| oldest.id.prev());
        }
        Ok(loading.finish(state.last))
    }
}

/// A window load in the making, newest first.
struct Loading {
    entries: Vec<Entry>,
    newest: Option<Print>,
    /// Bytes that are left of the window.
    room: usize,
}

impl Loading {
    /// Takes entries as long as there is room; the newest always fits.
    fn take(&mut self, entries: Vec<Entry>) -> bool {
        for entry in entries {
            let cost = match &entry.content {
                Content::Event(event) => event.cost(),
                Content::Malformed(..) | Content::Internal | Content::Revoked(_) => BARE_COST,
            };
            if cost > self.room && !self.entries.is_empty() {
                return false;
            }
            self.room = self.room.saturating_sub(cost);
            self.entries.push(entry);
        }
        true
    }

    fn finish(mut self, head: EventId) -> (Load, Option<Print>) {
        self.entries.reverse();
        let floor = self.entries.first().map_or(head, |oldest| oldest.id.prev());
        (Load { entries: self.entries, floor, head }, self.newest)
    }
}

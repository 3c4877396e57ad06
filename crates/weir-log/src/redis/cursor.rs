//! Reading without a hole: join, load or catch up, read, prove.
//!
//! The position of this instance is the truth, and the group in Redis a mirror of it: Redis moves a group when it writes
//! a reply, so a reply that is lost would be a hole. After anything unusual the connection is given up, and a new one
//! with a new group goes on from the position. Where Redis takes no writes, and a group is one, the position alone does.

mod join;
mod read;
mod revoked;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_core::entry::Entry;
use weir_core::id::EventId;
use weir_core::log::Feed;

use super::backoff::Backoff;
use super::codec::Acks;
use super::context::Context;
use super::fault::Fault;
use super::pacing::{Gather, PageSize};
use super::position::{Continuity, Hole, Place, Position};
use super::wire::Wire;
use weir_metrics::ReaderError;

/// How long reading goes on without a group before one is tried again. It bounds how long an instance is missing in what
/// Redis tells of its readers, and how long it reads from a server that is no longer the master.
const REGAIN: Duration = Duration::from_secs(2);

/// How much longer than a block nothing may come before two failures in a row count as an outage.
const OUTAGE: Duration = Duration::from_secs(1);

/// The state of reading.
#[derive(Debug)]
pub(super) struct Reader {
    context: Arc<Context>,
    /// The connection and the group of its own, while there is one.
    seat: Option<Seat>,
    /// `None` before the window load.
    position: Option<Position>,
    /// What is to be fetched by id before the group goes on.
    catching_up: Option<Goal>,
    /// Ids that were handed out and are to be acknowledged with the next read.
    unacked: Acks,
    /// What happened and has not been handed out.
    due: VecDeque<Feed>,
    /// Entries were lost, and revocations may be among them.
    recheck: bool,
    /// The stream is known to be another one.
    replaced: bool,
    /// The owner was told that the log cannot be read.
    down: bool,
    /// Which reasons the log of this process has for the present outage.
    told: Vec<ReaderError>,
    backoff: Backoff,
    connections: u64,
    groups: u64,
    page: PageSize,
    gather: Gather,
    /// The last read had to wait, so the next one will, too.
    waits: bool,
    /// When a read last returned something other than a fault.
    last_read: Instant,
    /// When continuity was last proved.
    last_proof: Instant,
}

#[derive(Debug)]
struct Seat {
    wire: Wire,
    by: By,
}

/// How a seat reads.
#[derive(Debug)]
enum By {
    /// By a group of its own, of this name.
    Group(String),
    /// By the position alone, since Redis refused a group at this time. Nothing is lost by it: the position is the truth, and
    /// only what others see of this reader in Redis is missing.
    Position(Instant),
}

/// The newest id at the time the group was made, and its index.
#[derive(Clone, Copy, Debug)]
struct Goal {
    through: EventId,
    added: Option<u64>,
}

impl Reader {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            seat: None,
            position: None,
            catching_up: None,
            unacked: Acks::default(),
            due: VecDeque::new(),
            recheck: false,
            replaced: false,
            down: false,
            told: Vec::new(),
            backoff: Backoff::default(),
            connections: 0,
            groups: 0,
            page: PageSize::default(),
            gather: Gather::new(Instant::now()),
            waits: true,
            last_read: Instant::now(),
            last_proof: Instant::now(),
        }
    }

    /// The next thing that happens.
    pub(super) async fn step(&mut self) -> Feed {
        loop {
            if let Some(feed) = self.due.pop_front() {
                return feed;
            }
            if let Err(fault) = self.advance().await {
                self.fail(&fault);
            }
        }
    }

    async fn advance(&mut self) -> Result<(), Fault> {
        if self.recheck {
            self.recheck_revoked().await?;
        }
        match (self.seat.take(), self.position, self.catching_up) {
            (Some(seat), Some(position), Some(goal)) => self.catch_up(seat, position, goal).await,
            (Some(seat), Some(_), None) if seat.is_due() => self.regain(seat).await,
            (Some(seat), Some(position), None) => self.read(seat, position).await,
            (Some(_) | None, None, _) | (None, Some(_), _) => self.join().await,
        }
    }

    /// Gives up the connection, and announces an outage where it has become one.
    fn fail(&mut self, fault: &Fault) {
        self.context.metrics.redis().reader_errors.inc(fault.kind());
        self.backoff.failed();
        if matches!(fault, Fault::Broken(_)) {
            self.page.shrink();
        }
        // Where nothing was read there is nothing to forget, and what comes is read on from the beginning.
        let read = self.position.is_some_and(|position| position.cursor > EventId::ZERO);
        self.replaced |= read && fault.stream_is_gone();
        self.leave();
        tracing::debug!(%fault, failures = self.backoff.failures(), "reading failed");
        if self.down || self.is_outage() {
            self.tell(fault);
        }
    }

    /// Announces an outage once, and writes each kind of reason for it into the log once.
    fn tell(&mut self, fault: &Fault) {
        let why = fault.told();
        if !self.told.contains(&fault.kind()) {
            self.told.push(fault.kind());
            tracing::warn!(reason = why, "the log cannot be read; trying again until it can");
        }
        if !self.down {
            self.down = true;
            self.due.push_back(Feed::Down(why.clone()));
        }
        self.context.reading.lock().trouble = Some(why);
    }

    /// A connection that is simply made anew is none, and neither is one that had to be made twice.
    fn is_outage(&self) -> bool {
        let tries = self.backoff.failures();
        self.position.is_none()
            || tries > 2
            || (tries > 1 && self.last_read.elapsed() >= self.context.config.read_block + OUTAGE)
    }

    /// Drops the connection; its group is destroyed when the next one is made.
    fn leave(&mut self) {
        self.seat = None;
        self.catching_up = None;
        self.unacked.clear();
        self.gather.begin_anew();
        self.context.reading.lock().group = None;
    }

    /// Hands out a position that was proved, with what was found missing, and the entries at their place.
    fn settle(&mut self, position: Position, continuity: Continuity, batch: Option<Vec<Entry>>) {
        match continuity {
            Continuity::Intact => self.due.extend(batch.map(Feed::Batch)),
            Continuity::Lost(hole) => {
                self.recheck = true;
                let cursor = self.position.map_or(EventId::ZERO, |before| before.cursor);
                let side = hole.before(cursor, batch.as_deref().unwrap_or_default());
                let batch = batch.map(Feed::Batch);
                match hole.place {
                    Place::BeforeBatch => self.due.extend([Some(lost(hole)), batch].into_iter().flatten()),
                    Place::AfterBatch => {
                        self.due.extend([side.map(lost), batch, Some(lost(hole))].into_iter().flatten());
                    }
                }
            }
            Continuity::Replaced => {
                // What was read belongs to the new stream, and comes again with its load.
                self.replaced = true;
                self.leave();
                return;
            }
        }
        self.stand_at(position);
    }

    fn stand_at(&mut self, position: Position) {
        self.position = Some(position);
        let mut reading = self.context.reading.lock();
        reading.cursor = Some(position.cursor);
        reading.added = position.added();
    }
}

impl Seat {
    /// Whether a group should be tried again.
    fn is_due(&self) -> bool {
        matches!(self.by, By::Position(since) if since.elapsed() >= REGAIN)
    }
}

fn lost(hole: Hole) -> Feed {
    tracing::warn!(after = %hole.after, through = %hole.through, count = hole.count, "entries were trimmed unread");
    Feed::Lost { after: hole.after, through: hole.through, count: hole.count }
}

//! Reading on: by id up to the group's beginning, then by the group; or by id alone where there is none.

use std::time::Duration;

use tokio::time::Instant;

use super::super::codec::{self, Acks, Chunk};
use super::super::fault::Fault;
use super::super::link::PATIENCE;
use super::super::pacing::Left;
use super::super::position::{Continuity, Position};
use super::super::resp::Walk;
use super::super::scripts::{CHECK, StreamState};
use super::super::wire::Wire;
use super::{By, Goal, REGAIN, Reader, Seat};
use weir_metrics::{Operation, ReaderError};

/// How much later than its block a read may return before its connection counts as dead. It bounds how long a Redis that
/// stands still, or a network that swallows everything, goes unnoticed.
const READ_MARGIN: Duration = Duration::from_secs(2);

/// How often continuity is proved at most. Everything that is read so much later than the last proof is proved before it is
/// handed out, so that a loss is announced where it was; on a faster stream one that nothing else shows is announced so much
/// later. It bounds what proving costs: half a thousand looks a second.
const PROVE_EVERY: Duration = Duration::from_millis(2);

/// Name of the one consumer of a group.
const CONSUMER: &str = "reader";

impl Reader {
    /// Fetches the next entries by id, up to where the group begins.
    pub(super) async fn catch_up(
        &mut self,
        mut seat: Seat,
        before: Position,
        goal: Goal,
    ) -> Result<(), Fault> {
        let (wire, stream) = (&mut seat.wire, &*self.context.keys.stream);
        let count = self.page.count(self.context.config.read_count);
        let bounds = [before.cursor.next(), goal.through].map(|id| id.to_string());
        let words = ["XRANGE", stream, &bounds[0], &bounds[1], "COUNT", &count.to_string()];
        wire.ask(&words);
        wire.ask_script(CHECK, &[stream]);
        let deadline = Instant::now() + PATIENCE;
        let reply = wire.answer(Operation::Range).await?;
        let chunk = codec::chunk(&mut Walk::new(reply), &self.context.config.decode)?;
        // Not measured: it was under way together with the range.
        let seen = state(wire.reply(deadline).await?)?;
        let done =
            chunk.entries.len() < count || chunk.entries.last().is_some_and(|last| last.id >= goal.through);
        let mut position = self.passed(before, &chunk);
        let continuity = position.prove(&seen, &before, &chunk.entries);
        if done {
            position.reach(goal.through, goal.added);
            self.catching_up = None;
        }
        let batch = (!chunk.entries.is_empty()).then_some(chunk.entries);
        self.seat = Some(seat);
        self.settle(position, continuity, batch);
        Ok(())
    }

    /// Reads by the group. The acknowledgement of the last batch goes ahead on the same connection: asking for more says
    /// that it has passed the hub, and it never waits behind the block.
    pub(super) async fn read(&mut self, mut seat: Seat, before: Position) -> Result<(), Fault> {
        self.gather.wait().await;
        let start = Instant::now();
        let most = self.context.config.read_count.min(self.context.config.maxlen);
        let count = self.page.count(most);
        // A look that is sent together with a read is spared a way to Redis and back, and shows the stream as it was when the
        // read was answered. Where the read blocks, the look waits with it.
        let along = self.gather.may_be_behind() || self.waits || self.last_proof.elapsed() >= PROVE_EVERY;
        // While it is behind its lag says so, and to book each entry and strike it out again would cost Redis twice what
        // reading it costs.
        let unbooked = self.gather.is_behind();
        let (chunk, seen) = self.exchange(&mut seat, before, (count, along)).await?;
        let mut position = self.passed(before, &chunk);
        let goes_on = seen.map(|state| state.last > position.cursor);
        self.gather.note(chunk.entries.len(), Left::by(chunk.entries.len(), count, goes_on), Instant::now());

        let seen = match seen {
            None if self.last_proof.elapsed() >= PROVE_EVERY => {
                Some(look(&mut seat.wire, &self.context.keys.stream).await?)
            }
            along => along,
        };
        self.waits = start.elapsed() >= PROVE_EVERY;
        let continuity = match seen {
            Some(state) => {
                self.last_proof = Instant::now();
                position.prove(&state, &before, &chunk.entries)
            }
            None => Continuity::Intact,
        };
        self.backoff.succeeded();
        self.last_read = Instant::now();
        if matches!(seat.by, By::Group(_)) && !unbooked {
            self.unacked = chunk.acks;
        }
        self.seat = Some(seat);
        self.settle(position, continuity, Some(chunk.entries));
        Ok(())
    }

    /// Acknowledges, reads and looks in one go.
    async fn exchange(
        &mut self,
        seat: &mut Seat,
        before: Position,
        (count, along): (usize, bool),
    ) -> Result<(Chunk, Option<StreamState>), Fault> {
        let (wire, stream) = (&mut seat.wire, &*self.context.keys.stream);
        let acknowledged = std::mem::take(&mut self.unacked);
        let acknowledges = acknowledge(wire, stream, (&seat.by, &acknowledged));
        let block = self.ask(wire, &seat.by, (before, count));
        if along {
            wire.ask_script(CHECK, &[stream]);
        }
        let start = Instant::now();
        let deadline = start + block + READ_MARGIN;
        wire.send(deadline).await?;
        let metrics = self.context.metrics.redis();
        if acknowledges {
            match wire.reply(deadline).await.map(|_| ()) {
                Ok(()) => {}
                Err(Fault::Refused(reason)) => {
                    metrics.reader_errors.inc(ReaderError::Ack);
                    tracing::debug!(reason, "entries could not be acknowledged");
                }
                Err(broken) => return Err(broken),
            }
            metrics.command(Operation::Ack, start.elapsed());
        }
        let chunk = match wire.reply(deadline).await {
            Ok(reply) => codec::read(reply, &self.context.config.decode)?,
            Err(fault) => return Err(wire.explain(fault, stream).await),
        };
        let seen = match along {
            true => Some(state(wire.reply(deadline).await?)?),
            false => None,
        };
        Ok((chunk, seen))
    }

    /// Asks for entries, and says for how long that may block.
    fn ask(&self, wire: &mut Wire, by: &By, (before, count): (Position, usize)) -> Duration {
        let (stream, count) = (&*self.context.keys.stream, count.to_string());
        let block = match by {
            By::Group(_) => self.context.config.read_block,
            By::Position(_) => self.context.config.read_block.min(REGAIN),
        };
        // Zero would block for ever.
        let millis = block.as_millis().max(1).to_string();
        let words = ["COUNT", &count, "BLOCK", &millis, "STREAMS", stream];
        match by {
            By::Group(group) => {
                let noack: &[&str] = if self.gather.is_behind() { &["NOACK"] } else { &[] };
                let head = ["XREADGROUP", "GROUP", group, CONSUMER];
                wire.ask(&[&head[..], noack, &words, &[">"]].concat());
            }
            By::Position(_) => {
                wire.ask(&[&["XREAD"], &words[..], &[&before.cursor.to_string()]].concat());
            }
        }
        block
    }

    fn passed(&mut self, before: Position, chunk: &Chunk) -> Position {
        self.page.note(chunk.entries.len(), chunk.bytes);
        let mut position = before;
        position.pass(&chunk.entries, chunk.last);
        position
    }
}

/// Puts what was handed out beside the next read, where there is something and somebody who keeps a book of it.
fn acknowledge(wire: &mut Wire, stream: &str, (by, acks): (&By, &Acks)) -> bool {
    match by {
        By::Group(group) if acks.count > 0 => {
            wire.ask_with(&["XACK", stream, group], (acks.count, &acks.words));
            true
        }
        By::Group(_) | By::Position(_) => false,
    }
}

async fn look(wire: &mut Wire, stream: &str) -> Result<StreamState, Fault> {
    StreamState::parse(&wire.run(Operation::Check, CHECK, (&[stream], &[])).await?)
}

fn state(reply: &[u8]) -> Result<StreamState, Fault> {
    StreamState::parse(&Walk::new(reply).frame()?)
}

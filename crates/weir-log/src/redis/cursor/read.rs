//! Reading on: by id up to the group's beginning, then by the group; or by id alone where there is none.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tokio::time::Instant;

use super::super::codec::{self, Chunk};
use super::super::fault::Fault;
use super::super::link::{Link, text};
use super::super::position::{Continuity, Position};
use super::super::scripts::{CHECK, StreamState};
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
    pub(super) async fn catch_up(&mut self, seat: &Seat, before: Position, goal: Goal) -> Result<(), Fault> {
        let count = self.page.count(self.context.config.read_count);
        let args = vec![
            text(&self.context.keys.stream),
            Value::from(before.cursor.next().to_string()),
            Value::from(goal.through.to_string()),
            Value::from_static_str("COUNT"),
            integer(count),
        ];
        let (reply, seen) = tokio::join! {
            biased;
            seat.link.call(Operation::Range, "XRANGE", args),
            self.look(&seat.link),
        };
        let (reply, seen) = (reply?, seen?);
        let chunk = codec::chunk(&reply, &self.context.config.decode)?;
        let done =
            chunk.entries.len() < count || chunk.entries.last().is_some_and(|last| last.id >= goal.through);
        let mut position = self.passed(before, &chunk);
        let continuity = position.prove(&seen, &before, &chunk.entries);
        if done {
            position.reach(goal.through, goal.added);
            self.catching_up = None;
        }
        let batch = (!chunk.entries.is_empty()).then_some(chunk.entries);
        self.settle(position, continuity, batch);
        Ok(())
    }

    /// Reads by the group. The acknowledgement of the last batch goes ahead on the same connection: asking for more says
    /// that it has passed the hub, and it never waits behind the block.
    pub(super) async fn read(&mut self, seat: &Seat, before: Position) -> Result<(), Fault> {
        self.gather.pause().await;
        let start = Instant::now();
        let most = self.context.config.read_count.min(self.context.config.maxlen);
        let count = self.page.count(most);
        let acknowledged = std::mem::take(&mut self.unacked);
        let (acked, reply, seen) = tokio::join! {
            biased;
            self.acknowledge(seat, acknowledged),
            self.ask(seat, before, count),
            self.look_along(&seat.link),
        };
        if let Err(Fault::Refused(reason)) = acked {
            self.context.metrics.redis().reader_errors.inc(ReaderError::Ack);
            tracing::debug!(reason, "entries could not be acknowledged");
        }
        let chunk = codec::read(&reply?, &self.context.config.decode)?;
        self.gather.note(chunk.entries.len(), Instant::now());

        let mut position = self.passed(before, &chunk);
        self.behind = chunk.entries.len() >= count;
        let seen = match seen {
            None if self.last_proof.elapsed() >= PROVE_EVERY => Some(self.look(&seat.link).await?),
            along => along.transpose()?,
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
        if let By::Group(_) = seat.by {
            self.unacked = chunk.raw_ids;
        }
        self.settle(position, continuity, Some(chunk.entries));
        Ok(())
    }

    fn passed(&mut self, before: Position, chunk: &Chunk) -> Position {
        self.page.note(chunk.entries.len(), chunk.bytes);
        let mut position = before;
        position.pass(&chunk.entries, chunk.last);
        position
    }

    async fn look(&self, link: &Link) -> Result<StreamState, Fault> {
        let reply = link.run(Operation::Check, CHECK, &[&self.context.keys.stream], Vec::new()).await?;
        StreamState::parse(&reply)
    }

    /// A look that is sent together with a read, which spares it a way to Redis and back, and shows the stream as it was
    /// when the read was answered. Where the read blocks, the look waits with it.
    async fn look_along(&self, link: &Link) -> Option<Result<StreamState, Fault>> {
        if !(self.behind || self.waits || self.last_proof.elapsed() >= PROVE_EVERY) {
            return None;
        }
        let patience = self.context.config.read_block + READ_MARGIN;
        let reply = link.run_within(patience, CHECK, &[&self.context.keys.stream]).await;
        Some(reply.and_then(|reply| StreamState::parse(&reply)))
    }

    async fn acknowledge(&self, seat: &Seat, ids: Vec<Bytes>) -> Result<(), Fault> {
        match &seat.by {
            By::Group(group) if !ids.is_empty() => {
                seat.link.acknowledge(&self.context.keys.stream, group, ids).await
            }
            By::Group(_) | By::Position(_) => Ok(()),
        }
    }

    async fn ask(
        &self,
        seat: &Seat,
        before: Position,
        count: usize,
    ) -> Result<fred::types::Resp3Frame, Fault> {
        let (command, group, from, block) = match &seat.by {
            By::Group(group) => {
                ("XREADGROUP", Some(group), Value::from_static_str(">"), self.context.config.read_block)
            }
            By::Position(_) => {
                let block = self.context.config.read_block.min(REGAIN);
                ("XREAD", None, Value::from(before.cursor.to_string()), block)
            }
        };
        let mut args = Vec::with_capacity(10);
        if let Some(group) = group {
            args.extend([Value::from_static_str("GROUP"), text(group), Value::from_static_str(CONSUMER)]);
        }
        args.extend([
            Value::from_static_str("COUNT"),
            integer(count),
            Value::from_static_str("BLOCK"),
            // Zero would block for ever.
            integer(usize::try_from(block.as_millis()).unwrap_or(usize::MAX).max(1)),
            Value::from_static_str("STREAMS"),
            text(&self.context.keys.stream),
            from,
        ]);
        seat.link.wait_for(command, args, block + READ_MARGIN).await
    }
}

fn integer(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

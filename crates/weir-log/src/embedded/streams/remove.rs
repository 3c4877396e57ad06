//! Deleting streams, and clearing away what is left of them.

use redb::ReadableTable;
use weir_core::durable::{DeleteError, Standing, StreamName};

use super::ledger::{Ledger, cost, producer_cost, stream_cost};
use crate::engine::More;

/// Most streams that expire in one transaction of the upkeep.
const EXPIRED_AT_ONCE: usize = 256;
/// Most chunks and producers cleared away in one transaction of the upkeep, and most bytes of them but for the last chunk, so
/// that nobody waits long for it.
const CLEARED_AT_ONCE: usize = 2048;
const BYTES_CLEARED_AT_ONCE: u64 = 8 << 20;

/// What may still be cleared away in a transaction.
struct Room {
    count: usize,
    bytes: u64,
}

impl Ledger<'_> {
    /// Deletes a stream. What forks have of it stays, and so do its chunks until the upkeep comes to them: whoever deletes a
    /// large stream holds up nobody.
    pub(super) fn delete(&mut self, name: &StreamName) -> Result<Result<(), DeleteError>, redb::Error> {
        let record = match self.find(name)? {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Err(DeleteError::Missing)),
            Err(damaged) => return Ok(Err(damaged.into())),
        };
        match record.state.standing(self.now) {
            Standing::Here => {}
            Standing::Deleted => return Ok(Err(DeleteError::Deleted)),
            Standing::Expired => return Ok(Err(DeleteError::Missing)),
        }
        self.end(name)?;
        Ok(Ok(()))
    }

    /// A stream is there no more.
    fn end(&mut self, name: &StreamName) -> Result<(), redb::Error> {
        let Ok(Some(mut record)) = self.find(name)? else { return Ok(()) };
        self.announce(name);
        if record.state.forks == 0 {
            return self.remove(name);
        }
        if let Some(due_ms) = record.due_ms.take() {
            self.tables.expiry.remove((due_ms, record.number))?;
        }
        record.state.deleted = true;
        self.keep(name, &record)
    }

    /// Removes a stream without forks if there is one, and those it was the last fork of where they wait for that.
    pub(super) fn remove(&mut self, name: &StreamName) -> Result<(), redb::Error> {
        let mut next = Some(name.clone());
        while let Some(name) = next.take() {
            let Ok(Some(record)) = self.find(&name)? else { return Ok(()) };
            let stored = self.tables.streams.remove(name.as_str())?.map_or(0, |stored| stored.value().len());
            self.give(stream_cost(&name) + stored as u64);
            if let Some(due_ms) = record.due_ms {
                self.tables.expiry.remove((due_ms, record.number))?;
            }
            self.tables.rubbish.insert(record.number, ())?;
            let Some(source) = record.state.fork.map(|fork| fork.source) else { return Ok(()) };
            let Ok(Some(mut record)) = self.find(&source)? else { return Ok(()) };
            record.state.forks = record.state.forks.saturating_sub(1);
            let is_over = record.state.standing(self.now) == Standing::Expired;
            self.keep(&source, &record)?;
            next = is_over.then_some(source);
        }
        Ok(())
    }

    /// A piece of the upkeep: writes down which streams are in use, lets the others expire, and clears away what is left of those
    /// that are gone.
    pub(super) fn sweep(&mut self) -> Result<More, redb::Error> {
        let renewed = self.renew()?;
        let expired = self.expire()?;
        let cleared = self.clear()?;
        Ok(renewed.max(expired).max(cleared))
    }

    fn expire(&mut self) -> Result<More, redb::Error> {
        let mut due = Vec::new();
        for entry in self.tables.expiry.range(..=(self.now, u64::MAX))?.take(EXPIRED_AT_ONCE) {
            let (key, name) = entry?;
            due.push((key.value(), name.value().to_owned()));
        }
        let more = match due.len() {
            0 => More::Nothing,
            EXPIRED_AT_ONCE => More::ToDo,
            _ => More::Done,
        };
        for ((due_ms, number), name) in due {
            let Ok(name) = StreamName::parse(&name) else { continue };
            self.expire_one(&name, (due_ms, number))?;
        }
        Ok(more)
    }

    /// Lets a stream expire, unless it was used since it was entered.
    fn expire_one(&mut self, name: &StreamName, due: (u64, u64)) -> Result<(), redb::Error> {
        self.tables.expiry.remove(due)?;
        let Ok(Some(mut record)) = self.find(name)? else { return Ok(()) };
        if record.number != due.1 {
            return Ok(());
        }
        if record.state.standing(self.now) != Standing::Here {
            return self.end(name);
        }
        record.due_ms = record.state.expires_ms();
        if let Some(due_ms) = record.due_ms {
            self.tables.expiry.insert((due_ms, record.number), name.as_str())?;
        }
        self.keep(name, &record)
    }

    /// Clears away some of what is left of streams that are gone.
    fn clear(&mut self) -> Result<More, redb::Error> {
        let mut room = Room { count: CLEARED_AT_ONCE, bytes: BYTES_CLEARED_AT_ONCE };
        let mut more = More::Nothing;
        while room.is_left() {
            let Some(number) = self.tables.rubbish.first()?.map(|(number, _)| number.value()) else {
                return Ok(more);
            };
            more = More::Done;
            self.clear_one(number, &mut room)?;
            // Also where nothing was left of it.
            room.fill(0);
        }
        Ok(More::ToDo)
    }

    /// Clears away so many chunks and producers of one as there is room for.
    fn clear_one(&mut self, number: u64, room: &mut Room) -> Result<(), redb::Error> {
        let mut freed = 0;
        let its = (number, 0)..=(number, u64::MAX);
        let mut chunks = self.tables.chunks.extract_from_if(its, |_, _| true)?;
        while room.is_left()
            && let Some(chunk) = chunks.next().transpose()?
        {
            freed += room.fill(cost(chunk.1.value().len()));
        }
        drop(chunks);
        let its = (number, "")..(number + 1, "");
        let mut producers = self.tables.producers.extract_from_if(its, |_, _| true)?;
        while room.is_left()
            && let Some(producer) = producers.next().transpose()?
        {
            freed += room.fill(producer_cost(producer.0.value().1));
        }
        drop(producers);
        self.give(freed);
        if room.is_left() {
            self.tables.rubbish.remove(number)?;
        }
        Ok(())
    }
}

impl Room {
    fn is_left(&self) -> bool {
        self.count > 0 && self.bytes > 0
    }

    /// One of so many bytes is cleared away.
    fn fill(&mut self, bytes: u64) -> u64 {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use redb::ReadableTableMetadata as _;
    use weir_testkit::stream_suite::ask::{append, name, text};

    use super::*;
    use crate::embedded::streams::change;
    use crate::{EmbeddedStreams, Engine, Place, StreamLimits};

    /// Who deletes leaves the clearing to the upkeep, and that does it in pieces of few bytes, however few chunks these are.
    #[test]
    fn large_streams_are_cleared_away_in_pieces() {
        let engine = Engine::open(Place::Memory).unwrap();
        let streams = EmbeddedStreams::open(engine, StreamLimits::default()).unwrap();
        let (s, large) = (name("s"), append(&"x".repeat(3 << 20)));
        // In one transaction, so that the upkeep of this engine does not come between.
        let left = streams.engine.write_now(|writing| {
            change(writing, &streams.facts, |ledger| {
                ledger.create(&s, &text())?.unwrap();
                for _ in 0..8 {
                    ledger.append(&s, &large)?.unwrap();
                }
                ledger.delete(&s)?.unwrap();
                let mut left = vec![ledger.tables.chunks.len()?];
                while left.len() < 10 && ledger.clear()? == More::ToDo {
                    left.push(ledger.tables.chunks.len()?);
                }
                Ok(left)
            })
        });
        assert_eq!(left.unwrap(), [8, 5, 2]);
        assert_eq!(streams.used_bytes(), 0);
    }
}

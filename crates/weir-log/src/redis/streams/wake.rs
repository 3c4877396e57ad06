//! Hearing which streams have changed, on a connection of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_core::durable::{StreamName, WakeReader, Woken};
use weir_core::id::EventId;
use weir_core::log::BoxFuture;
use weir_metrics::Operation;

use super::super::backoff::Backoff;
use super::super::context::Context;
use super::super::fault::Fault;
use super::super::resp::Walk;
use super::super::wire::Wire;

/// How long a read waits while nothing is announced.
const BLOCK: Duration = Duration::from_secs(5);

/// How much later it may return before its connection counts as dead.
const MARGIN: Duration = Duration::from_secs(2);

/// Most announcements of one read. At least as many are kept in Redis, so that fewer prove that none is missing.
const MOST: usize = 1000;

/// Hears what is announced, from a position of its own: without group and acknowledgement, because one that is missed costs
/// a moment and no data.
pub struct RedisWakes {
    context: Arc<Context>,
    step: Step,
}

/// A read that was begun goes on in the next call, so that dropping a call loses nothing of it.
enum Step {
    Idle(Box<Hearing>),
    Running(BoxFuture<'static, (Box<Hearing>, Woken)>),
}

struct Hearing {
    context: Arc<Context>,
    wire: Option<Wire>,
    position: EventId,
    backoff: Backoff,
}

impl RedisWakes {
    pub(in super::super) fn new(context: Arc<Context>) -> Self {
        let hearing = Hearing {
            context: Arc::clone(&context),
            wire: None,
            position: EventId::ZERO,
            backoff: Backoff::default(),
        };
        Self { context, step: Step::Idle(Box::new(hearing)) }
    }

    async fn finish(&mut self) -> Woken {
        loop {
            match &mut self.step {
                Step::Idle(_) => self.begin(),
                Step::Running(running) => {
                    let (hearing, woken) = running.await;
                    self.step = Step::Idle(hearing);
                    return woken;
                }
            }
        }
    }

    fn begin(&mut self) {
        let placeholder: Step = Step::Running(Box::pin(std::future::pending()));
        if let Step::Idle(mut hearing) = std::mem::replace(&mut self.step, placeholder) {
            self.step = Step::Running(Box::pin(async move {
                let woken = hearing.step().await;
                (hearing, woken)
            }));
        }
    }
}

impl WakeReader for RedisWakes {
    fn next(&mut self) -> BoxFuture<'_, Woken> {
        Box::pin(self.finish())
    }
}

impl fmt::Debug for RedisWakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWakes").field("stream", &self.context.keys.wake).finish_non_exhaustive()
    }
}

impl Hearing {
    async fn step(&mut self) -> Woken {
        loop {
            match self.advance().await {
                Ok(Some(woken)) => return woken,
                Ok(None) => {}
                Err(fault) => {
                    tracing::debug!(%fault, "announcements of streams cannot be heard");
                    self.wire = None;
                    self.backoff.failed();
                    self.backoff.pause().await;
                }
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Woken>, Fault> {
        // It comes back only when all went well, so that the next try is on a new connection.
        let Some(mut wire) = self.wire.take() else {
            let mut wire = self.context.connector.connect_wire().await?;
            self.position = newest(&mut wire, &self.context.keys.wake).await?;
            self.wire = Some(wire);
            return Ok(Some(Woken::Any));
        };
        let heard = self.hear(&mut wire).await?;
        self.backoff.succeeded();
        self.wire = Some(wire);
        Ok(heard)
    }

    async fn hear(&mut self, wire: &mut Wire) -> Result<Option<Woken>, Fault> {
        let key = &*self.context.keys.wake;
        let [count, block] = [MOST.to_string(), BLOCK.as_millis().to_string()];
        wire.ask(&["XREAD", "COUNT", &count, "BLOCK", &block, "STREAMS", key, &self.position.to_string()]);
        let deadline = Instant::now() + BLOCK + MARGIN;
        wire.send(deadline).await?;
        let heard = parse(wire.reply(deadline).await?)?;
        let Some(last) = heard.last else {
            return Ok(after_silence(&mut self.position, newest(wire, key).await?));
        };
        self.position = last;
        Ok(Some(if heard.entries < MOST { Woken::Streams(heard.names) } else { Woken::Any }))
    }
}

/// Somebody may have emptied Redis, and what is announced from then on may be below the position. What is not below it came
/// behind the read and is for the next one.
fn after_silence(position: &mut EventId, newest: EventId) -> Option<Woken> {
    (newest < *position).then(|| {
        *position = newest;
        Woken::Any
    })
}

/// The newest announcement there is.
async fn newest(wire: &mut Wire, key: &str) -> Result<EventId, Fault> {
    let reply = wire.call(Operation::Check, &["XREVRANGE", key, "+", "-", "COUNT", "1"]).await?;
    let mut walk = Walk::new(reply);
    match walk.array()? {
        Some(1..) => entry(&mut walk).map(|(id, _)| id),
        Some(0) | None => Ok(EventId::ZERO),
    }
}

/// What one read told.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    last: Option<EventId>,
    entries: usize,
    /// Each once.
    names: Vec<StreamName>,
}

/// Reads `[[key, [entry…]]]`, or nil.
fn parse(reply: &[u8]) -> Result<Heard, Fault> {
    let (mut walk, mut heard) = (Walk::new(reply), Heard::default());
    if walk.array()?.unwrap_or(0) == 0 {
        return Ok(heard);
    }
    walk.array()?;
    walk.text()?;
    for _ in 0..walk.array()?.unwrap_or(0) {
        let (id, name) = entry(&mut walk)?;
        heard.last = Some(id);
        heard.entries += 1;
        heard.names.extend(name);
    }
    heard.names.sort_unstable();
    heard.names.dedup();
    Ok(heard)
}

/// An entry and the name in it. What somebody else has written there names nothing.
fn entry(walk: &mut Walk<'_>) -> Result<(EventId, Option<StreamName>), Fault> {
    walk.array()?;
    let id = walk.text()?.and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
    let id = id.ok_or(Fault::Garbled("the id of an announcement is none"))?;
    let mut name = None;
    for place in 0..walk.array()?.unwrap_or(0) {
        let text = walk.text()?;
        if place == 1 {
            name = text.and_then(|name| StreamName::parse(std::str::from_utf8(name).ok()?).ok());
        }
    }
    Ok((id, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_a_silent_read_is_left_to_the_next() {
        let at = |ms| EventId::new(ms, 0);
        for (newest, after, told) in
            [(at(5), at(5), None), (at(9), at(5), None), (at(4), at(4), Some(Woken::Any))]
        {
            let mut position = at(5);
            assert_eq!((after_silence(&mut position, newest), position), (told, after));
        }
    }

    #[test]
    fn announcements_are_taken_apart() {
        let name = |text| StreamName::parse(text).unwrap();
        let reply = b"*1\r\n*2\r\n$1\r\nw\r\n*4\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\ns\r\n$1\r\nb\r\n\
            *2\r\n$3\r\n1-1\r\n*2\r\n$1\r\ns\r\n$1\r\na\r\n*2\r\n$3\r\n2-0\r\n*4\r\n$1\r\ns\r\n$1\r\nb\r\n$1\r\nx\r\n$1\r\ny\r\n\
            *2\r\n$3\r\n2-1\r\n*2\r\n$1\r\ns\r\n$1\r\n\xff\r\n";
        let heard = parse(reply).unwrap();
        assert_eq!(
            heard,
            Heard { last: Some(EventId::new(2, 1)), entries: 4, names: vec![name("a"), name("b")] }
        );
        assert_eq!(parse(b"*-1\r\n"), Ok(Heard::default()));
        assert!(parse(b"*1\r\n*2\r\n$1\r\nw\r\n*1\r\n*2\r\n$1\r\nx\r\n*0\r\n").is_err());
    }
}

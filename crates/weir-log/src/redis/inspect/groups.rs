//! Who reads the stream.

use std::time::Duration;

use fred::types::{Resp3Frame, Value};

use super::super::frame;
use super::super::scripts::GROUPS;
use super::{InspectError, Inspector};

/// A reader group of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name. Bytes that are no text show as `\u{fffd}`.
    pub name: String,
    /// Whose it is, and whether it is still read.
    pub standing: Standing,
    /// Consumers that ever read by it.
    pub consumers: u64,
    /// Entries given out and not acknowledged.
    pub pending: u64,
    /// Entries it has not been given yet, where Redis knows.
    pub lag: Option<u64>,
}

/// Whose a group is, and whether it is still read. Ages count from the last sign of life, by the clock of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An instance reads by it.
    Alive(Duration),
    /// Its instance gave no sign of life for longer than a lease.
    Orphaned(Duration),
    /// It was orphaned, and destroyed now.
    Reaped(Duration),
    /// Nobody gave a sign of life yet: it is just being made, or was never read by.
    Unleased,
    /// Somebody else's.
    Foreign,
}

/// What to do with orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Look only.
    Keep,
    /// Destroy them, and give what has no lease one full period from now on.
    Reap,
}

impl Group {
    /// The instance that made it, by its name.
    pub fn instance(&self) -> Option<&str> {
        let (instance, _) = self.name.strip_prefix("weir:")?.rsplit_once(':')?;
        Some(instance)
    }
}

impl Inspector {
    /// All groups of the stream; `None` where there is no stream. A group is an orphan by the rule of the janitor.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn groups(
        &self,
        lease: Duration,
        orphans: Orphans,
    ) -> Result<Option<Vec<Group>>, InspectError> {
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let reap = match orphans {
            Orphans::Keep => "0",
            Orphans::Reap => "1",
        };
        let args = vec![Value::Integer(lease), Value::from_static_str(reap)];
        let reply = self.run(GROUPS, &[&self.keys.stream, &self.keys.leases], args).await?;
        if frame::at(&reply, 0, frame::number)? == 0 {
            return Ok(None);
        }
        let groups = frame::items(&reply).unwrap_or_default().iter().skip(1).map(group);
        groups.collect::<Result<_, _>>().map(Some)
    }
}

fn group(reply: &Resp3Frame) -> Result<Group, InspectError> {
    let name = frame::at(reply, 0, frame::bytes)?;
    let count = |place| frame::at(reply, place, frame::number).map(|count| u64::try_from(count).ok());
    let age = Duration::from_millis(count(2)?.unwrap_or_default());
    let standing = match frame::at(reply, 1, frame::text)? {
        "alive" => Standing::Alive(age),
        "orphaned" => Standing::Orphaned(age),
        "reaped" => Standing::Reaped(age),
        "unleased" => Standing::Unleased,
        "foreign" => Standing::Foreign,
        _ => return Err(InspectError::Garbled("the standing of a group is none")),
    };
    Ok(Group {
        name: String::from_utf8_lossy(name).into_owned(),
        standing,
        consumers: count(3)?.unwrap_or_default(),
        pending: count(4)?.unwrap_or_default(),
        lag: count(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_stands_in_the_name() {
        let of = |name: &str| {
            let standing = Standing::Foreign;
            let group = Group { name: name.to_owned(), standing, consumers: 0, pending: 0, lag: None };
            group.instance().map(str::to_owned)
        };
        assert_eq!(of("weir:web-1:0011223344556677").as_deref(), Some("web-1"));
        for none in ["analytics", "weir:", "weir:x", "my:weir:x:1"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}

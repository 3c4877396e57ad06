//! A look at Redis from outside the log: what `weir groups` and `weir doctor` show.
//!
//! Nothing here changes what instances and their clients see.
//!
//! - [`groups`]: who reads the stream, and the removal of what nobody reads by any more
//! - [`server`], [`settings`]: what Redis tells of itself
//! - [`rights`]: whether this user may do all that weir does
//! - [`stream`], [`sample`]: the stream, and its newest entries
//! - [`probe`]: one entry there and back

pub mod groups;
pub mod probe;
pub mod rights;
pub mod sample;
pub mod server;
pub mod settings;
pub mod stream;

use std::sync::Arc;
use std::time::Duration;

use fred::types::{Resp3Frame, Value};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use weir_metrics::{BuildInfo, Metrics, Operation};

use super::access::{BadRedisAccess, RedisAccess};
use super::connector::Connector;
use super::fault::Fault;
use super::frame;
use super::keys::Keys;
use super::link::{Link, text};

/// How long finding and greeting a Redis may take altogether. It bounds a look at one that several dead Sentinels, or a
/// black hole, stand before.
const CONNECT_WITHIN: Duration = Duration::from_secs(12);

/// A connection to look through.
#[derive(Debug)]
pub struct Inspector {
    connector: Connector,
    link: Arc<Link>,
    keys: Keys,
}

/// Why there is nothing to see. No text repeats the URL or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// What was given leads to no Redis.
    #[error(transparent)]
    Access(#[from] BadRedisAccess),
    /// Nobody answers there, or the connection ended.
    #[error("Redis cannot be reached: {0}")]
    Away(String),
    /// Redis said no; its own words.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// It takes connections and does not answer.
    #[error("Redis did not answer in time")]
    Late,
    /// It says what no Redis says.
    #[error("Redis answered something unexpected: {0}")]
    Garbled(&'static str),
}

/// The clock of Redis beside the one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisClock {
    /// Milliseconds since the Unix epoch, there.
    pub ms: u64,
    /// How long the question took.
    pub took: Duration,
}

/// What can be done about a refusal or a failed connection, where that is known.
pub fn advice(text: &str) -> Option<&'static str> {
    super::advice::on(text)
}

impl Inspector {
    /// Connects, within a bounded time.
    ///
    /// # Errors
    /// [`InspectError`]; also where Redis wants a password that was not given.
    pub async fn connect(access: &RedisAccess, stream: &str) -> Result<Self, InspectError> {
        // The connector counts; nobody looks.
        let metrics = Arc::new(Metrics::new(BuildInfo { version: "", revision: "" }, &[]));
        let connector = Connector::new(access, stream, metrics, TaskTracker::new())?;
        let link = timeout(CONNECT_WITHIN, connector.connect()).await.map_err(|_| InspectError::Late)??;
        Ok(Self { connector, link, keys: Keys::new(stream) })
    }

    /// What time it is there.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn clock(&self) -> Result<RedisClock, InspectError> {
        let start = Instant::now();
        let reply = self.ask("TIME", &[]).await?;
        let [secs, micros] = [frame::at(&reply, 0, frame::number)?, frame::at(&reply, 1, frame::number)?];
        let ms = u64::try_from(secs.saturating_mul(1000).saturating_add(micros / 1000)).unwrap_or_default();
        Ok(RedisClock { ms, took: start.elapsed() })
    }

    /// Whether all keys of weir hash to the slot of the stream, without which a Cluster refuses scripts.
    pub fn keys_share_a_slot(&self) -> bool {
        let slot = |key: &str| fred::util::redis_keyslot(key.as_bytes());
        slot(&self.keys.leases) == slot(&self.keys.stream)
    }

    async fn ask(&self, command: &'static str, args: &[&str]) -> Result<Resp3Frame, InspectError> {
        let args = args.iter().map(|arg| text(arg)).collect();
        Ok(self.link.call(Operation::Check, command, args).await?)
    }

    async fn run(
        &self,
        script: &'static str,
        keys: &[&str],
        args: Vec<Value>,
    ) -> Result<Resp3Frame, InspectError> {
        Ok(self.link.run(Operation::Check, script, keys, args).await?)
    }
}

impl From<Fault> for InspectError {
    fn from(fault: Fault) -> Self {
        match fault {
            // What Redis says to the client's greeting comes as the reason why there is no connection.
            Fault::Away(text) | Fault::Broken(text) if has_code(&text) => Self::Refused(text),
            Fault::Away(text) | Fault::Broken(text) => Self::Away(text.trim_end_matches('.').to_owned()),
            Fault::Refused(text) => Self::Refused(text),
            Fault::Late => Self::Late,
            Fault::Garbled(what) => Self::Garbled(what),
        }
    }
}

/// Whether a text begins as all errors of Redis do, such as `NOAUTH …`.
fn has_code(text: &str) -> bool {
    let code = text.split(' ').next().unwrap_or_default();
    code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// What was asked for, where Redis lets this user know it.
fn if_allowed<T>(asked: Result<T, InspectError>) -> Result<Option<T>, InspectError> {
    match asked {
        Ok(told) => Ok(Some(told)),
        Err(InspectError::Refused(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_says_is_told_apart_from_what_the_system_says() {
        let of = |text: &str| InspectError::from(Fault::Away(text.to_owned()));
        let refused = InspectError::Refused("MISCONF Redis is".to_owned());
        assert_eq!(of("MISCONF Redis is"), refused);
        assert_eq!(of("Request timed out."), InspectError::Away("Request timed out".to_owned()));
    }
}

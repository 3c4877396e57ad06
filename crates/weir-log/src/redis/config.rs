//! What the Redis backend is told.

use std::fmt;
use std::time::Duration;

use fred::error::Error;
use fred::types::config::Config;
use weir_core::entry::DecodeRules;

/// How a [`super::RedisLog`] reaches and bounds its stream.
#[derive(Clone)]
pub struct RedisConfig {
    /// Where Redis is, in the forms that fred documents.
    pub url: String,
    /// Stands in for the password of the URL.
    pub password: Option<String>,
    /// Key of the stream.
    pub stream: String,
    /// Most entries of the stream and of a load.
    pub maxlen: usize,
    /// Entries older than this are trimmed.
    pub max_age: Option<Duration>,
    /// Most bytes of a load, by the cost of its events.
    pub window_bytes: usize,
    /// Name of this instance in groups.
    pub instance: String,
    /// Most entries of a read.
    pub read_count: usize,
    /// How long a read waits on a quiet stream.
    pub read_block: Duration,
    /// How entries are decoded.
    pub decode: DecodeRules,
    /// How often what runs beside the reading runs.
    pub pace: Pace,
}

/// How often what runs beside the reading runs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two rounds of upkeep: the lease is renewed, facts are collected, and one instance trims the stream.
    /// Bounds how old facts are and how far producers that do not trim overshoot.
    pub upkeep: Duration,
    /// How long a group without sign of life is kept. Bounds what a killed instance leaves behind; long enough for one
    /// that only stood still.
    pub lease: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { upkeep: Duration::from_secs(2), lease: Duration::from_secs(60) }
    }
}

impl fmt::Debug for RedisConfig {
    /// Without URL and password, because both hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("stream", &self.stream)
            .field("instance", &self.instance)
            .field("maxlen", &self.maxlen)
            .finish_non_exhaustive()
    }
}

/// The URL leads to no Redis. The text never repeats it, because it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Redis URL cannot be used ({0}); it looks like redis://[user:password@]host[:6379][/database], with rediss:// \
     for TLS, redis+unix:///path for a socket, redis-sentinel:// or redis-cluster://"
)]
pub struct BadRedisUrl(String);

impl RedisConfig {
    /// What fred is told.
    pub(super) fn client(&self) -> Result<Config, BadRedisUrl> {
        let scheme = self.url.split("://").next().unwrap_or_default();
        let known = ["redis", "rediss", "valkey", "valkeys"]
            .iter()
            .filter_map(|base| scheme.strip_prefix(base))
            .any(|rest| ["", "-cluster", "-sentinel", "+unix"].contains(&rest));
        if !self.url.contains("://") || !known {
            return Err(BadRedisUrl("it does not begin with redis:// or a scheme of its kind".to_owned()));
        }
        let mut config =
            Config::from_url(&self.url).map_err(|error: Error| BadRedisUrl(error.details().to_owned()))?;
        if self.password.is_some() {
            config.password.clone_from(&self.password);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> RedisConfig {
        RedisConfig {
            url: url.to_owned(),
            password: Some("hidden".to_owned()),
            stream: "s".to_owned(),
            maxlen: 10,
            max_age: None,
            window_bytes: 1 << 20,
            instance: "i".to_owned(),
            read_count: 10,
            read_block: Duration::from_secs(1),
            decode: DecodeRules { default_session: None, max_event_bytes: 1024 },
            pace: Pace::default(),
        }
    }

    #[test]
    fn urls() {
        for good in [
            "redis://127.0.0.1:6379",
            "redis://user:secret@host/2",
            "rediss://host",
            "valkey://host",
            "redis+unix:///run/redis.sock",
            "redis-sentinel://host:26379/0?sentinelServiceName=main",
            "redis-cluster://host:7000",
        ] {
            assert_eq!(config(good).client().err(), None, "{good}");
        }
        for bad in
            ["", "host:6379", "http://secret@host", "redis://", "redis://secret@host:x", "redis://h/a/b"]
        {
            let error = config(bad).client().expect_err(bad).to_string();
            assert!(error.contains("redis://[user:password@]host"), "{error}");
            assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let text = format!("{:?}", config("redis://user:secret@host"));
        assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    }
}

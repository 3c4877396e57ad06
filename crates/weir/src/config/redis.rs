//! Where Redis is, without showing its passwords.

use std::fmt;
use std::path::Path;

use url::Url;

/// The address of Redis as it was given, with its passwords. It displays and debugs without them.
#[derive(Clone)]
pub(crate) struct RedisUrl(
    // Invariant: a scheme of `SCHEMES`, and what that scheme needs.
    Url,
);

/// Not the address of a Redis. The text is not repeated, because it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRedisUrl {
    /// No URL of a known kind.
    #[error(
        "Redis is given as redis://HOST:6379, rediss://HOST:6379 (TLS), redis+unix:///PATH, redis-cluster://HOST:6379 \
         or redis-sentinel://HOST:26379?sentinelServiceName=NAME, with USER:PASSWORD@ before the host where it needs them"
    )]
    Form,
    /// Sentinels watch several services.
    #[error(
        "a Sentinel URL needs the name of the service: redis-sentinel://HOST:26379?sentinelServiceName=NAME"
    )]
    NoServiceName,
}

/// Why the file with the password is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadPassword {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// It holds nothing.
    #[error("it is empty")]
    Empty,
    /// There would be two.
    #[error("the URL of --redis has a password already: give it once")]
    Twice,
}

/// Where the shared log is.
#[derive(Clone)]
pub(crate) struct RedisSettings {
    /// Where it is, with its password where that stands in the URL.
    pub(crate) url: String,
    /// The password, where it was given by itself.
    pub(crate) password: Option<String>,
}

/// The URL schemes that are understood. Each is also one of Valkey, and of TLS with an `s` before the suffix.
const SCHEMES: [&str; 7] =
    ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel", "redis+unix"];

impl RedisUrl {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// [`BadRedisUrl`].
    pub(crate) fn parse(text: &str) -> Result<Self, BadRedisUrl> {
        let url = Url::parse(text).map_err(|_| BadRedisUrl::Form)?;
        let scheme = url.scheme().replacen("valkey", "redis", 1);
        let place = if scheme == "redis+unix" {
            url.path().len() > 1
        } else {
            url.has_host() && url.host_str() != Some("")
        };
        if !SCHEMES.contains(&scheme.as_str()) || !place {
            return Err(BadRedisUrl::Form);
        }
        let named = url.query_pairs().any(|(name, value)| name == "sentinelServiceName" && !value.is_empty());
        if scheme.ends_with("-sentinel") && !named {
            return Err(BadRedisUrl::NoServiceName);
        }
        Ok(Self(url))
    }

    /// The whole address, for the client of Redis alone.
    pub(crate) fn expose(&self) -> &str {
        self.0.as_str()
    }
}

/// Reads the password of a Redis; a line end at the end of the file is no part of it.
///
/// # Errors
/// [`BadPassword`].
pub(crate) fn read_password(url: &RedisUrl, file: &Path) -> Result<String, BadPassword> {
    if url.0.password().is_some() {
        return Err(BadPassword::Twice);
    }
    let text = std::fs::read_to_string(file)?;
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() { Err(BadPassword::Empty) } else { Ok(password.to_owned()) }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() && shown.set_password(Some("redacted")).is_err() {
            return f.write_str("redacted");
        }
        if self.0.query().is_some() {
            let hide = |name: &str| name.to_ascii_lowercase().contains("password");
            let pairs = self.0.query_pairs().map(|(name, value)| {
                let value = if hide(&name) { "redacted".into() } else { value };
                (name, value)
            });
            shown.query_pairs_mut().clear().extend_pairs(pairs);
        }
        shown.fmt(f)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = RedisUrl::parse(&self.url).map_or_else(|_| "redacted".to_owned(), |url| url.to_string());
        let password = self.password.as_ref().map(|_| "redacted");
        f.debug_struct("RedisSettings").field("url", &url).field("password", &password).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_is_documented() {
        for good in [
            "redis://127.0.0.1",
            "redis://u:p@h:6379/1",
            "rediss://h",
            "valkey://h",
            "valkeys://h",
            "redis+unix:///run/redis.sock",
            "redis-cluster://h:1?node=i:2",
            "valkeys-cluster://h:1",
            "redis-sentinel://h:26379?sentinelServiceName=m",
        ] {
            assert_eq!(RedisUrl::parse(good).unwrap().expose(), good);
        }
        for bad in [
            "",
            "127.0.0.1:6379",
            "localhost:6379",
            "http://h",
            "redis:h",
            "redis://",
            "redis+unix://",
            "rediz://h",
        ] {
            assert_eq!(RedisUrl::parse(bad).err(), Some(BadRedisUrl::Form), "{bad}");
        }
        assert_eq!(RedisUrl::parse("redis-sentinel://h:1").err(), Some(BadRedisUrl::NoServiceName));
    }

    #[test]
    fn passwords_do_not_show() {
        let url = "redis-sentinel://u:secret1@h:1?sentinelServiceName=m&sentinelPassword=secret2";
        let settings = RedisSettings { url: url.to_owned(), password: Some("secret3".to_owned()) };
        let parsed = RedisUrl::parse(url).unwrap();
        for shown in [format!("{settings:?}"), format!("{parsed:?}"), parsed.to_string()] {
            assert!(!shown.contains("secret"), "{shown}");
            assert!(shown.contains("u:redacted@h:1"), "{shown}");
        }
        assert_eq!(RedisUrl::parse("redis://h:1/2").unwrap().to_string(), "redis://h:1/2");
    }

    #[test]
    fn a_password_is_given_once_and_is_not_empty() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = RedisUrl::parse("redis://u@h").unwrap();
        assert!(matches!(read_password(&plain, file.path()), Err(BadPassword::Empty)));
        std::fs::write(file.path(), " pass word\r\n").unwrap();
        assert_eq!(read_password(&plain, file.path()).unwrap(), " pass word");
        let with = RedisUrl::parse("redis://u:p@h").unwrap();
        assert!(matches!(read_password(&with, file.path()), Err(BadPassword::Twice)));
        assert!(matches!(read_password(&plain, Path::new("/nowhere")), Err(BadPassword::Unreadable(_))));
    }
}

//! Where Redis is, without showing its passwords.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;
use weir_log::{RedisAccess, RedisTls};

use crate::args::redis::RedisArgs;

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

/// Files and an address that do not go together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRedis {
    /// A file for nothing.
    #[error("--{0} has no effect without --redis: give both or none")]
    WithoutRedis(&'static str),
    /// A file of no use.
    #[error("cannot use --{flag} {}: {cause}", .file.display())]
    File { flag: &'static str, file: PathBuf, cause: BadFile },
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFile {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// It holds nothing.
    #[error("it is empty")]
    Empty,
    /// There would be two passwords.
    #[error("the URL of --redis has a password already: give it once")]
    Twice,
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

/// Reads what the flags name.
///
/// # Errors
/// [`BadRedis`].
pub(crate) fn access(args: &RedisArgs) -> Result<Option<RedisAccess>, BadRedis> {
    let files = [
        ("redis-password-file", &args.redis_password_file),
        ("redis-ca-file", &args.redis_ca_file),
        ("redis-cert-file", &args.redis_cert_file),
        ("redis-key-file", &args.redis_key_file),
    ];
    let Some(url) = &args.redis else {
        let needless = files.iter().find(|(_, file)| file.is_some());
        return needless.map_or(Ok(None), |(flag, _)| Err(BadRedis::WithoutRedis(flag)));
    };
    let [password, ca, certificate, key] = files.map(|(flag, file)| Named { flag, file: file.as_deref() });
    let identity = certificate.read(all)?.zip(key.read(all)?);
    Ok(Some(RedisAccess {
        url: url.expose().to_owned(),
        password: password.read(|file| read_password(url, file))?,
        password_file: args.redis_password_file.clone(),
        tls: RedisTls { ca: ca.read(all)?, identity },
    }))
}

/// A file and the flag that names it.
struct Named<'a> {
    flag: &'static str,
    file: Option<&'a Path>,
}

impl Named<'_> {
    fn read<T>(&self, read: impl FnOnce(&Path) -> Result<T, BadFile>) -> Result<Option<T>, BadRedis> {
        let bad = |file: &Path, cause| BadRedis::File { flag: self.flag, file: file.to_owned(), cause };
        self.file.map(|file| read(file).map_err(|cause| bad(file, cause))).transpose()
    }
}

fn all(file: &Path) -> Result<Vec<u8>, BadFile> {
    let bytes = std::fs::read(file)?;
    if bytes.is_empty() { Err(BadFile::Empty) } else { Ok(bytes) }
}

/// A line end at the end of the file is no part of the password.
fn read_password(url: &RedisUrl, file: &Path) -> Result<String, BadFile> {
    if url.0.password().is_some() {
        return Err(BadFile::Twice);
    }
    let text = std::fs::read_to_string(file)?;
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() { Err(BadFile::Empty) } else { Ok(password.to_owned()) }
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
        let parsed = RedisUrl::parse(url).unwrap();
        for shown in [format!("{parsed:?}"), parsed.to_string()] {
            assert!(!shown.contains("secret"), "{shown}");
            assert!(shown.contains("u:redacted@h:1"), "{shown}");
        }
        assert_eq!(RedisUrl::parse("redis://h:1/2").unwrap().to_string(), "redis://h:1/2");
    }

    #[test]
    fn a_password_is_given_once_and_is_not_empty() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let plain = RedisUrl::parse("redis://u@h").unwrap();
        assert!(matches!(read_password(&plain, file.path()), Err(BadFile::Empty)));
        std::fs::write(file.path(), " pass word\r\n").unwrap();
        assert_eq!(read_password(&plain, file.path()).unwrap(), " pass word");
        let with = RedisUrl::parse("redis://u:p@h").unwrap();
        assert!(matches!(read_password(&with, file.path()), Err(BadFile::Twice)));
        assert!(matches!(read_password(&plain, Path::new("/nowhere")), Err(BadFile::Unreadable(_))));
    }

    #[test]
    fn files_without_a_redis_are_a_mistake() {
        let args = |redis: Option<&str>, ca: &str| RedisArgs {
            redis: redis.map(|url| RedisUrl::parse(url).unwrap()),
            redis_password_file: None,
            redis_ca_file: Some(PathBuf::from(ca)),
            redis_cert_file: None,
            redis_key_file: None,
            stream: "s".to_owned(),
        };
        let error = access(&args(None, "ca.pem")).unwrap_err().to_string();
        assert_eq!(error, "--redis-ca-file has no effect without --redis: give both or none");
        let error = access(&args(Some("rediss://h"), "/nowhere.pem")).unwrap_err().to_string();
        assert!(error.starts_with("cannot use --redis-ca-file /nowhere.pem: "), "{error}");
    }
}

//! How Redis is reached: address, password, and whom to trust.

use std::fmt;
use std::path::{Path, PathBuf};

use fred::error::Error;
use fred::types::RespVersion;
use fred::types::config::{Config, Server, ServerConfig, TlsConnector};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::link::PATIENCE;

/// Where a Redis is and how it is convinced to answer.
#[derive(Clone)]
pub struct RedisAccess {
    /// Its address, in the forms that fred documents.
    pub url: String,
    /// Stands in for the password of the URL.
    pub password: Option<String>,
    /// Where the password stands. It is read anew for every connection, so that it can be changed while instances run; what
    /// cannot be read leaves the one of before.
    pub password_file: Option<PathBuf>,
    /// For the URLs that ask for TLS.
    pub tls: RedisTls,
}

/// Certificates, as the text of PEM files.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// Who may vouch for Redis; without it, whom the system trusts.
    pub ca: Option<Vec<u8>>,
    /// Who this side is, where Redis asks: a chain of certificates and its private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Redis cannot be reached with what was given. No text repeats the URL, because it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRedisAccess {
    /// The URL leads nowhere.
    #[error(
        "the Redis URL cannot be used ({0}); it looks like redis://[user:password@]host[:6379][/database], with \
         rediss:// for TLS, redis+unix:///path for a socket, redis-sentinel:// or redis-cluster://"
    )]
    Url(String),
    /// Certificates for a connection without TLS.
    #[error("certificates for Redis have no effect without TLS: begin the URL with rediss://")]
    NotTls,
    /// The file of authorities.
    #[error("the file of certificate authorities holds no certificate in PEM form")]
    Ca,
    /// The own certificate.
    #[error("the client certificate or its key cannot be used: both must be in PEM form and belong together")]
    Identity,
    /// The system's own store.
    #[error(
        "the certificate authorities of this system cannot be read ({0}): name a file with --redis-ca-file"
    )]
    System(String),
}

/// The URL schemes of one connection, without the letter that asks for TLS.
const KINDS: [&str; 4] = ["", "-cluster", "-sentinel", "+unix"];

impl RedisAccess {
    /// What fred is told.
    pub(super) fn client(&self) -> Result<Config, BadRedisAccess> {
        let (plain, tls) = self.scheme()?;
        let url = |error: Error| BadRedisAccess::Url(error.details().to_owned());
        let mut config = Config::from_url(&plain).map_err(url)?;
        // Its greeting is taken also by a server whose disk is full, which refuses the ping of the older one.
        config.version = RespVersion::RESP3;
        bare_hosts(&mut config.server);
        if self.password.is_some() {
            config.password.clone_from(&self.password);
        }
        match (tls, self.tls.is_empty()) {
            (true, _) => config.tls = Some(self.tls.connector()?.into()),
            (false, false) => return Err(BadRedisAccess::NotTls),
            (false, true) => {}
        }
        Ok(config)
    }

    /// The URL without TLS, and whether it asked for it. The client would ask the system for certificates wherever the URL
    /// asks for TLS, also where others were given.
    fn scheme(&self) -> Result<(String, bool), BadRedisAccess> {
        let unknown =
            || BadRedisAccess::Url("it does not begin with redis:// or a scheme of its kind".to_owned());
        let (scheme, rest) = self.url.split_once("://").ok_or_else(unknown)?;
        let found = ["redis", "valkey"].iter().find_map(|base| {
            let kind = scheme.strip_prefix(base)?;
            let (tls, kind) = kind.strip_prefix('s').map_or((false, kind), |kind| (true, kind));
            KINDS.contains(&kind).then(|| (format!("{base}{kind}://{rest}"), tls))
        });
        found.ok_or_else(unknown)
    }
}

/// Takes the brackets of a URL off addresses of IPv6: they belong to no name, neither one that is looked up nor one in a
/// certificate.
fn bare_hosts(servers: &mut ServerConfig) {
    let servers = match servers {
        ServerConfig::Centralized { server } => std::slice::from_mut(server),
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => hosts,
        ServerConfig::Unix { .. } => &mut [],
    };
    for server in servers {
        if let Some(host) = server.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            *server = Server::new(host.to_owned(), server.port);
        }
    }
}

/// The password in a file; a line end at its end is no part of it.
pub(super) async fn password_in(file: &Path) -> Option<String> {
    let file = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file));
    // A file system that hangs must not keep an instance from Redis.
    let text = tokio::time::timeout(PATIENCE, read).await.ok()?.ok()?.ok()?;
    let password = text.trim_end_matches(['\n', '\r']);
    (!password.is_empty()).then(|| password.to_owned())
}

impl RedisTls {
    fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none()
    }

    fn connector(&self) -> Result<TlsConnector, BadRedisAccess> {
        if self.is_empty() {
            return TlsConnector::default_rustls()
                .map_err(|error| BadRedisAccess::System(error.details().to_owned()));
        }
        let builder = ClientConfig::builder().with_root_certificates(self.roots()?);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate).ok_or(BadRedisAccess::Identity)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| BadRedisAccess::Identity)?;
                builder.with_client_auth_cert(chain, key).map_err(|_| BadRedisAccess::Identity)?
            }
        };
        Ok(config.into())
    }

    fn roots(&self) -> Result<RootCertStore, BadRedisAccess> {
        let given = match &self.ca {
            Some(pem) => certificates(pem).ok_or(BadRedisAccess::Ca)?,
            None => {
                let system = rustls_native_certs::load_native_certs();
                match (system.certs.is_empty(), system.errors.first()) {
                    (true, Some(error)) => return Err(BadRedisAccess::System(error.to_string())),
                    (true, None) | (false, _) => system.certs,
                }
            }
        };
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(given);
        if added == 0 && self.ca.is_some() { Err(BadRedisAccess::Ca) } else { Ok(roots) }
    }
}

/// All certificates of a PEM text; `None` where there is none or one is broken.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}

impl fmt::Debug for RedisAccess {
    /// Without URL and password, because both hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAccess").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisTls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ca, identity) = (self.ca.is_some(), self.identity.is_some());
        f.debug_struct("RedisTls").field("ca", &ca).field("identity", &identity).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str) -> RedisAccess {
        let password = Some("hidden".to_owned());
        RedisAccess { url: url.to_owned(), password, password_file: None, tls: RedisTls::default() }
    }

    #[test]
    fn urls() {
        for good in [
            "redis://127.0.0.1:6379",
            "redis://user:secret@host/2",
            "rediss://host",
            "valkey://host",
            "valkeys://host",
            "redis+unix:///run/redis.sock",
            "redis-sentinel://host:26379/0?sentinelServiceName=main",
            "rediss-sentinel://host:26379/0?sentinelServiceName=main",
            "redis-cluster://host:7000",
        ] {
            let config = access(good).client().unwrap_or_else(|error| panic!("{good}: {error}"));
            assert_eq!(config.tls.is_some(), good.contains("rediss") || good.contains("valkeys"), "{good}");
        }
        for bad in
            ["", "host:6379", "http://secret@host", "redis://", "redis://secret@host:x", "redis://h/a/b"]
        {
            let error = access(bad).client().expect_err(bad).to_string();
            assert!(error.contains("redis://[user:password@]host"), "{error}");
            assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn an_address_is_known_by_itself() {
        for url in [
            "redis://[::1]:6379",
            "rediss://user:secret@[::1]:6379/2",
            "redis-cluster://[::1]:6379",
            "redis-sentinel://[::1]:6379/0?sentinelServiceName=main",
        ] {
            let config = access(url).client().unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(config.server.hosts(), [Server::new("::1", 6379)], "{url}");
        }
    }

    #[test]
    fn certificates_that_are_none() {
        let with = |url, ca: Option<&[u8]>, identity: Option<&[u8]>| {
            let tls = RedisTls {
                ca: ca.map(<[u8]>::to_vec),
                identity: identity.map(|text| (text.to_vec(), text.to_vec())),
            };
            RedisAccess { tls, ..access(url) }.client().err()
        };
        assert_eq!(with("redis://h", Some(b"x"), None), Some(BadRedisAccess::NotTls));
        assert_eq!(with("rediss://h", Some(b"x"), None), Some(BadRedisAccess::Ca));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(with("rediss://h", Some(broken), None), Some(BadRedisAccess::Ca));
        assert_eq!(with("rediss://h", None, Some(b"x")), Some(BadRedisAccess::Identity));
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let text = format!("{:?}", access("redis://user:secret@host"));
        assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
    }
}

//! What an instance is told, as plain values.
//!
//! - [`cgroup`]: how much memory it may have
//! - [`data_dir`]: where what outlives it is kept
//! - [`fd_limit`]: how many files this process may open, and how many clients that allows
//! - [`redis`]: where Redis is, without showing its passwords
//! - [`tokens`]: what tokens are checked with
//! - [`warning`]: what works, but hardly as it was meant

pub(crate) mod cgroup;
pub(crate) mod data_dir;
pub(crate) mod fd_limit;
pub(crate) mod redis;
pub(crate) mod tokens;
pub(crate) mod warning;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use weir_core::mailbox::Overflow;
use weir_core::{DecodeRules, EventType, Session};
use weir_http::admin::door::{AdminToken, BadAdminToken};
use weir_http::admission::Limits;
use weir_http::app::{AnonymousAccess, Refuse};
use weir_http::cors::Origin;
use weir_http::proxies::{Proxies, ProxyProtocol};
use weir_http::tls::TlsFiles;

use crate::args::serve::{AnonymousChoice, LogFormat, LogLevel, OverflowChoice, RefuseChoice, ServeArgs};
use crate::args::value;
use fd_limit::FdLimit;
use redis::BadRedis;
use tokens::{BadKeyFile, TokenConfig};
use weir_log::RedisAccess;

/// The settings of `weir serve`. `docs/configuration.md` tells what each means.
#[derive(Clone, Debug)]
pub(crate) struct ServeConfig {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) agent_listen: Option<SocketAddr>,
    /// What admin calls need.
    pub(crate) admin_token: Option<AdminToken>,
    /// Where that stands.
    pub(crate) admin_token_file: Option<PathBuf>,
    pub(crate) redis: Option<RedisAccess>,
    pub(crate) stream: String,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) maxlen: usize,
    pub(crate) max_age: Option<Duration>,
    pub(crate) window_bytes: usize,
    pub(crate) stream_maxlen: Option<usize>,
    pub(crate) stream_bytes: usize,
    pub(crate) instance: String,
    pub(crate) read_count: usize,
    pub(crate) read_block: Duration,
    pub(crate) queue_events: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) overflow: Overflow,
    pub(crate) long_poll_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) retry: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) max_event_bytes: usize,
    pub(crate) max_append_bytes: usize,
    pub(crate) limits: Limits,
    pub(crate) max_sessions_per_connection: usize,
    pub(crate) max_connection_age: Option<Duration>,
    pub(crate) drain_delay: Duration,
    pub(crate) drain_window: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) ready_grace: Duration,
    pub(crate) refuse: Refuse,
    pub(crate) default_session: Option<Session>,
    pub(crate) anonymous: AnonymousAccess,
    pub(crate) tokens: TokenConfig,
    pub(crate) cors_origins: Vec<Origin>,
    pub(crate) proxies: Proxies,
    /// Where the totals of all instances are.
    pub(crate) stats_key: Option<String>,
    /// Event types with a label of their own in `weir_events_total` (`--metric-types`).
    pub(crate) metric_types: Vec<EventType>,
    pub(crate) log: LogSettings,
}

/// How the instance logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSettings {
    pub(crate) format: LogFormat,
    pub(crate) level: LogLevel,
}

/// Settings that do not go together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Strangers could connect and nobody said what they may do.
    #[error(
        "--listen {0} can be reached from other machines: say what tokens are checked with, such as \
         --jwt-secret-file FILE, or who needs none with --anonymous none, subscribe, publish or all"
    )]
    PublicWithoutAuth(SocketAddr),
    /// Strangers could reach the admin calls.
    #[error(
        "--admin-listen {0} can be reached from other machines: give the token that admin calls need with \
         --admin-token-file, or use an address of this machine alone, such as 127.0.0.1:8081"
    )]
    PublicAdmin(SocketAddr),
    /// The file of the admin token cannot be read.
    #[error("--admin-token-file {}: {error}", file.display())]
    NoAdminToken { file: PathBuf, error: io::Error },
    /// The file of the admin token holds none.
    #[error("--admin-token-file {}: {error}", file.display())]
    BadAdminToken { file: PathBuf, error: BadAdminToken },
    /// Two listeners cannot share an address.
    #[error(
        "{0} is given to two listeners: choose another port for one of --listen, --admin-listen and --agent-listen"
    )]
    SameAddress(SocketAddr),
    /// See [`BadKeyFile`].
    #[error(transparent)]
    Key(#[from] BadKeyFile),
    /// Nobody is named whose header would be believed.
    #[error(
        "--proxy-protocol needs --trusted-proxy: name the load balancers whose header is believed, such as 10.0.0.0/8"
    )]
    ProxyProtocolWithoutProxy,
    /// A certificate without its key, or the other way round.
    #[error("--tls-cert and --tls-key belong together, and {0} is missing")]
    HalfTls(&'static str),
    /// There would be two places for the same.
    #[error(
        "--data-dir and --redis exclude each other: with --redis the data is kept in Redis, and nothing would be in the directory; \
         give one of them"
    )]
    KeptTwice,
    /// There is nowhere to add to.
    #[error(
        "--stats-key needs --redis, where all instances add to the same totals: give --redis, or leave it out, since /metrics has those \
         of an instance alone"
    )]
    StatsWithoutRedis,
    /// A key holds one thing.
    #[error("--stats-key is the key of the stream: choose another, such as weir:stats")]
    StatsInStream,
    /// See [`BadRedis`].
    #[error(transparent)]
    Redis(#[from] BadRedis),
}

impl ServeConfig {
    /// Makes settings of flags that each are right by themselves.
    ///
    /// # Errors
    /// [`ConfigError`], where they do not go together.
    pub(crate) fn new(args: ServeArgs, files: FdLimit) -> Result<Self, ConfigError> {
        let tokens = TokenConfig::new(&args.tokens)?;
        check_listeners(&args, tokens.has_keys())?;
        let redis = redis::access(&args.shared)?;
        if redis.is_some() && args.data_dir.is_some() {
            return Err(ConfigError::KeptTwice);
        }
        check_stats(&args)?;
        let admin_token = args.admin_token_file.as_deref().map(admin_token).transpose()?;
        Ok(Self {
            limits: limits(&args, files),
            anonymous: anonymous(&args, tokens.has_keys()),
            redis,
            admin_token,
            admin_token_file: args.admin_token_file,
            instance: args.instance.unwrap_or_else(host_name),
            max_age: args.max_age.0,
            max_connection_age: args.max_connection_age.0,
            overflow: overflow(args.overflow),
            refuse: refuse(args.refuse),
            tokens,
            proxies: proxies(args.trusted_proxy, args.proxy_protocol)?,
            log: LogSettings { format: args.log_format, level: args.log },
            tls: tls(args.tls_cert, args.tls_key)?,
            listen: args.listen,
            admin_listen: args.admin_listen,
            agent_listen: args.agent_listen,
            stream: args.shared.stream,
            data_dir: args.data_dir,
            maxlen: args.maxlen,
            window_bytes: args.window_bytes,
            stream_maxlen: args.stream_maxlen.0,
            stream_bytes: args.stream_bytes,
            read_count: args.read_count,
            read_block: args.read_block,
            queue_events: args.queue_events,
            queue_bytes: args.queue_bytes,
            long_poll_timeout: args.long_poll_timeout,
            heartbeat: args.heartbeat,
            retry: args.retry,
            stall_timeout: args.stall_timeout,
            max_event_bytes: args.max_event_bytes,
            max_append_bytes: args.max_append_bytes,
            max_sessions_per_connection: args.max_sessions_per_connection,
            drain_delay: args.drain_delay,
            drain_window: args.drain_window,
            shutdown_timeout: args.shutdown_timeout,
            ready_grace: args.ready_grace,
            cors_origins: args.cors_origin,
            default_session: args.default_session,
            stats_key: args.stats_key,
            metric_types: args.metric_types,
        })
    }

    /// How entries of the log are decoded.
    pub(crate) fn decode_rules(&self) -> DecodeRules {
        DecodeRules { default_session: self.default_session.clone(), max_event_bytes: self.max_event_bytes }
    }
}

fn check_listeners(args: &ServeArgs, has_keys: bool) -> Result<(), ConfigError> {
    let others = [Some(args.admin_listen), args.agent_listen];
    let all: Vec<SocketAddr> = args.listen.iter().copied().chain(others.into_iter().flatten()).collect();
    let twice =
        all.iter().enumerate().find(|(i, address)| address.port() != 0 && all[..*i].contains(address));
    if let Some((_, address)) = twice {
        return Err(ConfigError::SameAddress(*address));
    }
    let public = args.listen.iter().find(|address| !is_loopback(address));
    if let (Some(address), None, false) = (public, args.anonymous, has_keys) {
        return Err(ConfigError::PublicWithoutAuth(*address));
    }
    if !is_loopback(&args.admin_listen) && args.admin_token_file.is_none() {
        return Err(ConfigError::PublicAdmin(args.admin_listen));
    }
    Ok(())
}

fn check_stats(args: &ServeArgs) -> Result<(), ConfigError> {
    match &args.stats_key {
        Some(_) if args.shared.redis.is_none() => Err(ConfigError::StatsWithoutRedis),
        Some(key) if *key == args.shared.stream => Err(ConfigError::StatsInStream),
        Some(_) | None => Ok(()),
    }
}

/// Reads the token of admin calls.
///
/// # Errors
/// [`ConfigError`], where there is none in the file.
pub(crate) fn admin_token(file: &Path) -> Result<AdminToken, ConfigError> {
    let file = file.to_owned();
    match std::fs::read_to_string(&file) {
        Ok(text) => AdminToken::parse(&text).map_err(|error| ConfigError::BadAdminToken { file, error }),
        Err(error) => Err(ConfigError::NoAdminToken { file, error }),
    }
}

fn tls(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::HalfTls("--tls-key")),
        (None, Some(_)) => Err(ConfigError::HalfTls("--tls-cert")),
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The name of an instance that was given none.
fn host_name() -> String {
    value::instance_from(&gethostname::gethostname().to_string_lossy())
}

fn overflow(choice: OverflowChoice) -> Overflow {
    match choice {
        OverflowChoice::CatchUp => Overflow::CatchUp,
        OverflowChoice::DropOldest => Overflow::DropOldest,
        OverflowChoice::Latest => Overflow::Latest,
        OverflowChoice::Disconnect => Overflow::Disconnect,
    }
}

fn refuse(choice: RefuseChoice) -> Refuse {
    match choice {
        RefuseChoice::Soft => Refuse::Soft,
        RefuseChoice::Status => Refuse::Status,
    }
}

fn limits(args: &ServeArgs, files: FdLimit) -> Limits {
    Limits {
        clients: args.max_connections.unwrap_or_else(|| files.connections()),
        clients_per_ip: args.max_connections_per_ip.0,
        clients_per_subject: args.max_connections_per_subject.0,
        connect_rate: args.connect_rate.0,
        publish_rate: args.publish_rate.0,
        memory: args.memory_limit.0.map(|bytes| bytes as u64),
    }
}

fn proxies(trusted: Vec<IpNet>, protocol: bool) -> Result<Proxies, ConfigError> {
    if protocol && trusted.is_empty() {
        return Err(ConfigError::ProxyProtocolWithoutProxy);
    }
    let protocol = if protocol { ProxyProtocol::Required } else { ProxyProtocol::Off };
    Ok(Proxies { trusted, protocol })
}

/// Who talks to an instance that others reach, or that a proxy is told of, need not be on this machine, whatever it says.
fn anonymous(args: &ServeArgs, has_keys: bool) -> AnonymousAccess {
    let is_local = args.listen.iter().chain([&args.admin_listen]).all(is_loopback);
    match args.anonymous {
        None if !has_keys && is_local && args.trusted_proxy.is_empty() => AnonymousAccess::Local,
        None | Some(AnonymousChoice::None) => AnonymousAccess::None,
        Some(AnonymousChoice::Subscribe) => AnonymousAccess::Subscribe,
        Some(AnonymousChoice::Publish) => AnonymousAccess::Publish,
        Some(AnonymousChoice::All) => AnonymousAccess::All,
    }
}

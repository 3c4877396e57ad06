//! weir and whom it is compared with: how each is started as a competent user would, and spoken to.

use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::audience::{Audience, Opening, Plan};
use crate::cases::Bench;
use crate::child::Running;
use crate::poller::Poller;

/// The key of the stream, where there is one.
pub const STREAM: &str = "weir:events";

/// nginx with nchan. What stands in `@signs@` is filled in here.
const NGINX_CONFIG: &str = include_str!("../peers/nginx.conf");

/// All of them serve `GET` and `POST` of `/v1/sessions/<session>/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// weir with its embedded log.
    Weir,
    /// weir on Redis.
    WeirRedis,
    /// What the kernel alone costs.
    Floor,
    /// hyper with nothing of ours.
    BareHyper,
    /// nginx with nchan, messages in its memory.
    Nchan,
    /// The same, messages in Redis.
    NchanRedis,
    /// axum with broadcast channels.
    Axum,
    /// The same behind one reader of a Redis stream.
    AxumRedis,
    /// Fastify behind a group reader of a Redis stream by ioredis.
    FastifyRedis,
    /// Hono's `streamSSE`.
    Hono,
}

/// How each is set up beside what makes it itself.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Seconds between two signs of life on a silent stream.
    pub heartbeat_seconds: u64,
    /// About how many entries the stream keeps.
    pub maxlen: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { heartbeat_seconds: 15, maxlen: 5_000 }
    }
}

/// A server and what it needs, ended together, the server first.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub process: Running,
    /// The Redis behind it, of its own.
    pub redis: Option<Running>,
    opening: Opening,
    _directory: TempDir,
}

impl Started {
    /// Connects an audience to it.
    ///
    /// # Errors
    /// As [`Audience::connect`].
    pub fn audience(&self, poller: &Poller, plan: Plan) -> anyhow::Result<Audience> {
        Audience::connect_to(poller, (self.process.address, self.opening), plan)
    }
}

impl Server {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::WeirRedis => "weir + Redis",
            Self::Floor => "floor",
            Self::BareHyper => "bare hyper",
            Self::Nchan => "nchan",
            Self::NchanRedis => "nchan + Redis",
            Self::Axum => "axum",
            Self::AxumRedis => "axum + Redis",
            Self::FastifyRedis => "Fastify + Redis",
            Self::Hono => "Hono",
        }
    }

    /// Starts it on the server's core, and a Redis beside the generator where it needs one.
    ///
    /// # Errors
    /// It is not installed, or does not come up.
    pub fn start(self, bench: &Bench, settings: Settings) -> anyhow::Result<Started> {
        let directory = tempfile::tempdir_in(&bench.scratch)?;
        let redis = self.on_redis().then(|| Running::redis(bench.cores, directory.path())).transpose()?;
        let url = redis.as_ref().map(|redis| format!("redis://{}", redis.address)).unwrap_or_default();
        let process = match self {
            Self::Weir | Self::WeirRedis => weir(bench, settings, &url),
            Self::Floor => Running::floor(&bench.binaries, bench.cores),
            Self::Nchan | Self::NchanRedis => {
                Running::nginx(bench.cores, directory.path(), &nginx_config(settings, &url))
            }
            Self::BareHyper => peer(bench, settings, &url, "release/bare_hyper"),
            Self::Axum => peer(bench, settings, &url, "release/axum_memory"),
            Self::AxumRedis => peer(bench, settings, &url, "release/axum_redis"),
            Self::FastifyRedis => peer(bench, settings, &url, "node/fastify.js"),
            Self::Hono => peer(bench, settings, &url, "node/hono.js"),
        };
        let process = process.with_context(|| format!("start {}", self.name()))?;
        Ok(Started { process, redis, opening: self.opening(), _directory: directory })
    }

    fn on_redis(self) -> bool {
        match self {
            Self::WeirRedis | Self::NchanRedis | Self::AxumRedis | Self::FastifyRedis => true,
            Self::Weir | Self::Floor | Self::BareHyper | Self::Nchan | Self::Axum | Self::Hono => false,
        }
    }

    fn opening(self) -> Opening {
        match self {
            Self::Weir | Self::WeirRedis | Self::Floor => Opening::Connected,
            Self::BareHyper
            | Self::Nchan
            | Self::NchanRedis
            | Self::Axum
            | Self::AxumRedis
            | Self::FastifyRedis
            | Self::Hono => Opening::Head,
        }
    }
}

/// A server of `benches/peers`.
fn peer(bench: &Bench, settings: Settings, redis: &str, file: &str) -> anyhow::Result<Running> {
    let path = bench.binaries.peers.join(file);
    ensure!(path.exists(), "{} is missing: `make bench` builds the peers", path.display());
    let mut command = if file.ends_with(".js") { Command::new("node") } else { Command::new(&path) };
    if file.ends_with(".js") {
        command.arg(&path).env("NODE_ENV", "production");
    }
    command.env("HEARTBEAT_SECONDS", settings.heartbeat_seconds.to_string());
    command.envs([("REDIS_URL", redis), ("STREAM", STREAM), ("MAXLEN", &settings.maxlen.to_string())]);
    Running::server(command, bench.cores)
}

fn weir(bench: &Bench, settings: Settings, redis: &str) -> anyhow::Result<Running> {
    let mut args = vec!["--heartbeat".to_owned(), format!("{}s", settings.heartbeat_seconds)];
    args.extend(["--maxlen".to_owned(), settings.maxlen.to_string()]);
    if !redis.is_empty() {
        args.extend(["--redis", redis, "--stream", STREAM].map(str::to_owned));
    }
    Running::weir(&bench.binaries, bench.cores, &args)
}

fn nginx_config(settings: Settings, redis: &str) -> String {
    let (upstream, store) = if redis.is_empty() {
        (String::new(), "")
    } else {
        (format!("upstream redis {{ nchan_redis_server {redis}; }}"), "nchan_redis_pass redis;")
    };
    NGINX_CONFIG
        .replace("@heartbeat@", &settings.heartbeat_seconds.to_string())
        .replace("@upstream@", &upstream)
        .replace("@store@", store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nginx_is_told_is_whole() {
        let memory = nginx_config(Settings::default(), "");
        let redis = nginx_config(Settings::default(), "redis://127.0.0.1:7");
        for (config, store) in [(&memory, false), (&redis, true)] {
            let filled = config.replace("@directory@", "/d").replace("@address@", "127.0.0.1:8");
            let settings = filled.lines().filter(|line| !line.starts_with('#'));
            assert!(!settings.clone().any(|line| line.contains('@')), "{filled}");
            assert_eq!(filled.contains("nchan_redis_pass redis;"), store, "{filled}");
        }
        assert!(redis.contains("nchan_redis_server redis://127.0.0.1:7;"), "{redis}");
    }
}

//! Settings that work, but hardly as they were meant.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_http::app::AnonymousAccess;

use super::fd_limit::FdLimit;
use super::{ServeConfig, cgroup, is_loopback};

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// Clients are cut before their turn to be released.
    DrainBeyondTimeout { drain: Duration, timeout: Duration },
    /// More clients are let in than files can be opened.
    ConnectionsBeyondFiles { connections: usize, files: u64 },
    /// The kernel kills the instance before it turns anybody away.
    MemoryBeyondCgroup { limit: u64, cgroup: u64 },
    /// What the instance keeps for its clients reaches the limit by itself.
    MemoryBelowWindow { limit: u64, window: u64 },
    /// There is nothing that a call could show.
    NobodyMayCall,
    /// Strangers may write what everybody reads.
    StrangersPublish(SocketAddr),
    /// A provider of keys has other services, too.
    AnyAudience,
    /// Everybody on this machine can make tokens.
    OpenSecret(PathBuf),
}

impl ServeConfig {
    /// What an operator should know before it hurts.
    pub(crate) fn warnings(&self, files: FdLimit) -> Vec<Warning> {
        let drain = self.drain_delay + self.drain_window;
        let connections = self.limits.clients;
        let beyond_timeout = (drain > self.shutdown_timeout)
            .then_some(Warning::DrainBeyondTimeout { drain, timeout: self.shutdown_timeout });
        let beyond_files = (connections > files.connections())
            .then_some(Warning::ConnectionsBeyondFiles { connections, files: files.files });
        let public = self.listen.iter().find(|address| !is_loopback(address));
        let strangers = public
            .filter(|_| matches!(self.anonymous, AnonymousAccess::Publish | AnonymousAccess::All))
            .map(|address| Warning::StrangersPublish(*address));
        let nobody = (self.anonymous == AnonymousAccess::None && !self.tokens.has_keys())
            .then_some(Warning::NobodyMayCall);
        let audience = self.tokens.takes_any_audience().then_some(Warning::AnyAudience);
        let secrets = self.tokens.open_secrets().map(|file| Warning::OpenSecret(file.to_owned()));
        beyond_timeout
            .into_iter()
            .chain(beyond_files)
            .chain(nobody)
            .chain(strangers)
            .chain(audience)
            .chain(secrets)
            .chain(self.memory_warnings())
            .collect()
    }

    fn memory_warnings(&self) -> impl Iterator<Item = Warning> {
        let limit = self.limits.memory;
        // The window, and the snapshots, which may take as much.
        let window = self.window_bytes.saturating_mul(2) as u64;
        let cgroup = limit.and_then(|limit| Some((limit, cgroup::memory_limit()?)));
        let beyond = cgroup
            .filter(|(limit, cgroup)| limit >= cgroup)
            .map(|(limit, cgroup)| Warning::MemoryBeyondCgroup { limit, cgroup });
        let below =
            limit.filter(|limit| *limit <= window).map(|limit| Warning::MemoryBelowWindow { limit, window });
        beyond.into_iter().chain(below)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DrainBeyondTimeout { drain, timeout } => write!(
                f,
                "--drain-delay and --drain-window take {drain:?} together, --shutdown-timeout allows {timeout:?}: \
                 clients whose turn comes later are cut"
            ),
            Self::ConnectionsBeyondFiles { connections, files } => write!(
                f,
                "--max-connections is {connections}, but this process may open {files} files: \
                 raise the limit (ulimit -n, LimitNOFILE=) or lower the flag"
            ),
            Self::MemoryBeyondCgroup { limit, cgroup } => write!(
                f,
                "--memory-limit is {limit}, but the control group of this process may have {cgroup} bytes: \
                 the kernel ends it before it turns anybody away; lower the flag to about four fifths of that"
            ),
            Self::MemoryBelowWindow { limit, window } => write!(
                f,
                "--memory-limit is {limit}, but window and snapshots may take {window} bytes: \
                 raise the flag or lower --window-bytes, or nobody is let in once they are full"
            ),
            Self::NobodyMayCall => f.write_str(
                "nobody may publish or subscribe: there are no keys to check tokens with, and without --anonymous nobody needs none \
                 where another machine reaches a listener or a --trusted-proxy is named; give keys, or --anonymous subscribe, publish or all",
            ),
            Self::StrangersPublish(address) => write!(
                f,
                "--anonymous lets everybody publish who can reach --listen {address}: \
                 have publishers show a token, with --jwt-secret-file and --anonymous subscribe or none"
            ),
            Self::AnyAudience => f.write_str(
                "--jwks-url without --jwt-audience: tokens that the same provider makes for other services are taken, too",
            ),
            Self::OpenSecret(file) => write!(
                f,
                "every user of this machine can read the secret in {}, and make tokens with it: chmod 600 it",
                file.display()
            ),
        }
    }
}

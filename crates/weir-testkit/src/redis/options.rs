//! How a private server differs from the usual one.

use std::path::{Path, PathBuf};

use crate::certificates::Pair;

/// Which program is the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Software {
    /// `redis-server`.
    #[default]
    Redis,
    /// `valkey-server`.
    Valkey,
}

/// What a server is started with beside the usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) software: Software,
    /// Where it is to listen, if that is free.
    pub(super) port: Option<u16>,
    /// `--name value…` of the configuration.
    pub(super) args: Vec<String>,
    /// The only way in, where it is no port.
    pub(super) socket: Option<PathBuf>,
    /// Who the test itself is.
    pub(super) login: Option<[String; 2]>,
    /// Ports that are chosen with the server's own, by the name of their setting.
    pub(super) ports: Vec<&'static str>,
    /// The configuration of a Sentinel, which is no server then.
    pub(super) sentinel: Option<String>,
}

impl Software {
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }
}

impl From<Software> for Options {
    fn from(software: Software) -> Self {
        Self { software, ..Self::default() }
    }
}

impl Options {
    /// Listens on this port, if it comes up there, and else on any.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// One more line of the configuration, its name and its values.
    #[must_use]
    pub fn set(mut self, name: &str, values: &[&str]) -> Self {
        self.args.push(format!("--{name}"));
        self.args.extend(values.iter().map(|value| (*value).to_owned()));
        self
    }

    /// A user of the access list, by its rules without `on`. The test itself must log in as a user that may do all
    /// ([`Self::logged_in_as`]), where the default user may not.
    #[must_use]
    pub fn user(self, name: &str, rules: &[&str]) -> Self {
        self.set("user", &[&[name, "on"], rules].concat())
    }

    /// The user by whom the test itself runs its commands.
    #[must_use]
    pub fn logged_in_as(mut self, name: &str, password: &str) -> Self {
        self.login = Some([name.to_owned(), password.to_owned()]);
        self
    }

    /// Listens on a Unix socket only.
    #[must_use]
    pub fn socket(mut self, path: &Path) -> Self {
        self.socket = Some(path.to_owned());
        let path = path.to_string_lossy();
        self.set("unixsocket", &[&path])
    }

    /// Follows another server of the loopback.
    #[must_use]
    pub fn replica_of(self, port: u16) -> Self {
        self.set("replicaof", &["127.0.0.1", &port.to_string()])
    }

    /// Speaks TLS on a port of its own ([`super::RedisServer::tls_port`]), with this certificate. Where `clients` names
    /// a file of authorities, only clients with a certificate of theirs are let in.
    #[must_use]
    pub fn tls(self, own: &Pair, clients: Option<&Path>) -> Self {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut options = self
            .set("tls-cert-file", &[&path(&own.certificate)])
            .set("tls-key-file", &[&path(&own.key)])
            .set("tls-auth-clients", &[if clients.is_some() { "yes" } else { "no" }])
            // Required even where no client is asked for a certificate.
            .set("tls-ca-cert-file", &[&path(clients.unwrap_or(&own.certificate))]);
        options.ports.push("tls-port");
        options
    }

    /// A node of a cluster.
    pub(super) fn cluster_node(self) -> Self {
        let mut options = self
            .set("cluster-enabled", &["yes"])
            .set("cluster-config-file", &["nodes.conf"])
            .set("cluster-node-timeout", &["1000"]);
        options.ports.push("cluster-port");
        options
    }

    /// A Sentinel with these lines.
    pub(super) fn sentinel(mut self, lines: String) -> Self {
        self.sentinel = Some(lines);
        self
    }
}

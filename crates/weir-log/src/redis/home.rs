//! Where the stream lives: at one address, with the master that Sentinels name, or in a slot of a cluster.
//!
//! The client's own modes for Sentinel and cluster are not used: they redirect, reconnect and send again by themselves,
//! which is what a reader with a position of its own must not have, and they ask the first Sentinel only. A connection is
//! always one to one server; which one is found out here.

pub(super) mod sentinel;
pub(super) mod shards;

use fred::types::config::{Config, ServerConfig};

use super::link::Terms;
use sentinel::Sentinels;
use shards::Shards;

/// How the server is found.
#[derive(Debug)]
pub(super) enum Home {
    /// It is the one of the URL.
    Fixed,
    /// Sentinels know.
    Watched(Sentinels),
    /// The nodes of a cluster know.
    Sharded(Shards),
}

impl Home {
    pub(super) fn of(config: &Config) -> Self {
        match &config.server {
            ServerConfig::Centralized { .. } | ServerConfig::Unix { .. } => Self::Fixed,
            ServerConfig::Clustered { hosts, .. } => Self::Sharded(Shards::new(hosts)),
            ServerConfig::Sentinel { hosts, service_name, username, password } => {
                let mut own = config.clone();
                own.username.clone_from(username);
                own.password.clone_from(password);
                own.database = None;
                Self::Watched(Sentinels::new(own, service_name, hosts))
            }
        }
    }

    pub(super) fn terms(&self) -> Terms {
        match self {
            Self::Fixed => Terms::Fixed,
            Self::Watched(_) => Terms::Master,
            Self::Sharded(_) => Terms::Owner,
        }
    }
}

//! What a server tells of itself.

use super::super::frame;
use super::{InspectError, Inspector, if_allowed};

/// What `INFO` says. What it leaves out is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `Redis`, or the name that another server gives itself.
    pub product: String,
    /// Its own version.
    pub version: Version,
    /// The version of Redis that it behaves like.
    pub like_redis: Version,
    /// Whether it is part of a Cluster.
    pub cluster: bool,
    /// The master it copies, where it is a replica.
    pub replica_of: Option<String>,
    /// Replicas that keep up, as `min-replicas-to-write` counts them; only told where that is set.
    pub good_replicas: Option<u64>,
    /// It is still reading its data from disk.
    pub loading: bool,
    /// Memory in use, in bytes.
    pub memory_used: Option<u64>,
    /// The bound of memory, 0 for none.
    pub memory_max: Option<u64>,
    /// Memory of the machine.
    pub memory_of_machine: Option<u64>,
    /// What goes when the bound is reached.
    pub eviction: Option<String>,
    /// Whether each write goes to a file.
    pub aof: Option<bool>,
    /// Whether the last write to that file failed.
    pub aof_failed: bool,
    /// Whether the last save of a snapshot failed.
    pub save_failed: bool,
    /// When a snapshot was last saved, in seconds since the Unix epoch.
    pub saved_at: Option<u64>,
    /// Connections now.
    pub clients: Option<u64>,
    /// Most connections.
    pub clients_max: Option<u64>,
}

/// Major, minor and patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Inspector {
    /// What the server tells of itself; `None` where this user may not ask.
    ///
    /// # Errors
    /// [`InspectError`].
    pub async fn server(&self) -> Result<Option<Server>, InspectError> {
        let Some(reply) = if_allowed(self.ask("INFO", &[]).await)? else { return Ok(None) };
        let text = frame::text(&reply).ok_or(InspectError::Garbled("INFO is no text"))?;
        Ok(Some(Server::parse(text)))
    }
}

impl Server {
    fn parse(info: &str) -> Self {
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
            lines.find(|(have, _)| *have == name).map(|(_, value)| value)
        };
        let number = |name: &str| field(name)?.parse::<u64>().ok();
        let failed = |name: &str| field(name).is_some_and(|status| status != "ok");
        let like_redis = Version::parse(field("redis_version").unwrap_or_default());
        let (product, version) = match (field("server_name"), field("valkey_version")) {
            (_, Some(version)) => ("Valkey".to_owned(), Version::parse(version)),
            (Some(name), None) if name != "redis" => (name.to_owned(), like_redis),
            (Some(_) | None, None) => ("Redis".to_owned(), like_redis),
        };
        let master = (field("role") == Some("slave")).then(|| {
            let [host, port] = ["master_host", "master_port"].map(|name| field(name).unwrap_or("?"));
            format!("{host}:{port}")
        });
        Self {
            product,
            version,
            like_redis,
            cluster: number("cluster_enabled") == Some(1) || field("redis_mode") == Some("cluster"),
            replica_of: master,
            good_replicas: number("min_slaves_good_slaves"),
            loading: number("loading") == Some(1),
            memory_used: number("used_memory"),
            memory_max: number("maxmemory"),
            memory_of_machine: number("total_system_memory"),
            eviction: field("maxmemory_policy").map(str::to_owned),
            aof: number("aof_enabled").map(|enabled| enabled == 1),
            aof_failed: failed("aof_last_write_status"),
            save_failed: failed("rdb_last_bgsave_status"),
            saved_at: number("rdb_last_save_time"),
            clients: number("connected_clients"),
            clients_max: number("maxclients"),
        }
    }
}

impl Version {
    fn parse(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| part.parse().unwrap_or_default());
        let mut next = || parts.next().unwrap_or_default();
        Self(next(), next(), next())
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_versions() {
        let redis = Server::parse("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n");
        assert_eq!((redis.product.as_str(), redis.version), ("Redis", Version(7, 0, 15)));
        let valkey =
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.3\r\nserver_mode:standalone\r\n";
        let valkey = Server::parse(valkey);
        assert_eq!((valkey.product.as_str(), valkey.version.to_string().as_str()), ("Valkey", "8.1.3"));
        assert_eq!(valkey.like_redis, Version(7, 2, 4));
        assert_eq!(Server::parse("server_name:other\r\nredis_version:6.0.9").product, "other");
    }

    #[test]
    fn states() {
        let replica =
            "role:slave\r\nmaster_host:h\r\nmaster_port:1\r\nloading:1\r\nrdb_last_bgsave_status:err\r\n";
        let replica = Server::parse(replica);
        assert_eq!(replica.replica_of.as_deref(), Some("h:1"));
        assert!(replica.loading && replica.save_failed && !replica.aof_failed && !replica.cluster);
        let nothing = Server::parse("");
        assert_eq!((nothing.memory_max, nothing.aof, nothing.version), (None, None, Version::default()));
        assert!(Server::parse("cluster_enabled:1\r\n").cluster);
    }
}

//! Whether the server can be relied on.

use std::time::Duration;

use weir_log::RedisAccess;
use weir_log::redis::inspect::server::{Server, Version};
use weir_log::redis::inspect::settings::Settings;

use super::super::amount;
use super::finding::Finding;
use crate::config::ServeConfig;

/// Judges a server, `now` being its own time in ms.
pub(super) fn judge(
    server: Option<&Server>,
    settings: &Settings,
    config: &ServeConfig,
    now: u64,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    match server {
        None => findings.push(Finding::unknown(
            "server",
            untold("INFO", "version, role, eviction, memory and persistence"),
        )),
        Some(server) => {
            findings.extend([version(server), role(server), eviction(server)]);
            findings.extend(server.loading.then(loading));
            findings.extend(cluster(server, config.redis.as_ref()));
            findings.extend(memory(server));
            findings.extend(connections(server));
            findings.push(persistence(server, settings, now));
            findings.extend(replicas(server, settings));
        }
    }
    match settings.save {
        None => findings.push(Finding::unknown(
            "settings",
            untold("CONFIG GET", "limits of replies, trimming and replicas"),
        )),
        Some(_) => findings
            .extend([output_buffer(settings, config), trimming(settings, config)].into_iter().flatten()),
    }
    findings
}

/// Managed servers hide some of this, and that is no fault.
fn untold(command: &str, unknown: &str) -> String {
    format!("Redis does not answer {command}: {unknown} are not known")
}

fn version(server: &Server) -> Finding {
    let Server { product, version, like_redis, .. } = server;
    let is = format!("{product} {version}");
    let newer = "use Redis 7 or newer, or Valkey";
    if *like_redis < Version(5, 0, 0) {
        return Finding::fail("version", format!("{is} has no streams")).advise(newer);
    }
    if *like_redis < Version(6, 2, 0) {
        return Finding::warn("version", format!("{is} trims by no age, and counts no entries"))
            .advise(newer);
    }
    if *like_redis < Version(7, 0, 0) {
        let finding = format!("{is} counts no entries: the lag, and how many were lost, are not known");
        return Finding::warn("version", finding).advise(newer);
    }
    if product != "Redis" && product != "Valkey" {
        return Finding::warn("version", format!("{is}, with which weir is not tested")).advise(newer);
    }
    Finding::ok("version", is)
}

fn role(server: &Server) -> Finding {
    match &server.replica_of {
        None => Finding::ok("role", "a master"),
        Some(master) => Finding::fail(
            "role",
            format!("a replica of {master}: publishes are refused, reading goes on without a group"),
        )
        .advise("point --redis at the master, or at Sentinels"),
    }
}

fn loading() -> Finding {
    Finding::fail("loading", "Redis still reads its data from disk").advise("wait until it is done")
}

fn cluster(server: &Server, access: Option<&RedisAccess>) -> Option<Finding> {
    let by_cluster = access.is_some_and(|access| access.url.contains("-cluster://"));
    if !server.cluster {
        return None;
    }
    if by_cluster {
        return Some(Finding::ok("cluster", "Redis is a Cluster, and is reached as one"));
    }
    let finding = "Redis is a Cluster, and --redis leads to one node of it, which may not have the stream";
    Some(Finding::warn("cluster", finding).advise("begin the URL with redis-cluster://"))
}

fn eviction(server: &Server) -> Finding {
    let Some(policy) = &server.eviction else {
        return Finding::unknown("eviction", "Redis does not tell its maxmemory-policy");
    };
    let (all, some) = (policy.starts_with("allkeys"), policy.starts_with("volatile"));
    let bounded = server.memory_max != Some(0);
    let advice = "CONFIG SET maxmemory-policy noeviction, and keep it in the configuration";
    match (all, some, bounded) {
        (true, _, true) => {
            let finding = format!("{policy} can evict the stream: the whole log would be gone at once");
            Finding::fail("eviction", finding).advise(advice)
        }
        (true, _, false) => {
            let finding = format!("{policy} can evict the stream as soon as somebody sets maxmemory");
            Finding::warn("eviction", finding).advise(advice)
        }
        (_, true, true) => {
            let finding = format!("{policy} can evict snapshots and what makes a repeated publish harmless");
            Finding::warn("eviction", finding).advise(advice)
        }
        (false, true, false) | (false, false, _) => {
            Finding::ok("eviction", format!("{policy} leaves the stream alone"))
        }
    }
}

fn memory(server: &Server) -> Option<Finding> {
    let (used, max) = (server.memory_used?, server.memory_max?);
    let (room, name) =
        if max > 0 { (max, "maxmemory") } else { (server.memory_of_machine?, "the machine's") };
    let finding = format!("{} of {} are used ({name})", amount::bytes(used), amount::bytes(room));
    if max > 0 && used >= max {
        return Some(
            Finding::fail("memory", finding)
                .advise("Redis refuses publishes now: raise maxmemory, or free some"),
        );
    }
    if used.saturating_mul(10) > room.saturating_mul(9) {
        return Some(Finding::warn("memory", finding).advise("make room before publishes are refused"));
    }
    let unbounded = max == 0;
    let finding = if unbounded { format!("{finding}, without a bound") } else { finding };
    Some(Finding::ok("memory", finding))
}

fn persistence(server: &Server, settings: &Settings, now: u64) -> Finding {
    let saves = settings.save.as_ref().map(|save| !save.is_empty());
    if server.aof_failed {
        return Finding::fail(
            "persistence",
            "the last write of the append-only file failed, and Redis refuses writes",
        )
        .advise("make room on its disk");
    }
    if server.save_failed {
        let refuses = saves == Some(true) && settings.stop_writes_on_failed_save == Some(true);
        let advice = "make room on its disk, and look at its log";
        return if refuses {
            Finding::fail(
                "persistence",
                "the last snapshot could not be saved, and Redis refuses writes (MISCONF)",
            )
            .advise(advice)
        } else {
            Finding::warn("persistence", "the last snapshot of the data could not be saved").advise(advice)
        };
    }
    let age = server
        .saved_at
        .map(|at| amount::time(Duration::from_millis(now.saturating_sub(at.saturating_mul(1000)))));
    match (server.aof, saves) {
        (Some(true), _) => Finding::ok("persistence", "each write goes to a file"),
        (_, Some(true)) => {
            let age = age.map_or_else(String::new, |age| format!(", {age} ago the last time"));
            let finding = format!("the data is saved now and then{age}: a crash loses what came after");
            Finding::ok("persistence", finding).advise("set appendonly yes to keep that too")
        }
        (_, None) => Finding::unknown(
            "persistence",
            "there is no append-only file; whether snapshots are saved is not told",
        ),
        (_, Some(false)) => {
            let finding =
                "nothing is saved: after a restart of Redis the log is empty, and clients are told reset";
            Finding::warn("persistence", finding).advise("set appendonly yes to keep it")
        }
    }
}

fn replicas(server: &Server, settings: &Settings) -> Option<Finding> {
    let wanted = settings.min_replicas.filter(|wanted| *wanted > 0)?;
    let good = server.good_replicas.unwrap_or_default();
    let finding = format!("{good} replicas keep up, and min-replicas-to-write is {wanted}");
    Some(if good < wanted {
        Finding::fail(
            "replicas",
            format!("{finding}: publishes are refused (NOREPLICAS), reading goes on without a group"),
        )
        .advise("bring the replicas back, or lower the setting")
    } else if good == wanted {
        Finding::warn("replicas", format!("{finding}: one less, and it stops")).advise("add a replica")
    } else {
        Finding::ok("replicas", finding)
    })
}

fn output_buffer(settings: &Settings, config: &ServeConfig) -> Option<Finding> {
    let limit = settings.output_limit?;
    let bound = [limit.hard, limit.soft].into_iter().filter(|bytes| *bytes > 0).min();
    let Some(bound) = bound else {
        return Some(Finding::ok(
            "output-buffer",
            "replies are not bounded (client-output-buffer-limit normal)",
        ));
    };
    let reply = u64::try_from(config.read_count.saturating_mul(config.max_event_bytes)).unwrap_or(u64::MAX);
    let (bound_text, reply_text) = (amount::bytes(bound), amount::bytes(reply));
    if bound < reply {
        let finding = format!(
            "a reply above {bound_text} is cut with its connection, and --read-count events of --max-event-bytes have {reply_text}"
        );
        let advice = "raise client-output-buffer-limit normal, or lower one of the two";
        return Some(Finding::warn("output-buffer", finding).advise(advice));
    }
    Some(Finding::ok(
        "output-buffer",
        format!("replies may have {bound_text}, and the largest has {reply_text}"),
    ))
}

fn connections(server: &Server) -> Option<Finding> {
    let (now, max) = (server.clients?, server.clients_max?);
    let finding = format!("{now} connections of {max} are used; each instance takes 2");
    Some(if now.saturating_mul(10) > max.saturating_mul(8) {
        Finding::warn("clients", finding).advise("raise maxclients of Redis")
    } else {
        Finding::ok("clients", finding)
    })
}

/// Redis trims whole nodes of a stream, so their size is how far it overshoots.
fn trimming(settings: &Settings, config: &ServeConfig) -> Option<Finding> {
    let (entries, bytes) = (settings.node_entries?, settings.node_bytes?);
    let maxlen = u64::try_from(config.maxlen).unwrap_or(u64::MAX);
    let advice = "set stream-node-max-entries to 100";
    if entries == 0 && bytes == 0 {
        return Some(
            Finding::warn("trimming", "the nodes of a stream have no bound, so it is never trimmed")
                .advise(advice),
        );
    }
    if entries > maxlen.max(100) && bytes > 4096 {
        let finding = format!(
            "a node of a stream has up to {entries} entries, and is trimmed as a whole, against --maxlen {maxlen}"
        );
        return Some(Finding::warn("trimming", finding).advise(advice));
    }
    Some(Finding::ok(
        "trimming",
        format!("the stream is trimmed by nodes of {entries} entries or {}", amount::bytes(bytes)),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn server(product: &str, version: Version, like_redis: Version) -> Server {
        Server {
            product: product.to_owned(),
            version,
            like_redis,
            cluster: false,
            replica_of: None,
            good_replicas: None,
            loading: false,
            memory_used: None,
            memory_max: None,
            memory_of_machine: None,
            eviction: None,
            aof: None,
            aof_failed: false,
            save_failed: false,
            saved_at: None,
            clients: None,
            clients_max: None,
        }
    }

    #[test]
    fn versions_that_tests_do_not_have() {
        let redis = |of| version(&server("Redis", of, of));
        for (of, level, says) in [
            (Version(4, 0, 14), Level::Fail, "Redis 4.0.14 has no streams"),
            (Version(6, 0, 16), Level::Warn, "trims by no age"),
            (Version(6, 2, 14), Level::Warn, "how many were lost, are not known"),
            (Version(7, 0, 0), Level::Ok, "Redis 7.0.0"),
            (Version(8, 4, 0), Level::Ok, "Redis 8.4.0"),
        ] {
            let finding = redis(of);
            assert!(finding.level == level && finding.finding.contains(says), "{finding:?}");
        }
        let valkey = version(&server("Valkey", Version(9, 0, 1), Version(7, 2, 4)));
        assert_eq!(valkey, Finding::ok("version", "Valkey 9.0.1"));
        let other = version(&server("dragonfly", Version(7, 4, 0), Version(7, 4, 0)));
        assert!(other.level == Level::Warn && other.finding.contains("not tested"), "{other:?}");
    }

    #[test]
    fn a_cluster_is_reached_as_one() {
        let at = |url: &str| RedisAccess {
            url: url.to_owned(),
            password: None,
            password_file: None,
            tls: weir_log::RedisTls::default(),
        };
        let mut redis = server("Redis", Version(7, 0, 0), Version(7, 0, 0));
        assert_eq!(cluster(&redis, Some(&at("redis://h"))), None);
        redis.cluster = true;
        let level = |url| cluster(&redis, Some(&at(url))).map(|finding| finding.level);
        assert_eq!((level("redis://h"), level("rediss-cluster://h")), (Some(Level::Warn), Some(Level::Ok)));
    }

    #[test]
    fn files_that_cannot_be_written() {
        let mut redis = server("Redis", Version(7, 0, 0), Version(7, 0, 0));
        let settings = Settings::default();
        redis.aof = Some(false);
        assert_eq!(persistence(&redis, &settings, 0).level, Level::Unknown, "managed, and hidden");
        redis.aof = Some(true);
        assert_eq!(persistence(&redis, &settings, 0).level, Level::Ok);
        redis.aof_failed = true;
        assert_eq!(persistence(&redis, &settings, 0).level, Level::Fail);
        assert_eq!(loading().level, Level::Fail);
    }
}

//! A cluster of three masters.

use std::time::Duration;

use anyhow::ensure;

use super::{Options, RedisServer, Software};
use crate::deadline::eventually;

/// Slots of every cluster.
const SLOTS: u32 = 16384;

/// How long a change may take until every node knows of it.
const PATIENCE: Duration = Duration::from_secs(40);

/// Masters that share the slots, and replicas of them.
#[derive(Debug)]
pub struct RedisCluster {
    /// Each of them; the masters come first.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three masters and waits until all of them agree.
    ///
    /// # Panics
    /// Where they do not.
    pub async fn start(software: Software) -> Self {
        let mut cluster = Self { nodes: Vec::new() };
        for place in 0..3 {
            let node = RedisServer::start_with(Options::from(software).cluster_node()).await;
            let (from, to) = (place * SLOTS / 3, (place + 1) * SLOTS / 3 - 1);
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]).await;
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]).await;
            cluster.nodes.push(node);
        }
        for node in &cluster.nodes[1..] {
            node.meet(&cluster.nodes[0]).await;
        }
        cluster.settled().await;
        cluster
    }

    /// Adds a replica of a master and waits until it has what the master has.
    ///
    /// # Panics
    /// Where it does not come up.
    pub async fn add_replica(&mut self, of: usize) {
        let software = self.nodes[of].options.software;
        let node = RedisServer::start_with(Options::from(software).cluster_node()).await;
        node.meet(&self.nodes[0]).await;
        let id = self.nodes[of].cli(&["CLUSTER", "MYID"]).await;
        let follows = eventually(PATIENCE, async || {
            node.try_cli(&["CLUSTER", "REPLICATE", &id]).await.map_err(anyhow::Error::msg)?;
            let info = node.cli(&["INFO", "replication"]).await;
            ensure!(info.contains("master_link_status:up"), "{info}");
            Ok(())
        });
        follows.await.unwrap_or_else(|error| panic!("no replica: {error:#}"));
        self.nodes.push(node);
        self.settled().await;
    }

    /// Waits until every node that runs knows all others and finds all slots served.
    ///
    /// # Panics
    /// Where that does not come about.
    pub async fn settled(&self) {
        let settled = eventually(PATIENCE, async || {
            for node in self.nodes.iter().filter(|node| node.process.is_some()) {
                let info = node.cli(&["CLUSTER", "INFO"]).await;
                let known = format!("cluster_known_nodes:{}", self.nodes.len());
                ensure!(info.contains("cluster_state:ok") && info.contains(&known), "{info}");
            }
            Ok(())
        });
        settled.await.unwrap_or_else(|error| panic!("the cluster does not settle: {error:#}"));
    }

    /// The URL by which clients find it: `seed` first, and the other masters after it.
    pub fn url(&self, seed: usize) -> String {
        let more: Vec<_> = (0..self.nodes.len())
            .filter(|other| *other != seed)
            .map(|other| format!("node=127.0.0.1:{}", self.nodes[other].port()))
            .collect();
        format!("redis-cluster://127.0.0.1:{}?{}", self.nodes[seed].port(), more.join("&"))
    }

    /// The slot of a key.
    pub async fn slot(&self, key: &str) -> String {
        self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).await
    }

    /// The place of the node that serves a key, as that node says.
    ///
    /// # Panics
    /// Where none does.
    pub async fn owner(&self, key: &str) -> usize {
        for (place, node) in self.nodes.iter().enumerate() {
            if node.process.is_some() && node.try_cli(&["TYPE", key]).await.is_ok() {
                return place;
            }
        }
        panic!("no node serves {key}");
    }

    /// Opens the slot on both sides, as the first step of moving it.
    pub async fn open_slot(&self, slot: &str, from: usize, to: usize) {
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id) =
            (source.cli(&["CLUSTER", "MYID"]).await, target.cli(&["CLUSTER", "MYID"]).await);
        target.cli(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &source_id]).await;
        source.cli(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &target_id]).await;
    }

    /// Moves the keys of an open slot, until there are none left.
    pub async fn move_keys(&self, slot: &str, from: usize, to: usize) {
        let port = self.nodes[to].port().to_string();
        loop {
            let keys = self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", slot, "10"]).await;
            let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                return;
            }
            let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            self.nodes[from].cli(&[&migrate[..], &keys].concat()).await;
        }
    }

    /// Gives an open slot to its new node, as the last step of moving it.
    pub async fn close_slot(&self, slot: &str, from: usize, to: usize) {
        let id = self.nodes[to].cli(&["CLUSTER", "MYID"]).await;
        let others = (0..3).filter(|place| *place != to && *place != from);
        for place in [to, from].into_iter().chain(others) {
            self.nodes[place].cli(&["CLUSTER", "SETSLOT", slot, "NODE", &id]).await;
        }
    }
}

impl RedisServer {
    async fn meet(&self, other: &Self) {
        let (port, bus) = (other.port.to_string(), other.port_of("cluster-port").to_string());
        self.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
    }
}

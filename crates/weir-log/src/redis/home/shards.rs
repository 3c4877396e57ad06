//! Asking the nodes of a cluster who has the slot of the stream.

use std::collections::VecDeque;
use std::time::Duration;

use fred::types::config::Server;
use fred::types::{Resp3Frame, Value};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::fault::Fault;
use super::super::frame;
use super::super::link::{Dialer, Terms};
use super::sentinel::server;

/// How long one node may take. It bounds what one that stands still costs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most nodes that are asked for one connection; the next one goes on with the others.
const MOST: usize = 5;

/// The nodes of a cluster.
#[derive(Debug)]
pub(in super::super) struct Shards {
    seeds: Vec<Server>,
    /// All that are known, the next one to be asked first. They take turns, so that one with an old view, or one that was
    /// cut off from the others, does not mislead for long.
    known: Mutex<VecDeque<Server>>,
}

/// What one node says.
struct View {
    owner: Option<Server>,
    nodes: Vec<Server>,
}

impl Shards {
    pub(super) fn new(seeds: &[Server]) -> Self {
        Self { seeds: seeds.to_vec(), known: Mutex::new(seeds.iter().cloned().collect()) }
    }

    /// Who has the slot, by the first node that tells.
    pub(in super::super) async fn owner(&self, dialer: &Dialer) -> Result<Server, Fault> {
        let mut last = Fault::Away("the cluster has no nodes".to_owned());
        let most = self.known.lock().len().min(MOST);
        for _ in 0..most {
            let Some(node) = self.next() else { break };
            let told = timeout(PATIENCE, ask(dialer, &node)).await;
            match told.unwrap_or_else(|_| Err(Fault::Late)) {
                Ok(View { owner: Some(owner), nodes }) => {
                    self.learn(nodes);
                    return Ok(owner);
                }
                Ok(View { owner: None, .. }) => {
                    last =
                        Fault::Away("CLUSTERDOWN no node of the cluster serves the stream's slot".to_owned());
                }
                Err(fault) => last = fault.away(format_args!("the node {node}")),
            }
        }
        Err(last)
    }

    fn next(&self) -> Option<Server> {
        let mut known = self.known.lock();
        let next = known.pop_front()?;
        known.push_back(next.clone());
        Some(next)
    }

    /// Keeps the nodes of the URL and those of the newest view.
    fn learn(&self, nodes: Vec<Server>) {
        let mut known = self.known.lock();
        known.retain(|node| self.seeds.contains(node) || nodes.contains(node));
        for node in nodes {
            if !known.contains(&node) {
                known.push_back(node);
            }
        }
    }
}

async fn ask(dialer: &Dialer, node: &Server) -> Result<View, Fault> {
    let link = dialer.dial(Some(node), Terms::Fixed, CancellationToken::new()).await?;
    let answer = link.ask("CLUSTER", vec![Value::from_static_str("SLOTS")], PATIENCE).await?;
    view(&answer, link.slot(), node)
}

/// Reads ranges of slots, each `[from, to, master, replicas…]`.
fn view(answer: &Resp3Frame, slot: u16, asked: &Server) -> Result<View, Fault> {
    let ranges = frame::items(answer).ok_or(Fault::Garbled("the map of a cluster is none"))?;
    let mut view = View { owner: None, nodes: Vec::new() };
    for range in ranges {
        let nodes = frame::items(range).and_then(|range| range.get(2..)).unwrap_or_default();
        let nodes: Vec<_> = nodes.iter().filter_map(|node| address(node, asked)).collect();
        let (from, to) = (frame::at(range, 0, frame::number)?, frame::at(range, 1, frame::number)?);
        if (from..=to).contains(&slot.into()) {
            view.owner = nodes.first().cloned();
        }
        for node in nodes {
            if !view.nodes.contains(&node) {
                view.nodes.push(node);
            }
        }
    }
    Ok(view)
}

/// A node that names no host is where the one that was asked is.
fn address(node: &Resp3Frame, asked: &Server) -> Option<Server> {
    let parts = frame::items(node)?;
    let host = parts.first().and_then(frame::text).filter(|host| !host.is_empty() && *host != "?");
    server(Some(host.unwrap_or(&asked.host)), parts.get(1).and_then(frame::number))
}

//! A client that reads less than is published for it, and so loses events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::sleep;
use weir_testkit::{Client, RawConn};

/// What it listens to, and nobody else.
const SESSION: &str = "firehose";

/// Bytes of each event.
const SIZE: usize = 1024;

/// Events that come at first, so that its queue is full soon: more than a queue holds, with what fits into its socket.
const FIRST: usize = 200;

/// Events that come each half second. It reads one of them, so it loses some hundreds a minute: well above what somebody is
/// called for, and far below what the whole load is given, so that nothing else is wrong.
const NEXT: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// The client and its publisher, until it is dropped.
pub(crate) struct Slow {
    _tasks: JoinSet<()>,
}

impl Slow {
    /// It connects to an instance directly: a balancer would read megabytes for it before weir noticed. Its policy is to lose
    /// the oldest at once; with that of weir it would be given all of it later, from the window.
    pub(crate) fn start(balancer: SocketAddr, instances: Arc<[SocketAddr]>) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            for nth in 0usize.. {
                let instance = Client::new(instances[nth % instances.len()]);
                // Where that one is away, or goes, the next one is tried.
                let _ = sip(instance, Client::new(balancer)).await;
                sleep(PAUSE).await;
            }
        });
        Self { _tasks: tasks }
    }
}

async fn sip(instance: Client, publisher: Client) -> anyhow::Result<()> {
    let request = instance.events(SESSION).query("overflow", "drop-oldest").receive_buffer(4096);
    let (mut connection, head): (RawConn, _) = request.open().await?;
    ensure!(head.status == 200, "{head:?}");
    publish(publisher, FIRST).await?;
    while connection.sip(SIZE, PAUSE).await?.is_none() {
        // Without Redis nothing is published, and the client stays.
        let _ = publish(publisher, NEXT).await;
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn publish(publisher: Client, events: usize) -> anyhow::Result<()> {
    let line = format!("{{\"session\":\"{SESSION}\",\"data\":\"{}\"}}\n", "x".repeat(SIZE));
    let batch = publisher.post("/v1/events").header("content-type", "application/x-ndjson");
    let answer = batch.body(line.repeat(events)).send().await?;
    ensure!(answer.status() == 201, "{answer:?}");
    Ok(())
}

//! What is published meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use weir_testkit::checker::Session;
use weir_testkit::redis::RedisServer;
use weir_testkit::workload::{Places, Producer};

use crate::crowd::SESSIONS;
use crate::world::{STREAM, World};

/// How many events are about different things in a session.
const KEYS: u32 = 8;

/// How long a producer that wants to be sure tries.
const SURELY: Duration = Duration::from_secs(15);

/// Producers at work.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What one of them does.
#[derive(Clone, Copy)]
enum Kind {
    /// It asks once.
    Once,
    /// It asks until it knows.
    Surely,
    /// It knows nothing of weir.
    Foreign,
}

impl Load {
    pub(crate) fn start(world: &World, rng: &mut fastrand::Rng) -> Self {
        let (stop, mut tasks) = (watch::Sender::new(false), JoinSet::new());
        for kind in [Kind::Once, Kind::Once, Kind::Surely, Kind::Surely, Kind::Foreign, Kind::Foreign] {
            let worker = Worker {
                kind,
                producer: world.producer.clone(),
                places: world.places.clone(),
                redis: Arc::clone(&world.redis),
                rng: rng.fork(),
            };
            tasks.spawn(worker.run(stop.subscribe()));
        }
        Self { stop, tasks }
    }

    /// Ends them, each after the publish it is at.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Worker {
    kind: Kind,
    producer: Producer,
    places: Places,
    redis: Arc<RwLock<RedisServer>>,
    rng: fastrand::Rng,
}

impl Worker {
    async fn run(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let event = (Session(self.rng.u32(0..SESSIONS)), Some(self.rng.u32(0..KEYS)));
            match self.kind {
                Kind::Once => {
                    let to = self.places.choose(&mut self.rng).1;
                    self.producer.publish(to, event.0, event.1).await;
                }
                Kind::Surely => {
                    let places = || self.places.choose(&mut self.rng).1;
                    self.producer.publish_surely(places, event, SURELY).await;
                }
                Kind::Foreign => {
                    self.producer.add(&*self.redis.read().await, STREAM, event).await;
                }
            }
            sleep(Duration::from_millis(self.rng.u64(5..50))).await;
        }
    }
}

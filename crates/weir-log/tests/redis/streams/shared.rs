//! The suite of all streams, on two instances that take turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir_core::durable::{StreamStore, WakeReader, Woken};
use weir_testkit::redis::RedisServer;
use weir_testkit::stream_suite::{Backend, Limits};

use super::Streams;
use crate::SOFTWARE;
use crate::server::config;

/// A server, and two instances on it.
pub(crate) struct Shared {
    pub(crate) server: RedisServer,
    instances: [Streams; 2],
    turn: AtomicUsize,
}

impl Backend for Shared {
    async fn start(limits: Limits) -> Self {
        let server = RedisServer::start_with(SOFTWARE.into()).await;
        let join = async || Streams::joined(config(&server, Default::default()), limits.maxlen).await;
        let instances = [join().await, join().await];
        Self { server, instances, turn: AtomicUsize::new(0) }
    }

    fn store(&self) -> Arc<dyn StreamStore> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.instances[turn % 2].store) as _
    }

    async fn wakes(&self) -> Box<dyn WakeReader> {
        let mut wakes = self.instances[1].log.streams(None).1;
        // What came before may have been missed, which is said first.
        assert_eq!(wakes.next().await, Woken::Any);
        Box::new(wakes)
    }

    async fn pass(&self, time: Duration) {
        let shift = "local ms = tonumber(ARGV[1])
            for _, key in ipairs(redis.call('KEYS', '*:ds:head:*')) do
              local ends = redis.call('HGET', key, 'x')
              if ends then redis.call('HSET', key, 'x', string.format('%.0f', ends - ms)) end
            end
            local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
            for at = 1, #all, 2 do
              redis.call('ZADD', KEYS[1], string.format('%.0f', all[at + 1] - ms), all[at])
            end";
        let ms = time.as_millis().to_string();
        self.server.cli(&["EVAL", shift, "1", "{weir:events}:ds:expiry", &ms]).await;
    }
}

weir_testkit::stream_suite!(Shared);

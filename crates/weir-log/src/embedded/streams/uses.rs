//! Which streams were read lately.

use std::collections::HashMap;

use parking_lot::Mutex;
use weir_core::durable::StreamName;

/// Most streams that are noted. It bounds what they take up where nothing can be written for long; to read one more does not
/// keep it alive then.
const MOST: usize = 1 << 16;

/// When streams were read, until it is written down.
///
/// A read notes it here and waits for nobody. The upkeep writes it down, and as long as it cannot, as on a disk that is full or
/// hangs, it is from here that a stream is known to be in use.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<StreamName, u64>>);

impl Uses {
    /// A stream was read.
    pub(super) fn note(&self, name: &StreamName, at_ms: u64) {
        let mut uses = self.0.lock();
        if let Some(noted_ms) = uses.get_mut(name) {
            *noted_ms = at_ms.max(*noted_ms);
        } else if uses.len() < MOST {
            uses.insert(name.clone(), at_ms);
        }
    }

    /// When a stream was last read; 0 where nothing is noted of it.
    pub(super) fn of(&self, name: &StreamName) -> u64 {
        self.0.lock().get(name).copied().unwrap_or(0)
    }

    /// Some that are to be written down.
    pub(super) fn some(&self, most: usize) -> Vec<(StreamName, u64)> {
        self.0.lock().iter().take(most).map(|(name, at_ms)| (name.clone(), *at_ms)).collect()
    }

    /// These are written down.
    pub(super) fn forget(&self, written: &[(StreamName, u64)]) {
        let mut uses = self.0.lock();
        for (name, at_ms) in written {
            if uses.get(name).is_some_and(|noted_ms| noted_ms <= at_ms) {
                uses.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    use weir_core::durable::{From, Look, ReadError, StreamStore};
    use weir_testkit::stream_suite::ask::{idle, name, stream};
    use weir_testkit::{DEADLINE, eventually};

    use crate::{EmbeddedStreams, Engine, Place, StreamLimits, WallClock};

    /// Whoever reads or follows a stream does not wait for a disk that hangs, and keeps the stream alive all the same.
    #[tokio::test]
    async fn reads_do_not_wait_for_the_writer() {
        let now = Arc::new(AtomicU64::new(1_795_242_612_345));
        let time = Arc::clone(&now);
        let pass = |ms| now.fetch_add(ms, Ordering::Relaxed);
        let clock = WallClock::new(move || time.load(Ordering::Relaxed));
        let engine = Engine::open(Place::Memory).unwrap();
        let streams = EmbeddedStreams::with_clock(engine, StreamLimits::default(), clock).unwrap();
        for its in ["read", "followed", "neither"] {
            stream(&*streams, its).make(&idle(3)).await;
        }
        let (go_on, waits) = channel::<()>();
        let hung = streams.engine.order(move |_| Ok(waits.recv())).unwrap();
        for _ in 0..4 {
            pass(2000);
            let read = tokio::time::timeout(DEADLINE, stream(&*streams, "read").read(From::End));
            assert!(read.await.unwrap().is_ok());
            let followed = [name("followed")];
            let looked = tokio::time::timeout(DEADLINE, streams.look(&followed)).await.unwrap();
            assert!(matches!(looked.unwrap()[..], [Look::At { .. }]));
        }
        assert!(streams.head(&name("read")).await.is_ok());
        go_on.send(()).unwrap();
        hung.await.unwrap().unwrap().unwrap();
        eventually(DEADLINE, async || {
            anyhow::ensure!(streams.facts.uses.some(1).is_empty(), "it is not written down");
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(stream(&*streams, "neither").lack().await, Some(ReadError::Missing));
        pass(2999);
        assert!(streams.head(&name("followed")).await.is_ok(), "it is written down");
        assert_eq!(stream(&*streams, "read").lack().await, None);
        pass(1);
        assert_eq!(stream(&*streams, "followed").lack().await, Some(ReadError::Missing));
    }
}

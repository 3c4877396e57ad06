//! Telling which streams have changed.

use std::sync::Arc;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender, channel};
use weir_core::durable::{StreamName, WakeReader, Woken};
use weir_core::log::BoxFuture;

/// Most announcements that wait for a reader. Beyond it a reader is told that it may have missed some.
const WAITING: usize = 4096;
/// Most streams told of at once.
const AT_ONCE: usize = 1024;

/// Those who announce.
#[derive(Debug)]
pub(super) struct Wakes(Sender<Arc<[StreamName]>>);

impl Wakes {
    pub(super) fn new() -> Self {
        Self(channel(WAITING).0)
    }

    pub(super) fn tell(&self, changed: Vec<StreamName>) {
        // Where nobody listens nobody needs to know.
        let _ = self.0.send(changed.into());
    }

    pub(super) fn reader(&self) -> EmbeddedWakes {
        EmbeddedWakes(self.0.subscribe())
    }
}

/// Tells which streams of this process have changed.
#[derive(Debug)]
pub struct EmbeddedWakes(Receiver<Arc<[StreamName]>>);

impl EmbeddedWakes {
    async fn wait(&mut self) -> Woken {
        let mut changed = match self.0.recv().await {
            Ok(changed) => changed.to_vec(),
            Err(RecvError::Lagged(_)) => return Woken::Any,
            // The streams are gone, and with them whoever could change one.
            Err(RecvError::Closed) => std::future::pending().await,
        };
        while changed.len() < AT_ONCE {
            match self.0.try_recv() {
                Ok(more) => changed.extend_from_slice(&more),
                Err(TryRecvError::Lagged(_)) => return Woken::Any,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        changed.sort_unstable();
        changed.dedup();
        Woken::Streams(changed)
    }
}

impl WakeReader for EmbeddedWakes {
    fn next(&mut self) -> BoxFuture<'_, Woken> {
        Box::pin(self.wait())
    }
}

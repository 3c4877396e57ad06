//! A front on a store that does as it is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_core::durable::{Look, StreamName, StreamStore, WakeReader, Woken};
use weir_core::log::BoxFuture;
use weir_http::admission::Limits;
use weir_http::app::HttpConfig;
use weir_http::tails;
use weir_testkit::Client;

use crate::bare::{self, Bare};
use crate::idle::Idle;
use crate::store::Store;

/// A front, which runs as long as this is held.
pub(crate) struct Front {
    pub(crate) store: Arc<Store>,
    bare: Bare,
    wake: UnboundedSender<Woken>,
}

/// Says what it is told to.
#[derive(Debug)]
struct Wakes(UnboundedReceiver<Woken>);

impl WakeReader for Wakes {
    fn next(&mut self) -> BoxFuture<'_, Woken> {
        Box::pin(async {
            match self.0.recv().await {
                Some(woken) => woken,
                None => std::future::pending().await,
            }
        })
    }
}

impl Front {
    pub(crate) fn start() -> Self {
        Self::waiting(Duration::from_secs(30))
    }

    /// One whose long-polls wait so long.
    pub(crate) fn waiting(long_poll_timeout: Duration) -> Self {
        let config = HttpConfig {
            long_poll_timeout,
            heartbeat: Duration::from_secs(1),
            stall_timeout: Duration::from_secs(2),
            limits: Limits::of_clients(2000),
            ..bare::config()
        };
        let store = Store::new();
        let bare = Bare::start(Arc::new(Idle), Arc::clone(&store) as Arc<dyn StreamStore>, config);
        let (wake, wakes) = unbounded_channel();
        let tasks = TaskTracker::new();
        tasks.spawn(tails::pump(Arc::clone(&bare.app), Box::new(Wakes(wakes)), CancellationToken::new()));
        Self { bare, store, wake }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.bare.address)
    }

    /// A call to this instance has changed a stream.
    pub(crate) fn changed(&self, name: &str, now: Look) {
        self.bare.app.stream_changed(&StreamName::parse(name).unwrap(), now);
    }

    /// Whoever changed streams says so.
    pub(crate) fn announce<const N: usize>(&self, names: [&str; N]) {
        self.wake(Woken::Streams(names.map(|name| StreamName::parse(name).unwrap()).into()));
    }

    pub(crate) fn wake(&self, woken: Woken) {
        self.wake.send(woken).unwrap();
    }

    /// From now on all that are followed are looked at.
    pub(crate) fn watch(&self) {
        let tasks = TaskTracker::new();
        tasks.spawn(tails::watch(Arc::clone(&self.bare.app), CancellationToken::new()));
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.bare.app.metrics.encode();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

//! A front on a store that does as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use weir_core::durable::{Look, StreamName, StreamStore, WakeReader, Woken};
use weir_core::log::{
    AppendError, Appended, BoxFuture, EventLog, Feed, Idempotency, Load, LogFacts, LogUnavailable, NewEvent,
    RevokeError,
};
use weir_core::mailbox::{MailboxBounds, Overflow};
use weir_core::window::WindowBounds;
use weir_core::{Broker, BrokerBounds, Event, EventId, Revocation, Session};
use weir_http::admission::Limits;
use weir_http::app::{AnonymousAccess, App, HttpConfig, Refuse};
use weir_http::cors::Cors;
use weir_http::proxies::Proxies;
use weir_http::server::{Listener, Role, Server};
use weir_http::tails;
use weir_metrics::{BuildInfo, Metrics};
use weir_testkit::Client;

use crate::store::Store;

/// A front, which runs as long as this is held.
pub(crate) struct Front {
    pub(crate) store: Arc<Store>,
    app: Arc<App>,
    address: SocketAddr,
    wake: UnboundedSender<Woken>,
    _runs: TaskTrackerToken,
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

/// Nobody subscribes or publishes.
#[derive(Debug)]
struct Silent;

impl EventLog for Silent {
    fn append<'a>(
        &'a self,
        _: &'a [NewEvent],
        _: Option<&'a Idempotency>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(std::future::pending())
    }

    fn revoke<'a>(&'a self, _: &'a Revocation) -> BoxFuture<'a, Result<EventId, RevokeError>> {
        Box::pin(std::future::pending())
    }

    fn lasts(&self) -> bool {
        false
    }

    fn snapshot<'a>(&'a self, _: &'a Session) -> BoxFuture<'a, Result<Option<Arc<Event>>, LogUnavailable>> {
        Box::pin(std::future::pending())
    }

    fn facts(&self) -> LogFacts {
        LogFacts { up: true, ..LogFacts::default() }
    }
}

impl Front {
    pub(crate) fn start() -> Self {
        Self::waiting(Duration::from_secs(30))
    }

    /// One whose long-polls wait so long.
    pub(crate) fn waiting(long_poll_timeout: Duration) -> Self {
        let broker = Broker::new(BrokerBounds {
            window: WindowBounds { events: 100, bytes: 1 << 20, age: None, remembered_sessions: 100 },
            mailbox: MailboxBounds { events: 100, bytes: 1 << 20 },
            snapshot_bytes: 1 << 20,
        });
        let metrics = Arc::new(Metrics::new(BuildInfo { version: "test", revision: "test" }, &[]));
        let store = Store::new();
        let streams = Arc::clone(&store) as Arc<dyn StreamStore>;
        let app = Arc::new(App::new(broker, Arc::new(Silent), streams, metrics, config(long_poll_timeout)));
        let load = Load { entries: Vec::new(), floor: EventId::ZERO, head: EventId::ZERO };
        app.broker.apply(&Feed::Loaded(load), app.time());
        app.reader_returned(app.time());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Role::Public).unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        let (wake, wakes) = unbounded_channel();
        tasks.spawn(tails::pump(Arc::clone(&app), Box::new(Wakes(wakes)), CancellationToken::new()));
        tasks.spawn(Server::new(Arc::clone(&app)).accept(listener));
        Self { store, app, address, wake, _runs: tasks.token() }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A call to this instance has changed a stream.
    pub(crate) fn changed(&self, name: &str, now: Look) {
        self.app.stream_changed(&StreamName::parse(name).unwrap(), now);
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
        tasks.spawn(tails::watch(Arc::clone(&self.app), CancellationToken::new()));
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.app.metrics.encode();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

fn config(long_poll_timeout: Duration) -> HttpConfig {
    HttpConfig {
        long_poll_timeout,
        heartbeat: Duration::from_secs(1),
        retry: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(2),
        overflow: Overflow::CatchUp,
        max_event_bytes: 1 << 16,
        max_append_bytes: 1 << 16,
        limits: Limits::of_clients(2000),
        max_sessions_per_connection: 10,
        max_connection_age: None,
        refuse: Refuse::Soft,
        admin_token: None,
        anonymous: AnonymousAccess::Local,
        tokens: Arc::default(),
        cors: Cors::default(),
        proxies: Proxies::default(),
        ready_grace: Duration::from_secs(60),
        reader_patience: Duration::from_secs(10),
    }
}

//! A front on a log and a store of the test's own, loaded, which runs as long as it is held.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use weir_core::durable::StreamStore;
use weir_core::log::{EventLog, Feed, Load};
use weir_core::mailbox::{MailboxBounds, Overflow};
use weir_core::window::WindowBounds;
use weir_core::{Broker, BrokerBounds, EventId};
use weir_http::admission::Limits;
use weir_http::app::{AnonymousAccess, App, HttpConfig, Refuse};
use weir_http::cors::Cors;
use weir_http::proxies::Proxies;
use weir_http::server::{Listener, Role, Server};
use weir_metrics::{BuildInfo, Metrics};

pub(crate) struct Bare {
    pub(crate) app: Arc<App>,
    pub(crate) address: SocketAddr,
    _runs: TaskTrackerToken,
}

impl Bare {
    pub(crate) fn start(log: Arc<dyn EventLog>, streams: Arc<dyn StreamStore>, config: HttpConfig) -> Self {
        let broker = Broker::new(BrokerBounds {
            window: WindowBounds { events: 100, bytes: 1 << 20, age: None, remembered_sessions: 100 },
            mailbox: MailboxBounds { events: 100, bytes: 1 << 20 },
            snapshot_bytes: 1 << 20,
        });
        let metrics = Arc::new(Metrics::new(BuildInfo { version: "test", revision: "test" }, &[]));
        let app = Arc::new(App::new(broker, log, streams, metrics, config));
        let load = Load { entries: Vec::new(), floor: EventId::ZERO, head: EventId::ZERO };
        app.broker.apply(&Feed::Loaded(load), app.time());
        app.reader_returned(app.time());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Role::Public).unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        tasks.spawn(Server::new(Arc::clone(&app)).accept(listener));
        Self { app, address, _runs: tasks.token() }
    }
}

/// What nobody changes.
pub(crate) fn config() -> HttpConfig {
    HttpConfig {
        long_poll_timeout: Duration::from_secs(1),
        heartbeat: Duration::from_secs(15),
        retry: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(30),
        overflow: Overflow::CatchUp,
        max_event_bytes: 1 << 16,
        max_append_bytes: 1 << 16,
        limits: Limits::of_clients(100),
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

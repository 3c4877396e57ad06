//! A log that misbehaves harms the call that meets it, and no other.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use weir_core::durable::{
    self, Append, Create, CreateError, Created, DeleteError, From, Head, Look, Page, ReadError, StreamName,
    StreamStore,
};
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
use weir_metrics::{BuildInfo, Metrics};
use weir_testkit::{Client, Closed, DEADLINE, RawConn, eventually};

/// It panics at every append, and never answers when it is asked for a snapshot.
#[derive(Debug)]
struct Broken;

impl EventLog for Broken {
    fn append<'a>(
        &'a self,
        _: &'a [NewEvent],
        _: Option<&'a Idempotency>,
    ) -> BoxFuture<'a, Result<Appended, AppendError>> {
        Box::pin(async { panic!("the log breaks a rule of its own") })
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

/// Nobody asks it for streams.
impl StreamStore for Broken {
    fn create<'a>(&'a self, _: &'a StreamName, _: &'a Create) -> BoxFuture<'a, Result<Created, CreateError>> {
        Box::pin(std::future::pending())
    }

    fn append<'a>(
        &'a self,
        _: &'a StreamName,
        _: &'a Append,
    ) -> BoxFuture<'a, Result<durable::Appended, durable::AppendError>> {
        Box::pin(std::future::pending())
    }

    fn read<'a>(&'a self, _: &'a StreamName, _: From, _: usize) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(std::future::pending())
    }

    fn head<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<Head, ReadError>> {
        Box::pin(std::future::pending())
    }

    fn look<'a>(&'a self, _: &'a [StreamName]) -> BoxFuture<'a, Result<Vec<Look>, ReadError>> {
        Box::pin(std::future::pending())
    }

    fn delete<'a>(&'a self, _: &'a StreamName) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(std::future::pending())
    }

    fn lasts(&self) -> bool {
        false
    }
}

/// A front on that log, which runs as long as this is held.
struct Front {
    app: Arc<App>,
    address: SocketAddr,
    _runs: TaskTrackerToken,
}

impl Front {
    fn start() -> Self {
        let broker = Broker::new(BrokerBounds {
            window: WindowBounds { events: 100, bytes: 1 << 20, age: None, remembered_sessions: 100 },
            mailbox: MailboxBounds { events: 100, bytes: 1 << 20 },
            snapshot_bytes: 1 << 20,
        });
        let metrics = Arc::new(Metrics::new(BuildInfo { version: "test", revision: "test" }, &[]));
        let config = HttpConfig {
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
        };
        let app = Arc::new(App::new(broker, Arc::new(Broken), Arc::new(Broken), metrics, config));
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

/// The connection on which it happened breaks off. Others do not notice, and what was counted for it is given back.
#[tokio::test]
async fn a_panic_ends_its_own_connection_and_no_other() -> anyhow::Result<()> {
    let front = Front::start();
    let client = Client::new(front.address);
    let stream = client.subscribe("s").await?;
    for _ in 0..20 {
        let mut conn = RawConn::open(front.address).await?;
        conn.write(b"POST /v1/sessions/s/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx")
            .await?;
        let (answer, closed) = conn.read_until_close(DEADLINE).await?;
        assert!(
            answer.is_empty() && matches!(closed, Some(Closed::Eof | Closed::Reset)),
            "{answer:?} {closed:?}"
        );
    }
    // The one that was there before is served, and so is whoever comes after.
    let load = Load { entries: Vec::new(), floor: EventId::ZERO, head: EventId { ms: 5, seq: 0 } };
    front.app.broker.apply(&Feed::Reset { after: EventId::ZERO, through: EventId::ZERO }, front.app.time());
    front.app.broker.apply(&Feed::Loaded(load), front.app.time());
    let mut stream = stream;
    assert_eq!(stream.next_event().await?.event, "weir.gap");
    let after = client.subscribe("s").await?;
    assert_eq!(client.get("/livez").send().await?.status(), 200);
    drop((stream, after));
    eventually(DEADLINE, async || {
        let page = front.app.metrics.encode();
        ensure!(page.contains("weir_clients{transport=\"sse\"} 0\n"), "{page}");
        Ok(())
    })
    .await
}

/// A snapshot that only the log has is waited for, but not for long: the stream begins without it.
#[tokio::test]
async fn a_log_that_does_not_answer_holds_no_stream_back() -> anyhow::Result<()> {
    let front = Front::start();
    let asked = Instant::now();
    let mut stream = Client::new(front.address).events("s").query("snapshot", "1").subscribe().await?;
    assert_eq!(stream.next_event().await?.event, "weir.connected");
    assert!((0.9..5.0).contains(&asked.elapsed().as_secs_f64()), "{:?}", asked.elapsed());
    Ok(())
}

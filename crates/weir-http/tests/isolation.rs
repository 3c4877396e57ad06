//! A log that misbehaves harms the call that meets it, and no other.
#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

#[path = "bare/front.rs"]
mod bare;

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use weir_core::durable::{
    self, Append, Create, CreateError, Created, DeleteError, From, Head, Look, Page, ReadError, StreamName,
    StreamStore,
};
use weir_core::log::{
    AppendError, Appended, BoxFuture, EventLog, Feed, Idempotency, Load, LogFacts, LogUnavailable, NewEvent,
    RevokeError,
};
use weir_core::{Event, EventId, Revocation, Session};
use weir_testkit::{Client, Closed, DEADLINE, RawConn, eventually};

use bare::Bare;

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

fn front() -> Bare {
    Bare::start(Arc::new(Broken), Arc::new(Broken), bare::config())
}

/// The connection on which it happened breaks off. Others do not notice, and what was counted for it is given back.
#[tokio::test]
async fn a_panic_ends_its_own_connection_and_no_other() -> anyhow::Result<()> {
    let front = front();
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
    let front = front();
    let asked = Instant::now();
    let mut stream = Client::new(front.address).events("s").query("snapshot", "1").subscribe().await?;
    assert_eq!(stream.next_event().await?.event, "weir.connected");
    assert!((0.9..5.0).contains(&asked.elapsed().as_secs_f64()), "{:?}", asked.elapsed());
    Ok(())
}

//! A client that behaves as a browser's `EventSource`: after every end it waits the `retry` it was told and comes back with
//! the last id it saw; after any answer that is no stream it never comes back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{bail, ensure};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::sse::{Event, Item};
use crate::stream::{Next, SseStream};

/// What browsers wait where no `retry` was told.
const UNTOLD_RETRY: Duration = Duration::from_secs(3);

/// One subscription that outlives its connections, until it is dropped.
#[derive(Debug)]
pub struct EventSource {
    history: Arc<Mutex<History>>,
    task: JoinHandle<()>,
}

/// What a client went through.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Ids and data of what others published, in the order it came.
    pub events: Vec<(String, String)>,
    /// When it was told `weir.connected`: once for each stream that was served.
    pub connected: Vec<Instant>,
    /// When it was told `weir.shutdown`.
    pub shutdowns: Vec<Instant>,
    /// Events that came after a goodbye on the same stream: never.
    pub after_goodbye: usize,
    /// Data of the gaps announced.
    pub gaps: Vec<String>,
    /// How often it was turned away softly.
    pub refused: usize,
    /// Streams that were cut.
    pub cuts: usize,
    /// Connections that broke before an answer. A browser tries again.
    pub broken: usize,
    /// Why it gave up, as a browser would: an answer that is no stream. Or a stream that is not clean.
    pub gave_up: Option<String>,
}

impl EventSource {
    /// Subscribes to one session from now on.
    pub fn open(client: Client, session: &str) -> Self {
        let history = Arc::<Mutex<History>>::default();
        let life = Life {
            client,
            session: session.to_owned(),
            last_event_id: String::new(),
            retry: UNTOLD_RETRY,
            history: Arc::clone(&history),
        };
        #[expect(clippy::disallowed_methods, reason = "the task ends with its owner")]
        let task = tokio::spawn(life.live());
        Self { history, task }
    }

    /// What it went through so far.
    pub fn history(&self) -> MutexGuard<'_, History> {
        locked(&self.history)
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Life {
    client: Client,
    session: String,
    last_event_id: String,
    retry: Duration,
    history: Arc<Mutex<History>>,
}

impl Life {
    async fn live(mut self) {
        loop {
            if let Err(error) = self.connection().await {
                locked(&self.history).gave_up = Some(format!("{error:#}"));
                return;
            }
            sleep(self.retry).await;
        }
    }

    /// One connection from its first byte to its end. An error is the end of it all.
    async fn connection(&mut self) -> anyhow::Result<()> {
        let mut request = self.client.events(&self.session);
        if !self.last_event_id.is_empty() {
            request = request.header("last-event-id", self.last_event_id.as_str());
        }
        let Ok((conn, head)) = request.open().await else {
            locked(&self.history).broken += 1;
            return Ok(());
        };
        let kind = head.header("content-type");
        ensure!(
            head.status == 200 && kind == Some("text/event-stream"),
            "an answer that is no stream: {head:?}"
        );
        self.read(request.stream(conn, head)?).await
    }

    async fn read(&mut self, mut stream: SseStream) -> anyhow::Result<()> {
        let mut told_goodbye = false;
        loop {
            match stream.next().await? {
                Next::Item(Item::Event(event)) => {
                    let mut history = locked(&self.history);
                    history.after_goodbye += usize::from(told_goodbye);
                    told_goodbye |= event.event == "weir.shutdown";
                    if !event.last_event_id.is_empty() {
                        self.last_event_id.clone_from(&event.last_event_id);
                    }
                    history.note(event);
                }
                Next::Item(Item::Retry(ms)) => self.retry = Duration::from_millis(ms),
                Next::Item(Item::Comment(_)) => {}
                Next::Item(item @ (Item::Silent { .. } | Item::Violation(_))) => bail!("not clean: {item:?}"),
                Next::End(end) => {
                    locked(&self.history).cuts += usize::from(end == crate::End::Cut);
                    return Ok(());
                }
            }
        }
    }
}

impl History {
    fn note(&mut self, event: Event) {
        match event.event.as_str() {
            "weir.connected" => self.connected.push(Instant::now()),
            "weir.shutdown" => self.shutdowns.push(Instant::now()),
            "weir.gap" => self.gaps.push(event.data),
            "weir.refused" => self.refused += 1,
            name if name.starts_with("weir.") => {}
            _ => self.events.push((event.last_event_id, event.data)),
        }
    }
}

fn locked(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

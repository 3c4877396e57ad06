//! Takes what the reader returns through the window to every client, and counts it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_core::Content;
use weir_core::entry::Entry;
use weir_core::log::{Feed, LogReader};
use weir_http::app::App;
use weir_http::turn;

use super::manager::Asked;

/// Most entries that pass the hub before clients get to run.
const STEP: usize = 64;

/// How the pump goes, and who looks after it.
#[derive(Debug)]
pub(super) struct Watched {
    /// Clients run in between often enough that a queue of so many events does not overflow by one batch alone.
    pub(super) queue_events: usize,
    /// Ends it.
    pub(super) stop: CancellationToken,
    /// Whether it is alive.
    pub(super) asked: Asked,
}

/// Runs until it is stopped, and gives the reader back so that it can leave nothing behind.
pub(super) async fn run(
    app: Arc<App>,
    mut reader: Box<dyn LogReader>,
    mut watched: Watched,
) -> Box<dyn LogReader> {
    let step = (watched.queue_events / 2).clamp(1, STEP);
    loop {
        let Some(feed) = next(reader.as_mut(), &mut watched).await else { return reader };
        let time = app.time();
        tell(&app, &feed).await;
        match &feed {
            Feed::Batch(entries) if entries.len() > step => {
                for entries in entries.chunks(step) {
                    app.metrics.tally(&app.broker.apply_batch(entries, app.time()));
                    tokio::task::yield_now().await;
                }
            }
            Feed::Loaded(_)
            | Feed::Revoked(_)
            | Feed::Batch(_)
            | Feed::Lost { .. }
            | Feed::Reset { .. }
            | Feed::Down(_)
            | Feed::Restored => app.metrics.tally(&app.broker.apply(&feed, time)),
        }
        if !matches!(feed, Feed::Down(_)) {
            app.reader_returned(app.time());
        }
        // Asking for more is a call to the kernel that what was just handed out would wait for.
        turn::pass().await;
    }
}

/// The next feed, unless it is stopped before. Questions whether it is alive do not disturb a read that waits.
async fn next(reader: &mut dyn LogReader, watched: &mut Watched) -> Option<Feed> {
    let mut feed = reader.next();
    loop {
        tokio::select! {
            feed = &mut feed => return Some(feed),
            () = watched.stop.cancelled() => return None,
            Some(answer) = watched.asked.recv() => {
                // Whoever asked may not wait any longer.
                let _ = answer.send(());
            }
        }
    }
}

async fn tell(app: &App, feed: &Feed) {
    match feed {
        Feed::Loaded(load) => {
            tracing::info!(entries = load.entries.len(), head = %load.head, "window loaded");
            count(app, &load.entries);
            app.revoke_loaded(&load.entries).await;
        }
        Feed::Revoked(kept) => app.revoke_kept(kept.iter()).await,
        Feed::Batch(entries) => {
            count(app, entries);
            app.revoke_live(entries).await;
            for entry in entries {
                if let Content::Event(event) = &entry.content {
                    app.metrics.events.fanned_out(event.kind.as_ref());
                }
            }
        }
        Feed::Lost { after, through, count } => {
            let count = count.unwrap_or(0);
            app.metrics.log.lost.inc_by(count);
            app.revocations_lost();
            tracing::error!(
                %after, %through, count,
                "entries were gone before they were read: trimmed (raise --maxlen), or taken by another program that reads from the group"
            );
        }
        Feed::Reset { after, through } => {
            app.revocations_lost();
            tracing::warn!(%after, %through, "the log was emptied or replaced: clients are told reset");
        }
        // The log itself says so, with every new reason.
        Feed::Down(_) | Feed::Restored => {}
    }
}

fn count(app: &App, entries: &[Entry]) {
    let events = &app.metrics.events;
    events.read.inc_by(entries.len() as u64);
    for entry in entries {
        if let Content::Malformed(reason, _) = &entry.content {
            events.malformed.inc(*reason);
            tracing::debug!(id = %entry.id, reason = reason.as_str(), "an entry cannot be delivered");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use weir_core::log::{BoxFuture, Load};
    use weir_core::mailbox::{MailboxBounds, Overflow};
    use weir_core::window::WindowBounds;
    use weir_core::{Broker, BrokerBounds, EventId};
    use weir_http::admission::Limits;
    use weir_http::app::{AnonymousAccess, HttpConfig, Refuse};
    use weir_http::cors::Cors;
    use weir_http::health::reader_hangs;
    use weir_http::proxies::Proxies;
    use weir_log::{EmbeddedConfig, EmbeddedLog, EmbeddedStreams, Engine, Place, StreamLimits};
    use weir_metrics::{BuildInfo, Metrics};

    use super::*;
    use crate::serve::manager::Pulse;

    /// Hands out its feeds, and notes how far the hub was each time it was asked for another.
    #[derive(Debug)]
    struct Scripted {
        app: Arc<App>,
        feeds: VecDeque<Feed>,
        heads: Vec<EventId>,
        stop: CancellationToken,
    }

    impl LogReader for Scripted {
        fn next(&mut self) -> BoxFuture<'_, Feed> {
            self.heads.push(self.app.broker.head());
            match self.feeds.pop_front() {
                Some(feed) => Box::pin(std::future::ready(feed)),
                None => {
                    assert_eq!(self.heads, [0, 1, 70].map(|ms| EventId::new(ms, 0)));
                    self.stop.cancel();
                    Box::pin(std::future::pending())
                }
            }
        }

        fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    /// Returns what it has, and then nothing any more.
    #[derive(Debug)]
    struct Silent(VecDeque<Feed>);

    impl LogReader for Silent {
        fn next(&mut self) -> BoxFuture<'_, Feed> {
            match self.0.pop_front() {
                Some(feed) => Box::pin(std::future::ready(feed)),
                None => Box::pin(std::future::pending()),
            }
        }

        fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn app() -> App {
        let broker = Broker::new(BrokerBounds {
            window: WindowBounds { events: 100, bytes: 1 << 20, age: None, remembered_sessions: 10 },
            mailbox: MailboxBounds { events: 10, bytes: 1 << 20 },
            snapshot_bytes: 1 << 20,
        });
        let log = EmbeddedLog::open(EmbeddedConfig {
            maxlen: 10,
            max_age: None,
            max_bytes: 1 << 20,
            read_count: 10,
            read_block: Duration::from_secs(1),
        });
        let metrics = Arc::new(Metrics::new(BuildInfo { version: "test", revision: "test" }, &[]));
        let second = Duration::from_secs(1);
        let config = HttpConfig {
            long_poll_timeout: second,
            heartbeat: second,
            retry: second,
            stall_timeout: second,
            overflow: Overflow::CatchUp,
            max_event_bytes: 1 << 16,
            max_append_bytes: 1 << 16,
            limits: Limits::of_clients(10),
            max_sessions_per_connection: 10,
            max_connection_age: None,
            refuse: Refuse::Soft,
            admin_token: None,
            anonymous: AnonymousAccess::Local,
            tokens: Arc::default(),
            cors: Cors::default(),
            proxies: Proxies::default(),
            ready_grace: second,
            reader_patience: second,
        };
        let engine = Engine::open(Place::Memory).unwrap();
        let streams = EmbeddedStreams::open(engine, StreamLimits::default()).unwrap();
        App::new(broker, log, streams, metrics, config)
    }

    /// Asking for more acknowledges what came before, so it must have passed the hub, also where it goes through in parts.
    #[tokio::test]
    async fn more_is_asked_for_when_everything_has_passed_the_hub() {
        let (app, stop) = (Arc::new(app()), CancellationToken::new());
        let head = EventId::new(1, 0);
        let load = Feed::Loaded(Load { entries: Vec::new(), floor: head, head });
        let entries =
            (2..=70).map(|ms| Entry { id: EventId::new(ms, 0), content: Content::Internal }).collect();
        let feeds = VecDeque::from([load, Feed::Batch(entries)]);
        let reader = Scripted { app: Arc::clone(&app), feeds, heads: Vec::new(), stop: stop.clone() };
        let (_pulse, asked) = Pulse::new();
        run(app, Box::new(reader), Watched { queue_events: 10, stop, asked }).await;
    }

    /// A log that answers and a reader that neither returns nor says that it cannot read: this process is at fault. Whoever asks
    /// the pump meanwhile is answered.
    #[tokio::test]
    async fn a_reader_that_owes_a_return_hangs_and_the_pump_does_not() {
        let (app, stop) = (Arc::new(app()), CancellationToken::new());
        let head = EventId::new(1, 0);
        let feeds = VecDeque::from([Feed::Loaded(Load { entries: Vec::new(), floor: head, head })]);
        let reader = Silent(feeds);
        let (pulse, asked) = Pulse::new();
        assert!(!reader_hangs(&app), "it has loaded nothing yet");
        let watched = Watched { queue_events: 10, stop: stop.clone(), asked };
        let pump = run(Arc::clone(&app), Box::new(reader), watched);
        let looked = async {
            let second = Duration::from_secs(1);
            assert!(pulse.beats(second).await && !reader_hangs(&app));
            while !reader_hangs(&app) {
                tokio::time::sleep(second / 100).await;
            }
            assert!(pulse.beats(second).await);
            let down = Feed::Down("away".to_owned());
            app.broker.apply(&down, app.time());
            assert!(!reader_hangs(&app), "it said that it cannot read");
            stop.cancel();
        };
        tokio::join!(pump, looked);
    }
}

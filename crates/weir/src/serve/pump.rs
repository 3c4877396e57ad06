//! Takes what the reader returns through the window to every client, and counts it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_core::Content;
use weir_core::entry::Entry;
use weir_core::log::{Feed, LogReader};
use weir_http::app::App;

/// Most entries that pass the hub before clients get to run.
const STEP: usize = 64;

/// Runs until it is stopped, and gives the reader back so that it can leave nothing behind. Clients run in between often
/// enough that a queue of so many events does not overflow by one batch alone.
pub(super) async fn run(
    app: Arc<App>,
    mut reader: Box<dyn LogReader>,
    (queue_events, stop): (usize, CancellationToken),
) -> Box<dyn LogReader> {
    let step = (queue_events / 2).clamp(1, STEP);
    loop {
        let feed = tokio::select! {
            feed = reader.next() => feed,
            () = stop.cancelled() => return reader,
        };
        let time = app.time();
        tell(&app, &feed);
        match &feed {
            Feed::Batch(entries) if entries.len() > step => {
                for entries in entries.chunks(step) {
                    app.metrics.tally(&app.broker.apply_batch(entries, app.time()));
                    tokio::task::yield_now().await;
                }
            }
            Feed::Loaded(_)
            | Feed::Batch(_)
            | Feed::Lost { .. }
            | Feed::Reset { .. }
            | Feed::Down(_)
            | Feed::Restored => app.metrics.tally(&app.broker.apply(&feed, time)),
        }
        if !matches!(feed, Feed::Down(_)) {
            app.reader_returned(app.time());
        }
    }
}

fn tell(app: &App, feed: &Feed) {
    match feed {
        Feed::Loaded(load) => {
            tracing::info!(entries = load.entries.len(), head = %load.head, "window loaded");
            count(app, &load.entries);
        }
        Feed::Batch(entries) => {
            count(app, entries);
            for entry in entries {
                if let Content::Event(event) = &entry.content {
                    app.metrics.events.fanned_out(event.kind.as_ref());
                }
            }
        }
        Feed::Lost { after, through, count } => {
            let count = count.unwrap_or(0);
            app.metrics.log.lost.inc_by(count);
            tracing::error!(%after, %through, count, "entries were trimmed before they were read: raise --maxlen");
        }
        Feed::Reset { after, through } => {
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

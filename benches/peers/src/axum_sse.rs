//! Streams of axum, fed by a broadcast channel for each session.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{MethodRouter, get};
use axum::serve::ListenerExt;
use futures_util::{Stream, StreamExt, future};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use crate::{at_once, heartbeat, listen};

/// Events that a subscriber may be behind. One that falls further back is let go, so that it comes back and resumes.
const QUEUE: usize = 64;

/// The channel of each session that has one, by the path that it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Sessions(Arc<Mutex<HashMap<String, broadcast::Sender<Event>>>>);

impl Sessions {
    /// Sends an event to whoever listens. It is encoded once: `Event` is the encoded bytes.
    pub fn send(&self, path: &str, id: &str, data: &str) {
        let sessions = self.0.lock().expect("nobody panics with it");
        if let Some(session) = sessions.get(path) {
            // Nobody listens any longer, which is no fault.
            let _ = session.send(Event::default().id(id).data(data));
        }
    }

    fn listen(&self, path: &str) -> broadcast::Receiver<Event> {
        let mut sessions = self.0.lock().expect("nobody panics with it");
        sessions.entry(path.to_owned()).or_insert_with(|| broadcast::channel(QUEUE).0).subscribe()
    }
}

async fn subscribe(
    State(sessions): State<Sessions>,
    uri: Uri,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = BroadcastStream::new(sessions.listen(uri.path()));
    let stream = events
        .take_while(|event| future::ready(event.is_ok()))
        .filter_map(|event| future::ready(event.ok().map(Ok)));
    Sse::new(stream).keep_alive(KeepAlive::new().interval(heartbeat()))
}

/// Serves the streams, and `publish` beside them.
pub async fn serve(sessions: Sessions, publish: MethodRouter) -> std::io::Result<()> {
    let routes = get(subscribe).with_state(sessions).merge(publish);
    let app = Router::new().route("/v1/sessions/{session}/events", routes);
    axum::serve(listen().await?.tap_io(|stream| at_once(stream)), app).await
}

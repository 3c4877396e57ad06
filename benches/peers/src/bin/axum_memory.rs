//! axum with a broadcast channel per session: what its own examples lead to.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use weir_peers::Ids;
use weir_peers::axum_sse::{Sessions, serve};

struct Server {
    sessions: Sessions,
    ids: Mutex<Ids>,
}

async fn publish(State(server): State<Arc<Server>>, uri: Uri, data: String) -> (StatusCode, String) {
    let id = server.ids.lock().expect("nobody panics with it").assign();
    server.sessions.send(uri.path(), &id, &data);
    (StatusCode::CREATED, id)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let sessions = Sessions::default();
    let server = Arc::new(Server { sessions: sessions.clone(), ids: Mutex::default() });
    serve(sessions, axum::routing::post(publish).with_state(server)).await
}

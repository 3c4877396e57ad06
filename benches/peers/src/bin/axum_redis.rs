//! axum on a Redis stream: publishes go in by `XADD`, one task reads the stream by `XREAD` and sends each entry to the
//! broadcast channel of its session. `REDIS_URL` and `STREAM` say where, `MAXLEN` how long it may be.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::streams::{StreamMaxlen, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError};
use weir_peers::axum_sse::{Sessions, serve};

/// How long one read waits for entries, in ms.
const BLOCK_MS: usize = 5_000;

/// Most entries of one read.
const COUNT: usize = 200;

#[derive(Clone)]
struct Log {
    redis: MultiplexedConnection,
    stream: Arc<str>,
    maxlen: StreamMaxlen,
}

async fn publish(State(mut log): State<Log>, uri: Uri, data: String) -> (StatusCode, String) {
    let session = uri.path().split('/').nth(3).unwrap_or_default();
    let fields = [("session", session), ("data", &data)];
    match log.redis.xadd_maxlen(&*log.stream, log.maxlen, "*", &fields).await {
        Ok(id) => (StatusCode::CREATED, id),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

/// Reads from the end of the stream on, for ever.
async fn read(
    mut redis: MultiplexedConnection,
    stream: Arc<str>,
    sessions: Sessions,
) -> Result<(), RedisError> {
    let options = StreamReadOptions::default().block(BLOCK_MS).count(COUNT);
    let mut after = "$".to_owned();
    loop {
        let reply: Option<StreamReadReply> = redis.xread_options(&[&*stream], &[&after], &options).await?;
        for entry in reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids) {
            let (session, data) = (entry.get::<String>("session"), entry.get::<String>("data"));
            if let (Some(session), Some(data)) = (session, data) {
                sessions.send(&format!("/v1/sessions/{session}/events"), &entry.id, &data);
            }
            after = entry.id;
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As towards subscribers: small writes do not wait for an acknowledgement.
    let undelayed = TcpSettings::default().set_nodelay(true);
    let client = Client::open(variable("REDIS_URL").into_connection_info()?.set_tcp_settings(undelayed))?;
    let stream: Arc<str> = variable("STREAM").into();
    let maxlen = StreamMaxlen::Approx(variable("MAXLEN").parse()?);
    let sessions = Sessions::default();
    // A read that blocks needs a connection of its own, and more patience than the default.
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let reader = client.get_multiplexed_async_connection_with_config(&patient).await?;
    let reading = tokio::spawn(read(reader, Arc::clone(&stream), sessions.clone()));
    let log = Log { redis: client.get_multiplexed_async_connection().await?, stream, maxlen };
    let serving = tokio::spawn(serve(sessions, axum::routing::post(publish).with_state(log)));
    tokio::select! {
        ended = reading => ended??,
        ended = serving => ended??,
    }
    Ok(())
}

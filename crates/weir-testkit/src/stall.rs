//! A client that does not read, with more on the way to it than its socket takes.

use anyhow::ensure;

use crate::client::Request;
use crate::expect;
use crate::instance::Instance;
use crate::stream::SseStream;

/// How many events are published.
pub const EVENTS: u32 = 400;

/// Opens the stream, and publishes a batch to the session `s` that the client does not read. All of it is in the window when this
/// returns, and nothing was to be before.
///
/// # Errors
/// The stream or the batch is refused.
pub async fn stall(weir: &Instance, subscribe: Request, publish: Request) -> anyhow::Result<SseStream> {
    let mut stalled = subscribe.receive_buffer(4096).subscribe().await?;
    stalled.next_event().await?;
    let line = format!("{{\"session\":\"s\",\"data\":\"{}\"}}\n", "x".repeat(4096));
    let batch = publish.header("content-type", "application/x-ndjson").body(line.repeat(EVENTS as usize));
    let answer = batch.send().await?;
    ensure!(answer.status() == 201, "{answer:?}");
    expect::has_read(weir, EVENTS).await?;
    Ok(stalled)
}

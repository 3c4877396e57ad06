//! One connection through the proxy.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Close, Flow, Shared, Way};

/// Most bytes that pass at once.
const PIECE: usize = 16 * 1024;

/// How often a second a throttled flow passes a piece.
const PIECES_PER_SECOND: u64 = 50;

/// How long a connection that was ended in good order is read to its end, so that what is unread does not reset it.
const LINGER: Duration = Duration::from_millis(500);

/// Relays until both sides have ended, or the proxy ends it.
pub(super) async fn relay(mut client: TcpStream, server: std::net::SocketAddr, shared: Arc<Shared>) {
    let mut closing = shared.closing.subscribe();
    let Ok(mut server) = TcpStream::connect(server).await else { return reset(client) };
    // Small pieces must pass as they are.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let ways = async {
        tokio::try_join!(
            pump(from_client, to_server, (&shared, Way::ToServer)),
            pump(from_server, to_client, (&shared, Way::ToClient)),
        )
    };
    let close = tokio::select! {
        ended = ways => ended.err(),
        close = closing.recv() => close.ok(),
    };
    match close {
        None => {}
        Some(Close::Fin) => finish(client, server).await,
        Some(Close::Reset) => {
            reset(client);
            reset(server);
        }
    }
}

/// Drops a connection with RST.
#[expect(clippy::needless_pass_by_value, reason = "dropping it is what resets it")]
pub(super) fn reset(socket: TcpStream) {
    // It may be gone already.
    let _ = socket.set_zero_linger();
}

async fn finish(mut one: TcpStream, mut two: TcpStream) {
    let _ = (one.shutdown().await, two.shutdown().await);
    let (mut nowhere, mut beside) = (tokio::io::sink(), tokio::io::sink());
    let rest = async {
        tokio::join!(tokio::io::copy(&mut one, &mut nowhere), tokio::io::copy(&mut two, &mut beside))
    };
    let _ = timeout(LINGER, rest).await;
}

/// Relays one way until its end, which is passed on.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    (shared, way): (&Shared, Way),
) -> Result<(), Close> {
    let mut flows = shared.flows[way as usize].subscribe();
    let mut buffer = vec![0; PIECE];
    loop {
        let flow = flows.borrow_and_update().clone();
        let mut valve = Valve::of(&flow, shared);
        loop {
            let read = tokio::select! {
                biased;
                _ = changed(&mut flows) => break,
                read = valve.read(&mut from, &mut buffer) => read,
            };
            match read.map_err(|_| Close::Reset)? {
                0 if valve.swallowed => return Err(Close::Reset),
                0 => return to.shutdown().await.map_err(|_| Close::Reset),
                count => {
                    let piece = to.write_all(&buffer[..count]);
                    if let ControlFlow::Break(close) = valve.pass(count, piece).await {
                        return Err(close);
                    }
                    if !valve.swallowed {
                        shared.passed[way as usize].fetch_add(count as u64, Ordering::Relaxed);
                    }
                }
            }
        }
        if valve.swallowed {
            return Err(Close::Reset);
        }
    }
}

/// Never returns once the proxy is gone: then the connection is about to be, too.
async fn changed(flows: &mut watch::Receiver<Flow>) {
    if flows.changed().await.is_err() {
        std::future::pending().await
    }
}

/// A flow, as far as this connection has come with it.
struct Valve<'a> {
    flow: &'a Flow,
    /// How many bytes still pass, where that is bounded.
    left: Option<u64>,
    swallowed: bool,
}

impl<'a> Valve<'a> {
    fn of(flow: &'a Flow, shared: &Shared) -> Self {
        let left = match flow {
            Flow::Pass | Flow::Delay(_) | Flow::Throttle(_) | Flow::Swallow => None,
            Flow::Hold { after } => Some(*after),
            Flow::End { after, .. } => {
                Some(shared.rng.lock().unwrap_or_else(PoisonError::into_inner).u64(after.clone()))
            }
        };
        Self { flow, left, swallowed: false }
    }

    /// The next piece that may pass.
    async fn read(&self, from: &mut ReadHalf<'_>, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = match self.flow {
            Flow::Throttle(rate) => (rate / PIECES_PER_SECOND).max(1),
            Flow::Hold { .. } | Flow::End { .. } => self.left.unwrap_or_default(),
            Flow::Pass | Flow::Delay(_) | Flow::Swallow => PIECE as u64,
        };
        let most = usize::try_from(most).unwrap_or(PIECE).min(PIECE);
        if most == 0 {
            // Held: nothing is read, so that the sender's kernel fills up as it does when nothing is acknowledged.
            return std::future::pending().await;
        }
        from.read(&mut buffer[..most]).await
    }

    /// Lets a piece pass as the flow says.
    async fn pass(
        &mut self,
        count: usize,
        piece: impl Future<Output = std::io::Result<()>>,
    ) -> ControlFlow<Close> {
        let bytes = count as u64;
        match self.flow {
            Flow::Delay(late) => sleep(*late).await,
            Flow::Throttle(rate) => {
                sleep(Duration::from_secs(bytes) / u32::try_from(*rate).unwrap_or(u32::MAX).max(1)).await
            }
            Flow::Swallow => {
                self.swallowed = true;
                return ControlFlow::Continue(());
            }
            Flow::Pass | Flow::Hold { .. } | Flow::End { .. } => {}
        }
        if piece.await.is_err() {
            return ControlFlow::Break(Close::Reset);
        }
        self.left = self.left.map(|left| left - bytes);
        match self.flow {
            Flow::End { how, .. } if self.left == Some(0) => ControlFlow::Break(*how),
            Flow::Pass
            | Flow::Delay(_)
            | Flow::Throttle(_)
            | Flow::Hold { .. }
            | Flow::Swallow
            | Flow::End { .. } => ControlFlow::Continue(()),
        }
    }
}

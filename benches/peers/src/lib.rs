//! What the servers share: how they begin, and what they are asked.

pub mod axum_sse;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::{TcpListener, TcpStream};

/// Between two comments on a silent stream. The generator shortens it where it measures idle connections.
pub fn heartbeat() -> Duration {
    let seconds = std::env::var("HEARTBEAT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

/// Listens on a free port and says so in the way weir does.
pub async fn listen() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    eprintln!(r#"{{"message":"listening","public":"{}"}}"#, listener.local_addr()?);
    Ok(listener)
}

/// Events leave at once, rather than when the one before was acknowledged.
pub fn at_once(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}

/// Ids that go up, in the form of those of Redis.
#[derive(Debug, Default)]
pub struct Ids {
    last: (u128, u64),
}

impl Ids {
    /// The next one.
    pub fn assign(&mut self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let (last, sequence) = self.last;
        self.last = if now > last { (now, 0) } else { (last, sequence + 1) };
        format!("{}-{}", self.last.0, self.last.1)
    }
}

//! What HAProxy is told by its agent check: one line for each connection, whether new clients are welcome and how many more
//! there is room for.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::room::Room;
use crate::app::App;
use crate::health::readiness;

/// How long a connection may last. The line is a few bytes, so only who does not close takes longer than the network does.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most bytes that are taken of what somebody says, who need not say anything.
const HEARD: u64 = 1024;

/// How long accepting rests where no file descriptor is left. Jittered.
const ACCEPT_REST: Duration = Duration::from_millis(75);

/// A bound listener.
#[derive(Debug)]
pub struct Agent(TcpListener);

impl Agent {
    /// Binds an address.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(TcpListener::from_std(listener)?))
    }

    /// The address bound, with the port that was chosen where 0 was given.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until it is stopped, also while the instance drains. Where there are too many at once, the oldest is let go.
    pub async fn run(self, app: Arc<App>, stop: CancellationToken) {
        let (room, tasks) = (Arc::<Room>::default(), TaskTracker::new());
        stop.run_until_cancelled(async {
            loop {
                match self.0.accept().await {
                    Ok((tcp, _)) => {
                        tasks.spawn(room.enter().hold(in_time(tell(tcp, line(&app)))));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_REST.mul_f64(fastrand::f64() + 0.5)).await,
                }
            }
        })
        .await;
    }
}

async fn in_time(told: impl Future<Output = io::Result<()>>) {
    // Whoever went without its answer asks again.
    let _ = tokio::time::timeout(PATIENCE, told).await;
}

async fn tell(mut tcp: TcpStream, line: String) -> io::Result<()> {
    tcp.write_all(line.as_bytes()).await?;
    tcp.shutdown().await?;
    // Closed with something unread, the connection would be reset, and the line with it.
    tokio::io::copy(&mut tcp.take(HEARD), &mut sink()).await?;
    Ok(())
}

/// In the words of HAProxy. `up` and `ready` take back what an earlier line said.
fn line(app: &App) -> String {
    if !readiness(app).ready {
        return "drain\n".to_owned();
    }
    let free = if app.memory.is_short() { 0 } else { app.admission.free() };
    format!("up ready {free}%\n")
}

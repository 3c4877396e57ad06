//! Orders come as lines: typed here, or sent from another terminal to a socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader as AsyncReader};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// A line, and where the answer goes.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) answer: oneshot::Sender<String>,
}

/// The name of the socket in the demo's directory.
pub(crate) const SOCKET: &str = "control.sock";

/// Lines that wait for their turn.
const WAITING: usize = 16;

/// Sends an order to the demo that runs in `dir`, and waits for what it says.
pub(crate) fn send(dir: &Path, order: &str) -> anyhow::Result<String> {
    let missing = || format!("no demo runs here ({}): `make demo` starts one", dir.display());
    let mut socket = UnixStream::connect(dir.join(SOCKET)).with_context(missing)?;
    writeln!(socket, "{order}")?;
    let mut said = String::new();
    socket.read_to_string(&mut said).context("it ended before it answered")?;
    Ok(said)
}

/// All orders from now on, in the order they come; their listeners end with `tasks`.
pub(crate) fn open(dir: &Path, tasks: &mut JoinSet<()>) -> anyhow::Result<mpsc::Receiver<Line>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let socket = UnixListener::bind(dir.join(SOCKET)).context("listen for orders")?;
    tasks.spawn(serve(socket, sender.clone()));
    // A thread of its own, because a read of a terminal cannot be given up; it ends with the process.
    std::thread::spawn(move || type_lines(&sender));
    Ok(receiver)
}

fn type_lines(orders: &mpsc::Sender<Line>) {
    for text in BufReader::new(std::io::stdin()).lines().map_while(Result::ok) {
        let (answer, said) = oneshot::channel();
        if text.trim().is_empty() {
            continue;
        }
        if orders.blocking_send(Line { text, answer }).is_err() {
            return;
        }
        // It is printed by whoever obeys; one order is obeyed after the other.
        let _ = said.blocking_recv();
    }
}

async fn serve(socket: UnixListener, orders: mpsc::Sender<Line>) {
    let mut calls = JoinSet::new();
    while let Ok((stream, _)) = socket.accept().await {
        let orders = orders.clone();
        calls.spawn(async move {
            let mut stream = AsyncReader::new(stream);
            let (mut text, (answer, said)) = (String::new(), oneshot::channel());
            if stream.read_line(&mut text).await.is_ok() && orders.send(Line { text, answer }).await.is_ok() {
                let said = said.await.unwrap_or_default();
                // Whoever asked may be gone.
                let _ = stream.write_all(said.as_bytes()).await;
            }
        });
    }
}

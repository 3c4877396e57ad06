//! How soon an append is with one who follows the stream live.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;

use crate::clock::{SECOND_NS, now_ns};
use crate::poller::Poller;
use crate::publisher::append::{Appender, Kind};
use crate::receive::Receiver;

/// How long a delivery may take. After it the server counts as hung.
const PATIENCE_NS: u64 = 10 * SECOND_NS;

/// What marks the time at which an append was sent, within its value.
const MARK: &[u8] = br#""sent":"#;

const TAIL: u64 = 0;
const APPENDER: u64 = 1;

/// How often is appended, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Appends per second, however soon they are answered.
    pub rate: u64,
    /// For how long.
    pub seconds: u64,
}

/// From each append to its delivery, in ns.
///
/// # Errors
/// An append is refused, or does not arrive once and in its order.
pub fn run((to, from): (SocketAddr, SocketAddr), run: &str, plan: Plan) -> anyhow::Result<Histogram<u64>> {
    let path = format!("/v1/stream/bench/{run}/tail");
    let poller = Poller::new()?;
    let mut appender = Appender::connect(to, path.clone(), Kind::Plain)?;
    poller.add(appender.socket(), APPENDER)?;
    let mut ready = Vec::new();
    while appender.collect()?.accepted == 0 {
        poller.wait(Duration::from_millis(100), &mut ready)?;
    }
    let mut tail = Tail::open(from, &path)?;
    poller.add(&tail.socket, TAIL)?;
    let mut latency = Histogram::new_with_bounds(1_000, PATIENCE_NS, 3)?;
    let (total, every_ns) = (plan.rate * plan.seconds, SECOND_NS / plan.rate);
    let give_up_ns = now_ns() + plan.seconds * SECOND_NS + PATIENCE_NS;
    // Nothing is appended before the tail stands at the end.
    while !tail.is_live {
        ensure!(now_ns() < give_up_ns, "the tail does not become live");
        poller.wait(Duration::from_millis(100), &mut ready)?;
        tail.read(&mut |_, _| Ok(()))?;
    }
    let start_ns = now_ns();
    let mut sent = 0;
    let mut last = 0;
    while latency.len() < total {
        ensure!(now_ns() < give_up_ns, "{} of {total} arrived", latency.len());
        while sent < total && start_ns + sent * every_ns <= now_ns() {
            appender.append(format!(r#"{{"n":{sent},"sent":{}}}"#, now_ns()).as_bytes())?;
            sent += 1;
        }
        let due_ns = if sent < total { start_ns + sent * every_ns } else { now_ns() + SECOND_NS / 10 };
        poller.wait(Duration::from_nanos(due_ns.saturating_sub(now_ns())), &mut ready)?;
        appender.flush()?;
        if let Some(why) = &appender.collect()?.first_refusal {
            bail!("refused: {why}");
        }
        tail.read(&mut |sent_ns, at_ns| {
            ensure!(sent_ns > last, "an append arrived twice or out of order");
            last = sent_ns;
            latency.saturating_record(at_ns.saturating_sub(sent_ns));
            Ok(())
        })?;
    }
    Ok(latency)
}

/// One who follows by SSE.
#[derive(Debug)]
struct Tail {
    socket: TcpStream,
    receiver: Receiver,
    unread: Vec<u8>,
    is_live: bool,
}

impl Tail {
    fn open(server: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        write!(socket, "GET {path}?offset=-1&live=sse HTTP/1.1\r\nHost: {server}\r\n\r\n")?;
        socket.set_nonblocking(true)?;
        Receiver::watch(&socket)?;
        Ok(Self { socket, receiver: Receiver::new(), unread: Vec::new(), is_live: false })
    }

    /// Takes what came, and tells of each append in it when it was sent, and when it was here.
    fn read(&mut self, told: &mut dyn FnMut(u64, u64) -> anyhow::Result<()>) -> anyhow::Result<()> {
        loop {
            let received = match self.receiver.read(&self.socket) {
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("read a tail"),
            };
            ensure!(
                !received.bytes.is_empty(),
                "the tail was closed: {}",
                String::from_utf8_lossy(&self.unread)
            );
            self.unread.extend_from_slice(received.bytes);
            let at_ns = received.at_ns;
            while let Some(end) = self.unread.windows(2).position(|window| window == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                self.is_live |= event.windows(8).any(|window| window == b"upToDate");
                for sent_ns in marks(&event) {
                    told(sent_ns, at_ns)?;
                }
            }
        }
    }
}

/// The times that stand in an event; a chunk of several has several.
fn marks(event: &[u8]) -> impl Iterator<Item = u64> {
    let places = event.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    places.filter_map(|(place, _)| {
        let digits = event[place + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        String::from_utf8(digits.copied().collect()).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_times_of_an_event_are_found() {
        let event = br#"data:[{"n":1,"sent":12},{"n":2,"sent":345}]"#;
        assert_eq!(marks(event).collect::<Vec<_>>(), [12, 345]);
        assert_eq!(marks(b"event: control\ndata:{\"sent\":}").count(), 0);
    }
}

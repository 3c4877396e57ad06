//! Subscribers over HTTP/2, as many streams on each connection as wanted.
//!
//! The protocol is the `h2` crate's, on a runtime of one thread: flow control and header compression are not what is measured, and
//! must be right. So latency is not measured here: it would be the runtime's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::audience::Arrivals;
use crate::clock::now_ns;
use crate::load::Schedule;
use crate::publisher::{HttpPublisher, Publisher};
use crate::scan::{Control, Found, Scanner};
use crate::sequence::{Arrival, Sequence};
use crate::stamp::Stamp;

/// What a stream and a connection may hold unread, so that flow control holds nobody up who reads.
const WINDOW_BYTES: u32 = 1 << 20;

/// How long all streams may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait for what has not arrived after the last publish. Then it is missing.
const QUIET: Duration = Duration::from_secs(3);

/// How often it is looked whether all is there.
const LOOK: Duration = Duration::from_millis(5);

/// How many connections, and streams on each.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Connections.
    pub connections: usize,
    /// Streams of each.
    pub streams: usize,
}

/// Streams that are open, all of session 0.
#[derive(Debug)]
pub struct Multiplex {
    server: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    /// Aborted when this is dropped.
    tasks: JoinSet<anyhow::Result<()>>,
    streams: u64,
}

/// What all streams count into.
#[derive(Debug, Default)]
struct Heard {
    connected: u64,
    arrivals: Arrivals,
    /// One per stream.
    sequences: Vec<Sequence>,
}

impl Multiplex {
    /// Opens all and waits until each is answered.
    ///
    /// # Errors
    /// The server refuses one, or does not answer in time.
    pub async fn open(server: SocketAddr, shape: Shape) -> anyhow::Result<Self> {
        let mut this = Self { server, heard: Arc::default(), tasks: JoinSet::new(), streams: 0 };
        timeout(OPEN_TIMEOUT, this.connect_all(shape)).await.context("not all streams opened in time")??;
        Ok(this)
    }

    /// Publishes and waits until everything arrived, or nothing more comes. Says what arrived and how much never did.
    ///
    /// # Errors
    /// A publish was refused, or the server broke the protocol.
    pub async fn run(mut self, schedule: Schedule) -> anyhow::Result<(Arrivals, u64)> {
        let mut publisher = HttpPublisher::connect(self.server)?;
        let start = Instant::now();
        for number in 0..schedule.total {
            sleep_until(start + Duration::from_nanos(number * crate::clock::SECOND_NS / schedule.rate)).await;
            publisher.publish(Stamp { session: 0, number, sent_ns: now_ns() });
            publisher.flush()?;
            publisher.collect()?;
        }
        let (wanted, deadline) = (schedule.total * self.streams, Instant::now() + QUIET);
        while hear(&self.heard).arrivals.delivered < wanted && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        publisher.collect()?;
        let answers = publisher.answers();
        ensure!(
            answers.accepted == schedule.total,
            "{} publishes were accepted: {:?}",
            answers.accepted,
            answers.first_refusal
        );
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
            bail!("a stream ended");
        }
        let heard = hear(&self.heard);
        let missing = heard.sequences.iter().map(|sequence| sequence.missing(schedule.total)).sum();
        Ok((heard.arrivals, missing))
    }

    async fn connect_all(&mut self, shape: Shape) -> anyhow::Result<()> {
        for _ in 0..shape.connections {
            let socket = TcpStream::connect(self.server).await?;
            socket.set_nodelay(true)?;
            let mut builder = Builder::new();
            builder
                .initial_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .enable_push(false);
            let (mut requests, connection) = builder.handshake(socket).await?;
            self.tasks.spawn(async move { connection.await.context("a connection") });
            for _ in 0..shape.streams {
                requests = self.subscribe(requests).await?;
            }
        }
        while hear(&self.heard).connected < self.streams {
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn subscribe(&mut self, requests: SendRequest<Bytes>) -> anyhow::Result<SendRequest<Bytes>> {
        let request = Request::get(format!("http://{}/v1/sessions/s0/events", self.server)).body(())?;
        let mut requests = requests.ready().await?;
        let (response, _) = requests.send_request(request, true)?;
        let response = response.await?;
        ensure!(response.status() == 200, "the answer to a subscribe is {}", response.status());
        let heard = Arc::clone(&self.heard);
        hear(&heard).sequences.push(Sequence::default());
        self.tasks.spawn(listen(response.into_body(), heard, usize::try_from(self.streams)?));
        self.streams += 1;
        Ok(requests)
    }
}

async fn listen(mut body: RecvStream, heard: Arc<Mutex<Heard>>, index: usize) -> anyhow::Result<()> {
    let mut scanner = Scanner::of_body();
    while let Some(bytes) = body.data().await {
        let bytes = bytes?;
        body.flow_control().release_capacity(bytes.len())?;
        let mut heard = hear(&heard);
        scanner.feed(&bytes, &mut |found| heard.take(found, index))?;
    }
    bail!("a stream was closed")
}

impl Heard {
    fn take(&mut self, found: Found, index: usize) {
        let arrivals = &mut self.arrivals;
        match found {
            Found::Stamp(Stamp { session: 0, number, .. }) => match self.sequences[index].record(number) {
                Arrival::Forward => arrivals.delivered += 1,
                Arrival::Reordered => {
                    arrivals.delivered += 1;
                    arrivals.reordered += 1;
                }
                Arrival::Duplicate => arrivals.duplicates += 1,
            },
            Found::Stamp(_) => arrivals.foreign += 1,
            Found::Control(Control::Connected) => self.connected += 1,
            Found::Control(Control::Gap) => arrivals.gaps += 1,
            Found::Control(Control::Refused) | Found::End => arrivals.ended += 1,
            Found::Open | Found::Control(Control::Other) => {}
        }
    }
}

fn hear(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().expect("nobody panics while counting")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_says_is_counted() {
        let mut heard = Heard { sequences: vec![Sequence::default()], ..Heard::default() };
        let stamp = |session, number| Found::Stamp(Stamp { session, number, sent_ns: 0 });
        let (connected, gap) = (Found::Control(Control::Connected), Found::Control(Control::Gap));
        for found in [connected, stamp(0, 0), stamp(0, 2), stamp(0, 2), stamp(0, 1), stamp(1, 3), gap] {
            heard.take(found, 0);
        }
        let counted = Arrivals { delivered: 3, duplicates: 1, reordered: 1, foreign: 1, gaps: 1, ended: 0 };
        assert_eq!((heard.connected, heard.arrivals), (1, counted));
        assert_eq!(heard.sequences[0].missing(4), 1);
    }
}

//! The socket of a connection, and what of a stream has really left it.
//!
//! hyper takes chunks from a body before the kernel takes them, so "handed over" is not "sent". The socket counts what
//! the kernel took, the body says what it handed over, and the difference tells the supervisor since when the oldest
//! event has been waiting.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::sniff::Sniffed;

/// What was handed over and has not left.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    /// Bytes the kernel took.
    written: u64,
    /// Where on the wire the last chunk handed over ends.
    handed: u64,
    /// Ends of chunks that have not left, with the time their oldest event was queued. Bounded by what hyper buffers.
    waiting: VecDeque<(u64, Instant)>,
}

impl Flight {
    /// A chunk of this many bytes goes to hyper; its oldest event has been waiting since then.
    pub(crate) fn hand_over(&mut self, bytes: usize, oldest: Option<Instant>) {
        self.handed = self.handed.max(self.written) + chunked(bytes);
        if let Some(oldest) = oldest {
            self.waiting.push_back((self.handed, oldest));
        }
    }

    /// Since when the oldest event that has not left completely has been waiting.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, since)| *since)
    }

    fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        while self.waiting.front().is_some_and(|(end, _)| *end <= self.written) {
            self.waiting.pop_front();
        }
    }

    fn flushed(&mut self) {
        self.handed = self.written;
        self.waiting.clear();
    }
}

/// Bytes on the wire for a chunk: its length in hexadecimal and two line ends around it.
fn chunked(bytes: usize) -> u64 {
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4).max(1);
    u64::from(digits) + 4 + bytes as u64
}

/// A TCP stream whose first bytes were read to tell the protocol.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TokioIo<TcpStream>,
    sniffed: Sniffed,
    flight: Arc<Mutex<Flight>>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, sniffed: Sniffed, flight: Arc<Mutex<Flight>>) -> Self {
        Self { tcp: TokioIo::new(tcp), sniffed, flight }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let first = self.sniffed.take(buf.remaining());
        buf.put_slice(&first);
        match Pin::new(&mut self.tcp).poll_read(cx, buf) {
            // Alone, the few bytes sniffed would make hyper parse a head that is not there and double its buffer, for as
            // long as the connection lives.
            Poll::Pending if !first.is_empty() => Poll::Ready(Ok(())),
            read @ (Poll::Ready(_) | Poll::Pending) => read,
        }
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.tcp).poll_write(cx, buf))?;
        self.flight.lock().wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs))?;
        self.flight.lock().wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes once all it holds has been written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flight.lock().flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_left_when_the_kernel_took_its_last_byte() {
        let mut flight = Flight::default();
        let (one, two) = (Instant::now(), Instant::now());
        flight.hand_over(10, Some(one));
        flight.hand_over(300, Some(two));
        assert_eq!(flight.oldest(), Some(one));
        flight.wrote(14);
        assert_eq!(flight.oldest(), Some(one));
        flight.wrote(1);
        assert_eq!(flight.oldest(), Some(two));
        flight.wrote(306);
        assert_eq!(flight.oldest(), Some(two));
        flight.wrote(1);
        assert_eq!(flight.oldest(), None);
    }

    #[test]
    fn a_flush_settles_what_estimates_got_wrong() {
        let mut flight = Flight::default();
        flight.hand_over(10, Some(Instant::now()));
        flight.flushed();
        assert_eq!(flight.oldest(), None);
    }

    #[test]
    fn chunk_sizes() {
        assert_eq!([chunked(0), chunked(1), chunked(15), chunked(16), chunked(256)], [5, 6, 20, 22, 263]);
    }
}

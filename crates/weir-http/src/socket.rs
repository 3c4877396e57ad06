//! The socket of a connection while hyper has it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use crate::handover::Handover;
use crate::line::Line;
use crate::sniff::Sniffed;

/// A connection whose first bytes were read to tell the protocol. It keeps the head of a stream back, which leaves with the
/// first events.
#[derive(Debug)]
pub(crate) struct Socket {
    line: TokioIo<Line>,
    sniffed: Sniffed,
    handover: Arc<Handover>,
    head: Vec<u8>,
}

impl Socket {
    pub(crate) fn new(line: Line, sniffed: Sniffed, handover: Arc<Handover>) -> Self {
        Self { line: TokioIo::new(line), sniffed, handover, head: Vec::new() }
    }

    /// The connection, and the head that was kept back.
    pub(crate) fn into_parts(self) -> (Line, Vec<u8>) {
        (self.line.into_inner(), self.head)
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
        match Pin::new(&mut self.line).poll_read(cx, buf) {
            // Alone, the few bytes sniffed would make hyper parse a head that is not there.
            Poll::Pending if !first.is_empty() => Poll::Ready(Ok(())),
            read @ (Poll::Ready(_) | Poll::Pending) => read,
        }
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.handover.is_left() {
            self.head.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.line).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.handover.is_left() {
            let before = self.head.len();
            bufs.iter().for_each(|buf| self.head.extend_from_slice(buf));
            return Poll::Ready(Ok(self.head.len() - before));
        }
        Pin::new(&mut self.line).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes once all it holds has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.head.is_empty() {
            self.handover.head_is_complete();
        }
        Pin::new(&mut self.line).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}

//! The stream of an HTTP/1.1 connection once hyper has answered: one event, one write.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client::Client;
use crate::line::Line;
use crate::stream::{Due, Stream};

/// An event from this size on leaves from where it is, shared by all who get it; copying a smaller one costs less than a
/// write of several parts.
const SHARED: usize = 8 * 1024;

/// Room for the size of a chunk, which is known when the chunk is.
const SIZE: [u8; 18] = [0; 18];

/// What a thread's buffer may keep between writes.
const KEPT: usize = 64 * 1024;

/// A client has nothing to say any more; what it says beyond this is not even read.
const HEARD: usize = 16 * 1024;

/// Pieces written at once: a head, and a chunk's size, text and line end.
const PIECES: usize = 4;

thread_local! {
    /// Chunks are put together here, one at a time, so that no connection needs a buffer of its own.
    static CHUNK: RefCell<BytesMut> = RefCell::default();
}

/// How the end of a stream can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// HTTP/1.1: by the last chunk.
    Chunked,
    /// HTTP/1.0: by the end of the connection.
    UntilClose,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Writer {
    line: Line,
    stream: Stream,
    framing: Framing,
    /// What has not left yet; only then is more taken from the stream.
    rest: VecDeque<Bytes>,
    ended: bool,
    heard: usize,
}

impl Writer {
    /// A stream whose head has not left.
    pub(crate) fn new(line: Line, head: Vec<u8>, framing: Framing, stream: Stream) -> Self {
        Self { line, stream, framing, rest: VecDeque::from([head.into()]), ended: false, heard: 0 }
    }

    /// Whose stream it is.
    pub(crate) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.stream.seated.client)
    }

    /// Writes what there is. Resolves when the stream has ended and left.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // The head leaves with the first events.
            if self.stream.is_open() || self.ended {
                ready!(self.poll_rest(cx))?;
            }
            if self.ended {
                return Pin::new(&mut self.line).poll_shutdown(cx);
            }
            let Some(due) = ready!(self.stream.poll_due(cx)) else {
                self.ended = true;
                if self.framing == Framing::Chunked {
                    self.rest.push_back(Bytes::from_static(b"0\r\n\r\n"));
                }
                continue;
            };
            self.begin(cx, &due)?;
            if due.pulled.drained && self.has_left() {
                return Poll::Pending;
            }
        }
    }

    /// Writes what the kernel takes at once, and keeps the rest.
    fn begin(&mut self, cx: &mut Context<'_>, due: &Due) -> io::Result<()> {
        match due.single().filter(|[one, two]| one.len() + two.len() >= SHARED && self.stream.is_open()) {
            Some(frames) => {
                let length = frames.iter().map(|frame| frame.len()).sum();
                self.stream.wrote(due, length);
                self.share(frames, length);
            }
            None => CHUNK.with_borrow_mut(|chunk| self.copy(cx, due, chunk))?,
        }
        if !self.has_left() {
            self.stream.seated.client.wire.waits(due.oldest());
        }
        Ok(())
    }

    /// Whether the kernel has all that was begun.
    fn has_left(&self) -> bool {
        self.rest.is_empty() && !self.line.holds()
    }

    fn share(&mut self, frames: [&Bytes; 2], length: usize) {
        let frames = frames.into_iter().filter(|frame| !frame.is_empty()).cloned();
        match self.framing {
            Framing::Chunked => {
                self.rest.push_back(Bytes::from(format!("{length:x}\r\n")));
                self.rest.extend(frames);
                self.rest.push_back(Bytes::from_static(b"\r\n"));
            }
            Framing::UntilClose => self.rest.extend(frames),
        }
    }

    fn copy(&mut self, cx: &mut Context<'_>, due: &Due, chunk: &mut BytesMut) -> io::Result<()> {
        chunk.clear();
        chunk.extend_from_slice(&SIZE);
        self.stream.put(due, chunk);
        let start = match self.framing {
            Framing::Chunked => enclose(chunk),
            Framing::UntilClose => SIZE.len(),
        };
        let mut bytes = &chunk[start..];
        if self.rest.is_empty()
            && let Poll::Ready(written) = Pin::new(&mut self.line).poll_write(cx, bytes)
        {
            bytes.advance(written?);
        }
        if !bytes.is_empty() {
            self.rest.push_back(Bytes::copy_from_slice(bytes));
        }
        if chunk.capacity() > KEPT {
            *chunk = BytesMut::new();
        }
        Ok(())
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_left() {
            return Poll::Ready(Ok(()));
        }
        while !self.rest.is_empty() {
            let pieces: SmallVec<[_; PIECES]> =
                self.rest.iter().take(PIECES).map(|piece| IoSlice::new(piece)).collect();
            let written = ready!(Pin::new(&mut self.line).poll_write_vectored(cx, &pieces))?;
            drop(pieces);
            self.advance(written)?;
        }
        ready!(Pin::new(&mut self.line).poll_flush(cx))?;
        self.rest = VecDeque::new();
        self.stream.seated.client.wire.left();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = self.rest.front_mut() {
            let taken = written.min(piece.len());
            piece.advance(taken);
            written -= taken;
            if !piece.is_empty() {
                break;
            }
            self.rest.pop_front();
        }
        Ok(())
    }

    /// Resolves when the peer has gone.
    pub(crate) fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [MaybeUninit::uninit(); 64];
        while self.heard < HEARD {
            let mut buf = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.line).poll_read(cx, &mut buf))?;
            match buf.filled().len() {
                0 => return Poll::Ready(Ok(())),
                more => self.heard += more,
            }
        }
        Poll::Pending
    }
}

/// Makes a chunk of what stands behind the room for its size, and returns where it begins.
fn enclose(chunk: &mut BytesMut) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut left = chunk.len() - SIZE.len();
    let mut start = SIZE.len() - 2;
    chunk[start..SIZE.len()].copy_from_slice(b"\r\n");
    while left > 0 {
        start -= 1;
        chunk[start] = DIGITS[left % 16];
        left /= 16;
    }
    chunk.extend_from_slice(b"\r\n");
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_say_their_size() {
        for (bytes, size) in [(1, "1"), (15, "f"), (16, "10"), (0xab_cdef, "abcdef")] {
            let text = "x".repeat(bytes);
            let mut chunk = BytesMut::from(&SIZE[..]);
            chunk.extend_from_slice(text.as_bytes());
            let start = enclose(&mut chunk);
            assert_eq!(chunk[start..], *format!("{size}\r\n{text}\r\n").as_bytes());
        }
    }
}

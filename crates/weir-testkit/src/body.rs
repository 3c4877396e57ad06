//! The body of a response, decoded as it comes, so that a clean end can be told from a cut.

use anyhow::{Context as _, ensure};
use bytes::{Buf, BytesMut};

use crate::head::Head;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By its own framing: the last chunk came, or as many bytes as announced.
    Clean,
    /// The connection closed first, or the body has no end of its own.
    Cut,
}

/// What is still to come of a body.
#[derive(Debug)]
pub(crate) enum Body {
    Chunked(Chunked),
    Length(usize),
    UntilClose,
}

/// Where in a chunk the decoder stands.
#[derive(Debug)]
pub(crate) enum Chunked {
    Size,
    Data(usize),
    /// The line end after a chunk's data.
    DataEnd,
    /// The line end after the last chunk. weir sends no trailers.
    LastEnd,
    Done,
}

impl Body {
    /// The framing that `head` announces for the answer to `method`.
    ///
    /// # Errors
    /// A length that is no number, or a length beside chunks.
    pub(crate) fn of(method: &str, head: &Head) -> anyhow::Result<Self> {
        let length = head.header("content-length");
        let chunked = head.header("transfer-encoding") == Some("chunked");
        ensure!(!(chunked && length.is_some()), "both a length and chunks: {head:?}");
        if method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(Self::Length(0));
        }
        match length {
            _ if chunked => Ok(Self::Chunked(Chunked::Size)),
            Some(length) => Ok(Self::Length(length.parse().context("content-length")?)),
            None => Ok(Self::UntilClose),
        }
    }

    /// Moves what can be decoded of `received` to `out`.
    ///
    /// # Errors
    /// What was received breaks the framing.
    pub(crate) fn decode(&mut self, received: &mut BytesMut, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Chunked(chunked) => chunked.decode(received, out),
            Self::Length(left) => {
                *left -= take(received, *left, out);
                ensure!(*left > 0 || received.is_empty(), "bytes after the body: {received:?}");
                Ok(())
            }
            Self::UntilClose => {
                take(received, usize::MAX, out);
                Ok(())
            }
        }
    }

    /// Whether all of it is here.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::Done))
    }
}

impl Chunked {
    fn decode(&mut self, received: &mut BytesMut, out: &mut Vec<u8>) -> anyhow::Result<()> {
        while self.step(received, out)? {}
        Ok(())
    }

    /// One step; `false` where it needs more bytes, or no more.
    fn step(&mut self, received: &mut BytesMut, out: &mut Vec<u8>) -> anyhow::Result<bool> {
        match self {
            Self::Size => {
                let Some(line) = line(received)? else { return Ok(false) };
                let size =
                    usize::from_str_radix(&line, 16).with_context(|| format!("chunk size {line:?}"))?;
                *self = if size == 0 { Self::LastEnd } else { Self::Data(size) };
            }
            Self::Data(left) => {
                if received.is_empty() {
                    return Ok(false);
                }
                *left -= take(received, *left, out);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
            }
            Self::DataEnd | Self::LastEnd => {
                let Some(line) = line(received)? else { return Ok(false) };
                ensure!(line.is_empty(), "{line:?} where a chunk ends");
                *self = if matches!(self, Self::DataEnd) { Self::Size } else { Self::Done };
            }
            Self::Done => {
                ensure!(received.is_empty(), "bytes after the last chunk: {received:?}");
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Cuts a line off, without its CRLF; `None` while it is not whole.
fn line(received: &mut BytesMut) -> anyhow::Result<Option<String>> {
    let Some(end) = received.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
    let line = received.split_to(end);
    received.advance(2);
    Ok(Some(String::from_utf8(line.to_vec())?))
}

/// Moves at most `most` bytes and says how many.
fn take(received: &mut BytesMut, most: usize, out: &mut Vec<u8>) -> usize {
    let part = received.split_to(most.min(received.len()));
    out.extend_from_slice(&part);
    part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cut_anywhere() {
        let wire = b"5\r\nhello\r\nA\r\n, chunks\r\n\r\n0\r\n\r\n";
        for cut in 0..wire.len() {
            let mut body = Body::Chunked(Chunked::Size);
            let (mut received, mut out) = (BytesMut::new(), Vec::new());
            for part in [&wire[..cut], &wire[cut..]] {
                assert!(!body.is_complete(), "complete at {cut}");
                received.extend_from_slice(part);
                body.decode(&mut received, &mut out).unwrap();
            }
            assert!(body.is_complete());
            assert_eq!(out, b"hello, chunks\r\n");
        }
    }

    #[test]
    fn broken_framing_is_an_error() {
        for wire in ["x\r\n", "1\r\nab\r\n", "0\r\nx\r\n", "0\r\n\r\nmore"] {
            let mut body = Body::Chunked(Chunked::Size);
            assert!(body.decode(&mut BytesMut::from(wire), &mut Vec::new()).is_err(), "{wire:?}");
        }
    }
}

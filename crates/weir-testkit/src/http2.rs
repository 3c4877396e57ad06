//! HTTP/2 frame by frame, for tests that say what no client library would say.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, Bytes};

use crate::deadline::within;
use crate::raw::{Closed, RawConn};

/// What a client says first, before its settings.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
#[expect(missing_docs, reason = "each is named as RFC 9113 names it")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
#[expect(missing_docs, reason = "each is named as RFC 9113 names it")]
pub mod flag {
    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// Statuses that HPACK has an index for, from 8 on.
const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// A connection of HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    conn: RawConn,
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Bytes,
}

/// How a connection ended: why, where the server said so by GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The error code of the last GOAWAY.
    pub code: Option<u32>,
    /// The close itself.
    pub closed: Closed,
}

impl Http2 {
    /// Connects and says the preface and settings, each an identifier and a value.
    ///
    /// # Errors
    /// No connection.
    pub async fn open(addr: SocketAddr, settings: &[(u16, u32)]) -> anyhow::Result<Self> {
        Self::over(RawConn::open(addr).await?, settings).await
    }

    /// The same on a connection that is there, such as one by TLS.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn over(mut conn: RawConn, settings: &[(u16, u32)]) -> anyhow::Result<Self> {
        let said: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        conn.write(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &said)].concat()).await?;
        Ok(Self { conn })
    }

    /// Sends frames, or whatever else.
    ///
    /// # Errors
    /// The connection is gone, or the server takes nothing.
    pub async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.conn.write(bytes).await
    }

    /// The next frame; the close, where that comes first.
    ///
    /// # Errors
    /// Neither comes within `limit`.
    pub async fn next(&mut self, limit: Duration) -> anyhow::Result<Result<Frame, Closed>> {
        let next = async {
            loop {
                if let Some(frame) = self.take() {
                    return Ok(Ok(frame));
                }
                if let Some(closed) = self.conn.fill().await? {
                    return Ok(Err(closed));
                }
            }
        };
        within(limit, "read a frame", next).await
    }

    fn take(&mut self) -> Option<Frame> {
        let unread = &mut self.conn.unread;
        let head = unread.get(..HEAD)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if unread.len() < HEAD + length {
            return None;
        }
        unread.advance(HEAD);
        Some(Frame { kind, flags, stream, payload: unread.split_to(length).freeze() })
    }

    /// The status of the answer on a stream. What else comes meanwhile is passed over; pings and settings are acknowledged.
    ///
    /// # Errors
    /// The connection is closed, the stream is reset, or nothing comes within `limit`.
    pub async fn status(&mut self, stream: u32, limit: Duration) -> anyhow::Result<u16> {
        loop {
            let frame = self.next(limit).await?;
            let frame = frame.map_err(|closed| anyhow::anyhow!("closed ({closed:?}) without an answer"))?;
            self.acknowledge(&frame).await?;
            if frame.stream == stream {
                ensure!(frame.kind != kind::RST_STREAM, "reset: {frame:?}");
                if frame.kind == kind::HEADERS {
                    return status(&frame.payload).with_context(|| format!("{frame:?}"));
                }
            }
        }
    }

    /// Acknowledges what wants it, as a peer does that keeps a connection open.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn acknowledge(&mut self, said: &Frame) -> anyhow::Result<()> {
        if said.flags & flag::ACK != 0 {
            return Ok(());
        }
        match said.kind {
            kind::PING => self.send(&frame(kind::PING, flag::ACK, 0, &said.payload)).await,
            kind::SETTINGS => self.send(&frame(kind::SETTINGS, flag::ACK, 0, &[])).await,
            _ => Ok(()),
        }
    }

    /// Reads on until the server closes. Pings are acknowledged.
    ///
    /// # Errors
    /// It is still open after `limit`.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<Ended> {
        let mut code = None;
        let reading = async {
            loop {
                match self.next(limit).await? {
                    Ok(frame) if frame.kind == kind::GOAWAY => {
                        code = frame.payload.get(4..8).map(|mut code| code.get_u32());
                    }
                    // A server that has said enough need not read it.
                    Ok(frame) => drop(self.acknowledge(&frame).await),
                    Err(closed) => return anyhow::Ok(closed),
                }
            }
        };
        let closed = within(limit, "read until the close", reading).await?;
        Ok(Ended { code, closed })
    }
}

/// A frame as it is sent.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS with these fields, which is the whole request unless a body follows.
pub fn request(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
    frame(kind::HEADERS, flags, stream, &block(fields))
}

/// The four pseudo-headers of a request, and more fields.
pub fn fields<'a>(method: &'a str, path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    [&pseudo, more].concat()
}

/// `GET` of a path.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    request(stream, &fields("GET", path, &[]), true)
}

/// Fields as HPACK writes them without any table: each name and value as it is.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [integer(text.len(), 7), text.as_bytes().to_vec()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// An integer of HPACK behind a prefix of so many bits, all others 0.
fn integer(mut value: usize, bits: u32) -> Vec<u8> {
    let most = (1 << bits) - 1;
    let low = |value: usize| u8::try_from(value & 0xff).unwrap_or(u8::MAX);
    if value < most {
        return vec![low(value)];
    }
    let mut out = vec![low(most)];
    value -= most;
    while value >= 128 {
        out.push(low(value % 128 + 128));
        value /= 128;
    }
    out.push(low(value));
    out
}

/// `:status` is the first field. Digits have codes of five and six bits where they are compressed.
fn status(block: &[u8]) -> Option<u16> {
    let first = *block.first()?;
    if first & 0x80 != 0 {
        return INDEXED.get(usize::from(first & 0x7f).checked_sub(8)?).copied();
    }
    // A literal whose name is that of index 8, to be remembered (0x48) or not.
    let length = block.get(1).filter(|_| matches!(first, 0x48 | 0x08))?;
    let text = block.get(2..2 + usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut rest, mut number) = (bits.as_str(), 0);
    for _ in 0..3 {
        let short = u16::from_str_radix(rest.get(..5)?, 2).ok()?;
        let (digit, bits) = if short < 3 {
            (short, 5)
        } else {
            (u16::from_str_radix(rest.get(..6)?, 2).ok()?.checked_sub(0b01_1001 - 3)?, 6)
        };
        number = number * 10 + digit;
        rest = &rest[bits..];
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_however_they_are_written() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x8d, 0x5f]), Some(404));
        assert_eq!(status(&[0x48, 3, b'2', b'0', b'1']), Some(201));
        // 4, 1, 5: 011010 00001 011011 and a padding of ones.
        assert_eq!(status(&[0x48, 0x83, 0b0110_1000, 0b0010_1101, 0b1111_1111]), Some(415));
        assert_eq!(status(&[0x40]), None);
    }

    #[test]
    fn integers_of_any_length() {
        assert_eq!(integer(126, 7), [126]);
        assert_eq!(integer(127, 7), [127, 0]);
        assert_eq!(integer(1337, 5), [31, 154, 10]);
    }
}

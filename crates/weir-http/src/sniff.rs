//! HTTP/1.1 or HTTP/2, told by the first bytes and under a deadline of our own: hyper's own detection waits for ever on a
//! client that says nothing.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use crate::line::Line;

/// What an HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Bytes that were read to tell the protocol and have to be read again.
#[derive(Debug, Default)]
pub(crate) struct Sniffed(Bytes);

impl Sniffed {
    /// Up to so many of the bytes.
    pub(crate) fn take(&mut self, most: usize) -> Bytes {
        let taken = self.0.split_to(most.min(self.0.remaining()));
        if self.0.is_empty() {
            self.0 = Bytes::new();
        }
        taken
    }
}

/// Reads until the first byte that differs from the preface, or all of it. Whoever stops waiting finds in `read` what came.
pub(crate) async fn sniff(line: &mut Line, read: &mut BytesMut) -> io::Result<(Protocol, Sniffed)> {
    loop {
        if !PREFACE.starts_with(read) {
            return Ok((Protocol::Http1, Sniffed(read.split().freeze())));
        }
        if read.len() == PREFACE.len() {
            return Ok((Protocol::Http2, Sniffed(read.split().freeze())));
        }
        let mut rest = [0; PREFACE.len()];
        let room = PREFACE.len() - read.len();
        match line.read(&mut rest[..room]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => read.extend_from_slice(&rest[..bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    async fn sniffed(parts: &[&[u8]]) -> io::Result<(Protocol, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let mut server = Line::Plain(listener.accept().await?.0);
        let mut read = BytesMut::new();
        let write = async {
            for part in parts {
                client.write_all(part).await?;
                tokio::task::yield_now().await;
            }
            client.shutdown().await
        };
        let (result, _) = tokio::join!(sniff(&mut server, &mut read), write);
        let (protocol, mut sniffed) = result?;
        Ok((protocol, sniffed.take(usize::MAX).to_vec()))
    }

    #[tokio::test]
    async fn tells_by_the_first_difference() {
        let (protocol, bytes) = sniffed(&[b"GET / HTTP/1.1\r\n"]).await.unwrap();
        assert_eq!((protocol, bytes.starts_with(b"G")), (Protocol::Http1, true));
        assert_eq!(sniffed(&[b"P", b"OST"]).await.unwrap().0, Protocol::Http1);
        assert_eq!(sniffed(&[PREFACE]).await.unwrap(), (Protocol::Http2, PREFACE.to_vec()));
        assert_eq!(sniffed(&[b"PRI * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n"]).await.unwrap().0, Protocol::Http2);
        assert!(sniffed(&[b"PRI"]).await.is_err());
    }
}

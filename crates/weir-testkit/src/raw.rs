//! A bare connection, for tests that say what no client library would say, or say nothing at all.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::deadline::{DEADLINE, within};
use crate::head::Head;
use crate::trust::Trust;

/// How the other side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It closed its side (FIN).
    Eof,
    /// It reset the connection (RST).
    Reset,
    /// It closed its side without the goodbye of TLS, so nobody knows whether something is missing.
    Truncated,
}

/// A connection by TCP or TLS and what was received on it but not looked at.
#[derive(Debug)]
pub struct RawConn {
    socket: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    pub(crate) unread: BytesMut,
}

impl RawConn {
    /// Connects.
    ///
    /// # Errors
    /// The connection is refused or not made within [`DEADLINE`].
    pub async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        Self::connect(TcpSocket::new_v4()?, addr).await
    }

    /// Speaks TLS from here on.
    ///
    /// # Errors
    /// The handshake fails or is not done within [`DEADLINE`].
    pub async fn secure(self, trust: Trust) -> anyhow::Result<Self> {
        let Either::Left(tcp) = self.socket else { bail!("it speaks TLS already") };
        let tls = within(DEADLINE, "shake hands", trust.connect(tcp)).await?;
        Ok(Self { socket: Either::Right(Box::new(tls)), ..self })
    }

    /// The certificate that the server showed, where it speaks TLS.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        let Either::Right(tls) = &self.socket else { return None };
        tls.get_ref().1.peer_certificates()?.first().map(|certificate| certificate.to_vec())
    }

    /// Whether the handshake took up an earlier session.
    pub fn is_resumed(&self) -> bool {
        let Either::Right(tls) = &self.socket else { return false };
        tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The protocol that was agreed on by ALPN.
    pub fn agreed(&self) -> Option<&[u8]> {
        let Either::Right(tls) = &self.socket else { return None };
        tls.get_ref().1.alpn_protocol()
    }

    /// Connects with a receive buffer of about `bytes`, so that a server notices early that nobody reads.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_narrow(addr: SocketAddr, bytes: u32) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(bytes)?;
        Self::connect(socket, addr).await
    }

    /// Connects from an address of this machine.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_from(from: Ipv4Addr, addr: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        Self::connect(socket, addr).await
    }

    async fn connect(socket: TcpSocket, addr: SocketAddr) -> anyhow::Result<Self> {
        let connect = async { Ok(socket.connect(addr).await?) };
        let socket = within(DEADLINE, format!("connect to {addr}"), connect).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket: Either::Left(socket), unread: BytesMut::new() })
    }

    /// Sends `bytes` as they are.
    ///
    /// # Errors
    /// The connection is gone, or the server takes nothing within [`DEADLINE`].
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let write = async {
            self.socket.write_all(bytes).await?;
            Ok(self.socket.flush().await?)
        };
        within(DEADLINE, format!("write {} bytes", bytes.len()), write).await
    }

    /// Says that nothing more will be sent; receiving goes on.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn finish_writing(&mut self) -> anyhow::Result<()> {
        self.socket.shutdown().await.context("close the sending side")
    }

    /// Drops the connection with RST, as a crashed peer's kernel does.
    ///
    /// # Errors
    /// The connection is gone already.
    pub fn reset(self) -> anyhow::Result<()> {
        let tcp = match &self.socket {
            Either::Left(tcp) => tcp,
            Either::Right(tls) => tls.get_ref().0,
        };
        tcp.set_zero_linger().context("arrange for a reset")
    }

    /// Receives once, as much as there is; `Some` once the server has closed.
    ///
    /// # Errors
    /// Any failure that is not a close.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<Option<Closed>> {
        match self.socket.read_buf(&mut self.unread).await {
            Ok(0) => Ok(Some(Closed::Eof)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Some(Closed::Reset)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(Closed::Truncated)),
            Err(error) => Err(error).context("receive"),
        }
    }

    /// Receives at most so many bytes and throws them away; `Some` once the server has closed, `None` also where nothing comes
    /// within `wait`.
    ///
    /// # Errors
    /// Any failure that is not a close.
    pub async fn sip(&mut self, most: usize, wait: Duration) -> anyhow::Result<Option<Closed>> {
        let mut bytes = vec![0; most];
        match timeout(wait, self.socket.read(&mut bytes)).await {
            Err(_) | Ok(Ok(1..)) => Ok(None),
            Ok(Ok(0)) => Ok(Some(Closed::Eof)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Some(Closed::Reset)),
            Ok(Err(error)) => Err(error).context("receive"),
        }
    }

    /// All that comes until the server closes, and how it closed; `None` if it was still open after `limit`.
    ///
    /// # Errors
    /// Any failure that is not a close.
    pub async fn read_until_close(&mut self, limit: Duration) -> anyhow::Result<(Bytes, Option<Closed>)> {
        let until_close = async {
            loop {
                if let Some(closed) = self.fill().await? {
                    return anyhow::Ok(closed);
                }
            }
        };
        let closed = timeout(limit, until_close).await.ok().transpose()?;
        Ok((self.unread.split().freeze(), closed))
    }

    /// The next response head; what follows it stays unread. Interim (1xx) heads are returned like any other.
    ///
    /// # Errors
    /// What comes is no head, or is not whole within `limit` or before the close.
    pub async fn read_head(&mut self, limit: Duration) -> anyhow::Result<Head> {
        let read = async {
            loop {
                if let Some(head) = Head::take(&mut self.unread)? {
                    return Ok(head);
                }
                if let Some(closed) = self.fill().await? {
                    bail!("closed ({closed:?}) after {:?}", self.unread);
                }
            }
        };
        within(limit, "read a response head", read).await
    }
}

//! The first steps of a connection: TLS where the listener has a certificate, then which protocol it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use weir_metrics::{Handshake, Metrics, Refused};

use crate::line::Line;
use crate::sniff::{Protocol, Sniffed, sniff};
use crate::tls::{HTTP1, HTTP2, Tls};

/// How long it may take until a proxy has said whom it speaks for, a client has made its handshake and sent its first bytes,
/// all together; and then for the head of each request.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What TLS may hold of what was written and the kernel does not take: about one record.
const HELD_BYTES: usize = 16 * 1024;

/// For whoever speaks HTTP where TLS is spoken.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    cache-control: no-store\r\nconnection: close\r\ncontent-length: 39\r\n\r\n\
    this port speaks TLS: call it by https\n";

/// What a client says first.
pub(crate) type Begun = (Line, Protocol, Sniffed);

/// Takes the first steps until then; `None` where there is nobody to serve.
pub(crate) async fn begin(
    tcp: TcpStream,
    tls: Option<&Arc<Tls>>,
    until: Instant,
    metrics: &Metrics,
) -> Option<Begun> {
    let mut line = match tls {
        None => Line::Plain(tcp),
        // Boxed, so that a connection does not keep the room that the handshake needed.
        Some(tls) => Box::pin(encrypt(tcp, tls, until, metrics)).await?,
    };
    let agreed = agreed(&line);
    let mut read = BytesMut::new();
    let first = timeout_at(until, sniff(&mut line, &mut read)).await;
    if first.is_err() {
        metrics.requests.rejected.inc(if read.is_empty() { Refused::Silent } else { Refused::HeadTimeout });
    }
    let (protocol, sniffed) = first.ok()?.ok()?;
    let kept = agreed.is_none_or(|agreed| agreed == protocol);
    if !kept {
        metrics.requests.rejected.inc(Refused::Head);
    }
    kept.then_some((line, protocol, sniffed))
}

async fn encrypt(tcp: TcpStream, tls: &Tls, until: Instant, metrics: &Metrics) -> Option<Line> {
    let (outcome, line) = match timeout_at(until, accept(tcp, tls)).await {
        Ok(Ok(line @ Some(_))) => (Handshake::Ok, line),
        Ok(Ok(None)) => (Handshake::Plain, None),
        Ok(Err(error)) => {
            tracing::trace!(%error, "no TLS");
            (Handshake::Failed, None)
        }
        Err(_) => (Handshake::Timeout, None),
    };
    metrics.tls.handshakes.inc(outcome);
    line
}

async fn accept(mut tcp: TcpStream, tls: &Tls) -> io::Result<Option<Line>> {
    let mut first = [0];
    if tcp.peek(&mut first).await? > 0 && first[0].is_ascii_uppercase() {
        refuse(&mut tcp).await?;
        return Ok(None);
    }
    let bounded = |session: &mut rustls::ServerConnection| session.set_buffer_limit(Some(HELD_BYTES));
    let stream = tls.acceptor().accept_with(tcp, bounded).await?;
    Ok(Some(Line::Tls(Box::new(stream))))
}

/// Says what is wrong. What has come of the request is read, because an answer to unread bytes is lost with a reset.
async fn refuse(tcp: &mut TcpStream) -> io::Result<()> {
    let mut request = [0; 4096];
    let _some = tcp.read(&mut request).await?;
    tcp.write_all(SPEAK_TLS).await?;
    tcp.shutdown().await
}

/// The protocol that the handshake agreed on.
fn agreed(line: &Line) -> Option<Protocol> {
    match line {
        Line::Plain(_) => None,
        Line::Tls(tls) => match tls.get_ref().1.alpn_protocol()? {
            HTTP2 => Some(Protocol::Http2),
            HTTP1 => Some(Protocol::Http1),
            _ => None,
        },
    }
}
